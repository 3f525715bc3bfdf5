//! From texts to resources: what the whole front end makes of them.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use flow_model::{
    digest::{Digest, TreeId},
    name::ProjectName,
    resource::{Desired, Resource},
    span::{FileId, SourceMap},
    spec::Input,
};
use flow_spec::{Compiled, Folders, KnownRepo, KnownRepos, compile, lower, render::concise, settings};

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

#[test]
fn places_lead_to_what_is_written() {
    let sources = sources(&[("a.yaml", NATIVE)]);
    let workflow = compile(&sources, &known()).workflow.unwrap();
    let edges = "pipeline.edges".parse().unwrap();
    let images = "repo.images".parse().unwrap();
    for (addr, field, written) in [
        (&edges, None, "edges"),
        (&edges, Some("transform.code"), "./src/"),
        (&edges, Some("transform.cmd"), "[python3, edges.py]"),
        (&edges, Some("transform.env.LANG"), "C"),
        (&edges, Some("input"), "pfs"),
        (&edges, Some("input.pfs.glob"), "'*'"),
        (&edges, Some("parallelism"), "2"),
        (&edges, Some("datumTimeout"), "5m"),
        (&edges, Some("transform.stdin"), "edges"),
        (&images, Some("source.path"), "./images/"),
        (&images, Some("description"), "pictures"),
    ] {
        let span = workflow.span_of(addr, field).unwrap();
        let text = &sources.file(span.file).text()[span.start as usize..span.end as usize];
        assert_eq!(text, written, "{addr} {field:?}");
    }
}

#[test]
fn what_is_live_is_known_and_kept() {
    let mut known = known();
    let branches = ["master", "dev"].map(|name| name.parse().unwrap()).into();
    known.repos.insert("models".parse().unwrap(), KnownRepo { branches, pipeline: None });
    let spec =
        "pipeline: {name: a}\ntransform: {cmd: [x]}\ninput: {pfs: {repo: models, branch: dev, glob: /}}\n";
    let sources = sources(&[("a.yaml", spec)]);
    let compiled = compile(&sources, &known);
    let problems = shown(&sources, &compiled);
    let workflow = compiled.workflow.unwrap_or_else(|| panic!("{problems}"));
    assert_eq!(workflow.repos.len(), 1, "what the files use is wanted, so that it is never pruned");
}

#[test]
fn settings_are_read_and_are_no_manifest() {
    let text =
        "project: images\ncontext: shared\ncontexts:\n  shared: {store: 'file:///srv/flow'}\n  local:\n";
    let sources = sources(&[("flow.yaml", text)]);
    let (settings, problems) = settings::parse(&sources, FileId(0));
    assert_eq!(problems, []);
    assert_eq!(settings.project.as_ref().unwrap().value.as_str(), "images");
    assert_eq!(settings.store().unwrap().value, "file:///srv/flow");
    assert!(settings.contexts["local"].store.is_none());
    let mut known = known();
    assert!(compile(&sources, &known).workflow.is_none());
    known.settings = Some(FileId(0));
    assert!(compile(&sources, &known).workflow.is_some());
}

#[test]
fn trees_of_folders_go_where_they_belong() {
    let sources = sources(&[("a.yaml", NATIVE)]);
    let compiled = compile(&sources, &known());
    let tree = |text: &str| TreeId(Digest::of(text.as_bytes()));
    let folders = Folders {
        code: [("edges".parse().unwrap(), tree("code"))].into(),
        sources: [("images".parse().unwrap(), tree("data"))].into(),
    };
    let desired = lower(&compiled.workflow.unwrap(), &compiled.dag.unwrap(), &sources, &folders);
    assert_eq!(desired[&"repo.images".parse().unwrap()].folder, Some(tree("data")));
    let edges = &desired[&"pipeline.edges".parse().unwrap()];
    let Resource::Pipeline(version) = &edges.resource else { panic!("no pipeline") };
    assert_eq!(version.code_tree, Some(tree("code")));
    let location = edges.location.as_ref().unwrap();
    assert_eq!((location.file.as_str(), location.line, location.column), ("a.yaml", 9, 18));
}
