//! Which fields of two resolved specs differ, and what a difference means for the data.
//!
//! Specs are compared in their serialised form, so a field that a later version of flow adds is seen without a change
//! here. Objects are walked down to their leaves (`transform.env.LANG`); lists of plain values (`cmd`, `stdin`) are
//! compared whole; lists of objects of one length (the parts of a cross) element by element (`input.cross[0].pfs.glob`).
//!
//! | fields | a change means ([`Effect`]) |
//! |---|---|
//! | `transform.cmd`, `stdin`, `env`, `workingDir`, `acceptReturnCode`, `errCmd`, `errStdin`, content of `code` | every datum runs again |
//! | `input` | datums are formed anew; those with a known result are reused |
//! | `source` of a repo | its data is replaced by that of another folder |
//! | `description`, `parallelism`, `datumTries`, `datumTimeout`, `deletionPolicy`, `transform.image` (processes do not use it), the name of the `code` folder | nothing runs again |
//!
//! **Invariant:** a field of the first row changes the transform digest, one of the last row does not (tested).

use flow_model::plan::FieldChange;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::text;

/// What a change of a field means for the data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    /// Nothing runs again.
    Nothing,
    /// A repo's data comes from elsewhere.
    Source,
    /// Datums are formed anew.
    Datums,
    /// Every datum runs again.
    Transform,
}

/// The path under which a change of a pipeline's code is shown.
pub const CODE_FIELD: &str = "transform.code";

/// What a change of this field of a resource means for the data.
#[must_use]
pub fn effect(field: &FieldChange) -> Effect {
    let (section, rest) = field.path.split_once('.').unwrap_or((&field.path, ""));
    let section = section.split('[').next().unwrap_or(section);
    match section {
        "input" => Effect::Datums,
        "source" => Effect::Source,
        "transform" if rest == "image" => Effect::Nothing,
        "transform" if field.path == CODE_FIELD => code_effect(field),
        "transform" => Effect::Transform,
        _ => Effect::Nothing,
    }
}

/// Code counts by content: the same files in a folder of another name run nothing again.
fn code_effect(field: &FieldChange) -> Effect {
    let tree = |side: &Option<Value>| side.as_ref().and_then(|code| code.get("tree").cloned());
    if tree(&field.before) == tree(&field.after) { Effect::Nothing } else { Effect::Transform }
}

/// The strongest effect of several fields.
#[must_use]
pub fn effect_of_all(fields: &[FieldChange]) -> Effect {
    fields.iter().map(effect).max().unwrap_or(Effect::Nothing)
}

/// The fields that differ between two values of one type, by path. No locations.
pub(crate) fn between<T: Serialize>(before: &T, after: &T) -> Vec<FieldChange> {
    // Specs have string keys and finite numbers, so they always serialise.
    let (before, after) = (serde_json::to_value(before), serde_json::to_value(after));
    let mut fields = Vec::new();
    if let (Ok(before), Ok(after)) = (before, after) {
        walk(String::new(), Some(&before), Some(&after), &mut fields);
    }
    fields.sort_by(|a, b| a.path.cmp(&b.path));
    fields
}

fn walk(path: String, before: Option<&Value>, after: Option<&Value>, fields: &mut Vec<FieldChange>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) if !is_other_variant(&path, old, new) => {
            walk_object(&path, Some(old), Some(new), fields);
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if are_parts(old, new) => {
            for (at, (old, new)) in old.iter().zip(new).enumerate() {
                walk(format!("{path}[{at}]"), Some(old), Some(new), fields);
            }
        }
        (None, Some(Value::Object(new))) if !new.is_empty() => walk_object(&path, None, Some(new), fields),
        (Some(Value::Object(old)), None) if !old.is_empty() => walk_object(&path, Some(old), None, fields),
        (before, after) => fields.push(leaf(path, before.cloned(), after.cloned())),
    }
}

fn walk_object(
    path: &str,
    before: Option<&Map<String, Value>>,
    after: Option<&Map<String, Value>>,
    fields: &mut Vec<FieldChange>,
) {
    let mut keys: Vec<&String> = before.into_iter().chain(after).flat_map(Map::keys).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        walk(below, before.and_then(|old| old.get(key)), after.and_then(|new| new.get(key)), fields);
    }
}

