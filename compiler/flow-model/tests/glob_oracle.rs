//! Compares globs with the recordings of a real Pachyderm in `golden-tests/pachyderm/`: what they match, and the keys
//! that `join_on` and `group_by` make of what they capture.

use flow_model::glob::{Glob, matches};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Cases where the glob is an error on purpose, with the reason. Pachyderm takes these.
const REFUSED: &[(&str, &str)] = &[
    ("invalid glob '/{a'", "Pachyderm matches `/a`, as if the `{` were not there"),
    ("invalid glob '/(a'", "Pachyderm matches `/a`, as if the `(` were not there"),
    ("invalid glob '/a)'", "Pachyderm matches nothing, ever: no path there has a `)`"),
    (r"invalid glob '/\\'", "Pachyderm matches nothing: the backslash escapes nothing"),
];

#[expect(clippy::disallowed_methods, reason = "recordings are the input of this test")]
fn recorded(file: &str) -> Vec<Value> {
    let path = format!("{}/../../golden-tests/pachyderm/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Repo and branch to the paths of its files, and to all that is listed (folders with a slash at the end).
struct Trees(BTreeMap<(String, String), (Vec<String>, BTreeSet<String>)>);

impl Trees {
    fn recorded() -> Self {
        let mut trees = BTreeMap::new();
        for tree in recorded("trees.json") {
            for (branch, entries) in tree["listing"].as_object().expect("branches") {
                let paths = |kind: &str| -> BTreeSet<String> {
                    let entries = entries.as_array().expect("entries").iter();
                    entries.filter(|entry| entry["type"] == kind).map(|entry| text(&entry["path"])).collect()
                };
                let files: Vec<String> = paths("FILE").into_iter().collect();
                let all = paths("FILE").union(&paths("DIR")).cloned().collect();
                trees.insert((text(&tree["repo"]), branch.clone()), (files, all));
            }
        }
        Self(trees)
    }

    /// What we match for a `pfs` input, folders with a slash at the end, in our order.
    fn matched(&self, pfs: &Value, glob: &Glob) -> Vec<String> {
        let (files, _) = &self.0[&key(pfs)];
        matches(glob, files.iter().map(String::as_str))
            .into_iter()
            .map(|found| if found.is_dir && found.path != "/" { found.path + "/" } else { found.path })
            .collect()
    }
}

fn key(pfs: &Value) -> (String, String) {
    (text(&pfs["repo"]), pfs["branch"].as_str().unwrap_or("master").to_owned())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// A field, which may be written in either case.
fn field<'v>(pfs: &'v Value, snake: &str, camel: &str) -> Option<&'v Value> {
    pfs.get(snake).or_else(|| pfs.get(camel))
}

/// The paths of each recorded datum, sorted within it, so that results compare as sets.
fn datums(case: &Value) -> BTreeSet<Vec<String>> {
    let datums = case["datums"].as_array().expect("datums").iter();
    datums
        .map(|datum| sorted(datum["inputs"].as_array().expect("inputs").iter().map(located).collect()))
        .collect()
}

/// Repo and path, since one path is in several repos.
fn located(input: &Value) -> String {
    format!("{}:{}", text(&input["repo"]), text(&input["path"]))
}

fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths
}

#[test]
fn single_inputs_match_what_pachyderm_matches() {
    let trees = Trees::recorded();
    let mut compared = 0;
    let mut refused = BTreeSet::new();
    for case in recorded("datums.json") {
        let name = text(&case["name"]);
        let Some(pfs) = case["input"].get("pfs") else { continue };
        let source = pfs["glob"].as_str().unwrap_or_default();
        let parsed = Glob::parse(source);
        if let Some((listed, _)) = REFUSED.iter().find(|(listed, _)| *listed == name) {
            assert!(parsed.is_err(), "{name} is listed as a difference, but is none");
            assert!(
                case.get("datums").is_some(),
                "{name} is listed as a difference, but Pachyderm refuses it, too"
            );
            refused.insert(*listed);
            continue;
        }
        if let Some(error) = case.get("error").and_then(Value::as_str) {
            // Errors about a missing branch or project are not about globs.
            let about_glob = !error.contains("not found");
            assert_eq!(parsed.is_err(), about_glob, "{name}: Pachyderm says {error}");
            continue;
        }
        let glob = parsed.unwrap_or_else(|error| panic!("{name}: {error}"));
        let datums = case["datums"].as_array().expect("datums");
        let expected: Vec<(String, String)> = {
            let inputs = datums.iter().map(|datum| &datum["inputs"][0]);
            let unordered: BTreeSet<_> =
                inputs.map(|input| (text(&input["path"]), text(&input["type"]))).collect();
            unordered.into_iter().collect()
        };
        let kind = |path: &String| if path.ends_with('/') { "DIR" } else { "FILE" };
        let found: Vec<(String, String)> = trees
            .matched(pfs, &glob)
            .into_iter()
            .map(|path| (path.clone(), kind(&path).to_owned()))
            .collect();
        // Ours come in path order, without sorting here.
        assert_eq!(found, expected, "{name}: {source}");
        compared += 1;
    }
    assert!(compared >= 100, "only {compared} cases compared: are the recordings there?");
    assert_eq!(
        refused,
        REFUSED.iter().map(|(name, _)| *name).collect(),
        "a listed difference is not recorded"
    );
}

