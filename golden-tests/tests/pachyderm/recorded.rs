//! Reads the recordings, and says which of them use what flow has not built yet.

use std::{collections::BTreeMap, fs};

use golden_tests::package_dir;
use serde_json::Value;

use crate::world::counts_line;

/// The cases of a file, in its order.
pub(crate) fn cases(file: &str) -> Vec<Value> {
    let path = package_dir().join("pachyderm").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A value that is text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// A value that is a list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// Keys and values of an object; none if it is absent.
pub(crate) fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// What a recorded datum reads: `repo:/path repo:/path`.
pub(crate) fn label(datum: &Value) -> String {
    list(&datum["files"]).iter().map(text).collect::<Vec<_>>().join(" ")
}

/// The states of recorded datums by what they read, in our words.
pub(crate) fn states(datums: &[Value]) -> BTreeMap<String, String> {
    let state = |datum: &Value| match text(&datum["state"]) {
        "SUCCESS" => "processed".to_owned(),
        "SKIPPED" => "reused".to_owned(),
        other => other.to_lowercase(),
    };
    datums.iter().map(|datum| (label(datum), state(datum))).collect()
}

/// A recorded job as [`crate::world::Standing`] shows ours.
pub(crate) fn counts(job: &Value) -> String {
    let count = |what: &str| job[what].as_u64().unwrap_or_else(|| panic!("{job} lacks `{what}`"));
    let counts = [count("processed"), count("skipped"), count("failed"), count("recovered")];
    let state = text(&job["state"]).trim_start_matches("JOB_").to_lowercase();
    format!("{state}: {}", counts_line(counts))
}

/// Kinds of inputs that are known but not built yet.
const KINDS_NOT_BUILT: [&str; 3] = ["join", "group", "cron"];

/// Fields of `pfs` inputs that are known but not built yet, in both spellings.
const PFS_NOT_BUILT: [&str; 10] = [
    "lazy",
    "empty_files",
    "emptyFiles",
    "join_on",
    "joinOn",
    "outer_join",
    "outerJoin",
    "group_by",
    "groupBy",
    "trigger",
];

/// Fields of pipelines and transforms that are known but not built yet.
const FIELDS_NOT_BUILT: [&str; 4] = ["salt", "reprocess_spec", "output_branch", "user"];

/// The first thing in an input that is not built yet.
pub(crate) fn not_built_in_input(input: &Value) -> Option<&str> {
    for (kind, below) in entries(input) {
        if KINDS_NOT_BUILT.contains(&kind) {
            // An empty one says nothing, for us and for Pachyderm.
            return below.as_array().is_none_or(|parts| !parts.is_empty()).then_some(kind);
        }
        let found = match below {
            Value::Array(parts) => parts.iter().find_map(not_built_in_input),
            pfs => entries(pfs).map(|(field, _)| field).find(|field| PFS_NOT_BUILT.contains(field)),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The first thing in a spec that is not built yet.
pub(crate) fn not_built_in_spec(spec: &Value) -> Option<&str> {
    let fields = entries(spec).chain(entries(&spec["transform"])).map(|(field, _)| field);
    let mut fields = fields.filter(|field| FIELDS_NOT_BUILT.contains(field));
    fields.next().or_else(|| not_built_in_input(&spec["input"]))
}
