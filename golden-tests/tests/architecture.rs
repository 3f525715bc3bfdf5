//! House rules that no compiler checks: which crate may know which, and how source files look.
//!
//! The rules are those of CONTRIBUTING.md. To change one is to change it there and here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use golden_tests::{EXAMPLES, GROUPS, package_dir, repository_dir};
use regex::Regex;
use serde::Deserialize;
use walkdir::WalkDir;

/// Which crates of the workspace each may depend on. A new crate is added here, with its reason in CONTRIBUTING.md.
const ARROWS: [(&str, &[&str]); 7] = [
    ("flow-model", &[]),
    ("flow-spec", &["flow-model"]),
    ("flow-plan", &["flow-model"]),
    ("flow-store", &["flow-model"]),
    ("flow-engine", &["flow-model", "flow-plan", "flow-store"]),
    ("flow-apply", &["flow-model", "flow-store"]),
    ("flow-cli", &["flow-model", "flow-spec", "flow-plan", "flow-store", "flow-engine", "flow-apply"]),
];

/// The harness of the tests: may know every crate, and is known by none.
const HARNESS: &str = "golden-tests";

/// Crates that decide, and what must be nowhere below them: runtimes, stores, clusters, command lines, networks.
const PURE: [&str; 3] = ["flow-model", "flow-spec", "flow-plan"];
const IMPURE: [&str; 9] =
    ["tokio", "kube", "k8s-openapi", "object_store", "clap", "reqwest", "hyper", "nix", "rustix"];

/// Dependencies that only one crate may name.
const RESERVED: [(&str, &str); 8] = [
    ("kube", "flow-k8s"),
    ("k8s-openapi", "flow-k8s"),
    ("clap", "flow-cli"),
    ("clap_complete", "flow-cli"),
    ("miette", "flow-cli"),
    ("indicatif", "flow-cli"),
    ("object_store", "flow-store"),
    ("granit-parser", "flow-spec"),
];

/// Errors without a type.
const UNTYPED_ERRORS: [&str; 3] = ["anyhow", "eyre", "color-eyre"];

/// How long a source file may be, in lines before its tests.
const LONGEST_FILE: usize = 700;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` for an ordinary one, else `dev` or `build`.
    kind: Option<String>,
}

impl Package {
    fn normal_dependencies(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().filter(|it| it.kind.is_none()).map(|it| it.name.as_str())
    }

    fn is_below(&self, folder: &str) -> bool {
        self.manifest_path.parent().and_then(Path::parent).is_some_and(|parent| parent.ends_with(folder))
    }
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).current_dir(repository_dir()).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn packages() -> Vec<Package> {
    let json = cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    serde_json::from_str::<Metadata>(&json).unwrap().packages
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

// ---- crates ----

#[test]
fn crates_depend_only_along_the_arrows() {
    let arrows: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let ours: BTreeSet<_> = packages().into_iter().map(|package| package.name).collect();
    let mut wrong = Vec::new();
    for package in packages().iter().filter(|package| package.name != HARNESS) {
        let Some(allowed) = arrows.get(package.name.as_str()) else {
            wrong.push(format!("`{}` has no entry in ARROWS", package.name));
            continue;
        };
        let forbidden =
            package.normal_dependencies().filter(|name| ours.contains(*name) && !allowed.contains(name));
        wrong.extend(forbidden.map(|name| format!("`{}` must not depend on `{name}`", package.name)));
    }
    none(&wrong);
}

#[test]
fn every_crate_is_named_by_its_folder_and_stands_on_its_side_of_the_wall() {
    let mut wrong = Vec::new();
    for package in packages().iter().filter(|package| package.name != HARNESS) {
        let folder = package.manifest_path.parent().unwrap();
        if !folder.ends_with(&package.name) {
            wrong.push(format!("`{}` lies in `{}`", package.name, folder.display()));
        }
        let side = if PURE.contains(&package.name.as_str()) { "compiler" } else { "runtime" };
        if !package.is_below(side) {
            wrong.push(format!("`{}` does not lie in `{side}/`", package.name));
        }
    }
    none(&wrong);
}

#[test]
fn nothing_impure_is_below_the_crates_that_decide() {
    let mut wrong = Vec::new();
    for package in PURE {
        let tree =
            cargo(&["tree", "--offline", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p}"]);
        let names: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains(package), "`cargo tree` does not know `{package}`");
        wrong.extend(
            IMPURE.iter().filter(|name| names.contains(*name)).map(|name| format!("{package}: {name}")),
        );
    }
    none(&wrong);
}

#[test]
fn some_dependencies_belong_to_one_crate() {
    let mut wrong = Vec::new();
    for package in packages().iter().filter(|package| package.name != HARNESS) {
        for name in package.normal_dependencies() {
            let owner = RESERVED.iter().find(|(reserved, _)| *reserved == name).map(|(_, owner)| *owner);
            if owner.is_some_and(|owner| owner != package.name) {
                wrong.push(format!("`{}` must not depend on `{name}`", package.name));
            }
            if UNTYPED_ERRORS.contains(&name) {
                wrong.push(format!("`{}`: errors have types, so no `{name}`", package.name));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_crate_takes_the_workspaces_lints_and_none_is_switched_off() {
    let mut wrong = Vec::new();
    for package in packages() {
        let text = fs::read_to_string(&package.manifest_path).unwrap();
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("`{}` does not take the workspace's lints", package.name));
        }
    }
    let root = fs::read_to_string(repository_dir().join("Cargo.toml")).unwrap();
    wrong.extend(
        root.lines().filter(|line| line.contains("\"allow\"")).map(|line| format!("Cargo.toml: {line}")),
    );
    none(&wrong);
}

// ---- source files ----

/// A source file of ours: where it lies, and its lines before its tests.
struct Source {
    name: String,
    text: String,
    is_test: bool,
}

impl Source {
    /// Numbered lines up to the test module; none of a file that is one. `#[cfg(test)]` before anything else than a module's body ends nothing.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<_> = self.text.lines().collect();
        let is_end = |pair: &[&str]| {
            pair[0].starts_with("#[cfg(test)]") && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        let is_all_test = lines.contains(&"#![cfg(test)]");
        let end = if is_all_test { 0 } else { lines.windows(2).position(is_end).unwrap_or(lines.len()) };
        (1..).zip(lines).take(end)
    }

    fn code_matches(&self, pattern: &Regex) -> Vec<String> {
        let is_code = |line: &str| !line.trim_start().starts_with("//");
        let found = self.code().filter(|(_, line)| is_code(line) && pattern.is_match(line));
        found.map(|(number, line)| format!("{}:{number}: {}", self.name, line.trim())).collect()
    }
}

