//! Plans: what will happen, on what basis, and why.
//!
//! A plan is a value and a file: its canonical JSON (two-space indentation, fields in declared order, a newline at the
//! end) is what `flow plan --out` writes and `flow apply FILE` reads. [`ChangeReason`] explains and is never branched
//! on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    digest::{CommitId, Digest, OperationId, TreeId},
    forecast::DatumForecast,
    resource::ResourceAddr,
    span::Location,
    state::RepoData,
    tree::FileCounts,
};

/// Version of the plan format; a file with another one is refused.
pub const PLAN_FORMAT: u32 = 1;

/// What happens to a resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Nothing: it is as wanted.
    NoOp,
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is removed, with its data.
    Delete,
}

/// Why a resource is acted upon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ChangeReason {
    /// Declared, and not there yet.
    Declared,
    /// An input names it; no manifest declares it.
    Implied,
    /// The definition differs.
    DefinitionChanged,
    /// The source folder differs from the branch.
    FolderChanged,
    /// Both.
    DefinitionAndFolderChanged,
    /// It is not in the files any more.
    NotInFiles,
    /// `flow destroy`.
    Destroy,
    /// Nothing differs.
    Unchanged,
}

/// One field that differs. Values are JSON, as in the resolved spec.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Path in the resolved spec: `transform.env.LANG`.
    pub path: String,
    /// The value in the state; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// The value wanted; `None` where there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
    /// Where the wanted value is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// For text of several lines (`stdin`, code files): a unified diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// How a folder's files go to a branch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FolderSync {
    /// The folder, as written.
    pub path: String,
    /// The branch.
    pub branch: String,
    /// The folder's tree.
    pub tree: TreeId,
    /// What differs.
    pub counts: FileCounts,
    /// The first few paths, each with `+`, `~` or `-` and a space before it.
    pub examples: Vec<String>,
    /// Set if the branch's head was not made from the folder: this sync would overwrite that data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrites: Option<CommitId>,
}

/// What happens to one resource, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The resource.
    pub addr: ResourceAddr,
    /// What happens.
    pub action: Action,
    /// Why.
    pub reason: ChangeReason,
    /// Fields that differ, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Files that a source folder brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<FolderSync>,
    /// Data that a delete takes along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RepoData>,
    /// Whether a delete is refused without `--allow-destroy`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// Where it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

/// What a plan was made from.
///
/// Part 1 (`project` to `touched`): if any of it moves, the plan is refused. Part 2 (`operation`, `heads`) is recorded:
/// data arrives all the time, so a moved head recomputes the forecast.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Basis {
    /// The project.
    pub project: String,
    /// The store's lineage: a plan for one store never fits another.
    pub lineage: Option<String>,
    /// Digest of the desired resources and source folders.
    pub workspace: Digest,
    /// Digest of what flow owned in each touched resource; `None` if it did not exist.
    pub touched: BTreeMap<ResourceAddr, Option<Digest>>,
    /// The newest operation; `None` for a store that is not there yet.
    pub operation: Option<OperationId>,
    /// The branches that pipelines read, as `repo@branch`.
    pub heads: BTreeMap<String, Option<CommitId>>,
}

/// What will happen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format_version: u32,
    /// The version of flow that made it.
    pub tool_version: String,
    /// The context, for example `local`.
    pub context: String,
    /// The workspace's folder, as given.
    pub workspace: String,
    /// Whether it removes everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destroy: bool,
    /// What it was made from.
    pub basis: Basis,
    /// One entry per resource of either side, in address order.
    pub changes: Vec<Change>,
    /// Data work, in the order in which the pipelines run.
    pub data: Vec<DatumForecast>,
    /// The changed resources in the order in which they are carried out: makes before what needs them, removals in
    /// reverse.
    pub order: Vec<ResourceAddr>,
    /// Things worth knowing before saying yes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether nothing would be done: no change of a resource and no data work.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.changes.iter().all(|change| change.action == Action::NoOp)
    }

    /// How many resources meet this fate.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.changes.iter().filter(|change| change.action == action).count()
    }

    /// Changes that are refused without `--allow-destroy`.
    pub fn refused(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.action == Action::Delete && change.protected)
    }
}
