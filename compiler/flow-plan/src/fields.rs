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