fn sources() -> Vec<Source> {
    let root = repository_dir();
    let folders = ["compiler", "runtime", "golden-tests"].map(|folder| root.join(folder));
    let files = folders.iter().flat_map(|folder| WalkDir::new(folder).sort_by_file_name());
    let files = files.map(|entry| entry.unwrap().into_path());
    let sources: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            let is_test =
                name.contains("/tests/") || name.contains("/benches/") || name.ends_with("/tests.rs");
            Source { text: fs::read_to_string(&path).unwrap(), name, is_test }
        })
        .collect();
    assert!(sources.len() > 20, "only {} source files found", sources.len());
    sources
}

#[test]
fn every_module_opens_by_saying_what_it_is() {
    let silent = |source: &Source| !source.text.starts_with("//!");
    none(
        &sources()
            .iter()
            .filter(|it| silent(it))
            .map(|it| format!("{}: no `//!`", it.name))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_file_is_longer_than_one_sitting() {
    let length = |source: &Source| source.code().count();
    let long = |source: &&Source| !source.is_test && length(source) > LONGEST_FILE;
    let wrong = |source: &Source| format!("{}: {} lines before its tests", source.name, length(source));
    none(&sources().iter().filter(long).map(wrong).collect::<Vec<_>>());
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let pattern = Regex::new(r"\.unwrap\(\)|\.unwrap_err\(\)|\b(todo|unimplemented)!").unwrap();
    none(
        &sources()
            .iter()
            .filter(|it| !it.is_test)
            .flat_map(|it| it.code_matches(&pattern))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_lint_is_allowed_and_every_expected_one_has_a_reason() {
    let allowed = Regex::new(r"#!?\[(cfg_attr\(.*)?allow\(").unwrap();
    let expected = Regex::new(r"#!?\[expect\([^)]*\)\]").unwrap();
    let without_reason = |line: &String| !line.contains("reason = ");
    let mut wrong: Vec<_> = sources().iter().flat_map(|it| it.code_matches(&allowed)).collect();
    wrong.extend(sources().iter().flat_map(|it| it.code_matches(&expected)).filter(without_reason));
    none(&wrong);
}

#[test]
fn these_rules_see_code_and_not_tests_or_comments() {
    let text = "//! What.\n#[cfg(test)]\nmod far;\nlet a = b.unwrap();\n// c.unwrap()\n\
                #[cfg(test)]\nmod tests {\n    d.unwrap();\n}\n";
    let source = Source { name: "x.rs".to_owned(), text: text.to_owned(), is_test: false };
    let pattern = Regex::new(r"\.unwrap\(\)").unwrap();
    assert_eq!(source.code().count(), 5);
    assert_eq!(source.code_matches(&pattern), ["x.rs:4: let a = b.unwrap();"]);
}

// ---- data ----

fn folders(path: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(path) else { return BTreeSet::new() };
    let entries = entries.map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_dir());
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn every_example_is_run_by_a_test_of_its_name() {
    let known: BTreeSet<_> = EXAMPLES.into_iter().map(str::to_owned).collect();
    assert_eq!(folders(&repository_dir().join("examples")), known, "EXAMPLES and examples/ differ");
    let tests = fs::read_to_string(package_dir().join("tests/examples.rs")).unwrap();
    for example in EXAMPLES {
        assert!(
            tests.contains(&format!("#[test]\nfn {example}()")),
            "no test `{example}` in tests/examples.rs"
        );
        assert!(
            repository_dir().join("examples").join(example).join("README.md").exists(),
            "{example}: no README"
        );
    }
}

#[test]
fn every_golden_case_expects_something() {
    let mut wrong = Vec::new();
    for group in GROUPS {
        let group_dir = package_dir().join(group);
        for case in folders(&group_dir) {
            let dir = group_dir.join(&case);
            let expects = fs::read_dir(dir.join("expected")).is_ok_and(|mut files| files.next().is_some());
            if !dir.join("case.yaml").exists() || !expects {
                wrong.push(format!("{group}/{case} has no case.yaml or expects nothing"));
            }
        }
    }
    none(&wrong);
}
