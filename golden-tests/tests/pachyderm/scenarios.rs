//! Scenarios: steps that were done to Pachyderm, done to flow, and what each pipeline has after each of them.
//!
//! A pipeline is compared in three facts: its jobs with their counts, the states of the newest job's datums, and the
//! whole output. `pachyderm/differences.yaml` lists the facts in which flow differs on purpose, by step, with what
//! flow has instead and why.

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use golden_tests::{package_dir, workspace::Output};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    recorded::{cases, counts, entries, label, list, not_built_in_spec, states, text},
    world::{Files, Standing, World, texts},
};

/// A scenario in which flow differs on purpose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    case: String,
    /// Why; for the reader.
    because: String,
    /// By number of the step, from 1.
    #[serde(default)]
    steps: BTreeMap<usize, Unlike>,
}

/// What flow has after a step, where it is not what Pachyderm has.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unlike {
    verdict: Option<Verdict>,
    input: Option<BTreeMap<String, String>>,
    logs: Option<Vec<String>>,
    #[serde(default)]
    pipelines: BTreeMap<String, Facts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    jobs: Option<Vec<String>>,
    datums: Option<BTreeMap<String, String>>,
    output: Option<BTreeMap<String, String>>,
}

impl Unlike {
    fn facts(&self) -> usize {
        let own = [self.verdict.is_some(), self.input.is_some(), self.logs.is_some()];
        let of = |facts: &Facts| [facts.jobs.is_some(), facts.datums.is_some(), facts.output.is_some()];
        own.into_iter().chain(self.pipelines.values().flat_map(of)).filter(|listed| *listed).count()
    }
}

/// What is said to a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Verdict {
    Accepted,
    Refused,
}

/// How a scenario went.
enum Ending {
    /// All steps were compared.
    Compared,
    /// A step needs what is not built.
    NotBuilt,
}

/// A scenario that is being played.
struct Play<'a> {
    world: World,
    prefix: &'a str,
    /// The facts that are listed as different, by step.
    unlike: &'a BTreeMap<usize, Unlike>,
    /// How many of them were met.
    met: usize,
    problems: Vec<String>,
}

