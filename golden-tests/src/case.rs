//! A golden case: a directory with a workspace, `case.yaml` with the steps, and `expected/` with what they print.
//!
//! ```yaml
//! about: a changed command runs every datum again      # what the case shows
//! steps:
//!   - run: [apply, --auto-approve]                      # arguments of flow
//!   - sh: sed -i s/one/two/ spec.yaml                   # or a shell script; its outputs are not kept
//!   - run: [plan, --detailed-exitcode]
//!     exit: 2                                           # 0 if not given
//!     keep: [stdout]                                    # both outputs if not given
//!     stdin: "yes\n"                                    # nothing if not given
//! ```
//!
//! Step N that runs `flow plan` prints to `expected/0N-plan.stdout` and `.stderr`; an output that is empty has no
//! file. Everything else in the directory is the workspace. Outputs pass [`crate::redact`] first.
//!
//! **Invariant:** a case passes only if every step exits as said, every output equals its file, and there is no file
//! in `expected/` that no step accounts for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use similar::TextDiff;

use crate::{failure::Failure, redact::Redactions, workspace::Workspace};

/// A golden case.
#[derive(Clone, Debug)]
pub struct Case {
    dir: PathBuf,
    file: CaseFile,
}

/// `case.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    about: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Step {
    Run {
        run: Vec<String>,
        #[serde(default)]
        exit: i32,
        #[serde(default = "both")]
        keep: Vec<Stream>,
        #[serde(default)]
        stdin: String,
    },
    Shell {
        sh: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stream {
    Stdout,
    Stderr,
}

fn both() -> Vec<Stream> {
    vec![Stream::Stdout, Stream::Stderr]
}

/// What to do with output that differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Report it.
    Check,
    /// Make it what is expected from now on.
    Update,
}

impl Mode {
    /// [`Mode::Update`] if the environment has `UPDATE_GOLDEN` set to something.
    #[must_use]
    pub fn from_env() -> Self {
        let wanted = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty());
        if wanted { Self::Update } else { Self::Check }
    }
}

impl Case {
    /// The case whose `case.yaml` this is.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read or is not as the module describes.
    pub fn of(case_yaml: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(case_yaml).map_err(Failure::io("read", case_yaml))?;
        let dir = case_yaml.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { dir, file: serde_yaml::from_str(&text)? })
    }

    /// What the case shows.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.file.about
    }

    /// Runs all steps with this `flow` binary on a copy, and compares or updates what they print.
    ///
    /// # Errors
    /// [`Failure::Differs`] with every difference of every step; other [`Failure`]s if the case cannot be run.
    pub fn run(&self, flow: &Path, mode: Mode) -> Result<(), Failure> {
        let workspace = Workspace::copy_of(&self.dir, &["case.yaml", "expected"], flow)?;
        let mut redactions = Redactions::new(workspace.root())?;
        let mut outputs = BTreeMap::new();
        let mut wrong = Vec::new();
        for (number, step) in (1..).zip(&self.file.steps) {
            wrong.extend(run_step(step, number, &workspace, &mut redactions, &mut outputs)?);
        }
        match mode {
            Mode::Check => wrong.extend(self.differences(&outputs)?),
            Mode::Update => self.accept(&outputs)?,
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let help = "to accept new output: UPDATE_GOLDEN=1 cargo test -p golden-tests --test cli";
        Err(Failure::Differs(format!("{}\n\n{}\n{help}", self.file.about, wrong.join("\n"))))
    }

    fn expected_dir(&self) -> PathBuf {
        self.dir.join("expected")
    }

    fn expected(&self) -> Result<BTreeMap<String, String>, Failure> {
        let dir = self.expected_dir();
        let mut files = BTreeMap::new();
        if !dir.exists() {
            return Ok(files);
        }
        for entry in fs::read_dir(&dir).map_err(Failure::io("list", &dir))? {
            let path = entry.map_err(Failure::io("list", &dir))?.path();
            let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            files.insert(name, text);
        }
        Ok(files)
    }

    fn differences(&self, outputs: &BTreeMap<String, String>) -> Result<Vec<String>, Failure> {
        let expected = self.expected()?;
        let names: BTreeSet<_> = outputs.keys().chain(expected.keys()).collect();
        let text = |side: &BTreeMap<String, String>, name: &str| side.get(name).cloned().unwrap_or_default();
        Ok(names
            .into_iter()
            .map(|name| (name, text(&expected, name), text(outputs, name)))
            .filter(|(_, want, got)| want != got)
            .map(|(name, want, got)| {
                let diff = TextDiff::from_lines(&want, &got);
                diff.unified_diff().header(&format!("expected/{name}"), "now").to_string()
            })
            .collect())
    }

    fn accept(&self, outputs: &BTreeMap<String, String>) -> Result<(), Failure> {
        let dir = self.expected_dir();
        fs::create_dir_all(&dir).map_err(Failure::io("make", &dir))?;
        for name in self.expected()?.keys().filter(|name| !outputs.contains_key(*name)) {
            let path = dir.join(name);
            fs::remove_file(&path).map_err(Failure::io("remove", &path))?;
        }
        for (name, text) in outputs {
            let path = dir.join(name);
            fs::write(&path, text).map_err(Failure::io("write", &path))?;
        }
        Ok(())
    }
}

