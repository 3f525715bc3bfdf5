//! Laws of the front end: what comes out depends on what is said, not on how and where it is written.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeMap;

use flow_model::{name::ProjectName, resource::Desired, span::SourceMap};
use flow_spec::{Folders, KnownRepos, compile, lower, render::concise};
use proptest::prelude::*;
use serde_json::{Value, json};

fn known() -> KnownRepos {
    KnownRepos::none(ProjectName::parse("test").unwrap())
}

/// What is wanted, without places; or the problems.
fn desired(files: &[(String, String)]) -> Result<Desired, String> {
    let mut sources = SourceMap::default();
    for (name, text) in files {
        sources.add(name.clone(), text.clone());
    }
    let compiled = compile(&sources, &known());
    let problems: String = compiled.diagnostics.iter().map(|d| concise(d, &sources)).collect();
    let (workflow, dag) = compiled.workflow.zip(compiled.dag).ok_or(problems)?;
    let mut desired = lower(&workflow, &dag, &sources, &Folders::default());
    desired.values_mut().for_each(|resource| resource.location = None);
    Ok(desired)
}

/// Workspaces that are right: pipeline `n` reads only sources and pipelines before it.
fn workspace() -> impl Strategy<Value = Vec<Value>> {
    let text = "[a-z '\":#/\\-\n$é]{1,20}";
    let pipeline = (
        prop::collection::vec((0..8_usize, prop::option::of(0..3_usize)), 1..4),
        prop::collection::vec(text, 1..4),
        prop::collection::btree_map("[A-Z]{1,3}", text, 0..3),
        (any::<bool>(), any::<bool>(), 1..9_u32),
    );
    prop::collection::vec(pipeline, 1..7).prop_map(|pipelines| {
        let mut documents = vec![json!({
            "apiVersion": "flow.dev/v1", "kind": "Repo", "metadata": {"name": "source"},
            "spec": {"source": {"path": "./data"}, "description": "x"},
        })];
        for (at, (reads, lines, env, (native, union, number))) in pipelines.into_iter().enumerate() {
            let leaves: Vec<Value> = reads
                .iter()
                .enumerate()
                .map(|(part, (from, name))| {
                    let repo = if *from < at { format!("step-{from}") } else { "source".to_owned() };
                    let name = name.map_or(format!("in{part}"), |name| format!("x{name}{part}"));
                    json!({"pfs": {"repo": repo, "glob": "/*", "name": name}})
                })
                .collect();
            let input = if union { json!({"union": leaves}) } else { json!({"cross": leaves}) };
            let transform = json!({"cmd": ["sh"], "stdin": lines, "env": env});
            documents.push(if native {
                json!({
                    "apiVersion": "flow.dev/v1", "kind": "Pipeline", "metadata": {"name": format!("step-{at}")},
                    "spec": {"transform": transform, "input": input, "datumTries": number},
                })
            } else {
                json!({
                    "pipeline": {"name": format!("step-{at}")}, "transform": transform, "input": input,
                    "datum_tries": number.to_string(),
                })
            });
        }
        documents
    })
}

/// Ways to write documents: one file or many, YAML or JSON, a list, `---` or nothing between.
fn written(documents: &[Value], style: usize) -> Vec<(String, String)> {
    let json = |document: &Value| serde_json::to_string_pretty(document).unwrap();
    let yaml = |document: &Value| serde_yaml::to_string(document).unwrap();
    let joined =
        |by: &str, write: &dyn Fn(&Value) -> String| documents.iter().map(write).collect::<Vec<_>>().join(by);
    match style {
        0 => vec![("a.json".into(), joined("\n", &json))],
        1 => vec![("a.yaml".into(), joined("---\n", &yaml))],
        2 => vec![("a.json".into(), serde_json::to_string(documents).unwrap())],
        3 => vec![("a.yaml".into(), serde_yaml::to_string(documents).unwrap())],
        4 => vec![("a.yaml".into(), joined("\n---\n", &json))],
        _ => documents
            .iter()
            .enumerate()
            .map(|(at, document)| match at % 2 {
                0 => (format!("{at}.json"), json(document)),
                _ => (format!("{at}.yaml"), yaml(document)),
            })
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(120) })]

    #[test]
    fn order_and_notation_do_not_matter(
        documents in workspace(),
        styles in prop::collection::vec(0..6_usize, 2),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let mut other = documents.clone();
        let turn = shuffle.index(other.len());
        other.rotate_left(turn);
        other.reverse();
        let first = desired(&written(&documents, styles[0]));
        prop_assert!(first.is_ok(), "{:?}\n{documents:#?}", first);
        prop_assert_eq!(first, desired(&written(&other, styles[1])));
    }

    #[test]
    fn every_field_of_a_resolved_spec_has_a_place(documents in workspace(), style in 0..6_usize) {
        let mut sources = SourceMap::default();
        for (name, text) in written(&documents, style) {
            sources.add(name, text);
        }
        let workflow = compile(&sources, &known()).workflow.unwrap();
        for pipeline in workflow.pipelines.values() {
            let mut leaves = BTreeMap::new();
            paths(&serde_json::to_value(&pipeline.value).unwrap(), String::new(), &mut leaves);
            // Filled in, not written.
            leaves.retain(|path, value| !(path == "parallelism" || path.ends_with(".branch") || *value == json!(true)));
            for path in leaves.keys() {
                prop_assert!(pipeline.fields.contains_key(path), "{path} of {:#?}", pipeline.fields);
            }
        }
    }
}

/// The paths of the values of a spec; a list of texts counts as one value.
fn paths(value: &Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                paths(value, below, leaves);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.iter().enumerate() {
                paths(item, format!("{path}[{at}]"), leaves);
            }
        }
        other => drop(leaves.insert(path, other.clone())),
    }
}