impl Play<'_> {
    /// A recorded name: `@` stands for the scenario's prefix.
    fn name(&self, recorded: &str) -> String {
        match recorded.strip_prefix('@') {
            Some(rest) => format!("{}{rest}", self.prefix),
            None => recorded.to_owned(),
        }
    }

    /// The reverse.
    fn unname(&self, name: &str) -> String {
        name.replace(self.prefix, "@")
    }

    /// A recorded spec with the names of this scenario.
    fn spec(&self, recorded: &Value) -> Value {
        let mut spec = recorded.clone();
        for part in ["pipeline", "input"] {
            let named = recorded[part].to_string().replace('@', self.prefix);
            spec[part] = serde_json::from_str(&named).unwrap();
        }
        spec
    }

    /// Does a step; `None` if it needs what is not built.
    fn act(&mut self, step: &Value) -> Option<Verdict> {
        let repo = step["repo"].as_str().map(|repo| self.name(repo)).unwrap_or_default();
        match text(&step["op"]) {
            "create repo" => {
                self.world.declare_repo(&repo);
                Some(verdict(&self.world.apply()))
            }
            "commit" => Some(self.commit(&repo, step)),
            "append" => {
                let path = text(&step["path"]);
                let before = self.world.flow(&["cat", &format!("{repo}@master:{path}")]).stdout;
                let content = before + text(&step["text"]);
                Some(verdict(&self.world.put(&repo, "master", &vec![(path, &content)])))
            }
            "create pipeline" | "update pipeline" | "create only" => self.create(&step["spec"]),
            "pachctl" => {
                let args: Vec<String> = list(&step["args"]).iter().map(|arg| self.name(text(arg))).collect();
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                Some(self.pachctl(&args, step["stdin"].as_str()))
            }
            other => panic!("a step `{other}`"),
        }
    }

    fn create(&mut self, recorded: &Value) -> Option<Verdict> {
        let spec = self.spec(recorded);
        self.world.write_pipeline(&spec);
        let output = self.world.apply();
        if let Some(what) = not_built_in_spec(recorded) {
            let as_such = output.code == Some(1) && output.stderr.contains("FLOW06");
            if !as_such {
                self.problems.push(format!("`{what}` is not built, but not refused as such: {output:?}"));
            }
            return None;
        }
        Some(verdict(&output))
    }

    /// A commit with several edits is several commands here; jobs run after the last.
    fn commit(&mut self, repo: &str, step: &Value) -> Verdict {
        let branch = text(&step["branch"]);
        for path in step["delete"].as_array().into_iter().flatten() {
            let output = self.world.flow(&["rm", &format!("{repo}@{branch}:{}", text(path))]);
            assert_eq!(output.code, Some(0), "{}", output.stderr);
        }
        let Some(files) = step["put"].as_object() else { return verdict(&self.world.apply()) };
        if branch != "master" && self.world.files(repo, branch).is_none() {
            self.set_branch(repo, branch, &format!("{repo}@master"));
        }
        let files: Files<'_> = files.iter().map(|(path, content)| (path.as_str(), text(content))).collect();
        verdict(&self.world.put(repo, branch, &files))
    }

    fn set_branch(&mut self, repo: &str, branch: &str, from: &str) -> Verdict {
        verdict(&self.world.flow(&["branch", "set", &format!("{repo}@{branch}"), from, "--run"]))
    }

    fn pachctl(&mut self, args: &[&str], stdin: Option<&str>) -> Verdict {
        match args {
            ["create", "repo", name] => {
                self.world.declare_repo(name);
                let verdict = verdict(&self.world.apply());
                assert_eq!(verdict == Verdict::Accepted, self.world.has_repo(name), "{name}");
                verdict
            }
            ["delete", "repo", name] => {
                // It is the only repo of its world.
                let existed = self.world.has_repo(name);
                if existed {
                    assert_eq!(self.world.flow(&["destroy", "--auto-approve"]).code, Some(0));
                }
                assert!(!self.world.has_repo(name));
                if existed { Verdict::Accepted } else { Verdict::Refused }
            }
            ["put", "file", address, "-f", "-"] => {
                let input = stdin.unwrap_or_default();
                verdict(&self.world.flow_with_input(&["put", address, "-f", "-", "--run"], input))
            }
            ["put", "file", "-a", address, "-f", "-"] => {
                let before = self.world.flow(&["cat", address]).stdout;
                let input = before + stdin.unwrap_or_default();
                verdict(&self.world.flow_with_input(&["put", address, "-f", "-", "--run"], &input))
            }
            ["delete", "file", address] => verdict(&self.world.flow(&["rm", address, "--run"])),
            ["delete", "file", "-r", address] => verdict(&self.world.flow(&["rm", "-r", address, "--run"])),
            // Each put is a commit of its own here.
            ["start" | "finish", "commit", _] => Verdict::Accepted,
            ["create", "branch", branch, "--head", head] => {
                let (repo, branch) = branch.split_once('@').unwrap();
                let from = match head.strip_prefix('^') {
                    Some(_) => format!("{repo}@{}", self.world.oldest_commit(repo, branch)),
                    None => format!("{repo}@{head}"),
                };
                self.set_branch(repo, branch, &from)
            }
            ["logs", "-p", _, ..] => Verdict::Accepted,
            other => panic!("pachctl {other:?}"),
        }
    }

    /// Compares all that is recorded after a step, and all that is listed as different.
    fn compare(&mut self, number: usize, recorded: &Value, verdict: Verdict) {
        let nothing = Unlike::default();
        let unlike = self.unlike.get(&number).unwrap_or(&nothing);
        let step = &recorded["step"];
        let quiet = step["quiet"] == true;
        if !quiet {
            let theirs = if recorded["exit"].as_i64().unwrap_or(0) == 0 {
                Verdict::Accepted
            } else {
                Verdict::Refused
            };
            self.fact(number, "verdict", verdict, theirs, unlike.verdict.as_ref());
        }
        if let Some(input) = recorded.get("input").filter(|input| input.get("error").is_none()) {
            let (repo, branch) = self.branch_of(step);
            let ours = self.world.files(&repo, &branch).unwrap_or_default();
            self.fact(number, "input", ours, texts(input), unlike.input.as_ref());
        }
        if let Some(["logs", "-p", pipeline]) = words(step).as_deref() {
            let ours = self.world.log_lines(&self.name(pipeline));
            let lines = recorded.get("stdout").map(list).unwrap_or_default();
            let mut theirs: Vec<String> = lines.iter().map(|line| text(line).to_owned()).collect();
            theirs.sort();
            self.fact(number, "logs", ours, theirs, unlike.logs.as_ref());
        }
        for (pipeline, after) in entries(&recorded["after"]) {
            let listed = unlike.pipelines.get(pipeline);
            self.compare_pipeline(number, pipeline, after, listed);
        }
    }

    fn compare_pipeline(&mut self, number: usize, pipeline: &str, after: &Value, unlike: Option<&Facts>) {
        let theirs = recorded_standing(after);
        let mut ours = self.world.standing(&self.name(pipeline));
        ours.datums = ours.datums.into_iter().map(|(label, state)| (self.unname(&label), state)).collect();
        ours.output = ours.output.into_iter().map(|(path, text)| (self.unname(&path), text)).collect();
        let jobs = unlike.and_then(|facts| facts.jobs.as_ref());
        let datums = unlike.and_then(|facts| facts.datums.as_ref());
        let output = unlike.and_then(|facts| facts.output.as_ref());
        self.fact(number, &format!("{pipeline} jobs"), ours.jobs, theirs.jobs, jobs);
        self.fact(number, &format!("{pipeline} datums"), ours.datums, theirs.datums, datums);
        self.fact(number, &format!("{pipeline} output"), ours.output, theirs.output, output);
    }

    /// One fact: ours is theirs, or else what is listed; and what is listed is not theirs.
    fn fact<T: PartialEq + std::fmt::Debug>(
        &mut self,
        step: usize,
        what: &str,
        ours: T,
        theirs: T,
        listed: Option<&T>,
    ) {
        self.met += usize::from(listed.is_some());
        match listed {
            None if ours == theirs => {}
            None => {
                self.problems
                    .push(format!("step {step}, {what}:\n    flow      {ours:?}\n    Pachyderm {theirs:?}"));
            }
            Some(listed) if *listed == theirs => {
                self.problems
                    .push(format!("step {step}, {what}: listed as a difference, but is Pachyderm's"));
            }
            Some(listed) if *listed == ours => {}
            Some(listed) => {
                self.problems
                    .push(format!("step {step}, {what}:\n    flow      {ours:?}\n    listed    {listed:?}"));
            }
        }
    }

    /// The branch that a step is about.
    fn branch_of(&self, step: &Value) -> (String, String) {
        if let Some(repo) = step["repo"].as_str() {
            return (self.name(repo), step["branch"].as_str().unwrap_or("master").to_owned());
        }
        let words = words(step).unwrap();
        let address = words.iter().find(|word| word.starts_with('@')).unwrap();
        let address = self.name(address);
        let (repo, rest) = address.split_once('@').unwrap();
        (repo.to_owned(), rest.split(':').next().unwrap().to_owned())
    }
}

