//! What stands between a pipeline and its next job, for listings and for waiting.
//!
//! The same look at the state that decides what runs ([`flow_engine::work`]); nothing is run here.

use std::{
    collections::BTreeSet,
    fs::{File, TryLockError},
    path::PathBuf,
};

use flow_engine::{
    error::EngineError,
    local::{LocalOptions, LocalPool},
    process::Helper,
    work::{Readiness, Work, readiness},
};
use flow_model::{
    digest::JobId,
    job::job_id,
    name::{PipelineName, RepoName},
    time::Timestamp,
};
use flow_store::Snapshot;

use crate::{error::CommandError, settings::Settings, workspace::Workspace};

/// What stands between a pipeline and its next job.
#[derive(Debug)]
pub(crate) enum Condition {
    /// Its newest job has done its work.
    UpToDate,
    /// There is work that was not done before.
    HasWork(Box<Work>),
    /// Its newest job did this very work and did not succeed.
    Failed(Box<Work>),
    /// An input repo has no commit yet.
    Waiting(RepoName),
    /// Its work cannot be told, because its program cannot be run here.
    Broken(String),
}

impl Condition {
    /// The word for programs.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::UpToDate => "upToDate",
            Self::HasWork(_) => "hasWork",
            Self::Failed(_) => "failed",
            Self::Waiting(_) => "waiting",
            Self::Broken(_) => "broken",
        }
    }

    /// The words for people.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::UpToDate => "up to date".to_owned(),
            Self::HasWork(_) => "has work".to_owned(),
            Self::Failed(_) => "failed".to_owned(),
            Self::Waiting(repo) => format!("waiting for data in {repo}"),
            Self::Broken(_) => "broken".to_owned(),
        }
    }

    /// The job that would be next.
    pub(crate) fn next_job(&self) -> Option<JobId> {
        match self {
            Self::HasWork(work) | Self::Failed(work) => {
                Some(job_id(work.version_id, &work.commits(), work.run))
            }
            Self::UpToDate | Self::Waiting(_) | Self::Broken(_) => None,
        }
    }
}

/// Looks at the pipelines of a workspace's state.
pub(crate) struct Look {
    pool: LocalPool,
}

impl Look {
    /// Prepares to find the programs that pipelines run.
    pub(crate) async fn open(workspace: &Workspace, settings: &Settings) -> Result<Self, CommandError> {
        let pool = LocalPool::open(LocalOptions {
            scratch: workspace.scratch(),
            environment: settings.environment.clone(),
            slots_max: 1,
            helper: Helper::default(),
            // Nothing is run, so it does not matter whether it could be contained.
            plain: true,
        })
        .await?;
        Ok(Self { pool })
    }

    /// The condition of a pipeline.
    pub(crate) async fn at(
        &self,
        snapshot: &Snapshot,
        pipeline: &PipelineName,
    ) -> Result<Condition, CommandError> {
        Ok(match readiness(snapshot, &self.pool, pipeline).await {
            Ok(Readiness::UpToDate) => Condition::UpToDate,
            Ok(Readiness::Ready(work)) if work.run > 0 => Condition::Failed(work),
            Ok(Readiness::Ready(work)) => Condition::HasWork(work),
            Ok(Readiness::Waiting { repo }) => Condition::Waiting(repo),
            Err(error @ EngineError::Store(_)) => return Err(error.into()),
            Err(error) => Condition::Broken(flow_engine::schedule::error_line(&error)),
        })
    }
}

fn lock_file(workspace: &Workspace, job: JobId) -> PathBuf {
    workspace.scratch().join("jobs").join(format!("{job}.lock"))
}

/// Whether somebody runs a job now: its lock is held.
pub(crate) fn is_running(workspace: &Workspace, job: JobId) -> bool {
    let Ok(file) = File::open(lock_file(workspace, job)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// When the run of a job that is run now began: its lock was made then.
pub(crate) fn started(workspace: &Workspace, job: JobId) -> Option<Timestamp> {
    let made = lock_file(workspace, job).metadata().and_then(|data| data.modified()).ok()?;
    let since = made.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(Timestamp)
}

/// The jobs that somebody runs now, whether the state still wants them or not.
pub(crate) fn running(workspace: &Workspace) -> Vec<JobId> {
    let Ok(entries) = std::fs::read_dir(workspace.scratch().join("jobs")) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let jobs = names.filter_map(|name| name.strip_suffix(".lock")?.parse().ok());
    let mut jobs: Vec<JobId> = jobs.filter(|job| is_running(workspace, *job)).collect();
    jobs.sort_unstable();
    jobs
}

/// A pipeline and all that it reads from, directly or not, upstream first.
pub(crate) fn with_upstream(dag: &flow_model::dag::Dag, pipeline: &PipelineName) -> Vec<PipelineName> {
    let order: Vec<PipelineName> = dag.pipelines().cloned().collect();
    let mut wanted = BTreeSet::from([pipeline.clone()]);
    for name in order.iter().rev() {
        if wanted.contains(name) {
            wanted.extend(dag.upstream(name).cloned());
        }
    }
    order.into_iter().filter(|name| wanted.contains(name)).collect()
}
