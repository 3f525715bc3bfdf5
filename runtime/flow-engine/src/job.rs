//! Runs one job: decide, hand out, wait, finalise.
//!
//! A job is run by whoever holds its lock. What is durable below `jobs/<job>/` is finished and never run again, so a
//! job that was cut off goes on where it was. Finalising publishes everything with one operation; until then nothing
//! of the job is visible.

use std::{collections::BTreeMap, sync::Arc};

use flow_model::{
    datum::{Datum, ExecutorIdentity},
    digest::{CommitSetId, DatumId, JobId},
    forecast::DatumAction,
    job::{FinishedBatch, FinishedDatum, JobCounts, JobFailure, JobManifest, JobStatus, job_id},
    name::ProjectName,
    spec::PipelineVersion,
    state::LastJob,
    time::Timestamp,
};
use flow_store::{JobPacks, Project, Reader, Snapshot};
use tokio::sync::{mpsc, watch};

use crate::{
    coordinator::Coordinator,
    decide::{self, Decided, Question},
    error::EngineError,
    finalise,
    protocol::{DatumTask, FromWorker, JobSpec, ToWorker, WorkerId},
    recorder::Recorder,
    work::Work,
};

/// Hears how a job goes, for whoever watches.
pub trait Observer: Send + Sync {
    /// The job's datums are decided on: so many run, so many are reused.
    fn job_started(&self, spec: &JobSpec, to_run: u64, reused: u64);
    /// Datums became finished.
    fn datums_finished(&self, spec: &JobSpec, datums: &[FinishedDatum]);
    /// Something that the user should know once.
    fn note(&self, text: &str);
}

/// Where workers come from.
#[async_trait::async_trait]
pub trait WorkerPool: Send + Sync {
    /// What would run the transform of this version; an error names what is missing.
    async fn identify(
        &self,
        reader: &Reader,
        version: &PipelineVersion,
    ) -> Result<ExecutorIdentity, EngineError>;

    /// Starts workers for a job; at most `most`, as there is no more to do at a time. Each is sent orders through the
    /// channel given for it and talks to `coordinator`.
    async fn start(
        &self,
        job: &Arc<JobSpec>,
        reader: &Reader,
        recorder: &Recorder,
        coordinator: &mpsc::UnboundedSender<FromWorker>,
        most: usize,
    ) -> Result<Vec<mpsc::UnboundedSender<ToWorker>>, EngineError>;

    /// Takes the job's lock, waiting for whoever holds it; dropping the guard releases it.
    async fn lock(&self, job: JobId) -> Result<Box<dyn Send>, EngineError>;
}

/// What jobs need of their surroundings.
pub struct Surroundings<'a> {
    /// The project's name.
    pub name: &'a ProjectName,
    /// The project.
    pub project: &'a Project,
    /// Where workers come from.
    pub pool: &'a dyn WorkerPool,
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// Turns true when no further datum is to be started.
    pub stop: watch::Receiver<bool>,
    /// Who set it off, as `user@host`.
    pub actor: &'a str,
    /// The version of flow.
    pub tool_version: &'a str,
    /// The clock.
    pub now: &'a (dyn Fn() -> Timestamp + Sync),
}

/// How a job went.
#[derive(Debug, Clone)]
pub struct JobReport {
    /// The job.
    pub job: JobId,
    /// How it ended.
    pub status: JobStatus,
    /// Its datums.
    pub counts: JobCounts,
    /// Its manifest, if it ended.
    pub manifest: Option<Box<JobManifest>>,
}

