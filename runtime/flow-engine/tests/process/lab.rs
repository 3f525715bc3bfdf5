//! A slot in a scratch folder, and what the tests do with it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flow_engine::process::{
    Collected, Command, Exit, Helper, Input, LogLimits, OutputKind, RunReport, Sandbox, Slot, SlotConfig,
    SlotDirs, Source, Stage, collect, reset_out,
};

/// A scratch folder and the kind of slot under test.
pub(crate) struct Lab {
    pub(crate) sandbox: Sandbox,
    pub(crate) scratch: tempfile::TempDir,
    pub(crate) runtime: tokio::runtime::Runtime,
}

/// A folder that any user may enter.
pub(crate) fn scratch() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
    scratch
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs this test program once more as the user nobody, from a place which that user can reach.
pub(crate) fn run_as_nobody(flag: &str, filters: &[&str]) -> bool {
    let scratch = scratch();
    let program = scratch.path().join("process-tests");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let status = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
        .arg(&program)
        .arg(flag)
        .args(filters)
        .current_dir("/")
        .status();
    match status {
        Ok(status) => status.success(),
        Err(error) => {
            println!("tests as an unprivileged user FAILED: setpriv: {error}");
            false
        }
    }
}

impl Lab {
    pub(crate) fn new(sandbox: Sandbox) -> Self {
        Self { sandbox, scratch: scratch(), runtime: runtime() }
    }

    pub(crate) fn contained(&self) -> bool {
        self.sandbox == Sandbox::Namespaces
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file of the lab, executable.
    pub(crate) fn script(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    pub(crate) fn slot(&self) -> Bench<'_> {
        self.slot_with_code(None)
    }

    pub(crate) fn slot_with_code(&self, code: Option<PathBuf>) -> Bench<'_> {
        let dirs = SlotDirs::at(self.path("slot"));
        let config =
            SlotConfig { dirs: dirs.clone(), code, sandbox: self.sandbox, helper: Helper::default() };
        let slot = self.runtime.block_on(Slot::start(config)).unwrap();
        let stage = Stage::new(&dirs, self.sandbox).unwrap();
        Bench { lab: self, slot, stage, dirs }
    }
}

/// A started slot.
pub(crate) struct Bench<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) slot: Slot,
    pub(crate) stage: Stage,
    pub(crate) dirs: SlotDirs,
}

/// A command with nothing but a `PATH` around it.
pub(crate) fn command(argv: &[&str]) -> Command {
    let env =
        BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".to_owned())]);
    Command { argv: argv.iter().map(|&word| word.to_owned()).collect(), env, ..Command::default() }
}

impl Bench<'_> {
    pub(crate) fn run(&mut self, command: &Command) -> RunReport {
        self.lab.runtime.block_on(self.slot.run(command, LogLimits::default())).unwrap()
    }

    pub(crate) fn sh(&mut self, script: &str) -> RunReport {
        self.run(&command(&["sh", "-c", script]))
    }

    /// Runs a script that must succeed, and returns what it printed.
    pub(crate) fn sh_ok(&mut self, script: &str) -> String {
        let report = self.sh(script);
        assert_eq!(report.exit, Exit::Code(0), "{script}\n{}", err(&report));
        out(&report)
    }

    /// Runs a script that must fail by itself, and returns its report.
    pub(crate) fn sh_fails(&mut self, script: &str) -> RunReport {
        let report = self.sh(script);
        assert!(
            matches!(report.exit, Exit::Code(code) if code != 0),
            "{script}: {:?}\n{}",
            report.exit,
            out(&report)
        );
        report
    }

    pub(crate) fn show(&mut self, inputs: &[(&str, &str)]) {
        let inputs: Vec<Input<'_>> = inputs
            .iter()
            .map(|(path, content)| Input {
                path,
                source: Source::Bytes(content.as_bytes()),
                executable: false,
            })
            .collect();
        self.stage.prepare(&inputs).unwrap();
        self.stage.show().unwrap();
    }

    /// An object of a store, shown as `/pfs/in/object`.
    pub(crate) fn show_object(&mut self) -> PathBuf {
        let object = self.lab.path("object");
        std::fs::write(&object, "precious").unwrap();
        let input = Input { path: "in/object", source: Source::Object(&object), executable: false };
        self.stage.prepare(&[input]).unwrap();
        self.stage.show().unwrap();
        object
    }

    pub(crate) fn collect(&self) -> Collected {
        collect(&self.dirs, self.lab.sandbox).unwrap()
    }

    pub(crate) fn reset(&self) {
        reset_out(&self.dirs, self.lab.sandbox).unwrap();
        let left = self.collect();
        assert!(left.files.is_empty() && left.problems.is_empty(), "{left:?}");
    }

    pub(crate) fn stop(self) {
        self.lab.runtime.block_on(self.slot.stop()).unwrap();
        self.dirs.remove().unwrap();
        assert!(!self.dirs.root().exists());
    }
}

pub(crate) fn out(report: &RunReport) -> String {
    String::from_utf8_lossy(&report.stdout.to_bytes()).into_owned()
}

pub(crate) fn err(report: &RunReport) -> String {
    String::from_utf8_lossy(&report.stderr.to_bytes()).into_owned()
}

/// Outputs as `path=content`, `path*=content` if executable, `path<-input`; problems as they are told.
pub(crate) fn describe(collected: &Collected) -> (Vec<String>, Vec<String>) {
    let files = collected.files.iter().map(|file| match &file.kind {
        OutputKind::InputLink { input_path } => format!("{}<-{input_path}", file.path),
        OutputKind::File { executable, size, .. } => {
            let mut content = String::new();
            std::io::Read::read_to_string(&mut collected.open(file).unwrap(), &mut content).unwrap();
            assert_eq!(content.len() as u64, *size);
            format!("{}{}={}", file.path, if *executable { "*" } else { "" }, content.trim_end())
        }
    });
    (files.collect(), collected.problems.iter().map(ToString::to_string).collect())
}

/// A text that no other process of this machine has among its arguments, good as a number of seconds.
pub(crate) fn marker() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{}.{}{next}", 7_000_000 + std::process::id(), std::process::id())
}

/// Processes of the machine that have `marker` among their arguments.
pub(crate) fn processes_with(marker: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments = |path: &Path| std::fs::read(path.join("cmdline")).unwrap_or_default();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok()))
        .filter(|path| *path != Path::new(&format!("/proc/{}", std::process::id())))
        .filter(|path| arguments(path).windows(marker.len()).any(|window| window == marker.as_bytes()))
        .collect()
}

/// Waits until no process has `marker` among its arguments.
pub(crate) fn wait_until_gone(marker: &str) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !processes_with(marker).is_empty() {
        assert!(Instant::now() < limit, "still there: {:?}", processes_with(marker));
        std::thread::sleep(Duration::from_millis(10));
    }
}
