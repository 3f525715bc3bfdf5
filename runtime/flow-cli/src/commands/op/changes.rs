//! What an operation changed in the view, key by key.

use flow_model::{
    commit::Operation,
    digest::TreeId,
    state::{BranchState, JobState, LastJob, PipelineState, ViewKey},
};
use serde::{Serialize, Serializer, de::DeserializeOwned};

use crate::{error::CommandError, session::Open, view::words};

/// A key of the view that differs between two states.
pub(super) struct ViewChange {
    /// The key as stored.
    pub(super) text: String,
    /// The key, if this version of flow knows it.
    pub(super) key: Option<ViewKey>,
    pub(super) before: Option<Vec<u8>>,
    pub(super) after: Option<Vec<u8>>,
}

/// The form for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    change: &'static str,
    key: &'a str,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
}

impl Serialize for ViewChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = |bytes: &Option<Vec<u8>>| serde_json::from_slice(bytes.as_deref()?).ok();
        let (before, after) = (value(&self.before), value(&self.after));
        Printed { change: self.verb(), key: &self.text, before, after }.serialize(serializer)
    }
}

impl ViewChange {
    const fn verb(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        }
    }

    /// Whether it only says how the store finds its data: no part of what anybody decided.
    pub(super) const fn is_housekeeping(&self) -> bool {
        matches!(self.key, Some(ViewKey::Index(_) | ViewKey::Cache(_)))
    }

    /// `~ branch `a@master`: 1f2e -> 3d4c, 5 files -> 6`.
    pub(super) fn line(&self) -> String {
        let sign = match (&self.before, &self.after) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        let name = self.key.as_ref().map_or_else(|| self.text.clone(), ToString::to_string);
        let sides = [self.summary(self.before.as_deref()), self.summary(self.after.as_deref())];
        match sides {
            [Some(before), Some(after)] if before != after => format!("{sign} {name}: {before} -> {after}"),
            [None, Some(one)] | [Some(one), None] => format!("{sign} {name}: {one}"),
            _ => format!("{sign} {name}"),
        }
    }

    /// What a value says in a few words.
    fn summary(&self, value: Option<&[u8]>) -> Option<String> {
        let value = value?;
        Some(match self.key.as_ref()? {
            ViewKey::Branch(..) => {
                let state: BranchState = decode(value)?;
                format!("{} ({})", state.head.short(), words::count(state.files, "file"))
            }
            ViewKey::Pipeline(_) => {
                let state: PipelineState = decode(value)?;
                format!("version {} ({})", state.number, state.version.short())
            }
            ViewKey::Job(..) => {
                let state: JobState = decode(value)?;
                format!("{}, {}", state.status.word(), words::job_counts(&state.counts))
            }
            ViewKey::Last(_) => decode::<LastJob>(value)?.job.short(),
            ViewKey::Repo(_) | ViewKey::Index(_) | ViewKey::Cache(_) => return None,
        })
    }
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}

/// What an operation changed, in the order of the view.
pub(super) async fn changes_of(open: &Open, operation: &Operation) -> Result<Vec<ViewChange>, CommandError> {
    let before = match operation.parent {
        Some(parent) => Some(open.snapshot.reader().stored::<Operation>(parent.0).await?.view),
        None => None,
    };
    between(open, before, operation.view).await
}

/// What differs between two views, in their order.
pub(super) async fn between(
    open: &Open,
    before: Option<TreeId>,
    after: TreeId,
) -> Result<Vec<ViewChange>, CommandError> {
    let changes = open.snapshot.reader().diff(before, Some(after)).collect().await?;
    let change = |change: flow_store::tree::Change| {
        let text = String::from_utf8_lossy(&change.key).into_owned();
        let key = ViewKey::parse(&text);
        ViewChange { text, key, before: change.before, after: change.after }
    };
    Ok(changes.into_iter().map(change).collect())
}

/// A line per key; how the store finds its data is only counted.
pub(super) fn text(changes: &[ViewChange]) -> String {
    let (housekeeping, told): (Vec<&ViewChange>, Vec<&ViewChange>) =
        changes.iter().partition(|change| change.is_housekeeping());
    let mut lines: Vec<String> = told.into_iter().map(ViewChange::line).collect();
    if !housekeeping.is_empty() {
        lines.push(format!(
            "and {} of the index and the cache",
            words::count(housekeeping.len() as u64, "run")
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use flow_model::digest::{CommitId, Digest};

    use super::*;

    fn branch(text: &[u8], files: u64) -> Option<Vec<u8>> {
        let state = BranchState { head: CommitId(Digest::of(text)), files, bytes: 0, commits: 1 };
        serde_json::to_vec(&state).ok()
    }

    fn change(text: &str, before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> ViewChange {
        ViewChange { text: text.to_owned(), key: ViewKey::parse(text), before, after }
    }

    #[test]
    fn a_line_says_what_became_of_a_key() {
        let (one, two) = (Digest::of(b"1").short(), Digest::of(b"2").short());
        let moved = change("branch/a@master", branch(b"1", 1), branch(b"2", 2));
        assert_eq!(moved.line(), format!("~ branch `a@master`: {one} (1 file) -> {two} (2 files)"));
        let made = change("branch/a@master", None, branch(b"1", 1));
        assert_eq!(made.line(), format!("+ branch `a@master`: {one} (1 file)"));
        let gone = change("repo/a", Some(b"{}".to_vec()), None);
        assert_eq!(gone.line(), "- repo `a`");
        assert_eq!(change("later/x", None, Some(b"1".to_vec())).line(), "+ later/x");
    }

    #[test]
    fn housekeeping_is_counted() {
        let changes = [
            change("cache/1", None, Some(b"{}".to_vec())),
            change("index/1", None, Some(b"{}".to_vec())),
            change("repo/a", None, Some(b"{}".to_vec())),
        ];
        assert_eq!(text(&changes), "+ repo `a`\nand 2 runs of the index and the cache");
    }

    #[test]
    fn the_form_for_programs_has_the_values() {
        let json = serde_json::to_value(change("repo/a", None, Some(b"{\"x\":1}".to_vec()))).unwrap();
        let expected =
            serde_json::json!({"change": "added", "key": "repo/a", "before": null, "after": {"x": 1}});
        assert_eq!(json, expected);
    }
}
