//! What user code sees: `/pfs`, its environment, its standard input and where it starts, reported by the same script
//! as in Pachyderm.
//!
//! All pipelines run in one world. How the two differ on purpose is the same in every case, so it is listed by kind;
//! each kind must be met, on the side it says, or the list is not honest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    recorded::{cases, counts, entries, label, list, not_built_in_spec, states, text},
    world::World,
};

/// Pipelines that flow refuses on purpose, where Pachyderm has a failed job: the code, and why.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "cmd that is not there",
        "FLOW0702",
        "a program that does not exist is found before anything is changed",
    ),
    (
        "cmd with its words in one string",
        "FLOW0402",
        "there is no shell that would take the words apart, and no program of that name",
    ),
];

/// Variables that only Pachyderm has, by the start of their names, and why flow has not.
const ONLY_THEIRS: &[(&str, &str)] = &[
    ("ETCD_", "a service of the cluster"),
    ("FILESET_ID", "of Pachyderm's worker"),
    ("GOCOVERDIR", "of the recording"),
    ("HOSTNAME", "the pod; a process has the machine's, and no variable for it"),
    ("KUBERNETES_", "the cluster"),
    ("LOKI_", "a service of the cluster"),
    ("PACHD_", "a service of the cluster"),
    ("PACHYDERM_", "of Pachyderm's worker"),
    ("PACH_IN_WORKER", "of Pachyderm's worker"),
    ("PACH_NAMESPACE", "the cluster"),
    ("PACH_ROOT", "of Pachyderm's worker"),
    ("PEER_PORT", "of Pachyderm's worker"),
    ("PG_", "of Pachyderm's worker"),
    ("POSTGRES_", "of Pachyderm's worker"),
    ("PPS_ETCD_PREFIX", "of Pachyderm's worker"),
    ("PPS_POD_NAME", "the pod"),
    ("PPS_SPEC_COMMIT", "specs are no commits"),
    ("PPS_WORKER_", "of Pachyderm's worker"),
    ("SHLVL", "of busybox' shell"),
    ("STORAGE_", "of Pachyderm's worker"),
];

/// Variables that only flow has, and why.
const ONLY_OURS: &[(&str, &str)] = &[
    ("FLOW_PFS", "the folder of the inputs, which is not `/pfs` where there is no sandbox"),
    ("LANG", "the machine's, so that programs read and write UTF-8 as their user does"),
];

/// Variables that both have with another value, and why.
const OTHER_VALUE: &[(&str, &str)] = &[
    ("HOME", "a private folder, because `/` belongs to the machine"),
    ("PATH", "the machine's, because there is no image"),
];

/// Sections that are not compared, and why.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("ids", "a process runs as whoever runs flow; a container of the recording as root"),
    ("mounts", "how `/pfs` is mounted is the executor's business"),
    ("root", "`/pfs/out` is a link in Pachyderm; the section before says what is there"),
];

/// What the repos of the recordings hold, as far as it shows: the sizes are recorded.
const REPOS: &[(&str, &[(&str, &str)])] = &[
    ("vflat", &[("/a", "abc\n"), ("/b.txt", "bcd\n")]),
    ("vother", &[("/p", "p\n")]),
    ("vtree", &[("/top", "top\n"), ("/d/x", "x\n"), ("/d/e/y", "yy\n"), ("/d/empty", "")]),
];

/// A repo whose head is empty. There are no empty commits: a file is put and removed.
const HOLLOW: &str = "vhollow";

/// Lines by section, as the script reports them.
type Report = BTreeMap<String, Vec<String>>;

/// What is below `/pfs`: kind, mode and (for files) size by path.
type Listing = BTreeMap<String, (String, String, String)>;

/// Names of listed differences that were met.
type Met = BTreeSet<&'static str>;

/// Runs all cases but the refused ones.
fn run(cases: &[&Value]) -> World {
    let mut world = World::new();
    for (repo, _) in REPOS {
        world.declare_repo(repo);
    }
    world.declare_repo(HOLLOW);
    assert_eq!(world.apply().code, Some(0));
    for (repo, files) in REPOS {
        assert_eq!(world.put(repo, "master", &files.to_vec()).code, Some(0));
    }
    assert_eq!(world.put(HOLLOW, "master", &vec![("/x", "x")]).code, Some(0));
    assert_eq!(world.flow(&["rm", &format!("{HOLLOW}@master:/x")]).code, Some(0));
    for case in cases {
        world.write_pipeline(&case["spec"]);
    }
    let output = world.apply();
    assert_eq!(output.code, Some(4), "jobs run and some fail: {output:?}");
    world
}

