//! Runs everything that has work, in DAG order.
//!
//! A pipeline runs when all that it reads from is done; a pipeline that reads from one that did not succeed is not
//! run. Each job publishes its own end, so what is done stays done if a later job fails or the run is cut off.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    commit::Commit,
    dag::Dag,
    digest::CommitSetId,
    job::{JobCounts, JobFailure, JobManifest, JobStatus},
    name::PipelineName,
    spec::PipelineVersion,
    time::Millis,
};
use flow_store::Snapshot;

use crate::{
    error::EngineError,
    job::{self, JobReport, Surroundings},
    work::{Readiness, Work, readiness},
};

/// How a pipeline fared.
#[derive(Debug, Clone)]
pub struct PipelineReport {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// What happened.
    pub outcome: PipelineOutcome,
    /// How long it took.
    pub wall: Millis,
}

/// What happened to a pipeline with work.
#[derive(Debug, Clone)]
pub enum PipelineOutcome {
    /// Its job ended or was stopped.
    Ran(JobReport),
    /// Somebody else ran it meanwhile.
    RunElsewhere,
    /// It was not run, because this pipeline did not succeed.
    Unrunnable(PipelineName),
    /// It was not run, because the job could not be started or ended.
    Broken(String),
}

impl PipelineOutcome {
    /// Whether what reads from it can run.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match self {
            Self::Ran(report) => report.status == JobStatus::Success,
            Self::RunElsewhere => true,
            Self::Unrunnable(_) | Self::Broken(_) => false,
        }
    }

    /// The counts, where there are any.
    #[must_use]
    pub fn counts(&self) -> JobCounts {
        match self {
            Self::Ran(report) => report.counts,
            _ => JobCounts::default(),
        }
    }

    /// The manifest of the job, if it ended here.
    #[must_use]
    pub fn manifest(&self) -> Option<&JobManifest> {
        match self {
            Self::Ran(report) => report.manifest.as_deref(),
            _ => None,
        }
    }

    /// Why the job failed.
    #[must_use]
    pub fn failure(&self) -> Option<&JobFailure> {
        self.manifest().and_then(|manifest| manifest.failure.as_ref())
    }
}

/// The DAG of the pipelines in a state.
///
/// # Errors
/// If the state cannot be read; a state with a cycle was never published.
pub async fn live_dag(snapshot: &Snapshot) -> Result<Dag, EngineError> {
    let mut versions = Vec::new();
    for (_, state) in snapshot.pipelines().await? {
        versions.push(snapshot.reader().stored::<PipelineVersion>(state.version.0).await?);
    }
    Dag::of(versions.iter().map(|version| &version.spec))
        .map_err(|_| EngineError::Missing { what: "an order of pipelines that feed each other".to_owned() })
}

/// Runs every pipeline that has work, upstream first. Only `only` and what feeds on it is looked at, if given.
///
/// # Errors
/// If the state cannot be read. What befalls a single pipeline is in its report.
pub async fn run_all(
    around: &Surroundings<'_>,
    only: Option<&BTreeSet<PipelineName>>,
) -> Result<Vec<PipelineReport>, EngineError> {
    let Some(snapshot) = around.project.head().await? else { return Ok(Vec::new()) };
    let dag = live_dag(&snapshot).await?;
    let mut reports: Vec<PipelineReport> = Vec::new();
    let mut bad: BTreeMap<PipelineName, PipelineName> = BTreeMap::new();
    for pipeline in dag.pipelines().filter(|name| only.is_none_or(|only| only.contains(*name))) {
        let cause = dag.upstream(pipeline).find_map(|upstream| bad.get(upstream)).cloned();
        if *around.stop.borrow() {
            break;
        }
        let started = (around.now)();
        let Some(outcome) = run_one(around, pipeline, cause).await? else { continue };
        if !outcome.is_good() {
            let root = match &outcome {
                PipelineOutcome::Unrunnable(root) => root.clone(),
                _ => pipeline.clone(),
            };
            bad.insert(pipeline.clone(), root);
        }
        let wall = (around.now)().since(started);
        reports.push(PipelineReport { pipeline: pipeline.clone(), outcome, wall });
    }
    Ok(reports)
}

async fn run_one(
    around: &Surroundings<'_>,
    pipeline: &PipelineName,
    bad_upstream: Option<PipelineName>,
) -> Result<Option<PipelineOutcome>, EngineError> {
    if let Some(upstream) = bad_upstream {
        return Ok(Some(PipelineOutcome::Unrunnable(upstream)));
    }
    let Some(snapshot) = around.project.head().await? else { return Ok(None) };
    let work = match readiness(&snapshot, around.pool, pipeline).await {
        Ok(Readiness::Ready(work)) => work,
        Ok(Readiness::UpToDate | Readiness::Waiting { .. }) => return Ok(None),
        Err(error) => return Ok(Some(PipelineOutcome::Broken(error_line(&error)))),
    };
    let commit_set = commit_set(&snapshot, &work).await?;
    Ok(Some(match job::run(around, &work, commit_set).await {
        Ok(Some(report)) => PipelineOutcome::Ran(report),
        Ok(None) => PipelineOutcome::RunElsewhere,
        Err(error) => PipelineOutcome::Broken(error_line(&error)),
    }))
}

/// The change that set a job off: that of the first input with new data, else that of the pipeline's version.
async fn commit_set(snapshot: &Snapshot, work: &Work) -> Result<CommitSetId, EngineError> {
    let before = work.last.as_ref().filter(|last| last.version == work.version_id);
    if let Some(last) = before {
        let moved = work.inputs.iter().zip(&last.inputs).find(|(now, before)| now.commit != **before);
        if let Some((input, _)) = moved {
            let commit: Commit = snapshot.reader().stored(input.commit.0).await?;
            return Ok(commit.commit_set);
        }
    }
    let state = snapshot.pipeline(&work.pipeline).await?;
    state
        .map(|state| state.commit_set)
        .ok_or_else(|| EngineError::Missing { what: format!("pipeline `{}`", work.pipeline) })
}

/// An error and its causes in one line.
#[must_use]
pub fn error_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_line = cause.to_string();
        if !line.contains(&cause_line) {
            line = format!("{line}: {cause_line}");
        }
        source = cause.source();
    }
    line
}
