//! Commits and operations: the two kinds of history.
//!
//! A commit is one version of one repo. An operation is one change of a whole project, whatever it is; the newest one
//! is the project's state. Both carry a nonce, so that a writer that lost the reply to its write can recognise its own
//! work among the ancestors of the head.

use serde::{Deserialize, Serialize};

use crate::{
    canonical::Stored,
    digest::{CommitId, CommitSetId, JobId, OperationId, TreeId},
    name::{BranchName, RepoName},
    time::Timestamp,
};

/// A random value that makes an otherwise equal commit or operation its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub u64);

/// What made a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// A user's `flow put`, `flow rm` or branch edit.
    User,
    /// `flow apply`, keeping a repo in step with its source folder.
    Source,
    /// A job.
    Job,
}

/// One version of a repo that took part in making another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct CommitRef {
    /// The repo.
    pub repo: RepoName,
    /// The branch it was the head of.
    pub branch: BranchName,
    /// The version.
    pub commit: CommitId,
}

/// One immutable version of a repo.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// The repo that it is a version of.
    pub repo: RepoName,
    /// The files.
    pub tree: TreeId,
    /// The versions before: none for the first, one else.
    pub parents: Vec<CommitId>,
    /// What made it.
    pub origin: Origin,
    /// The commits it was made from, sorted; empty for user data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provenance: Vec<CommitRef>,
    /// The job that made it, for output commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// All that one change set in motion shares this id.
    pub commit_set: CommitSetId,
    /// Who, as `user@host`.
    pub author: String,
    /// When.
    pub time: Timestamp,
    /// Why, in the author's words; may be empty.
    pub message: String,
    /// Makes the id unique.
    pub nonce: Nonce,
}

impl Stored for Commit {
    const TYPE: &'static str = "flow.commit.v1";
}

impl Commit {
    /// The commit's id: the digest of its canonical bytes.
    #[must_use]
    pub fn id(&self) -> CommitId {
        CommitId(crate::canonical::digest(self))
    }
}

/// What kind of change an operation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OperationKind {
    /// The project's first operation: an empty view.
    Init,
    /// `flow apply` and `flow destroy`.
    Apply,
    /// `flow put` and `flow rm`.
    Put,
    /// Results of finished jobs.
    Jobs,
    /// `flow branch set`.
    Branch,
    /// `flow op undo`.
    Undo,
    /// Merging of index or cache runs without any other change.
    Compact,
}

/// One change of a project's state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// The operation before; `None` only for the first.
    pub parent: Option<OperationId>,
    /// How many operations came before.
    pub number: u64,
    /// The state after: root of the view's tree.
    pub view: TreeId,
    /// What kind of change.
    pub kind: OperationKind,
    /// One line for `flow op log`.
    pub description: String,
    /// Who, as `user@host`.
    pub actor: String,
    /// When.
    pub time: Timestamp,
    /// Makes the id unique.
    pub nonce: Nonce,
}

impl Stored for Operation {
    const TYPE: &'static str = "flow.operation.v1";
}

impl Operation {
    /// The operation's id: the digest of its canonical bytes.
    #[must_use]
    pub fn id(&self) -> OperationId {
        OperationId(crate::canonical::digest(self))
    }
}