/// An input that was a `pfs` and is a `cross` now is shown whole: its leaves have nothing to do with each other.
fn is_other_variant(path: &str, before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    path.starts_with("input") && before.len() == 1 && after.len() == 1 && !before.keys().eq(after.keys())
}

/// Lists of objects of one length are the parts of a cross or union: each is compared with its counterpart.
fn are_parts(before: &[Value], after: &[Value]) -> bool {
    before.len() == after.len() && before.iter().chain(after).all(Value::is_object)
}

fn leaf(path: String, before: Option<Value>, after: Option<Value>) -> FieldChange {
    let diff = text_diff(&path, before.as_ref(), after.as_ref());
    FieldChange { path, before, after, location: None, diff }
}

/// A diff for what is text of several lines: `stdin` and `errStdin` always, anything else if it holds a newline.
fn text_diff(path: &str, before: Option<&Value>, after: Option<&Value>) -> Option<String> {
    let is_stdin = matches!(path, "transform.stdin" | "transform.errStdin");
    if !is_stdin && ![before, after].into_iter().flatten().any(has_newline) {
        return None;
    }
    let diff = text::unified(&as_text(before)?, &as_text(after)?);
    (!diff.is_empty()).then_some(diff)
}

fn has_newline(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\n'),
        Value::Array(items) => items.iter().any(has_newline),
        _ => false,
    }
}

/// The value as lines; `None` for what is no text.
fn as_text(value: Option<&Value>) -> Option<String> {
    match value {
        None => Some(String::new()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(|line| format!("{line}\n"))).collect()
        }
        Some(_) => None,
    }
}

