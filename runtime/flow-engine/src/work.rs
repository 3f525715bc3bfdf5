//! Which pipelines have work, and on what: station 13.
//!
//! A pipeline has work unless its newest ended job did the same work (transform, program, inputs) on the heads of its
//! input branches, and succeeded. Nothing else is looked at: no clock, no queue, no journal.

use flow_model::{
    commit::Commit,
    datum::{ExecutorIdentity, work_digest},
    digest::{CommitId, Digest, VersionId},
    job::{JobInput, JobStatus, job_id},
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
    let Some(run) = next_run(snapshot, &version, last.as_ref(), digest, &commits).await? else {
        return Ok(Readiness::UpToDate);
    };
    let (pipeline, version_id) = (pipeline.clone(), state.version);
    let work = Work { pipeline, version_id, version, inputs, trees, executor, digest, run, last };
    Ok(Readiness::Ready(Box::new(work)))
}

/// The run counter of the version's next job on these commits, or `None` if the newest job has done this work.
///
/// A version or a commit that was left and comes back is run anew: its job of back then has ended, and its output is no
/// longer what the output branch has.
///
/// # Errors
/// If the state cannot be read.
pub async fn next_run(
    snapshot: &Snapshot,
    version: &PipelineVersion,
    last: Option<&LastJob>,
    work: Digest,
    inputs: &[CommitId],
) -> Result<Option<u32>, EngineError> {
    let mut run = match last {
        Some(last) if last.work == work && last.inputs == inputs => match last.status {
            JobStatus::Success => return Ok(None),
            _ => last.run + 1,
        },
        _ => 0,
    };
    let id = version.id();
    while snapshot.job(&version.spec.name, job_id(id, inputs, run)).await?.is_some() {
        run += 1;
    }
    Ok(Some(run))
}

impl Work {
    /// The commits that the job reads.
    #[must_use]
    pub fn commits(&self) -> Vec<CommitId> {
        self.inputs.iter().map(|input| input.commit).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flow_model::{
        commit::OperationKind,
        digest::{CommitSetId, JobId, ManifestId},
        job::JobCounts,
        state::{JobState, ViewKey},
        time::Timestamp,
    };
    use flow_store::{ObjectMedia, OperationMeta, SeededEntropy, Stamp, Store};

    use super::*;

    fn version(word: &str) -> PipelineVersion {
        let spec = serde_json::json!({
            "name": "p",
            "transform": {"cmd": ["echo", word]},
            "input": {"pfs": {"name": "in", "repo": "in", "branch": "master", "glob": "/"}},
            "parallelism": 1,
            "datumTries": 1,
        });
        PipelineVersion { spec: serde_json::from_value(spec).unwrap(), code_tree: None }
    }

    fn ended(job: JobId, version: VersionId) -> (ViewKey, JobState) {
        let state = JobState {
            manifest: ManifestId(Digest::of(b"m")),
            status: JobStatus::Success,
            counts: JobCounts::default(),
            commit_set: CommitSetId(Digest::of(b"set")),
            version,
            output: None,
            started: Timestamp(1),
            finished: Timestamp(2),
        };
        (ViewKey::Job("p".parse().unwrap(), job), state)
    }

    fn last(job: JobId, version: &PipelineVersion, inputs: &[CommitId], status: JobStatus) -> LastJob {
        let work = Digest::of(version.spec.transform.cmd.concat().as_bytes());
        let manifest = ManifestId(Digest::of(b"m"));
        LastJob { job, manifest, status, version: version.id(), work, inputs: inputs.to_vec(), run: 0 }
    }

    #[tokio::test]
    async fn what_was_left_and_comes_back_is_a_new_run() {
        let store =
            Store::create(Arc::new(ObjectMedia::memory()), Arc::new(SeededEntropy::new(1))).await.unwrap();
        let (a, b) = (version("a"), version("b"));
        let (old, new) = ([CommitId(Digest::of(b"old"))], [CommitId(Digest::of(b"new"))]);
        let first = job_id(a.id(), &old, 0);
        let mut transaction = store.project(&"p".parse().unwrap()).begin(None);
        let (key, state) = ended(first, a.id());
        transaction.set(&key, &state);
        let stamp = Stamp { actor: "a@b".to_owned(), time: Timestamp(3) };
        let meta = OperationMeta { kind: OperationKind::Jobs, description: String::new(), stamp };
        let snapshot = transaction.publish(meta).await.unwrap();

        let work = Digest::of(b"echoa");
        let success = JobStatus::Success;
        let cases = [
            (Some(last(first, &a, &old, success)), &old, None, "done"),
            (Some(last(first, &a, &old, success)), &new, Some(0), "new data"),
            (Some(last(job_id(a.id(), &new, 0), &a, &new, success)), &old, Some(1), "the data came back"),
            (Some(last(job_id(b.id(), &old, 0), &b, &old, success)), &old, Some(1), "the version came back"),
            (Some(last(first, &a, &old, JobStatus::Failure)), &old, Some(1), "failed"),
            (None, &new, Some(0), "never ran"),
        ];
        for (last, inputs, expected, case) in cases {
            let run = next_run(&snapshot, &a, last.as_ref(), work, inputs).await.unwrap();
            assert_eq!(run, expected, "{case}");
        }
    }
}
