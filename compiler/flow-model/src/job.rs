//! Jobs and what they leave behind: the manifest, a record per datum, and the facts of each run.
//!
//! The deterministic part (key, inputs, outputs) and the facts (who, when, attempts, cost, log) are separate objects:
//! the same work gives the same [`DatumRecord`] bit for bit, wherever and whenever it was done.

use serde::{Deserialize, Serialize};

use crate::{
    canonical::Stored,
    datum::{DatumInput, ExecutorIdentity},
    digest::{
        BlobId, CommitId, CommitSetId, DatumId, DatumKey, Digest, FieldHasher, InputsDigest, JobId, RecordId,
        TransformDigest, TreeId, VersionId,
    },
    name::{BranchName, InputName, PipelineName, RepoName},
    path::RepoPath,
    time::{Millis, Timestamp},
    tree::FileEntry,
};

/// How a job ended.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum JobStatus {
    /// Every datum succeeded or was recovered; the output commit is published.
    Success,
    /// A datum failed or outputs conflict; nothing is published, results of good datums are kept.
    Failure,
    /// Stopped by the user; results of finished datums are kept.
    Killed,
    /// Not run, because a job it reads from did not succeed.
    Unrunnable,
}

impl JobStatus {
    /// The word that is shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Killed => "killed",
            Self::Unrunnable => "unrunnable",
        }
    }
}

/// How many datums of a job went which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobCounts {
    /// All datums.
    pub total: u64,
    /// Run in this job, successfully.
    pub processed: u64,
    /// Not run: their result was known.
    pub reused: u64,
    /// Run in this job, and failed for good.
    pub failed: u64,
    /// Failed, but `err_cmd` succeeded: no output, no failure.
    pub recovered: u64,
}

/// One `pfs` input of a job: the version that it read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobInput {
    /// The input's name.
    pub name: InputName,
    /// The repo.
    pub repo: RepoName,
    /// The branch.
    pub branch: BranchName,
    /// The version.
    pub commit: CommitId,
    /// The version's files.
    pub tree: TreeId,
}

/// The id of a job: two coordinators make the same.
#[must_use]
pub fn job_id(version: VersionId, inputs: &[CommitId], run: u32) -> JobId {
    let mut hasher = FieldHasher::new("flow job id v1").field(version.0.as_bytes());
    hasher.push_list(inputs.iter().map(|commit| commit.0.as_bytes()));
    hasher.push_u64(u64::from(run));
    JobId(hasher.finish())
}

/// Why a job did not succeed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobFailure {
    /// Datums failed; the first few, in datum order.
    Datums {
        /// The failed datums.
        failed: Vec<DatumFailure>,
    },
    /// Datums wrote the same path, or one wrote a file where another wrote a folder.
    OutputConflicts {
        /// All conflicts, in path order.
        conflicts: Vec<OutputConflict>,
    },
    /// A pipeline that this one reads from did not succeed.
    Upstream {
        /// That pipeline.
        pipeline: PipelineName,
    },
    /// The job as a whole could not be run.
    Job {
        /// What happened and what to do.
        message: String,
    },
}

/// A datum that failed for good.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatumFailure {
    /// Which datum.
    pub datum: DatumId,
    /// Its inputs as a human calls them.
    pub label: String,
    /// What happened: `exit 3`, `killed by signal 9`, `took longer than 5s`.
    pub reason: String,
    /// A next step, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The last lines that it wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

/// A path that two datums wrote.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputConflict {
    /// The path.
    pub path: RepoPath,
    /// The other path, where a file stands against a folder of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_path: Option<RepoPath>,
    /// Both datums, in id order.
    pub datums: [(DatumId, String); 2],
}