/// Fields by name, for a sentence: `stdin`, `env.LANG and cmd`, `cmd, stdin and 3 more`. What a reader knows to be part
/// of the transform is named without that.
#[must_use]
pub fn names(fields: &[FieldChange]) -> String {
    let name = |field: &FieldChange| {
        let path = field.path.strip_prefix("transform.").unwrap_or(&field.path);
        path.to_owned()
    };
    crate::render::words::list(&fields.iter().map(name).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flow_model::{datum::transform_digest, spec::PipelineVersion};
    use serde_json::json;

    use super::*;
    use crate::testing::spec;

    fn paths(before: Value, after: Value) -> Vec<String> {
        let (before, after) = (spec("p", &["a", "b"], before), spec("p", &["a", "b"], after));
        between(&before, &after).into_iter().map(|field| field.path).collect()
    }

    #[test]
    fn objects_are_walked_lists_are_whole_and_parts_are_compared_one_by_one() {
        let env = |env: Value| json!({"transform": {"env": env}});
        assert_eq!(paths(json!({}), json!({})), [] as [&str; 0]);
        let (old, new) = (env(json!({"A": "1", "B": "2"})), env(json!({"B": "3", "C": "4"})));
        assert_eq!(paths(old, new), ["transform.env.A", "transform.env.B", "transform.env.C"]);
        assert_eq!(paths(json!({}), env(json!({"LANG": "C"}))), ["transform.env.LANG"]);
        assert_eq!(paths(json!({}), json!({"transform": {"cmd": ["sh", "-c"]}})), ["transform.cmd"]);
        let (mut old, new) = (spec("p", &["a", "b"], json!({})), spec("p", &["a", "c"], json!({})));
        let changed: Vec<_> = between(&old, &new).into_iter().map(|field| field.path).collect();
        assert_eq!(changed, ["input.cross[1].pfs.name", "input.cross[1].pfs.repo"]);
        old.input = spec("p", &["a"], json!({})).input;
        assert_eq!(between(&old, &new)[0].path, "input", "another kind of input is shown whole");
        old.input = spec("p", &["a", "b", "c"], json!({})).input;
        assert_eq!(between(&old, &new)[0].path, "input.cross", "another number of parts is shown whole");
    }

    #[test]
    fn texts_of_several_lines_have_a_diff() {
        let diff = |before: Value, after: Value| {
            let (before, after) = (json!({"transform": before}), json!({"transform": after}));
            between(&spec("p", &["a"], before), &spec("p", &["a"], after)).remove(0).diff
        };
        let stdin = diff(json!({"stdin": ["a", "b"]}), json!({"stdin": ["a", "c"]}));
        assert_eq!(stdin.as_deref(), Some("@@ -1,2 +1,2 @@\n a\n-b\n+c\n"));
        let script = diff(json!({"cmd": ["sh", "-c", "a\nb"]}), json!({"cmd": ["sh", "-c", "a\nc"]}));
        assert_eq!(script.as_deref(), Some("@@ -1,4 +1,4 @@\n sh\n -c\n a\n-b\n+c\n"));
        assert_eq!(diff(json!({"cmd": ["a"]}), json!({"cmd": ["b"]})), None);
    }

    /// Every field that a resolved pipeline can have, with two values.
    fn every_field() -> Vec<(Value, Value)> {
        let transform = |name: &str, before: Value, after: Value| {
            (json!({"transform": {name: before}}), json!({"transform": {name: after}}))
        };
        vec![
            (json!({"description": "a"}), json!({"description": "b"})),
            (json!({"parallelism": 1}), json!({"parallelism": 2})),
            (json!({"datumTries": 1}), json!({"datumTries": 2})),
            (json!({"datumTimeout": 1}), json!({"datumTimeout": 2})),
            (json!({"deletionPolicy": "retain"}), json!({"deletionPolicy": "delete"})),
            transform("image", json!("a"), json!("b")),
            transform("cmd", json!(["a"]), json!(["b"])),
            transform("stdin", json!(["a"]), json!(["b"])),
            transform("env", json!({"A": "1"}), json!({"A": "2"})),
            transform("workingDir", json!("/a"), json!("/b")),
            transform("acceptReturnCode", json!([1]), json!([2])),
            transform("errCmd", json!(["a"]), json!(["b"])),
            transform("errStdin", json!(["a"]), json!(["b"])),
        ]
    }

    #[test]
    fn a_field_runs_datums_again_if_and_only_if_it_is_in_their_key() {
        let digest = |patch: &Value| {
            let spec = spec("p", &["a"], patch.clone());
            transform_digest(&PipelineVersion { spec, code_tree: None })
        };
        for (before, after) in every_field() {
            let fields = between(&spec("p", &["a"], before.clone()), &spec("p", &["a"], after.clone()));
            assert_eq!(fields.len(), 1, "{before}");
            let is_in_key = digest(&before) != digest(&after);
            assert_eq!(effect(&fields[0]) == Effect::Transform, is_in_key, "{}", fields[0].path);
        }
    }

    /// A field that is added to the spec has to be classified: this fails until `every_field` knows it.
    #[test]
    fn every_field_of_the_spec_is_classified() {
        let schema = schemars::schema_for!(flow_model::spec::PipelineSpec).to_value();
        let names = |pointer: &str| -> BTreeSet<String> {
            let properties = schema.pointer(pointer).and_then(Value::as_object).unwrap();
            properties.keys().cloned().collect()
        };
        let listed = |part: &dyn Fn(&Value) -> Option<&Value>| -> BTreeSet<String> {
            let fields = every_field();
            let objects = fields.iter().filter_map(|(before, _)| part(before)?.as_object());
            objects.flat_map(|fields| fields.keys().cloned()).collect()
        };
        let mut pipeline = listed(&|patch| Some(patch));
        pipeline.extend(["name".to_owned(), "input".to_owned()]);
        assert_eq!(names("/properties"), pipeline);
        let mut transform = listed(&|patch| patch.get("transform"));
        transform.insert("code".to_owned());
        assert_eq!(names("/$defs/Transform/properties"), transform);
    }

    #[test]
    fn inputs_and_sources_have_effects_of_their_own() {
        let field = |path: &str| FieldChange {
            path: path.to_owned(),
            before: None,
            after: None,
            location: None,
            diff: None,
        };
        assert_eq!(effect(&field("input.cross[0].pfs.glob")), Effect::Datums);
        assert_eq!(effect(&field("source.path")), Effect::Source);
        assert_eq!(effect_of_all(&[field("description"), field("input")]), Effect::Datums);
        assert_eq!(effect_of_all(&[]), Effect::Nothing);
        let code = |before: Value, after: Value| FieldChange {
            before: Some(before),
            after: Some(after),
            ..field("transform.code")
        };
        let tree = |folder: &str, tree: &str| json!({"folder": folder, "tree": tree});
        assert_eq!(effect(&code(tree("a", "1"), tree("b", "1"))), Effect::Nothing);
        assert_eq!(effect(&code(tree("a", "1"), tree("a", "2"))), Effect::Transform);
    }
}
