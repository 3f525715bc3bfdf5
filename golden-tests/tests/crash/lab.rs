//! Workspaces whose datums tell a listener that they ran, and what must hold of them after a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    fs::File,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use flow_model::digest::JobId;
use golden_tests::{
    look::{Look, names_in},
    workspace::Workspace,
};

use crate::listener::Listener;

/// The command that is interrupted and given again.
pub(crate) const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// How long processes of a killed run may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// What user code does: says `input:/path` of its datum, waits until that was counted, and writes its output.
///
/// `$0` marks the process, `$1` is the input's name, `$2` the listener's port, `$3` how long to take.
const PROGRAM: &str = r#"
set -eu
path=${!1}; label="$1:${path#/pfs/$1}"
[ "$path" != "/pfs/$1" ] || label="$1:/"
exec 3<>"/dev/tcp/127.0.0.1/$2"
echo "$label" >&3; read -r _ <&3; exec 3>&-
[ "$3" = 0 ] || sleep "$3"
if [ -d "$path" ]; then for file in "$path"/*; do read -r line <"$file"; echo "$line"; done >/pfs/out/all
else read -r line <"$path"; echo "$line, seen as $1" >"/pfs/out/${path##*/}"; fi
"#;

/// The program of [`crate`]'s binary under test.
pub(crate) fn flow() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_flow-under-test"))
}

/// The manifest of a repo kept in step with the folder of its name.
pub(crate) fn repo(name: &str) -> String {
    format!(
        "---\napiVersion: flow.dev/v1\nkind: Repo\nmetadata: {{name: {name}}}\nspec: {{source: {{path: ./{name}}}}}\n"
    )
}

/// The manifest of a pipeline that tells `listener` of its datums.
pub(crate) fn pipeline(name: &str, input: &str, glob: &str, seconds: f32, listener: &Listener) -> String {
    let program = PROGRAM.replace('\n', "\n      ");
    let port = listener.port();
    format!(
        "---
apiVersion: flow.dev/v1
kind: Pipeline
metadata: {{name: {name}}}
spec:
  input: {{pfs: {{repo: {input}, glob: {glob}}}}}
  parallelismSpec: {{constant: 2}}
  transform:
    cmd:
    - bash
    - -c
    - |{program}
    - {mark}
    - {input}
    - '{port}'
    - '{seconds}'
",
        mark = mark(listener)
    )
}

/// A word on the command line of every datum that tells this listener.
fn mark(listener: &Listener) -> String {
    format!("flow-crash-test-{}", listener.port())
}

/// A workspace with these files, and nothing else.
pub(crate) fn workspace(files: &[(String, Vec<u8>)]) -> Workspace {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("project");
    for (path, content) in files {
        let path = from.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    Workspace::copy_of(&from, &[], flow()).unwrap()
}

/// A copy of a workspace, its store included.
pub(crate) fn copy(of: &Workspace) -> Workspace {
    Workspace::copy_of(of.path(), &[], flow()).unwrap()
}

/// Datums whose results are durable, by job; none if nothing was applied yet.
pub(crate) fn finished(workspace: &Workspace) -> BTreeMap<JobId, BTreeSet<String>> {
    let refs = workspace.path().join(".flow/store/refs/project");
    if refs.exists() { Look::at(workspace.path()).unwrap().finished().unwrap() } else { BTreeMap::new() }
}

/// Waits until nothing of this workspace runs any more: neither helpers nor what they started.
pub(crate) fn expect_no_process_left(workspace: &Workspace, listener: &Listener) {
    let words = [mark(listener), workspace.root().display().to_string()];
    let end = Instant::now() + PATIENCE;
    loop {
        let left: Vec<String> =
            command_lines().filter(|line| words.iter().any(|word| line.contains(word))).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "still there: {left:?}");
        thread::sleep(Duration::from_millis(2));
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

/// Nothing of a killed run stands in the way: nobody holds a lock. And if a run came after it that had jobs, nothing
/// is left at all.
pub(crate) fn expect_no_stale_lock(workspace: &Workspace, had_jobs: bool) {
    for folder in ["slots", "jobs"] {
        let folder = workspace.path().join(".flow/run").join(folder);
        let left = if folder.exists() { names_in(&folder).unwrap() } else { Vec::new() };
        assert!(left.is_empty() || !had_jobs, "left in {}: {left:?}", folder.display());
        for lock in left.iter().filter(|name| name.ends_with(".lock")) {
            assert!(File::open(folder.join(lock)).unwrap().try_lock().is_ok(), "`{lock}` is held");
        }
    }
}