/// Runs the work of one pipeline. `None` if somebody else has done it meanwhile.
///
/// # Errors
/// If the store fails or no worker can be had; a failed datum is no error but a report.
pub async fn run(
    around: &Surroundings<'_>,
    work: &Work,
    commit_set: CommitSetId,
) -> Result<Option<JobReport>, EngineError> {
    let job = job_id(work.version_id, &work.commits(), work.run);
    let _lock = around.pool.lock(job).await?;
    let Some(snapshot) = still_to_do(around.project, work, job).await? else { return Ok(None) };
    let started = (around.now)();
    let last = last_manifest(&snapshot, work.last.as_ref()).await?;
    let decided = decide::decide(Question {
        reader: &snapshot.reader(),
        cache: Some(&snapshot),
        version: &work.version,
        trees: &work.trees,
        executor: &work.executor,
        last: last.as_ref(),
    })
    .await?;
    let spec = Arc::new(JobSpec {
        job,
        commit_set,
        project: around.name.clone(),
        pipeline: work.pipeline.clone(),
        version_id: work.version_id,
        version: work.version.clone(),
        inputs: work.inputs.clone(),
        transform: decided.transform,
        executor: work.executor.clone(),
        work: work.digest,
        run: work.run,
        actor: around.actor.to_owned(),
    });
    let packs = around.project.job_packs(job).await?;
    let mut finished = resumed(&snapshot.reader(), &packs, &decided).await?;
    let ran = execute(around, &spec, &snapshot, &packs, &decided, &mut finished).await?;
    if !ran.complete {
        let counts = finalise::counts(&decided, &finished);
        return Ok(Some(JobReport { job, status: JobStatus::Killed, counts, manifest: None }));
    }
    let packs = around.project.job_packs(job).await?;
    let ended =
        finalise::Ended { spec: &spec, decided: &decided, finished: &finished, last: last.as_ref(), started };
    let manifest = finalise::publish(around, &ended, packs).await?;
    Ok(Some(JobReport {
        job,
        status: manifest.status,
        counts: manifest.counts,
        manifest: Some(Box::new(manifest)),
    }))
}

/// The newest state, unless the job has ended in it or its basis is gone.
async fn still_to_do(project: &Project, work: &Work, job: JobId) -> Result<Option<Snapshot>, EngineError> {
    let Some(snapshot) = project.head().await? else { return Ok(None) };
    let current =
        snapshot.pipeline(&work.pipeline).await?.is_some_and(|state| state.version == work.version_id);
    let ended = snapshot.job(&work.pipeline, job).await?.is_some();
    Ok((current && !ended).then_some(snapshot))
}

/// The manifest of a pipeline's newest ended job.
///
/// # Errors
/// If the store cannot be read.
pub async fn last_manifest(
    snapshot: &Snapshot,
    last: Option<&LastJob>,
) -> Result<Option<JobManifest>, EngineError> {
    match last {
        Some(last) => Ok(Some(snapshot.reader().stored(last.manifest.0).await?)),
        None => Ok(None),
    }
}

/// The datums that an earlier attempt at this very job has finished.
pub(crate) async fn resumed(
    reader: &Reader,
    packs: &JobPacks,
    decided: &Decided,
) -> Result<BTreeMap<DatumId, FinishedDatum>, EngineError> {
    let keys: BTreeMap<DatumId, _> = decided.datums.iter().map(|(datum, key)| (datum.id, *key)).collect();
    let batches: Vec<(_, FinishedBatch)> = packs.stored(reader).await?;
    let same = |datum: &FinishedDatum| keys.get(&datum.id) == Some(&datum.key);
    Ok(batches
        .into_iter()
        .flat_map(|(_, batch)| batch.datums)
        .filter(same)
        .map(|datum| (datum.id, datum))
        .collect())
}

struct Ran {
    complete: bool,
}