/// The provenance manifest of a job: all that is needed to say how its output was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobManifest {
    /// The job.
    pub job: JobId,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The version that ran: spec and code.
    pub version: VersionId,
    /// The commit set.
    pub commit_set: CommitSetId,
    /// How often this version had run on these inputs before.
    pub run: u32,
    /// What it read, one per `pfs` input in the spec's order.
    pub inputs: Vec<JobInput>,
    /// The transform's digest.
    pub transform: TransformDigest,
    /// What ran it.
    pub executor: ExecutorIdentity,
    /// How it ended.
    pub status: JobStatus,
    /// Its datums.
    pub counts: JobCounts,
    /// Mean time of a datum that ran, in this job or the last one that ran any: what estimates are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datum_wall: Option<Millis>,
    /// Tree of [`DatumEntry`] by datum id.
    pub datums: TreeId,
    /// Tree of datum ids by output path: who wrote what.
    pub owners: TreeId,
    /// The output files.
    pub output_tree: TreeId,
    /// The commit that publishes them; `None` if the job did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<CommitId>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<JobFailure>,
    /// Who set it off, as `user@host`.
    pub actor: String,
    /// The version of flow.
    pub tool_version: String,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

impl Stored for JobManifest {
    const TYPE: &'static str = "flow.job-manifest.v1";
}

/// One output file of a datum.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatumOutput {
    /// Where in the output repo.
    pub path: RepoPath,
    /// The file.
    #[serde(flatten)]
    pub file: FileEntry,
}

/// The deterministic part of a datum's provenance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatumRecord {
    /// What it computed.
    pub key: DatumKey,
    /// What ran.
    pub transform: TransformDigest,
    /// What it read.
    pub inputs: Vec<DatumInput>,
    /// What it wrote, in path order.
    pub outputs: Vec<DatumOutput>,
}

impl Stored for DatumRecord {
    const TYPE: &'static str = "flow.datum-record.v1";
}

/// What is known of a datum's stream.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRef {
    /// What was kept; `None` if nothing was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobId>,
    /// Bytes that were written, kept or not.
    pub written: u64,
}

/// The facts of the run that made a datum's result: never part of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFacts {
    /// Which datum.
    pub datum: DatumId,
    /// The job in which it ran.
    pub job: JobId,
    /// Tries, the last included.
    pub attempts: u32,
    /// How the last try ended: `exit 0`.
    pub exit: String,
    /// When the last try started.
    pub started: Timestamp,
    /// How long the last try took.
    pub wall: Millis,
    /// Processor time of the last try.
    pub cpu: Millis,
    /// Peak memory of the last try, in KiB.
    pub max_rss_kib: u64,
    /// Standard output of the last try.
    pub stdout: LogRef,
    /// Standard error of the last try.
    pub stderr: LogRef,
    /// Who ran it, as `user@host`.
    pub runner: String,
    /// What runs user code: `process`.
    pub executor: String,
}

impl Stored for RunFacts {
    const TYPE: &'static str = "flow.run-facts.v1";
}

/// What a worker made durable in one go: the datums that are finished by it. Read back when a job resumes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinishedBatch {
    /// The job.
    pub job: JobId,
    /// The finished datums with how they ended.
    pub datums: Vec<FinishedDatum>,
}

impl Stored for FinishedBatch {
    const TYPE: &'static str = "flow.finished-batch.v1";
}

/// A datum that is finished: its record is durable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinishedDatum {
    /// Which datum.
    pub id: DatumId,
    /// How it ended.
    pub outcome: DatumOutcome,
    /// What it computed.
    pub key: DatumKey,
    /// What it read.
    pub inputs: InputsDigest,
    /// Its record.
    pub record: RecordId,
    /// The facts of its run.
    pub facts: Digest,
    /// How long its last try took.
    pub wall: Millis,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<DatumFailure>,
}

/// How the work on a datum ended, in whatever job it was done.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum DatumOutcome {
    /// There is a result.
    Success,
    /// Every try failed.
    Failed,
    /// Every try failed, and `err_cmd` succeeded: no output, no failure, no result to reuse.
    Recovered,
}

