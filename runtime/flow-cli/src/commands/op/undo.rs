//! `flow op undo`: puts the view back to what it was before an operation, as a new operation.
//!
//! Keys that say how the store finds its data (index and cache runs) stay as they are, so data that an undone operation
//! brought is still known. **Invariant:** an undo never leaves a state that no sequence of other operations could have
//! made: a branch has its repo, a job its pipeline, a pipeline its input repos.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use flow_model::{
    commit::{Operation, OperationKind},
    digest::OperationId,
    name::{PipelineName, RepoName},
    spec::PipelineVersion,
    state::{BranchState, JobState, LastJob, PipelineState, RepoState, ViewKey},
};
use flow_store::{OperationMeta, Transaction};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    changes::{ViewChange, changes_of, text},
    find, kind_word,
};
use crate::{
    Exit,
    error::CommandError,
    session::{Open, stamp},
    settings::Settings,
    ui::Ui,
};

/// Keys that a refusal names.
const NAMED_MAX: usize = 5;

/// Take an operation back
///
/// Restores the state before the newest operation, or before the given one if nothing later builds on it. It is a new
/// operation, so it can be undone too. No data is lost: results stay known and are reused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow op undo          the newest operation; once more: takes the undo back
  flow op undo 9c5944   an earlier one
  flow plan             shows afterwards what differs from the files")]
pub(crate) struct OpUndoArgs {
    /// The operation's id or the start of it; the newest one if not given
    #[arg(value_name = "OPERATION")]
    operation: Option<String>,
}

/// Undoes an operation.
pub(super) async fn undo(args: &OpUndoArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let target = find(&open, args.operation.as_deref()).await?;
    let (id, operation) = (target.operation_id(), target.operation());
    let changes: Vec<ViewChange> =
        changes_of(&open, operation).await?.into_iter().filter(|change| !change.is_housekeeping()).collect();
    if changes.is_empty() {
        return Err(CommandError::user(format!(
            "operation `{}` changed nothing that can be undone",
            id.short()
        ))
        .help("`flow op log` lists the others"));
    }
    check(&open, id, &changes).await?;
    let mut transaction = open.project.begin(Some(&open.snapshot));
    for change in &changes {
        restore(&mut transaction, change)?;
    }
    let what = describe(id, operation);
    let description = format!("undo {what}");
    let meta = OperationMeta { kind: OperationKind::Undo, description, stamp: stamp(settings) };
    transaction.publish(meta).await?;
    let restored: Vec<ViewChange> = changes.into_iter().map(reversed).collect();
    ui.say(&format!("undid {what}"));
    text(&restored).lines().for_each(|line| ui.say(&format!("  {line}")));
    ui.say("`flow plan` shows what differs from the files now; `flow op undo` takes this back");
    Ok(Exit::Done)
}

/// What is undone, in a line; an undo of an undo does not repeat what that said.
fn describe(id: OperationId, operation: &Operation) -> String {
    match operation.kind {
        OperationKind::Undo => format!("the undo {}", id.short()),
        kind => format!("{} {}: {}", kind_word(kind), id.short(), operation.description),
    }
}

fn reversed(change: ViewChange) -> ViewChange {
    ViewChange { before: change.after, after: change.before, ..change }
}

/// Sets a key to what it was, in the very bytes that it had.
fn restore(transaction: &mut Transaction, change: &ViewChange) -> Result<(), CommandError> {
    let key = change.key.as_ref().ok_or_else(|| {
        CommandError::user(format!("`{}` was written by a newer flow", change.text))
            .help("undo it with that version")
    })?;
    match (&change.before, key) {
        (None, _) => {
            transaction.remove(key);
            Ok(())
        }
        (Some(value), ViewKey::Repo(_)) => set::<RepoState>(transaction, key, value),
        (Some(value), ViewKey::Branch(..)) => set::<BranchState>(transaction, key, value),
        (Some(value), ViewKey::Pipeline(_)) => set::<PipelineState>(transaction, key, value),
        (Some(value), ViewKey::Job(..)) => set::<JobState>(transaction, key, value),
        (Some(value), ViewKey::Last(_)) => set::<LastJob>(transaction, key, value),
        (Some(_), ViewKey::Index(_) | ViewKey::Cache(_)) => Ok(()),
    }
}

fn set<T: Serialize + DeserializeOwned>(
    transaction: &mut Transaction,
    key: &ViewKey,
    value: &[u8],
) -> Result<(), CommandError> {
    let state: T = serde_json::from_slice(value).map_err(|error| {
        CommandError::user(format!("{key} does not decode: {error}")).help("run `flow fsck`")
    })?;
    transaction.set(key, &state);
    Ok(())
}

/// Whether the changes of `operation` can be taken back: nothing later touched them, and nothing hangs on them.
async fn check(open: &Open, operation: OperationId, changes: &[ViewChange]) -> Result<(), CommandError> {
    if open.snapshot.operation_id() == operation {
        return Ok(());
    }
    let now = View::of(open).await?;
    let moved = changes.iter().filter(|change| {
        let after = change.after.as_deref().and_then(|value| serde_json::from_slice(value).ok());
        now.values.get(&change.text) != after.as_ref()
    });
    let mut offending: BTreeSet<String> = moved.map(|change| change.text.clone()).collect();
    if offending.is_empty() {
        let mut after = now.clone();
        for change in changes {
            after.apply(open, change).await?;
        }
        let known = now.hanging();
        offending.extend(after.hanging().into_iter().filter(|key| !known.contains(key)));
    }
    if offending.is_empty() { Ok(()) } else { Err(refusal(open, operation, &offending).await?) }
}