/// One side of a join or group: for each path that matched its key, and whether the side is outer.
struct Side {
    keyed: Vec<(String, String)>,
    outer: bool,
}

/// The sides of an input whose parts are all `pfs` with good globs over branches that exist.
fn sides(trees: &Trees, inputs: &[Value], template: (&str, &str)) -> Option<Vec<Side>> {
    let side = |input: &Value| {
        let pfs = input.get("pfs")?;
        let glob = Glob::parse(pfs["glob"].as_str()?).ok()?;
        trees.0.get(&key(pfs))?;
        let template = field(pfs, template.0, template.1).and_then(Value::as_str).unwrap_or_default();
        let keyed = trees.matched(pfs, &glob).into_iter().map(|path| {
            let expanded = glob.replace(&path, template).expect("the glob matched this path");
            (expanded, format!("{}:{path}", text(&pfs["repo"])))
        });
        let outer = field(pfs, "outer_join", "outerJoin").is_some_and(|outer| outer == true);
        Some(Side { keyed: keyed.collect(), outer })
    };
    inputs.iter().map(side).collect()
}

fn keys(sides: &[Side]) -> BTreeSet<&String> {
    sides.iter().flat_map(|side| side.keyed.iter().map(|(key, _)| key)).collect()
}

/// For each key all ways to take one path of each side; where a side lacks it, of the sides that are outer.
fn joined(sides: &[Side]) -> BTreeSet<Vec<String>> {
    let mut datums = BTreeSet::new();
    for key in keys(sides) {
        let with_key: Vec<Vec<&String>> = sides
            .iter()
            .map(|side| side.keyed.iter().filter(|(other, _)| other == key).map(|(_, path)| path).collect())
            .collect();
        let all = with_key.iter().all(|paths| !paths.is_empty());
        let mut tuples: Vec<Vec<String>> = vec![Vec::new()];
        for (side, paths) in sides.iter().zip(&with_key) {
            if !paths.is_empty() && (all || side.outer) {
                let extend = |tuple: &Vec<String>| {
                    let tuple = tuple.clone();
                    paths
                        .iter()
                        .map(move |path| [tuple.as_slice(), &[(*path).clone()]].concat())
                        .collect::<Vec<_>>()
                };
                tuples = tuples.iter().flat_map(extend).collect();
            }
        }
        datums.extend(tuples.into_iter().filter(|tuple| !tuple.is_empty()).map(sorted));
    }
    datums
}

/// For each key all paths of all sides.
fn grouped(sides: &[Side]) -> BTreeSet<Vec<String>> {
    let paths = |key: &String| {
        let keyed = sides.iter().flat_map(|side| &side.keyed);
        sorted(keyed.filter(|(other, _)| other == key).map(|(_, path)| path.clone()).collect())
    };
    keys(sides).into_iter().map(paths).collect()
}

#[test]
fn keys_join_and_group_what_pachyderm_joins_and_groups() {
    let trees = Trees::recorded();
    let mut compared = BTreeMap::from([("join", 0), ("group", 0)]);
    for case in recorded("datums.json").iter().filter(|case| case.get("datums").is_some()) {
        let parts = |kind: &str| case["input"].get(kind).and_then(Value::as_array);
        let (kind, expected) = if let Some(sides) =
            parts("join").and_then(|inputs| sides(&trees, inputs, ("join_on", "joinOn")))
        {
            ("join", joined(&sides))
        } else if let Some(sides) =
            parts("group").and_then(|inputs| sides(&trees, inputs, ("group_by", "groupBy")))
        {
            ("group", grouped(&sides))
        } else {
            continue;
        };
        assert_eq!(expected, datums(case), "{}", case["name"]);
        compared.entry(kind).and_modify(|count| *count += 1);
    }
    assert!(compared["join"] >= 30 && compared["group"] >= 8, "only {compared:?} cases compared");
}

#[test]
fn keys_are_what_user_code_sees() {
    let mut seen = 0;
    for view in recorded("views.json") {
        let kinds = [("join", "join_on", "JOIN_ON"), ("group", "group_by", "GROUP_BY")];
        for (kind, template, suffix) in kinds {
            let Some(inputs) = view["spec"]["input"].get(kind).and_then(Value::as_array) else { continue };
            for output in
                view["output"].as_object().into_iter().flatten().map(|(_, output)| output.to_string())
            {
                for input in inputs {
                    let pfs = &input["pfs"];
                    let repo = text(&pfs["repo"]);
                    let variable = |name: &str| {
                        let (_, rest) = output.split_once(&format!("\"{name}="))?;
                        rest.split_once('"').map(|(value, _)| value.to_owned())
                    };
                    let Some(key) = variable(&format!("PACH_DATUM_{repo}_{suffix}")) else { continue };
                    let path = variable(&repo).expect("the path of the input is there if its key is");
                    let path = path.strip_prefix(&format!("/pfs/{repo}")).expect("below the input's folder");
                    let glob = Glob::parse(&text(&pfs["glob"])).expect("a good glob");
                    assert_eq!(
                        glob.replace(path, &text(&pfs[template])),
                        Some(key),
                        "{} {path}",
                        view["name"]
                    );
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 10, "only {seen} keys compared");
}
