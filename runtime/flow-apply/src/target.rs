//! What may be asked of a place where workflows live.

use std::collections::BTreeMap;

use flow_model::{
    digest::{CommitSetId, OperationId},
    name::{PipelineName, RepoName},
    plan::Plan,
    resource::{Desired, Live, ResourceAddr},
};
use flow_store::{PublishError, Snapshot, Stamp, StoreError};

use crate::folder::Folder;

/// A target as it is now.
pub struct Observed {
    /// The data side; `None` before the first apply.
    pub snapshot: Option<Snapshot>,
    /// All resources.
    pub live: Live,
}

/// A plan that somebody said yes to, with all that it takes to carry it out.
pub struct Approved<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What the workspace wants.
    pub desired: &'a Desired,
    /// Source folders by repo, as they were read for the plan.
    pub sources: &'a BTreeMap<RepoName, Folder>,
    /// Code folders by pipeline, as they were read for the plan.
    pub code: &'a BTreeMap<PipelineName, Folder>,
    /// Who and when.
    pub stamp: Stamp,
}

/// What an apply did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The operation that published it; `None` if there was nothing to publish.
    pub operation: Option<OperationId>,
    /// The commit set that it started.
    pub commit_set: Option<CommitSetId>,
}

/// Why a plan could not be carried out. Nothing of it has been published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else changed the same things.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A file changed between plan and apply.
    #[error("file `{file}` changed while it was applied: run `flow apply` again")]
    FileMoved {
        /// The file.
        file: String,
    },
    /// The plan names what it should not; a defect of the planner.
    #[error("the plan changes `{addr}`, which the workspace does not describe")]
    NotDesired {
        /// The resource.
        addr: ResourceAddr,
    },
}

/// A place where workflows live.
///
/// Contract: `observe` changes nothing; `execute` publishes all of a plan or nothing of it, and does not look at
/// anything but what it is given.
#[async_trait::async_trait]
pub trait Target: Send + Sync {
    /// Reads what is there.
    async fn observe(&self) -> Result<Observed, ApplyError>;

    /// Carries out a plan that was made from `observed`.
    async fn execute(&self, observed: &Observed, approved: &Approved<'_>) -> Result<Applied, ApplyError>;
}
