//! A copy of a directory to work in, and commands run there in a fixed environment.
//!
//! **Invariant:** what a command prints depends on the directory and the command, not on who runs it where: the
//! environment is cleared, and the copy's path has the same length on every machine, so that lines wrap alike.

use std::{
    env, fs,
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use walkdir::WalkDir;

use crate::failure::Failure;

/// How long one command may take, in seconds. Far more than any needs; a hang must end.
const LIMIT: u64 = 120;

/// A copy of a directory, removed when dropped.
#[derive(Debug)]
pub struct Workspace {
    root: TempDir,
    dir: PathBuf,
    flow: PathBuf,
    user: Option<u32>,
    runs: AtomicU64,
}

/// What a command left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Workspace {
    /// Copies the files of `from`, without the names in `skip`, into a new folder of the same name. `flow` is the
    /// binary that [`Workspace::flow`] runs.
    ///
    /// # Errors
    /// [`Failure::Io`] if something cannot be copied.
    pub fn copy_of(from: &Path, skip: &[&str], flow: &Path) -> Result<Self, Failure> {
        // Not `env::temp_dir()`: its length differs from machine to machine.
        let root = tempfile::Builder::new()
            .prefix("flow-golden-")
            .rand_bytes(8)
            .tempdir_in("/tmp")
            .map_err(Failure::io("make a folder in", Path::new("/tmp")))?;
        let name = from.file_name().unwrap_or("workspace".as_ref());
        let dir = root.path().join(name);
        make_dir(&dir)?;
        make_dir(&root.path().join("home"))?;
        copy_tree(from, &dir, skip)?;
        Ok(Self { root, dir, flow: flow.to_owned(), user: None, runs: AtomicU64::new(0) })
    }

    /// The copy.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The temporary folder around the copy; its path means nothing to a reader.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Runs everything from now on as this user, whom the copy must belong to. Only root can. The binary is copied to
    /// where that user may read it.
    ///
    /// # Errors
    /// [`Failure::Io`] if the binary cannot be copied.
    pub fn act_as(&mut self, user: u32) -> Result<(), Failure> {
        let copy = self.root.path().join("flow-under-test");
        fs::copy(&self.flow, &copy).map_err(Failure::io("copy", &self.flow))?;
        self.flow = copy;
        self.user = Some(user);
        Ok(())
    }

    /// Runs `flow` with these arguments in the copy, with nothing on standard input.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be started or does not end. A non-zero exit code is no error here.
    pub fn flow<S: AsRef<str>>(&self, args: &[S]) -> Result<Output, Failure> {
        self.flow_with_input(args, "")
    }

    /// Runs `flow` with these arguments in the copy, with `input` on standard input.
    ///
    /// # Errors
    /// As [`Workspace::flow`].
    pub fn flow_with_input<S: AsRef<str>>(&self, args: &[S], input: &str) -> Result<Output, Failure> {
        let mut command = Command::new(&self.flow);
        command.arg0("flow").args(args.iter().map(AsRef::as_ref));
        self.run(command, input)
    }

    /// Runs `flow` with these arguments and more variables in the copy.
    ///
    /// # Errors
    /// As [`Workspace::flow`].
    pub fn flow_with(&self, args: &[&str], env: &[(&str, String)]) -> Result<Output, Failure> {
        let mut command = Command::new(&self.flow);
        command.arg0("flow").args(args).envs(env.iter().map(|(name, value)| (name, value)));
        self.run(command, "")
    }

    /// Starts `flow` with these arguments in the copy, and leaves what it says aside.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be started.
    pub fn start(&self, args: &[&str]) -> Result<Child, Failure> {
        let mut command = Command::new(&self.flow);
        command.arg0("flow").args(args).env_clear().envs(self.environment()).current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(Failure::io("start", &self.flow))
    }

    /// Runs a shell script in the copy; `flow` is the binary under test there too.
    ///
    /// # Errors
    /// As [`Workspace::flow`].
    pub fn shell(&self, script: &str) -> Result<Output, Failure> {
        let mut command = Command::new("sh");
        command.args(["-eu", "-c", &format!("flow() {{ \"$FLOW_BINARY\" \"$@\"; }}\n{script}")]);
        command.env("FLOW_BINARY", &self.flow);
        self.run(command, "")
    }

    fn run(&self, mut command: Command, input: &str) -> Result<Output, Failure> {
        let line = format!("{command:?}");
        let kept = command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)));
        let kept: Vec<_> = kept.collect();
        command.env_clear().envs(self.environment());
        command.envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));

        // Files, not pipes: a process left behind by a command must not keep us reading for ever. Numbered, because
        // commands may run at the same time.
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let file = |name| self.root().join(format!("{name}-{run}"));
        let [stdin, stdout, stderr] = ["stdin", "stdout", "stderr"].map(file);
        fs::write(&stdin, input).map_err(Failure::io("write", &stdin))?;
        command.current_dir(&self.dir).stdin(Stdio::from(open(&stdin)?));
        command.stdout(Stdio::from(create(&stdout)?)).stderr(Stdio::from(create(&stderr)?));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let child = command.spawn().map_err(Failure::io("start", Path::new(&line)))?;
        let status = wait(child, &line)?;
        Ok(Output { code: status.code(), stdout: read_lossy(&stdout)?, stderr: read_lossy(&stderr)? })
    }

    fn environment(&self) -> Vec<(String, String)> {
        let path = env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
        let home = self.root().join("home").display().to_string();
        [
            ("PATH", path.as_str()),
            ("HOME", &home),
            ("USER", "tester"),
            ("LOGNAME", "tester"),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
            ("TERM", "dumb"),
            ("COLUMNS", "100"),
            ("NO_COLOR", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

impl Output {
    /// This output if the command exited with `code`.
    ///
    /// # Errors
    /// [`Failure::Differs`] with all that the command said, otherwise.
    pub fn expect_exit(self, code: i32, what: &str) -> Result<Self, Failure> {
        if self.code == Some(code) {
            return Ok(self);
        }
        let got = self.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        let Self { stdout, stderr, .. } = self;
        Err(Failure::Differs(format!("{what}: expected exit {code}, got {got}\n{stdout}\n{stderr}")))
    }
}

/// Copies files and folders, with their permissions, without the top-level names in `skip`.
///
/// # Errors
/// [`Failure::Io`] at the first thing that cannot be copied.
pub fn copy_tree(from: &Path, to: &Path, skip: &[&str]) -> Result<(), Failure> {
    let skipped = |path: &Path| skip.iter().any(|name| path == from.join(name));
    let entries = WalkDir::new(from).min_depth(1).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(|entry| !skipped(entry.path())) {
        let entry = entry.map_err(|error| Failure::io("walk", from)(error.into()))?;
        let relative = entry.path().strip_prefix(from).unwrap_or(entry.path());
        let target = to.join(relative);
        if entry.file_type().is_dir() {
            make_dir(&target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(Failure::io("copy", entry.path()))?;
        }
    }
    Ok(())
}

fn wait(mut child: Child, line: &str) -> Result<ExitStatus, Failure> {
    let end = Instant::now() + Duration::from_secs(LIMIT);
    loop {
        let waiting_for = Path::new(line);
        if let Some(status) = child.try_wait().map_err(Failure::io("wait for", waiting_for))? {
            return Ok(status);
        }
        if Instant::now() > end {
            child.kill().map_err(Failure::io("kill", waiting_for))?;
            child.wait().map_err(Failure::io("wait for", waiting_for))?;
            return Err(Failure::TooLong { command: line.to_owned(), seconds: LIMIT });
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn make_dir(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(Failure::io("make", path))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(Failure::io("open", path))
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(Failure::io("create", path))
}

fn read_lossy(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(Failure::io("read", path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        let files = tempfile::tempdir().unwrap();
        let from = files.path().join("project");
        fs::create_dir_all(from.join("data")).unwrap();
        fs::create_dir_all(from.join("expected")).unwrap();
        fs::write(from.join("data/a"), "1").unwrap();
        fs::write(from.join("expected/b"), "2").unwrap();
        Workspace::copy_of(&from, &["expected"], Path::new("/bin/echo")).unwrap()
    }

    #[test]
    fn a_copy_has_the_folders_name_and_not_what_is_skipped() {
        let workspace = workspace();
        assert!(workspace.path().ends_with("project"));
        assert!(workspace.path().join("data/a").exists());
        assert!(!workspace.path().join("expected").exists());
    }

    #[test]
    fn commands_see_only_the_fixed_environment() {
        let output = workspace().shell("env | cut -d= -f1 | sort").unwrap();
        let mut names: Vec<_> =
            output.stdout.lines().filter(|name| !["PWD", "_", "SHLVL"].contains(name)).collect();
        names.sort_unstable();
        let mut expected =
            ["COLUMNS", "FLOW_BINARY", "HOME", "LANG", "LOGNAME", "NO_COLOR", "PATH", "TERM", "TZ", "USER"];
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn exit_codes_and_both_outputs_are_kept() {
        let output = workspace().shell("echo out; echo err >&2; exit 3").unwrap();
        assert_eq!(output, Output { code: Some(3), stdout: "out\n".into(), stderr: "err\n".into() });
        assert!(output.clone().expect_exit(3, "x").is_ok());
        assert!(output.expect_exit(0, "x").is_err());
    }

    #[test]
    fn the_binary_gets_arguments_and_shell_scripts_reach_it() {
        let workspace = workspace();
        assert_eq!(workspace.flow(&["plan", "--json"]).unwrap().stdout, "plan --json\n");
        assert_eq!(workspace.shell("flow plan | tr a-z A-Z").unwrap().stdout, "PLAN\n");
    }
}
