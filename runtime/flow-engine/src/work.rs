//! Which pipelines have work, and on what: station 13.
//!
//! A pipeline has work unless its newest ended job did the same work (transform, program, inputs) on the heads of its
//! input branches, and succeeded. Nothing else is looked at: no clock, no queue, no journal.

use flow_model::{
    commit::Commit,
    datum::{ExecutorIdentity, work_digest},
    digest::{CommitId, Digest, VersionId},
    job::{JobInput, JobStatus},
    name::{PipelineName, RepoName},
    spec::PipelineVersion,
    state::LastJob,
};
use flow_store::Snapshot;

use crate::{error::EngineError, inputs::LeafTree, job::WorkerPool};

/// What a job of a pipeline would read and run now.
#[derive(Clone, Debug)]
pub struct Work {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Id of its version.
    pub version_id: VersionId,
    /// Its version.
    pub version: PipelineVersion,
    /// What it reads, one per `pfs` input in the spec's order.
    pub inputs: Vec<JobInput>,
    /// The same versions with their sizes.
    pub trees: Vec<LeafTree>,
    /// What will run it.
    pub executor: ExecutorIdentity,
    /// Digest of what will be done.
    pub digest: Digest,
    /// How often this was done on these inputs before.
    pub run: u32,
    /// The newest ended job.
    pub last: Option<LastJob>,
}

/// What stands between a pipeline and its next job.
#[derive(Clone, Debug)]
pub enum Readiness {
    /// There is work.
    Ready(Box<Work>),
    /// The newest job has done it.
    UpToDate,
    /// An input branch has no commit yet.
    Waiting {
        /// The first such repo.
        repo: RepoName,
    },
}

/// Looks up a pipeline's state and its input branches.
///
/// # Errors
/// If the state cannot be read or names what is not there.
pub async fn readiness(
    snapshot: &Snapshot,
    pool: &dyn WorkerPool,
    pipeline: &PipelineName,
) -> Result<Readiness, EngineError> {
    let state = snapshot
        .pipeline(pipeline)
        .await?
        .ok_or_else(|| EngineError::Missing { what: format!("pipeline `{pipeline}`") })?;
    let version: PipelineVersion = snapshot.reader().stored(state.version.0).await?;
    let mut inputs = Vec::new();
    let mut trees = Vec::new();
    for leaf in version.spec.input.leaves() {
        let Some(branch) = snapshot.branch(&leaf.repo, &leaf.branch).await? else {
            return Ok(Readiness::Waiting { repo: leaf.repo.clone() });
        };
        let commit: Commit = snapshot.reader().stored(branch.head.0).await?;
        trees.push(LeafTree { tree: commit.tree, files: branch.files, bytes: branch.bytes });
        inputs.push(JobInput {
            name: leaf.name.clone(),
            repo: leaf.repo.clone(),
            branch: leaf.branch.clone(),
            commit: branch.head,
            tree: commit.tree,
        });
    }
    let last = snapshot.last_job(pipeline).await?;
    let executor = pool.identify(&snapshot.reader(), &version).await?;
    let digest = work_digest(&version, &executor);
    let commits: Vec<CommitId> = inputs.iter().map(|input| input.commit).collect();
    let Some(run) = next_run(last.as_ref(), digest, &commits) else { return Ok(Readiness::UpToDate) };
    let (pipeline, version_id) = (pipeline.clone(), state.version);
    let work = Work { pipeline, version_id, version, inputs, trees, executor, digest, run, last };
    Ok(Readiness::Ready(Box::new(work)))
}

/// The run counter of the next job, or `None` if the newest one has done its work.
#[must_use]
pub fn next_run(last: Option<&LastJob>, work: Digest, inputs: &[CommitId]) -> Option<u32> {
    match last {
        Some(last) if last.work == work && last.inputs == inputs => match last.status {
            JobStatus::Success => None,
            _ => Some(last.run + 1),
        },
        _ => Some(0),
    }
}

impl Work {
    /// The commits that the job reads.
    #[must_use]
    pub fn commits(&self) -> Vec<CommitId> {
        self.inputs.iter().map(|input| input.commit).collect()
    }
}