/// The arguments of a `pachctl` step.
fn words(step: &Value) -> Option<Vec<&str>> {
    Some(step["args"].as_array()?.iter().map(text).collect())
}

/// A command that published what it should: its jobs may have failed.
fn verdict(output: &Output) -> Verdict {
    match output.code {
        Some(0 | 4) => Verdict::Accepted,
        Some(1) => Verdict::Refused,
        _ => panic!("{output:?}"),
    }
}

fn recorded_standing(after: &Value) -> Standing {
    let jobs = after["jobs"].as_array().into_iter().flatten().map(counts).collect();
    let datums = after["datums"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut output = texts(&after["output"]);
    for datum in datums {
        let (id, label) = (text(&datum["id"]), label(datum));
        output = output.into_iter().map(|(path, text)| (path.replace(id, &label), text)).collect();
    }
    Standing { jobs, datums: states(datums), output }
}

fn play(case: &Value, unlike: &BTreeMap<usize, Unlike>) -> (Ending, Vec<String>) {
    let prefix = text(&case["prefix"]);
    let mut play = Play { world: World::new(), prefix, unlike, met: 0, problems: Vec::new() };
    let mut ending = Ending::Compared;
    for (at, recorded) in list(&case["steps"]).iter().enumerate() {
        let Some(verdict) = play.act(&recorded["step"]) else {
            ending = Ending::NotBuilt;
            break;
        };
        play.compare(at + 1, recorded, verdict);
    }
    let listed: usize = unlike.values().map(Unlike::facts).sum();
    if play.met < listed {
        let missed = listed - play.met;
        play.problems.push(format!("{missed} of the listed facts are not recorded"));
    }
    (ending, play.problems)
}

fn differences() -> BTreeMap<String, Difference> {
    let path = package_dir().join("pachyderm/differences.yaml");
    let listed: Vec<Difference> = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let count = listed.len();
    let listed: BTreeMap<String, Difference> =
        listed.into_iter().map(|difference| (difference.case.clone(), difference)).collect();
    assert_eq!(listed.len(), count, "a case is listed twice");
    listed
}

/// Plays every case on as many threads as there are processors; in the cases' order.
fn play_all(cases: &[Value], differences: &BTreeMap<String, Difference>) -> Vec<(Ending, Vec<String>)> {
    let next = AtomicUsize::new(0);
    let none = BTreeMap::new();
    let work = || {
        let mut done = Vec::new();
        while let Some((at, case)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, cases.get(at)?)))
        {
            let unlike = differences.get(text(&case["name"])).map_or(&none, |listed| &listed.steps);
            // One case that cannot go on must not hide the others.
            let ending = catch_unwind(AssertUnwindSafe(|| play(case, unlike)));
            done.push((
                at,
                ending.unwrap_or_else(|_| (Ending::Compared, vec!["panicked, see above".to_owned()])),
            ));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, ending)| ending).collect()
}

