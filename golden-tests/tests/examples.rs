//! Runs what lies in `examples/` as its README says, changes it, and checks that only what depends on a change re-runs.
//!
//! `outputs/<example>/<repo>/` has what each output repo must hold; it was made without flow, by running the examples'
//! own programs by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use golden_tests::{
    package_dir, repository_dir,
    workspace::{Output, Workspace},
};
use serde::Deserialize;
use walkdir::WalkDir;

/// A row of `flow job ls --json`, as far as these tests read it.
#[derive(Deserialize)]
struct Job {
    id: String,
    pipeline: String,
    counts: Counts,
}

#[derive(Deserialize)]
struct Counts {
    processed: u64,
    reused: u64,
}

/// An example in a copy, and the jobs seen so far.
struct Example {
    name: &'static str,
    workspace: Workspace,
    seen: BTreeSet<String>,
}

impl Example {
    fn copy(name: &'static str) -> Self {
        let from = repository_dir().join("examples").join(name);
        let flow = Path::new(env!("CARGO_BIN_EXE_flow-under-test"));
        // A store left by someone who tried the example in place is no part of it.
        let workspace = Workspace::copy_of(&from, &[".flow"], flow).unwrap();
        Self { name, workspace, seen: BTreeSet::new() }
    }

    fn flow(&self, args: &[&str], exit: i32) -> Output {
        self.workspace.flow(args).unwrap().expect_exit(exit, &args.join(" ")).unwrap()
    }

    /// Applies what has changed: the plan says there is something, and none is left.
    fn apply(&self) {
        self.flow(&["plan", "--detailed-exitcode"], 2);
        self.flow(&["apply", "--auto-approve"], 0);
        let again = self.flow(&["apply", "--auto-approve"], 0);
        let said = format!("{}{}", again.stdout, again.stderr);
        assert!(said.to_lowercase().contains("no changes"), "a second apply found work:\n{said}");
        self.flow(&["plan", "--detailed-exitcode"], 0);
    }

    /// The datums that ran, and those reused, in each pipeline of which any ran since this was last asked.
    fn ran(&mut self) -> BTreeMap<String, (u64, u64)> {
        let listing = self.flow(&["job", "ls", "--json"], 0).stdout;
        let jobs: Vec<Job> = serde_json::from_str(&listing).unwrap();
        let new = jobs.into_iter().filter(|job| self.seen.insert(job.id.clone()));
        let counts = new.map(|job| (job.pipeline, (job.counts.processed, job.counts.reused)));
        counts.filter(|(_, (processed, _))| *processed > 0).collect()
    }

    fn append(&self, file: &str, text: &str) {
        let path = self.workspace.path().join(file);
        let old = fs::read_to_string(&path).unwrap();
        fs::write(&path, old + text).unwrap();
    }

    fn cat(&self, repo: &str, path: &str) -> String {
        self.flow(&["cat", &format!("{repo}@master:/{path}")], 0).stdout
    }

    /// The files that each output repo must hold: (repo, path, text).
    fn outputs(&self) -> Vec<(String, String, String)> {
        let root = package_dir().join("outputs").join(self.name);
        let files = WalkDir::new(&root).sort_by_file_name().into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file()).map(|entry| {
            let path = entry.path().strip_prefix(&root).unwrap().to_str().unwrap();
            let (repo, path) = path.split_once('/').unwrap();
            (repo.to_owned(), path.to_owned(), fs::read_to_string(entry.path()).unwrap())
        });
        let files: Vec<_> = files.collect();
        assert!(!files.is_empty(), "no outputs are expected of `{}`", self.name);
        files
    }

    fn check_outputs(&self) {
        for (repo, path, expected) in self.outputs() {
            assert_eq!(self.cat(&repo, &path), expected, "{repo}@master:/{path}");
        }
    }
}

fn counts<const N: usize>(counts: [(&str, u64, u64); N]) -> BTreeMap<String, (u64, u64)> {
    counts.map(|(pipeline, processed, reused)| (pipeline.to_owned(), (processed, reused))).into()
}

#[test]
fn wordcount() {
    let mut example = Example::copy("wordcount");
    example.apply();
    example.check_outputs();
    assert_eq!(example.ran(), counts([("count", 6, 0), ("total", 1, 0)]));

    // A comment in the code: all counts are made anew and come out equal, so nothing follows.
    example.append("count/count.sh", "# A remark.\n");
    example.apply();
    example.check_outputs();
    assert_eq!(example.ran(), counts([("count", 6, 0)]));

    // A word in one text: that text is counted anew, and the total follows.
    example.append("texts/alice.txt", "Zebra.\n");
    example.apply();
    assert_eq!(example.ran(), counts([("count", 1, 5), ("total", 1, 0)]));
    assert!(example.cat("count", "counts/alice.tsv").lines().any(|line| line == "1\tzebra"));
    assert!(example.cat("total", "total.tsv").lines().any(|line| line == "1\tzebra"));

    // A line of the second pipeline's program: the first has nothing to do.
    example.append("wordcount.yaml", "        # A remark at the end of the program.\n");
    example.apply();
    assert_eq!(example.ran(), counts([("total", 1, 0)]));
}

#[test]
fn iris() {
    let mut example = Example::copy("iris");
    let python = example.workspace.shell("command -v python3").unwrap();
    assert_eq!(python.code, Some(0), "this example needs python3 on the PATH");
    example.apply();
    example.check_outputs();
    assert_eq!(example.ran(), counts([("train", 1, 0), ("score", 3, 0), ("report", 1, 0)]));

    // A comment in the training program: the model is made anew and comes out equal.
    example.append("train/train.py", "# A remark.\n");
    example.apply();
    example.check_outputs();
    assert_eq!(example.ran(), counts([("train", 1, 0)]));

    // One more flower to score: one test file of three, and the report; no training.
    example.append("test/batch-2.csv", "5.1,3.5,1.4,0.2,setosa\n");
    example.apply();
    assert_eq!(example.ran(), counts([("score", 1, 2), ("report", 1, 0)]));
    assert!(example.cat("report", "accuracy.txt").starts_with("accuracy 0.935 (29 of 31 flowers)\n"));

    // One more flower to learn from: everything that comes after it.
    example.append("training/batch-1.csv", "6.3,2.9,5.6,1.8,virginica\n");
    example.apply();
    let ran = example.ran();
    assert_eq!(ran.get("train"), Some(&(1, 0)));
    assert_eq!(ran.get("score"), Some(&(3, 0)), "the model differs, so every test file is scored anew");
}