/// Runs one step; adds what it printed to `outputs` and returns what is wrong beside that.
fn run_step(
    step: &Step,
    number: usize,
    workspace: &Workspace,
    redactions: &mut Redactions,
    outputs: &mut BTreeMap<String, String>,
) -> Result<Option<String>, Failure> {
    let (wanted, output, name, keep) = match step {
        Step::Shell { sh } => (0, workspace.shell(sh)?, "sh", &[][..]),
        Step::Run { run, exit, keep, stdin } => {
            let name = run.iter().find(|arg| !arg.starts_with('-')).map_or("flow", String::as_str);
            (*exit, workspace.flow_with_input(run, stdin)?, name, &keep[..])
        }
    };
    let stem = format!("{number:02}-{name}");
    for stream in keep {
        let (text, extension) = match stream {
            Stream::Stdout => (&output.stdout, "stdout"),
            Stream::Stderr => (&output.stderr, "stderr"),
        };
        if !text.is_empty() {
            outputs.insert(format!("{stem}.{extension}"), redactions.apply(text));
        }
    }
    match output.expect_exit(wanted, &stem) {
        Ok(_) => Ok(None),
        Err(Failure::Differs(report)) => Ok(Some(report)),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// Stands in for `flow`: `sh` runs the workspace's file `plan`. (A script written here and started itself would
    /// now and then be busy, because another thread's child still has it open.)
    const FLOW: &str = "/bin/sh";

    const STEPS: &str = "about: counts\nsteps:\n- sh: echo data > file\n- run: [plan, --x]\n  exit: 2\n";

    fn case(plan: &str) -> (TempDir, Case) {
        let dir = tempfile::tempdir().unwrap();
        let case_dir = dir.path().join("case");
        fs::create_dir_all(&case_dir).unwrap();
        fs::write(case_dir.join("plan"), plan).unwrap();
        fs::write(case_dir.join("case.yaml"), STEPS).unwrap();
        (dir, Case::of(&case_dir.join("case.yaml")).unwrap())
    }

    fn check(case: &Case) -> Result<(), Failure> {
        case.run(Path::new(FLOW), Mode::Check)
    }

    fn update(case: &Case) -> Result<(), Failure> {
        case.run(Path::new(FLOW), Mode::Update)
    }

    #[test]
    fn accepted_output_passes_and_changed_output_fails() {
        let (_dir, case) = case("echo \"$1 $(cat file) in $PWD\"; exit 2");
        assert!(check(&case).is_err(), "nothing is expected yet");
        update(&case).unwrap();
        let kept = fs::read_to_string(case.expected_dir().join("02-plan.stdout")).unwrap();
        assert_eq!(kept, "--x data in [ROOT]/case\n");
        check(&case).unwrap();
        fs::write(case.dir.join("plan"), "echo other; exit 2\n").unwrap();
        let report = check(&case).unwrap_err().to_string();
        assert!(report.contains("---x data") && report.contains("+other"), "{report}");
    }

    #[test]
    fn another_exit_code_fails_even_when_updating() {
        let (_dir, case) = case("echo same; exit 1");
        let report = update(&case).unwrap_err().to_string();
        assert!(report.contains("expected exit 2, got 1"), "{report}");
    }

    #[test]
    fn an_expected_file_that_no_step_prints_fails_and_goes_when_updating() {
        let (_dir, case) = case("echo same; exit 2");
        update(&case).unwrap();
        let stray = case.expected_dir().join("09-old.stdout");
        fs::write(&stray, "old\n").unwrap();
        assert!(check(&case).is_err());
        update(&case).unwrap();
        assert!(!stray.exists());
    }

    #[test]
    fn unknown_fields_of_a_case_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("case.yaml");
        fs::write(&file, "about: x\nsteps:\n- run: [plan]\n  exist: 2\n").unwrap();
        assert!(Case::of(&file).is_err());
    }
}