/// Checks that a pipeline is refused with a code.
fn check_refused(case: &Value, code: &str) {
    let world = World::new();
    world.write_pipeline(&case["spec"]);
    let output = world.apply();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(code), "{}: {code} expected\n{}", case["name"], output.stderr);
}

/// The recorded outputs: none where there is no output commit.
fn recorded_output(case: &Value) -> BTreeMap<String, Value> {
    let ids: BTreeMap<&str, String> =
        list(&case["datums"]).iter().map(|datum| (text(&datum["id"]), label(datum))).collect();
    let named = |path: &str| {
        let id = path.trim_start_matches('/');
        ids.get(id).map_or_else(|| path.to_owned(), |label| format!("/{label}"))
    };
    let output = entries(&case["output"]).filter(|(path, _)| path.starts_with('/'));
    output.map(|(path, output)| (named(path), output.clone())).collect()
}

fn parse_report(output: &str) -> Report {
    let mut report = Report::new();
    let mut section = String::new();
    for line in output.lines() {
        match line.strip_prefix("## ") {
            Some(name) => section = name.to_owned(),
            None => report.entry(section.clone()).or_default().push(line.to_owned()),
        }
    }
    report
}

fn recorded_report(output: &Value) -> Report {
    let lines = |lines: &Value| list(lines).iter().map(|line| text(line).to_owned()).collect();
    entries(output).map(|(section, value)| (section.to_owned(), lines(value))).collect()
}

/// Ids and numbers differ from run to run.
fn without_ids(value: &str) -> String {
    let is_id = |word: &str| word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id(value) || value == "<id>" {
        return "<id>".to_owned();
    }
    match value.strip_prefix("pipe:[") {
        Some(_) => "pipe:[<n>]".to_owned(),
        None => value.to_owned(),
    }
}

fn environment(lines: &[String]) -> BTreeMap<String, String> {
    let pair = |line: &String| {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("`{line}` is no variable"));
        (name.to_owned(), without_ids(value))
    };
    lines.iter().map(pair).collect()
}

fn compare_environment(case: &str, ours: &[String], theirs: &[String], met: &mut Met) {
    let (mut ours, mut theirs) = (environment(ours), environment(theirs));
    for (start, _) in ONLY_THEIRS {
        let before = theirs.len();
        theirs.retain(|name, _| !name.starts_with(start) || ours.contains_key(name));
        met.extend((theirs.len() < before).then_some(*start));
    }
    for (name, _) in ONLY_OURS {
        if !theirs.contains_key(*name) && ours.remove(*name).is_some() {
            met.insert(name);
        }
    }
    for (name, _) in OTHER_VALUE {
        if let (Some(our), Some(their)) = (ours.remove(*name), theirs.remove(*name)) {
            met.extend((our != their).then_some(*name));
        }
    }
    assert_eq!(ours, theirs, "{case}: environment");
}

/// What is below `/pfs` with `out` and the inputs as folders, however they get there.
fn listing(lines: &[String]) -> Listing {
    let mut listing = Listing::new();
    for line in lines {
        let [kind, mode, size, _, path] = line.splitn(5, '|').collect::<Vec<_>>()[..] else {
            panic!("`{line}` is no line of the listing");
        };
        let path = path.replace('\'', "").replace("<scratch>", "/pfs");
        let path = if path == "/pfs" && line.ends_with("<scratch>") { "<scratch>".to_owned() } else { path };
        let (kind, size) = match kind {
            "regular file" | "regular empty file" => ("file", size),
            other => (other, ""),
        };
        listing.insert(path, (kind.to_owned(), mode.to_owned(), size.to_owned()));
    }
    listing
}