#[test]
fn scenarios_go_as_with_pachyderm() {
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let cases: Vec<Value> =
        cases("scenarios.json").into_iter().filter(|case| text(&case["name"]).contains(&only)).collect();
    let differences = differences();
    let (mut compared, mut not_built, mut steps) = (0, 0, 0);
    let mut problems = Vec::new();
    for (case, (ending, found)) in cases.iter().zip(play_all(&cases, &differences)) {
        match ending {
            Ending::Compared => compared += 1,
            Ending::NotBuilt => not_built += 1,
        }
        steps += list(&case["steps"]).len();
        problems.extend(found.iter().map(|problem| format!("{}: {problem}", text(&case["name"]))));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let names: Vec<&str> = cases.iter().map(|case| text(&case["name"])).collect();
    let unknown = differences.keys().find(|name| !names.contains(&name.as_str()));
    assert_eq!(unknown.filter(|_| only.is_empty()), None, "a listed difference is not recorded");
    assert!(differences.values().all(|listed| !listed.because.is_empty() && !listed.steps.is_empty()));
    println!(
        "scenarios: {compared} compared, {} of them differ on purpose, {not_built} not built; {steps} steps",
        differences.len()
    );
    assert!(compared >= 75 || !only.is_empty(), "only {compared} scenarios compared");
}
