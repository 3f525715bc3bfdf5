//! Jobs that somebody runs now. They are not in the state before they end: what is known of them comes from the lock
//! that their runner holds and from what their workers have made durable.

use std::collections::BTreeMap;

use flow_engine::{
    decide::{self, Question},
    job::last_manifest,
    work::Work,
};
use flow_model::{
    digest::{DatumId, JobId},
    forecast::DatumAction,
    job::{DatumEntry, DatumOutcome, FinishedBatch, FinishedDatum, JobCounts},
    name::PipelineName,
};

use crate::{
    condition::{Condition, Look, is_running},
    error::CommandError,
    find::JobDatum,
    session::Open,
    settings::Settings,
};

/// A job that somebody runs now.
pub(crate) struct RunningJob {
    pub(crate) id: JobId,
    pub(crate) work: Box<Work>,
}

/// The jobs that are run now, of all pipelines or of one, by pipeline.
pub(crate) async fn jobs(
    open: &Open,
    only: Option<&PipelineName>,
    settings: &Settings,
) -> Result<Vec<RunningJob>, CommandError> {
    let look = Look::open(&open.workspace, settings).await?;
    let mut jobs = Vec::new();
    for name in open.snapshot.pipelines().await?.into_keys() {
        if only.is_some_and(|only| *only != name) {
            continue;
        }
        let condition = look.at(&open.snapshot, &name).await?;
        let next = condition.next_job().filter(|job| is_running(&open.workspace, *job));
        if let (Some(id), Condition::HasWork(work) | Condition::Failed(work)) = (next, condition) {
            jobs.push(RunningJob { id, work });
        }
    }
    Ok(jobs)
}

impl RunningJob {
    /// What the job has to do and how much of it is done.
    pub(crate) async fn counts(&self, open: &Open) -> Result<JobCounts, CommandError> {
        let (reader, work) = (open.snapshot.reader(), &self.work);
        let last = last_manifest(&open.snapshot, work.last.as_ref()).await?;
        let decided = decide::decide(Question {
            reader: &reader,
            cache: Some(&open.snapshot),
            version: &work.version,
            trees: &work.trees,
            executor: &work.executor,
            last: last.as_ref(),
        })
        .await?;
        let is_reused = |action: &&DatumAction| matches!(action, DatumAction::Reuse(_));
        let reused = decided.actions().values().filter(is_reused).count() as u64;
        let mut counts = JobCounts {
            total: decided.datums.len() as u64 + decided.plan.untouched,
            reused: reused + decided.plan.untouched,
            ..JobCounts::default()
        };
        for datum in self.finished(open).await?.values() {
            *match datum.outcome {
                DatumOutcome::Success => &mut counts.processed,
                DatumOutcome::Failed => &mut counts.failed,
                DatumOutcome::Recovered => &mut counts.recovered,
            } += 1;
        }
        Ok(counts)
    }

    /// The datums whose records are durable.
    async fn finished(&self, open: &Open) -> Result<BTreeMap<DatumId, FinishedDatum>, CommandError> {
        let packs = open.project.job_packs(self.id).await?;
        let batches: Vec<(_, FinishedBatch)> = packs.stored(&open.snapshot.reader()).await?;
        let datums = batches.into_iter().flat_map(|(_, batch)| batch.datums);
        Ok(datums.map(|datum| (datum.id, datum)).collect())
    }

    /// The finished datums with their records, by id.
    pub(crate) async fn datums(&self, open: &Open) -> Result<Vec<JobDatum>, CommandError> {
        let packs = open.project.job_packs(self.id).await?;
        let reader = packs.reader(&open.snapshot.reader());
        let mut datums = Vec::new();
        for datum in self.finished(open).await?.into_values() {
            let entry = DatumEntry {
                outcome: datum.outcome,
                key: datum.key,
                inputs: datum.inputs,
                record: datum.record,
                facts: datum.facts,
                ran_in: self.id,
            };
            let (record, facts) = flow_engine::provenance::details(&reader, &entry).await?;
            datums.push(JobDatum { id: datum.id, entry, record, facts });
        }
        Ok(datums)
    }
}
