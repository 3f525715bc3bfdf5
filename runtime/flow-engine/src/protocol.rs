//! What coordinator and workers say to each other.
//!
//! One protocol for every place where workers run: channels to the slots of this machine, HTTP to pods. All messages
//! are plain data. A worker asks for work, runs it, and reports datums only when their records are durable; an
//! assignment dies with its worker.

use flow_model::{
    datum::{DatumInput, ExecutorIdentity},
    digest::{CommitSetId, DatumId, DatumKey, Digest, InputsDigest, JobId, TransformDigest, VersionId},
    job::{FinishedDatum, JobInput},
    name::{PipelineName, ProjectName},
    spec::PipelineVersion,
};
use serde::{Deserialize, Serialize};

/// Number of a worker within a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub u32);

/// What a worker needs to know of a job, said once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// The job.
    pub job: JobId,
    /// What set it off.
    pub commit_set: CommitSetId,
    /// The project.
    pub project: ProjectName,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Id of the version that runs.
    pub version_id: VersionId,
    /// The version that runs.
    pub version: PipelineVersion,
    /// What it reads, one per `pfs` input in the spec's order.
    pub inputs: Vec<JobInput>,
    /// The transform's digest.
    pub transform: TransformDigest,
    /// What runs it.
    pub executor: ExecutorIdentity,
    /// Digest of what is done.
    pub work: Digest,
    /// How often this was done on these inputs before.
    pub run: u32,
    /// Who set it off, as `user@host`.
    pub actor: String,
}

/// One datum to run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatumTask {
    /// Which datum.
    pub id: DatumId,
    /// What it computes.
    pub key: DatumKey,
    /// Digest of what it reads.
    pub digest: InputsDigest,
    /// What it reads.
    pub inputs: Vec<DatumInput>,
}

/// The unit of work that a worker takes: station 16.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatumSet {
    /// The datums, in the order in which they run.
    pub datums: Vec<DatumTask>,
}

/// What the coordinator says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
pub enum ToWorker {
    /// Run these datums.
    Run(DatumSet),
    /// There is no more work in this job.
    Finish,
}

/// What a worker says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
pub enum FromWorker {
    /// It has nothing left to start.
    Idle {
        /// Who.
        worker: WorkerId,
    },
    /// It starts a datum.
    Started {
        /// Who.
        worker: WorkerId,
        /// Which.
        datum: DatumId,
    },
    /// The records of these datums are durable.
    Finished {
        /// The datums.
        datums: Vec<FinishedDatum>,
    },
    /// It is gone: what it held and had not finished goes to others.
    Broken {
        /// Who.
        worker: WorkerId,
        /// How.
        reason: String,
    },
}