/// What a datum of a job counts as: its outcome, seen from that job.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum DatumStatus {
    /// It ran in this job.
    Processed,
    /// Its result was known.
    Reused,
    /// It failed for good.
    Failed,
    /// It failed, and `err_cmd` succeeded.
    Recovered,
}

impl DatumStatus {
    /// The word that is shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Reused => "reused",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
        }
    }
}

/// A datum in a job's tree of datums: fixed-width, so that a listing reads no other object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatumEntry {
    /// How it ended.
    pub outcome: DatumOutcome,
    /// What it computed.
    pub key: DatumKey,
    /// What it read.
    pub inputs: InputsDigest,
    /// Its record.
    pub record: RecordId,
    /// The facts of the run that made the result; the digest of [`RunFacts`].
    pub facts: Digest,
    /// The job in which it ran. An entry does not change while later jobs reuse it, so their trees share it.
    pub ran_in: JobId,
}

impl DatumEntry {
    /// Length of [`DatumEntry::encode`].
    pub const ENCODED_LENGTH: usize = 1 + 5 * 32;

    /// What the datum counts as in `job`.
    #[must_use]
    pub fn status(&self, job: JobId) -> DatumStatus {
        match self.outcome {
            DatumOutcome::Failed => DatumStatus::Failed,
            DatumOutcome::Recovered => DatumStatus::Recovered,
            DatumOutcome::Success if self.ran_in == job => DatumStatus::Processed,
            DatumOutcome::Success => DatumStatus::Reused,
        }
    }

    /// The value in a tree node: outcome, then the five digests. A stored format.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::ENCODED_LENGTH);
        bytes.push(match self.outcome {
            DatumOutcome::Success => 0,
            DatumOutcome::Failed => 1,
            DatumOutcome::Recovered => 2,
        });
        for digest in [self.key.0, self.inputs.0, self.record.0, self.facts, self.ran_in.0] {
            bytes.extend_from_slice(digest.as_bytes());
        }
        bytes
    }

    /// Reads what [`DatumEntry::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::ENCODED_LENGTH {
            return None;
        }
        let (outcome, rest) = bytes.split_first()?;
        let outcome = match outcome {
            0 => DatumOutcome::Success,
            1 => DatumOutcome::Failed,
            2 => DatumOutcome::Recovered,
            _ => return None,
        };
        let digest = |at: usize| rest[32 * at..32 * (at + 1)].try_into().ok().map(Digest::from_bytes);
        Some(Self {
            outcome,
            key: DatumKey(digest(0)?),
            inputs: InputsDigest(digest(1)?),
            record: RecordId(digest(2)?),
            facts: digest(3)?,
            ran_in: JobId(digest(4)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip() {
        let ran_in = JobId(Digest::of(b"j"));
        let entry = DatumEntry {
            outcome: DatumOutcome::Success,
            key: DatumKey(Digest::of(b"k")),
            inputs: InputsDigest(Digest::of(b"i")),
            record: RecordId(Digest::of(b"r")),
            facts: Digest::of(b"f"),
            ran_in,
        };
        let bytes = entry.encode();
        assert_eq!(DatumEntry::decode(&bytes), Some(entry));
        assert_eq!(DatumEntry::decode(&bytes[1..]), None);
        assert_eq!(entry.status(ran_in), DatumStatus::Processed);
        assert_eq!(entry.status(JobId(Digest::of(b"later"))), DatumStatus::Reused);
    }

    #[test]
    fn a_job_id_depends_on_version_inputs_and_run_alone() {
        let version = VersionId(Digest::of(b"v"));
        let inputs = [CommitId(Digest::of(b"c"))];
        assert_eq!(job_id(version, &inputs, 0), job_id(version, &inputs, 0));
        assert_ne!(job_id(version, &inputs, 0), job_id(version, &inputs, 1));
        assert_ne!(job_id(version, &inputs, 0), job_id(version, &[], 0));
    }
}
