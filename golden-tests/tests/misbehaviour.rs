//! Datums that do what they must not, through the real binary: as root, as an unprivileged user, and without a sandbox.
//!
//! All of them are datums of one job, so that it also shows that none disturbs another. Each is contained, or, where
//! there is no sandbox, at least told apart and said; nothing of it runs on afterwards, and the store is whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    os::unix::fs::{chown, lchown},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use flow_model::job::{DatumFailure, JobFailure};
use golden_tests::{look::Look, workspace::Workspace};
use walkdir::WalkDir;

/// The user that has no rights.
const NOBODY: u32 = 65534;

/// How a datum must end.
#[derive(Clone, Copy, Debug)]
enum End {
    Succeeds,
    /// What is said: the reason, then the help or the last line of the log.
    Fails(&'static str, &'static str),
}
use End::{Fails, Succeeds};

const READ_ONLY: End = Fails("exit", "only /pfs/out and /tmp are writable");

/// A datum: its name, its program, how it ends in a sandbox and without one. `$FLOW_PFS` is `/pfs` in a sandbox;
/// `$HOLE` is a file of the host, `$MARK` a word for command lines.
const DATUMS: [(&str, &str, End, End); 17] = [
    ("appends-to-its-input", r#"echo more >>"$in""#, READ_ONLY, Succeeds),
    (
        "closed-folders",
        r#"mkdir -p "$out/d/e"; echo 1 >"$out/d/e/f"; chmod 0 "$out/d/e/f" "$out/d/e" "$out/d""#,
        Succeeds,
        Succeeds,
    ),
    (
        "daemon",
        r#"sh -c 'sleep 1000; :' "$MARK" >/dev/null 2>&1 & sh -c 'sleep 1000; :' "$MARK" & :"#,
        Succeeds,
        Succeeds,
    ),
    (
        "daemon-of-its-own-session",
        r#"setsid sh -c 'setsid sh -c "sleep 1000; :" "$0" & sleep 1000; :' "$MARK" >/dev/null 2>&1 & sleep 0.1"#,
        Succeeds,
        Succeeds,
    ),
    ("deletes-its-input", r#"rm "$in""#, READ_ONLY, Succeeds),
    ("device", r#"mknod "$out/d" c 1 3"#, Fails("exit 1", "Operation not permitted"), Fails("", "")),
    ("exits-with-7", "echo one; echo two >&2; exit 7", Fails("exit 7", "two"), Fails("exit 7", "two")),
    (
        "fills-its-log",
        "yes a line of many that nobody will ever read again | head -c 200000000; echo full; exit 3",
        Fails("exit 3", "full"),
        Fails("exit 3", "full"),
    ),
    ("kills-itself", "kill -9 $$", Fails("killed by signal 9", ""), Fails("killed by signal 9", "")),
    (
        "link-out",
        r#"ln -s /etc/passwd "$out/x""#,
        Fails("`/pfs/out/x` is a symlink to `/etc/passwd`, which leads out of /pfs", ""),
        Fails("a symlink to `/etc/passwd`", ""),
    ),
    (
        "no-such-command",
        "no-such-command",
        Fails("exit 127", "no-such-command"),
        Fails("exit 127", "no-such-command"),
    ),
    ("no-utf8", r#"touch "$out/$(printf 'a\377')""#, Fails("UTF-8", ""), Fails("UTF-8", "")),
    ("pipe", r#"mkfifo "$out/p""#, Fails("`/pfs/out/p` is a named pipe", ""), Fails("is a named pipe", "")),
    ("replaces-out", r#"rm -rf "$out"; ln -s /etc "$out""#, Fails("", ""), Fails("out", "")),
    (
        "sleeps",
        "echo tired; exec sleep 1000",
        Fails("took longer than", "tired"),
        Fails("took longer than", "tired"),
    ),
    ("well-behaved", r#"read -r line <"$in"; echo "${#line}" >"$out/well""#, Succeeds, Succeeds),
    ("writes-elsewhere", r#"echo x >"$HOLE""#, READ_ONLY, Succeeds),
];

/// Where the programs run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Sandbox,
    Plain,
}

const SPEC: &str = r#"
apiVersion: flow.dev/v1
kind: Repo
metadata: {name: in}
spec: {source: {path: ./in}}
---
apiVersion: flow.dev/v1
kind: Pipeline
metadata: {name: bad}
spec:
  input: {pfs: {repo: in, glob: /*}}
  parallelismSpec: {constant: 2}
  datumTimeout: 8s
  datumTries: 1
  transform:
    cmd: [sh, -c, 'out=$FLOW_PFS/out; . "$in"']
    env: {HOLE: HOLE_PATH, MARK: MARK_WORD}
"#;

struct Trial {
    workspace: Workspace,
    place: Place,
    hole: String,
    mark: String,
}

impl Trial {
    fn new(place: Place, user: Option<u32>) -> Self {
        let mark = format!("flow-misbehaviour-{}-{place:?}-{}", std::process::id(), user.unwrap_or(0));
        // Not below `/tmp`: a sandbox has its own.
        let hole = format!("/var/tmp/{mark}");
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("project");
        fs::create_dir_all(from.join("in")).unwrap();
        fs::write(from.join("spec.yaml"), SPEC.replace("HOLE_PATH", &hole).replace("MARK_WORD", &mark))
            .unwrap();
        for (name, program, ..) in DATUMS {
            fs::write(from.join("in").join(name), format!("{program}\n")).unwrap();
        }
        let flow = Path::new(env!("CARGO_BIN_EXE_flow-under-test"));
        let mut workspace = Workspace::copy_of(&from, &[], flow).unwrap();
        if let Some(user) = user {
            give(workspace.root(), user);
            workspace.act_as(user).unwrap();
        }
        Self { workspace, place, hole, mark }
    }

    /// Runs the job; everything is as it must be.
    fn run(&self) {
        let env = match self.place {
            Place::Sandbox => ("FLOW_SANDBOX", "on".to_owned()),
            Place::Plain => ("FLOW_SANDBOX", "off".to_owned()),
        };
        let output = self.workspace.flow_with(&["apply", "--auto-approve"], &[env]).unwrap();
        let output = output.expect_exit(4, &format!("{:?}", self.place)).unwrap();
        let said_so = output.stderr.contains("not contained");
        assert_eq!(said_so, self.place == Place::Plain, "{}", output.stderr);
        self.expect_nothing_left();
        let escaped = fs::remove_file(&self.hole).is_ok();
        assert_eq!(escaped, self.place == Place::Plain, "whether `{}` was written", self.hole);

        let look = Look::at(self.workspace.path()).unwrap();
        look.expect_whole().unwrap();
        let Some(JobFailure::Datums { failed }) = look.last_failure("bad").unwrap() else {
            panic!("no datum failed: {}", output.stderr)
        };
        for (name, _, in_sandbox, plain) in DATUMS {
            let end = if self.place == Place::Sandbox { in_sandbox } else { plain };
            let failure = failed.iter().find(|failure| failure.label == format!("in:/{name}"));
            check(name, end, failure);
        }
        // The first few are said at once, in the order of the inputs.
        let said = failed.iter().take(10).map(|failure| output.stderr.find(&failure.label));
        let said: Vec<Option<usize>> = said.collect();
        assert!(said.is_sorted() && said.iter().all(Option::is_some), "{}", output.stderr);
        self.expect_results_kept(&failed);
    }

    /// Without the bad ones, nothing runs again.
    fn expect_results_kept(&self, failed: &[DatumFailure]) {
        for failure in failed {
            let file = failure.label.trim_start_matches("in:/");
            fs::remove_file(self.workspace.path().join("in").join(file)).unwrap();
        }
        let env = [("FLOW_SANDBOX", "off".to_owned())];
        self.workspace
            .flow_with(&["apply", "--auto-approve"], &env)
            .unwrap()
            .expect_exit(0, "again")
            .unwrap();
        let look = Look::at(self.workspace.path()).unwrap();
        let counts = look.last_counts("bad").unwrap();
        let good = (DATUMS.len() - failed.len()) as u64;
        assert_eq!((counts.processed, counts.reused), (0, good));
        let files = look.files("bad", "master").unwrap();
        let files: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(files, ["/d/e/f", "/well"]);
    }

    fn expect_nothing_left(&self) {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let left: Vec<String> = command_lines().filter(|line| line.contains(&self.mark)).collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "still there: {left:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn check(name: &str, end: End, failure: Option<&DatumFailure>) {
    match (end, failure) {
        (Succeeds, None) => {}
        (Succeeds, Some(failure)) => panic!("{name} must succeed: {failure:?}"),
        (Fails(..), None) => panic!("{name} must fail"),
        (Fails(reason, more), Some(failure)) => {
            assert!(failure.reason.contains(reason), "{name}: {failure:?}");
            let help = failure.help.as_deref().unwrap_or_default();
            let in_log = failure.log_tail.iter().any(|line| line.contains(more));
            assert!(more.is_empty() || help.contains(more) || in_log, "{name}: {failure:?}");
            assert!(failure.log_tail.len() <= 10, "{name}: {failure:?}");
        }
    }
}

fn command_lines() -> impl Iterator<Item = String> {
    let processes = fs::read_dir("/proc").unwrap().map(Result::unwrap);
    // A process may end while it is looked at.
    processes.filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    })
}

fn give(folder: &Path, user: u32) {
    for entry in WalkDir::new(folder).into_iter().map(Result::unwrap) {
        lchown(entry.path(), Some(user), Some(user)).unwrap();
    }
    chown(folder, Some(user), Some(user)).unwrap();
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

#[test]
fn in_a_sandbox() {
    Trial::new(Place::Sandbox, None).run();
}

#[test]
fn in_a_sandbox_as_an_unprivileged_user() {
    if is_root() {
        Trial::new(Place::Sandbox, Some(NOBODY)).run();
    }
}

#[test]
fn without_a_sandbox() {
    Trial::new(Place::Plain, None).run();
}

#[test]
fn without_a_sandbox_as_an_unprivileged_user() {
    if is_root() {
        Trial::new(Place::Plain, Some(NOBODY)).run();
    }
}