/// Takes out of Pachyderm's listing what flow has not: the links and where they lead, `.env`.
fn compare_listing(case: &str, ours: &[String], theirs: &[String], met: &mut Met) {
    let (ours, mut theirs) = (listing(ours), listing(theirs));
    let links: Vec<(String, String)> = theirs
        .keys()
        .filter_map(|path| path.split_once(" -> "))
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .collect();
    for (from, to) in links {
        assert_eq!(from, to, "{case}: a link leads to the folder of its name");
        theirs.remove(&format!("{from} -> {to}"));
        met.insert("links");
    }
    theirs.retain(|path, _| !path.starts_with("/pfs/.scratch") && path != "<scratch>");
    if theirs.remove("/pfs/.env").is_some() && !ours.contains_key("/pfs/.env") {
        met.insert(".env");
    }
    for (path, (_, mode, _)) in &mut theirs {
        let is_input = path.starts_with("/pfs/") && path.matches('/').count() == 2 && path != "/pfs/out";
        let mine = ours.get(path).map(|(_, mode, _)| mode.clone()).unwrap_or_default();
        let known = match (path.as_str(), mode.as_str(), mine.as_str()) {
            // User code need not be root, and only this datum sees the folder.
            (_, "700", "755") if is_input => "mode of an input",
            ("/pfs/out", "755", "777") => "mode of /pfs/out",
            // Nothing can be made beside the inputs.
            ("/pfs", "777", "755") => "mode of /pfs",
            _ => continue,
        };
        met.insert(known);
        *mode = mine;
    }
    assert_eq!(ours, theirs, "{case}: what is below /pfs");
}

fn compare_report(case: &str, ours: &Report, theirs: &Report, met: &mut Met) {
    let names = |report: &Report| report.keys().cloned().collect::<Vec<_>>();
    let sections: BTreeSet<String> =
        theirs.keys().filter(|name| NOT_COMPARED.iter().all(|(other, _)| other != name)).cloned().collect();
    assert!(sections.iter().all(|name| ours.contains_key(name)), "{case}: {:?}", names(ours));
    for section in &sections {
        let (ours, theirs) = (&ours[section], &theirs[section]);
        match section.as_str() {
            "env" => compare_environment(case, ours, theirs, met),
            "pfs: kind|mode|size|owner|name" => compare_listing(case, ours, theirs, met),
            _ => {
                let same = |lines: &[String]| lines.iter().map(|line| without_ids(line)).collect::<Vec<_>>();
                assert_eq!(same(ours), same(theirs), "{case}: {section}");
            }
        }
    }
}

/// Compares the job, the datums and all outputs of a case; returns how many reports there were.
fn compare(case: &Value, world: &World, met: &mut Met) -> usize {
    let name = text(&case["name"]);
    let ours = world.standing(text(&case["spec"]["pipeline"]["name"]));
    let job = &case["job"];
    assert_eq!(ours.jobs, [counts(job)], "{name}");
    assert_eq!(ours.datums, states(list(&case["datums"])), "{name}");
    let theirs = recorded_output(case);
    let files = ours.output.iter().filter(|(_, content)| *content != "<folder>");
    let files: BTreeSet<&String> = files.map(|(path, _)| path).collect();
    assert_eq!(files, theirs.keys().collect(), "{name}: outputs");
    let mut reports = 0;
    for (path, theirs) in theirs {
        let ours = &ours.output[&path];
        if theirs.is_string() {
            assert_eq!(ours, text(&theirs), "{name}: {path}");
        } else {
            compare_report(&format!("{name}, {path}"), &parse_report(ours), &recorded_report(&theirs), met);
            reports += 1;
        }
    }
    reports
}

#[test]
fn user_code_sees_what_it_sees_in_pachyderm() {
    let cases = cases("views.json");
    let (not_built, built): (Vec<&Value>, Vec<&Value>) =
        cases.iter().partition(|case| not_built_in_spec(&case["spec"]).is_some());
    not_built.iter().for_each(|case| check_refused(case, "FLOW06"));
    let refusal = |case: &Value| REFUSED.iter().find(|(name, ..)| *name == text(&case["name"]));
    let (refused, compared): (Vec<&Value>, Vec<&Value>) =
        built.into_iter().partition(|case| refusal(case).is_some());
    assert_eq!(refused.len(), REFUSED.len(), "a listed refusal is not recorded");
    for case in &refused {
        check_refused(case, refusal(case).unwrap().1);
    }
    let world = run(&compared);
    let mut met = Met::new();
    let reports: usize = compared.iter().map(|case| compare(case, &world, &mut met)).sum();
    let names = [ONLY_THEIRS, ONLY_OURS, OTHER_VALUE].into_iter().flatten().map(|(name, _)| *name);
    let listed: Met =
        names.chain([".env", "links", "mode of /pfs", "mode of /pfs/out", "mode of an input"]).collect();
    assert_eq!(met, listed, "a listed difference was not met");
    println!(
        "views: {} cases and {reports} reports equal but for {} kinds of differences, {} refused on purpose, {} not built",
        compared.len(),
        listed.len(),
        refused.len(),
        not_built.len()
    );
    assert!(compared.len() >= 9 && reports >= 10);
}
