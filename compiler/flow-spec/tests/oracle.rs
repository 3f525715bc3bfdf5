//! The order of inputs against what a real Pachyderm did (`golden-tests/pachyderm/`, its README first): the inputs of
//! each recorded datum come in the order of the resolved spec's.
#![expect(clippy::disallowed_methods, reason = "a test reads its recordings from files")]

use std::{collections::BTreeMap, fs, path::Path};

use flow_model::{name::ProjectName, span::SourceMap};
use flow_spec::{KnownRepos, compile};
use serde_json::{Value, json};

/// Why flow refuses inputs of kinds that it has although `list datum` took them.
const REFUSED: &[(&str, &str)] = &[
    ("not-supported-yet", "join, group, cron and options of pfs come later"),
    ("other-project", "projects are not crossed yet"),
    ("bad-glob", "globs that match something else than meant are errors"),
    ("bad-name", "`out` and names that are no names: creating the pipeline fails in Pachyderm too"),
    ("duplicate-input", "one name twice: creating the pipeline fails in Pachyderm too"),
    ("many-inputs", "two kinds at once: creating the pipeline fails in Pachyderm too"),
    ("commit-in-input", "a commit: creating the pipeline fails in Pachyderm too"),
    ("missing-field", "no glob: creating the pipeline fails in Pachyderm too"),
    ("no-input", "an empty input: creating the pipeline fails in Pachyderm too"),
    ("empty-combination", "a cross of nothing"),
    ("unknown-branch", "reading a branch does not make it"),
];

#[test]
fn inputs_come_in_the_recorded_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden-tests/pachyderm/datums.json");
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let known = KnownRepos::none(ProjectName::parse("default").unwrap());
    let (mut compared, mut orders) = (0, 0);
    let mut refused: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap().to_owned();
        let spec =
            json!({"pipeline": {"name": "reader"}, "transform": {"cmd": ["true"]}, "input": case["input"]});
        let mut sources = SourceMap::default();
        sources.add(name.clone(), serde_json::to_string(&spec).unwrap());
        let compiled = compile(&sources, &known);
        let Some(workflow) = compiled.workflow else {
            let slug = compiled.diagnostics[0].code.slug;
            refused.entry(slug).or_default().push(name);
            continue;
        };
        let pipeline =
            workflow.pipelines.values().next().unwrap_or_else(|| panic!("{name}: {}", case["input"]));
        let leaves: Vec<&str> = pipeline.value.input.leaves().iter().map(|leaf| leaf.name.as_str()).collect();
        for datum in case["datums"].as_array().into_iter().flatten() {
            let mut rest = leaves.iter();
            let inputs: Vec<&str> = datum["inputs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|input| input["input"].as_str().unwrap())
                .collect();
            let in_order = inputs.iter().all(|input| rest.any(|leaf| leaf == input));
            assert!(in_order, "{name}: recorded {inputs:?}, resolved {leaves:?}");
            orders += usize::from(inputs.len() > 1);
        }
        compared += 1;
    }
    for (slug, names) in &refused {
        assert!(REFUSED.iter().any(|(known, _)| known == slug), "{slug}: {names:#?}");
    }
    assert!(compared > 60 && orders > 50, "{compared} cases, {orders} datums of several inputs");
}