/// The state as values, with what pipelines read.
#[derive(Clone)]
struct View {
    values: BTreeMap<String, serde_json::Value>,
    reads: BTreeMap<PipelineName, BTreeSet<RepoName>>,
}

impl View {
    async fn of(open: &Open) -> Result<Self, CommandError> {
        let values =
            open.snapshot.view().await?.into_iter().map(|(key, value)| (key.text(), value)).collect();
        let mut reads = BTreeMap::new();
        for pipeline in open.pipelines().await? {
            reads.insert(pipeline.name, inputs(&pipeline.version));
        }
        Ok(Self { values, reads })
    }

    /// Takes a change back.
    async fn apply(&mut self, open: &Open, change: &ViewChange) -> Result<(), CommandError> {
        let value = change.before.as_deref().and_then(|value| serde_json::from_slice(value).ok());
        match value {
            Some(value) => self.values.insert(change.text.clone(), value),
            None => self.values.remove(&change.text),
        };
        if let Some(ViewKey::Pipeline(name)) = &change.key {
            let state = change.before.as_deref().and_then(|value| serde_json::from_slice(value).ok());
            match state {
                Some(PipelineState { version, .. }) => {
                    let version: PipelineVersion = open.snapshot.reader().stored(version.0).await?;
                    self.reads.insert(name.clone(), inputs(&version))
                }
                None => self.reads.remove(name),
            };
        }
        Ok(())
    }

    fn has(&self, key: &ViewKey) -> bool {
        self.values.contains_key(&key.text())
    }

    /// Keys that hang on one that is not there.
    fn hanging(&self) -> BTreeSet<String> {
        let hangs = |key: &ViewKey| match key {
            ViewKey::Branch(repo, _) => !self.has(&ViewKey::Repo(repo.clone())),
            ViewKey::Job(pipeline, _) | ViewKey::Last(pipeline) => {
                !self.has(&ViewKey::Pipeline(pipeline.clone()))
            }
            ViewKey::Pipeline(pipeline) => {
                let output = pipeline.output_repo();
                let reads = self.reads.get(pipeline).into_iter().flatten();
                reads.chain([&output]).any(|repo| !self.has(&ViewKey::Repo(repo.clone())))
            }
            ViewKey::Repo(_) | ViewKey::Index(_) | ViewKey::Cache(_) => false,
        };
        let keys = self.values.keys().filter(|text| ViewKey::parse(text).is_some_and(|key| hangs(&key)));
        keys.cloned().collect()
    }
}

fn inputs(version: &PipelineVersion) -> BTreeSet<RepoName> {
    version.spec.input.leaves().into_iter().map(|leaf| leaf.repo.clone()).collect()
}

/// Names what later operations touched, and those operations.
async fn refusal(
    open: &Open,
    operation: OperationId,
    keys: &BTreeSet<String>,
) -> Result<CommandError, CommandError> {
    let mut later: Vec<(OperationId, Operation)> = Vec::new();
    for (id, candidate) in open.project.log(usize::MAX).await? {
        if id == operation {
            break;
        }
        if changes_of(open, &candidate).await?.iter().any(|change| keys.contains(&change.text)) {
            later.push((id, candidate));
        }
    }
    let name = |text: &String| ViewKey::parse(text).map_or_else(|| text.clone(), |key| key.to_string());
    let mut names: Vec<String> = keys.iter().take(NAMED_MAX).map(name).collect();
    if keys.len() > NAMED_MAX {
        names.push(format!("{} more", keys.len() - NAMED_MAX));
    }
    let error = CommandError::user(format!(
        "operation `{}` cannot be undone alone: later operations built on it: {}",
        operation.short(),
        names.join(", ")
    ));
    let Some((newest, _)) = later.first() else {
        return Ok(error.help("`flow op log` lists what came later"));
    };
    let ids: Vec<String> = later.iter().take(NAMED_MAX).map(|(id, _)| id.short()).collect();
    let more = later.len().saturating_sub(ids.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Ok(error.help(format!(
        "undo those first, newest first: {}{more}; `flow op undo {}`",
        ids.join(", "),
        newest.short()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(keys: &[&str], reads: &[(&str, &[&str])]) -> View {
        let values = keys.iter().map(|key| ((*key).to_owned(), serde_json::Value::Null)).collect();
        let repos = |repos: &[&str]| repos.iter().map(|repo| repo.parse().unwrap()).collect();
        let reads = reads.iter().map(|(name, read)| (name.parse().unwrap(), repos(read))).collect();
        View { values, reads }
    }

    #[test]
    fn what_hangs_on_nothing_is_found() {
        let whole = ["repo/a", "branch/a@master", "pipeline/p", "repo/p", "branch/p@master", "last/p"];
        let reads: &[(&str, &[&str])] = &[("p", &["a"])];
        assert_eq!(view(&whole, reads).hanging(), BTreeSet::new());
        let without = |gone: &str| {
            let keys: Vec<&str> = whole.iter().copied().filter(|key| *key != gone).collect();
            view(&keys, reads).hanging().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(without("repo/a"), ["branch/a@master", "pipeline/p"]);
        assert_eq!(without("pipeline/p"), ["last/p"]);
        assert_eq!(without("repo/p"), ["branch/p@master", "pipeline/p"]);
        assert_eq!(without("branch/a@master"), [] as [&str; 0]);
    }
}
