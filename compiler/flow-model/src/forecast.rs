//! What data work follows from a change: station 9.
//!
//! The same decisions are taken when a plan is made and when the job runs, by the same function of flow-plan; a
//! forecast is their summary.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    digest::{DatumId, DatumKey, Digest, InputsDigest, RecordId},
    job::DatumOutcome,
    name::PipelineName,
    time::Millis,
};

/// A datum that a job should have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WantedDatum {
    /// Which datum.
    pub id: DatumId,
    /// What it computes.
    pub key: DatumKey,
    /// What it reads.
    pub inputs: InputsDigest,
    /// Bytes that it reads.
    pub bytes: u64,
}

/// A datum of the pipeline's last job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownDatum {
    /// Which datum.
    pub id: DatumId,
    /// What it computed.
    pub key: DatumKey,
    /// What it read.
    pub inputs: InputsDigest,
    /// How it ended.
    pub outcome: DatumOutcome,
    /// Its result.
    pub result: ResultRef,
}

/// Where a result is recorded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ResultRef {
    /// The datum's record.
    pub record: RecordId,
    /// The facts of the run that made it.
    pub facts: Digest,
}

/// Why a datum is run, reused or dropped. Explains; nothing branches on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DatumReason {
    /// The last job had no such datum and no known result has its key.
    New,
    /// Its files changed.
    InputChanged,
    /// The transform or its program changed.
    TransformChanged,
    /// Both its files and the transform changed.
    InputAndTransformChanged,
    /// It failed in the last job.
    FailedBefore,
    /// It was recovered by `err_cmd` in the last job, which is no result.
    RecoveredBefore,
    /// Nothing changed since the last job.
    Unchanged,
    /// Another job, branch or pipeline has computed the same.
    KnownResult,
    /// Its files are gone.
    Gone,
}

/// What a job does with one datum: station 15.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatumAction {
    /// Run it.
    Process,
    /// Take the known result.
    Reuse(ResultRef),
    /// The last job's output of it goes.
    Drop,
}

/// One decision of a job plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatumDecision {
    /// Which datum.
    pub id: DatumId,
    /// What is done.
    pub action: DatumAction,
    /// Why.
    pub reason: DatumReason,
    /// Bytes that it reads; 0 for a dropped one.
    pub bytes: u64,
}

/// What a forecast group's datums have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ForecastAction {
    /// They run.
    Run,
    /// Their results are reused.
    Reuse,
    /// Their outputs go.
    Drop,
}

/// Datums with one fate for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastGroup {
    /// What happens to them.
    pub action: ForecastAction,
    /// Why.
    pub reason: DatumReason,
    /// A few words more, where there are any: the fields that changed, how it failed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How many.
    pub datums: u64,
    /// Bytes that they will read; 0 for what does not run.
    pub bytes: u64,
    /// The first few by name, so that a reader can check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

/// Why a pipeline has work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum WorkCause {
    /// The pipeline is new.
    Created,
    /// Its definition changes.
    Changed,
    /// The definition stays, its input data changed.
    InputChanged {
        /// The repos with new data, sorted.
        repos: Vec<String>,
    },
    /// A pipeline that it reads from has work.
    Upstream {
        /// Those pipelines, sorted.
        pipelines: Vec<PipelineName>,
    },
    /// Its last job did not succeed.
    FailedBefore,
    /// Its last job was not finished.
    Unfinished,
}

/// The data work of one pipeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatumForecast {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The repos that it reads, in the spec's order.
    pub inputs: Vec<String>,
    /// Why it has work.
    pub cause: WorkCause,
    /// What is known, in the order run, reuse, drop.
    pub groups: Vec<ForecastGroup>,
    /// Upstream pipelines whose outputs are not known before they have run: the groups above then hold for what is
    /// there today, and more or fewer datums may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_until: Vec<PipelineName>,
    /// How long the datums that run will take, from the last jobs; `None` without a history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Millis>,
}

impl DatumForecast {
    /// How many datums meet this fate.
    #[must_use]
    pub fn count(&self, action: ForecastAction) -> u64 {
        self.groups.iter().filter(|group| group.action == action).map(|group| group.datums).sum()
    }

    /// Bytes that the datums that run will read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.groups.iter().filter(|group| group.action == ForecastAction::Run).map(|group| group.bytes).sum()
    }
}