async fn execute(
    around: &Surroundings<'_>,
    spec: &Arc<JobSpec>,
    snapshot: &Snapshot,
    packs: &JobPacks,
    decided: &Decided,
    finished: &mut BTreeMap<DatumId, FinishedDatum>,
) -> Result<Ran, EngineError> {
    let tasks = tasks(decided, finished);
    let reused = finalise::counts(decided, finished).reused;
    around.observer.job_started(spec, tasks.len() as u64, reused);
    if tasks.is_empty() {
        return Ok(Ran { complete: true });
    }
    let (report, mut messages) = mpsc::unbounded_channel();
    let writer = around.project.job_writer(spec.job, snapshot, packs);
    let (recorder, durable) = Recorder::start(spec.job, writer, report.clone());
    let most = tasks.len().min(spec.version.spec.parallelism.get() as usize);
    let workers = around.pool.start(spec, &snapshot.reader(), &recorder, &report, most).await?;
    // From here on only workers hold the recorder and the channel: both end when the workers do.
    drop((recorder, report));
    let ids = (0..workers.len() as u32).map(WorkerId);
    let mut coordinator = Coordinator::new(tasks, ids);
    converse(around, spec, &mut coordinator, &workers, &mut messages).await;
    drop(workers);
    while let Some(message) = messages.recv().await {
        observe(around, spec, &message);
        coordinator.hear(message);
    }
    if let Ok(outcome) = durable.await {
        outcome?;
    }
    if let Some(reason) = coordinator.stranded() {
        return Err(EngineError::NoWorkers { pipeline: spec.pipeline.clone(), reason: reason.to_owned() });
    }
    let complete = coordinator.is_complete();
    finished.extend(coordinator.into_finished().into_iter().map(|datum| (datum.id, datum)));
    Ok(Ran { complete })
}

/// Passes messages on until the coordinator has nothing left to wait for.
async fn converse(
    around: &Surroundings<'_>,
    spec: &JobSpec,
    coordinator: &mut Coordinator,
    workers: &[mpsc::UnboundedSender<ToWorker>],
    messages: &mut mpsc::UnboundedReceiver<FromWorker>,
) {
    let mut stop = around.stop.clone();
    let mut stopping = false;
    while !coordinator.is_done() {
        let orders = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => {
                    observe(around, spec, &message);
                    coordinator.hear(message)
                }
                None => return,
            },
            changed = stop.changed(), if !stopping => {
                stopping = changed.is_err() || *stop.borrow();
                if stopping { coordinator.stop() } else { Vec::new() }
            }
        };
        for (worker, order) in orders {
            // A worker that does not listen any more reports that it broke.
            let _ = workers[worker.0 as usize].send(order);
        }
    }
}

fn observe(around: &Surroundings<'_>, spec: &JobSpec, message: &FromWorker) {
    if let FromWorker::Finished { datums } = message {
        around.observer.datums_finished(spec, datums);
    }
}

/// The datums that are to be run and are not finished yet, in input order.
fn tasks(decided: &Decided, finished: &BTreeMap<DatumId, FinishedDatum>) -> Vec<DatumTask> {
    let actions = decided.actions();
    let to_run = |datum: &Datum| {
        matches!(actions.get(&datum.id), Some(DatumAction::Process)) && !finished.contains_key(&datum.id)
    };
    let chosen = decided.datums.iter().filter(|(datum, _)| to_run(datum));
    chosen
        .map(|(datum, key)| DatumTask {
            id: datum.id,
            key: *key,
            digest: datum.inputs_digest(),
            inputs: datum.inputs.clone(),
        })
        .collect()
}

/// What a failed job says in one line.
#[must_use]
pub fn failure_line(failure: &JobFailure) -> String {
    match failure {
        JobFailure::Datums { failed } => match failed.as_slice() {
            [one] => format!("datum {} failed: {}", one.label, one.reason),
            [first, rest @ ..] => {
                format!("datum {} failed: {} (and {} more)", first.label, first.reason, rest.len())
            }
            [] => "datums failed".to_owned(),
        },
        JobFailure::OutputConflicts { conflicts } => match conflicts.len() {
            1 => "two datums wrote the same path".to_owned(),
            count => format!("datums wrote the same path in {count} places"),
        },
        JobFailure::Upstream { pipeline } => {
            format!("pipeline `{pipeline}`, which it reads, did not succeed")
        }
        JobFailure::Job { message } => message.clone(),
    }
}
