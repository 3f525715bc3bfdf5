//! `flow job`: jobs, what they did, what their datums wrote, and waiting for them.

mod logs;
mod show;
mod wait;

use clap::{Args, Subcommand};
use flow_model::job::JobCounts;
use serde::Serialize;

pub(crate) use self::logs::{StreamArgs, print_log};
use crate::{
    Exit,
    args::OutputArgs,
    condition::started,
    error::CommandError,
    find::FoundJob,
    running::{self, RunningJob},
    session::Open,
    settings::Settings,
    ui::Ui,
    view::{
        listing::{self, Row},
        words,
    },
};

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    Ls(JobLsArgs),
    Show(show::JobShowArgs),
    Logs(logs::JobLogsArgs),
    Wait(wait::JobWaitArgs),
}

/// List jobs, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow job ls
  flow job ls edges
  flow job ls --json")]
pub(crate) struct JobLsArgs {
    /// Only the jobs of this pipeline
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A job of a listing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobRow {
    id: String,
    pipeline: String,
    status: &'static str,
    counts: JobCounts,
    started: Option<String>,
    finished: Option<String>,
    wall_millis: Option<u64>,
    output: Option<String>,
    version: String,
    commit_set: Option<String>,
}

impl Row for JobRow {
    const COLUMNS: &'static [&'static str] =
        &["job", "pipeline", "status", "datums", "started", "time", "output", "version", "commit set"];
    const WIDE_FROM: usize = 7;

    fn cells(&self) -> Vec<String> {
        let short = |id: &Option<String>| id.as_deref().map(words::short).unwrap_or_default();
        vec![
            words::short(&self.id),
            self.pipeline.clone(),
            self.status.to_owned(),
            words::job_counts(&self.counts),
            self.started.clone().unwrap_or_default(),
            self.wall_millis.map(|wall| words::millis(flow_model::time::Millis(wall))).unwrap_or_default(),
            short(&self.output),
            words::short(&self.version),
            short(&self.commit_set),
        ]
    }
}

impl From<&FoundJob> for JobRow {
    fn from(job: &FoundJob) -> Self {
        let state = &job.state;
        Self {
            id: job.id.to_string(),
            pipeline: job.pipeline.to_string(),
            status: state.status.word(),
            counts: state.counts,
            started: Some(words::time(state.started)),
            finished: Some(words::time(state.finished)),
            wall_millis: Some(state.finished.since(state.started).0),
            output: state.output.map(|output| output.to_string()),
            version: state.version.to_string(),
            commit_set: Some(state.commit_set.to_string()),
        }
    }
}

impl JobRow {
    async fn running(job: &RunningJob, open: &Open) -> Result<Self, CommandError> {
        Ok(Self {
            id: job.id.to_string(),
            pipeline: job.work.pipeline.to_string(),
            status: "running",
            counts: job.counts(open).await?,
            started: started(&open.workspace, job.id).map(words::time),
            finished: None,
            wall_millis: None,
            output: None,
            version: job.work.version_id.to_string(),
            commit_set: None,
        })
    }
}

/// Runs a command on jobs.
pub(crate) async fn run(command: JobCommand, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    match command {
        JobCommand::Ls(args) => ls(&args, settings, ui).await,
        JobCommand::Show(args) => show::show(&args, settings, ui).await,
        JobCommand::Logs(args) => logs::logs(&args, settings, ui).await,
        JobCommand::Wait(args) => wait::wait(&args, settings, ui).await,
    }
}

async fn ls(args: &JobLsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let pipeline = match &args.pipeline {
        Some(name) => Some(open.pipeline(name).await?.name),
        None => None,
    };
    let mut rows = Vec::new();
    for job in running::jobs(&open, pipeline.as_ref(), settings).await? {
        rows.push(JobRow::running(&job, &open).await?);
    }
    rows.extend(open.jobs(pipeline.as_ref()).await?.iter().map(JobRow::from));
    listing::print(ui, &args.output, &rows, "no jobs")?;
    Ok(Exit::Done)
}
