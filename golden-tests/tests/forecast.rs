//! What a plan foretells is what the jobs then do: on random edits of a small workspace, the counts of each pipeline
//! whose inputs are known beforehand equal those of the job that runs, and a plan after an apply is empty.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeMap, fs, path::Path};

use golden_tests::{
    package_dir,
    workspace::{Output, Workspace},
};
use serde_json::Value;

/// Edits per sequence, and sequences: each costs two runs of the binary.
const EDITS: usize = 10;
const SEEDS: [u64; 3] = [1, 2, 3];

/// xorshift64: the same edits for the same seed, on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// Run, reused.
type Counts = BTreeMap<String, (u64, u64)>;

fn flow(workspace: &Workspace, args: &[&str], exit: i32) -> Output {
    workspace.flow(args).unwrap().expect_exit(exit, &args.join(" ")).unwrap()
}

/// One edit of data, code or spec; some bring back what was there before.
fn edit(workspace: &Workspace, random: &mut Random) {
    let file = format!("in/{}", ["a", "b", "c", "d/x", "d/y"][random.below(5)]);
    let path = workspace.path().join(&file);
    match random.below(5) {
        0 | 1 => {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("{}\n", random.below(3))).unwrap();
        }
        2 if fs::read_dir(workspace.path().join("in")).unwrap().count() > 1 => {
            if path.exists() {
                fs::remove_file(&path).unwrap();
            }
        }
        3 => {
            let spec = workspace.path().join("flows.yaml");
            let text = fs::read_to_string(&spec).unwrap();
            let (from, to) =
                if text.contains("a-z") { ("a-z A-Z", "0-4 5-9") } else { ("0-4 5-9", "a-z A-Z") };
            fs::write(&spec, text.replace(from, to)).unwrap();
        }
        _ => {
            let spec = workspace.path().join("flows.yaml");
            let text = fs::read_to_string(&spec).unwrap();
            let (from, to) = if text.contains("glob: /*") { ("glob: /*", "glob: /**") } else { ("", "") };
            let text =
                if from.is_empty() { text.replace("glob: /**", "glob: /*") } else { text.replace(from, to) };
            fs::write(&spec, text).unwrap();
        }
    }
}

/// The known counts of a plan.
fn foretold(plan: &Value) -> Counts {
    let group = |forecast: &Value, action: &str| -> u64 {
        let groups = forecast["groups"].as_array().unwrap();
        groups
            .iter()
            .filter(|group| group["action"] == action)
            .map(|group| group["datums"].as_u64().unwrap())
            .sum()
    };
    let known = |forecast: &&Value| forecast.get("unknownUntil").is_none();
    let data = plan["data"].as_array().unwrap().iter().filter(known);
    data.map(|forecast| {
        let name = forecast["pipeline"].as_str().unwrap().to_owned();
        (name, (group(forecast, "run"), group(forecast, "reuse")))
    })
    .collect()
}

/// The counts of the jobs that ended after the one that `seen` counts.
fn done(workspace: &Workspace, seen: &mut usize) -> Counts {
    let jobs: Vec<Value> =
        serde_json::from_str(&flow(workspace, &["job", "ls", "--json"], 0).stdout).unwrap();
    let new = jobs.len() - *seen;
    *seen = jobs.len();
    let count = |job: &Value, what: &str| job["counts"][what].as_u64().unwrap();
    // The newest come first.
    jobs[..new]
        .iter()
        .map(|job| {
            (job["pipeline"].as_str().unwrap().to_owned(), (count(job, "processed"), count(job, "reused")))
        })
        .collect()
}

#[test]
fn what_is_foretold_comes_true() {
    let from = package_dir().join("plan").join("create");
    let binary = Path::new(env!("CARGO_BIN_EXE_flow-under-test"));
    for seed in SEEDS {
        let workspace = Workspace::copy_of(&from, &["expected", "case.yaml"], binary).unwrap();
        let spec = workspace.path().join("flows.yaml");
        let program = r#"find "$in" -type f -exec cat {} + | tr a-z A-Z >"#;
        let text = fs::read_to_string(&spec).unwrap();
        // Folders are datums too.
        fs::write(&spec, text.replace(r#"tr a-z A-Z <"$in" >"#, program)).unwrap();
        let (mut random, mut seen) = (Random(seed), 0);
        for step in 0..EDITS {
            let plan: Value = serde_json::from_str(&flow(&workspace, &["plan", "--json"], 0).stdout).unwrap();
            flow(&workspace, &["apply", "--auto-approve"], 0);
            let done = done(&workspace, &mut seen);
            for (pipeline, counts) in foretold(&plan) {
                assert_eq!(
                    done.get(&pipeline),
                    Some(&counts),
                    "seed {seed}, step {step}, pipeline {pipeline}"
                );
            }
            flow(&workspace, &["plan", "--detailed-exitcode"], 0);
            edit(&workspace, &mut random);
        }
    }
}
