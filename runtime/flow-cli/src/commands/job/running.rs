//! Jobs that somebody runs now. They are not in the state before they end: what is known of them comes from the lock
//! that their runner holds and from what their workers have made durable.

use std::collections::BTreeSet;

use flow_engine::{
    decide::{Question, decide},
    job::last_manifest,
    work::Work,
};
use flow_model::{
    digest::{DatumId, JobId},
    forecast::DatumAction,
    job::{DatumOutcome, FinishedBatch, JobCounts},
    name::PipelineName,
};

use super::JobRow;
use crate::{
    condition::{Condition, Look, is_running, started},
    error::CommandError,
    session::Open,
    settings::Settings,
    view::words,
};

/// The jobs that are run now, of all pipelines or of one.
pub(super) async fn rows(
    open: &Open,
    only: Option<&PipelineName>,
    settings: &Settings,
) -> Result<Vec<JobRow>, CommandError> {
    let look = Look::open(&open.workspace, settings).await?;
    let mut rows = Vec::new();
    for name in open.snapshot.pipelines().await?.into_keys() {
        if only.is_some_and(|only| *only != name) {
            continue;
        }
        let condition = look.at(&open.snapshot, &name).await?;
        let Some(job) = condition.next_job().filter(|job| is_running(&open.workspace, *job)) else {
            continue;
        };
        if let Condition::HasWork(work) | Condition::Failed(work) = condition {
            rows.push(row(open, job, &work).await?);
        }
    }
    Ok(rows)
}

async fn row(open: &Open, job: JobId, work: &Work) -> Result<JobRow, CommandError> {
    let reader = open.snapshot.reader();
    let last = last_manifest(&open.snapshot, work.last.as_ref()).await?;
    let decided = decide(Question {
        reader: &reader,
        cache: Some(&open.snapshot),
        version: &work.version,
        trees: &work.trees,
        executor: &work.executor,
        last: last.as_ref(),
    })
    .await?;
    let is_reused = |action: &&DatumAction| matches!(action, DatumAction::Reuse(_));
    let untouched = decided.plan.untouched;
    let reused = untouched + decided.actions().values().filter(is_reused).count() as u64;
    let total = untouched + decided.datums.len() as u64;
    let counts = JobCounts { total, reused, ..finished(open, job).await? };
    Ok(JobRow {
        id: job.to_string(),
        pipeline: work.pipeline.to_string(),
        status: "running",
        counts,
        started: started(&open.workspace, job).map(words::time),
        finished: None,
        wall_millis: None,
        output: None,
        version: work.version_id.to_string(),
        commit_set: None,
    })
}

/// Counts the datums whose records are durable.
async fn finished(open: &Open, job: JobId) -> Result<JobCounts, CommandError> {
    let packs = open.project.job_packs(job).await?;
    let batches: Vec<(_, FinishedBatch)> = packs.stored(&open.snapshot.reader()).await?;
    let mut counts = JobCounts::default();
    let mut seen: BTreeSet<DatumId> = BTreeSet::new();
    for datum in batches.into_iter().flat_map(|(_, batch)| batch.datums) {
        if seen.insert(datum.id) {
            *match datum.outcome {
                DatumOutcome::Success => &mut counts.processed,
                DatumOutcome::Failed => &mut counts.failed,
                DatumOutcome::Recovered => &mut counts.recovered,
            } += 1;
        }
    }
    Ok(counts)
}
