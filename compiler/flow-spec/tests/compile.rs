//! From texts to resources: what the whole front end makes of them.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use flow_model::{
    name::ProjectName,
    resource::{Desired, Resource},
    span::SourceMap,
    spec::Input,
};
use flow_spec::{Compiled, Folders, KnownRepos, compile, lower, render::concise};

fn known() -> KnownRepos {
    KnownRepos::none(ProjectName::parse("test").unwrap())
}

fn sources(files: &[(&str, &str)]) -> SourceMap {
    let mut sources = SourceMap::default();
    for (name, text) in files {
        sources.add(*name, *text);
    }
    sources
}

fn shown(sources: &SourceMap, compiled: &Compiled) -> String {
    compiled.diagnostics.iter().map(|diagnostic| concise(diagnostic, sources)).collect()
}

/// Compiles texts that are right, and forgets where things are written.
fn desired(files: &[(&str, &str)]) -> Desired {
    let sources = sources(files);
    let compiled = compile(&sources, &known());
    let problems = shown(&sources, &compiled);
    let (Some(workflow), Some(dag)) = (compiled.workflow, compiled.dag) else { panic!("{problems}") };
    let mut desired = lower(&workflow, &dag, &sources, &Folders::default());
    desired.values_mut().for_each(|resource| resource.location = None);
    desired
}

const NATIVE: &str = "
apiVersion: flow.dev/v1
kind: Repo
metadata: {name: images}
spec: {description: pictures, source: {path: ./images/}}
---
apiVersion: flow.dev/v1
kind: Pipeline
metadata: {name: edges}
spec:
  transform: {cmd: [python3, edges.py], env: {LANG: C, N: 1}, code: ./src/}
  input: {pfs: {repo: images, glob: '*'}}
  parallelismSpec: {constant: 2}
  datumTimeout: 5m
";

#[test]
fn native_manifests_become_resources() {
    let desired = desired(&[("a.yaml", NATIVE)]);
    let addresses: Vec<String> = desired.keys().map(ToString::to_string).collect();
    assert_eq!(addresses, ["repo.images", "pipeline.edges"]);
    let edges = &desired[&"pipeline.edges".parse().unwrap()];
    assert_eq!(edges.depends_on.len(), 1);
    let Resource::Pipeline(version) = &edges.resource else { panic!("no pipeline") };
    let json = serde_json::to_value(&version.spec).unwrap();
    let wanted = serde_json::json!({
        "name": "edges",
        "transform": {"cmd": ["python3", "edges.py"], "env": {"LANG": "C", "N": "1"}, "code": "src"},
        "input": {"pfs": {"name": "images", "repo": "images", "branch": "master", "glob": "/*"}},
        "parallelism": 2,
        "datumTries": 3,
        "datumTimeout": 300_000,
    });
    assert_eq!(json, wanted);
}

const BARE: &str = r#"{
  "pipeline": {"name": "edges"},
  "transform": {"cmd": ["sh"], "stdin": ["true"], "image": "busybox:1"},
  "parallelism_spec": {"constant": "4"},
  "input": {"cross": [
    {"pfs": {"repo": "images", "glob": "/*", "name": "z"}},
    {"pfs": {"repo": "models", "glob": "/"}},
    {"union": [{"pfs": {"repo": "y", "name": "b", "glob": "/"}}, {"pfs": {"repo": "x", "name": "a", "glob": "/"}}]}
  ]}
}
{"pipeline": {"name": "next"}, "transform": {"cmd": ["true"]}, "input": {"pfs": {"repo": "edges", "glob": "/"}}}
"#;

#[test]
fn bare_specs_imply_repos_and_sort_inputs_by_written_name() {
    let desired = desired(&[("a.json", BARE)]);
    let addresses: Vec<String> = desired.keys().map(ToString::to_string).collect();
    assert_eq!(
        addresses,
        ["repo.images", "repo.models", "repo.x", "repo.y", "pipeline.edges", "pipeline.next"]
    );
    assert!(desired[&"repo.images".parse().unwrap()].implied);
    let Resource::Pipeline(version) = &desired[&"pipeline.edges".parse().unwrap()].resource else {
        panic!("no pipeline")
    };
    let leaves: Vec<&str> = version.spec.input.leaves().iter().map(|leaf| leaf.name.as_str()).collect();
    assert_eq!(leaves, ["models", "a", "b", "z"]);
    let Input::Cross(parts) = &version.spec.input else { panic!("no cross") };
    assert!(matches!(&parts[1], Input::Union(arms) if arms.len() == 2));
    assert_eq!(version.spec.parallelism.get(), 4);
}
