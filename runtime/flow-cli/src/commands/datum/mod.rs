//! `flow datum`: datums, what they read and wrote, and why they ran.

mod show;
mod why;

use clap::{Args, Subcommand, ValueEnum};
use flow_model::{
    datum::{DatumInput, InputContent},
    digest::{DatumId, DatumKey, JobId},
    job::DatumStatus,
    name::PipelineName,
};
use serde::Serialize;

use crate::{
    Exit,
    args::OutputArgs,
    commands::job::{StreamArgs, print_log},
    error::CommandError,
    find::{JobDatum, label},
    running::{self, RunningJob},
    session::Open,
    settings::Settings,
    ui::Ui,
    view::{
        listing::{self, Row},
        words,
    },
};

/// What to do with datums.
#[derive(Debug, Subcommand)]
pub(crate) enum DatumCommand {
    Ls(DatumLsArgs),
    Show(show::DatumShowArgs),
    Logs(DatumLogsArgs),
    Why(why::DatumWhyArgs),
}

/// List the datums of a job
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow datum ls edges                  of the newest job of a pipeline
  flow datum ls 3289fb --status failed
  flow datum ls edges --json")]
pub(crate) struct DatumLsArgs {
    /// The job's id or the start of it, or a pipeline
    #[arg(value_name = "JOB|PIPELINE")]
    job: String,
    /// Only datums with this status
    #[arg(long, value_name = "STATUS")]
    status: Option<StatusFilter>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A status to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFilter {
    /// Ran in the job
    Processed,
    /// The result was known
    Reused,
    /// Failed for good
    Failed,
    /// Failed, and `err_cmd` succeeded
    Recovered,
}

impl StatusFilter {
    fn passes(self, status: DatumStatus) -> bool {
        matches!(
            (self, status),
            (Self::Processed, DatumStatus::Processed)
                | (Self::Reused, DatumStatus::Reused)
                | (Self::Failed, DatumStatus::Failed)
                | (Self::Recovered, DatumStatus::Recovered)
        )
    }
}

/// Print what a datum wrote to standard output and standard error
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow datum logs 7f2d01\n  flow datum logs 7f2d01 --stderr --job edges")]
pub(crate) struct DatumLogsArgs {
    #[command(flatten)]
    datum: DatumArgs,
    #[command(flatten)]
    streams: StreamArgs,
}

/// Which datum.
#[derive(Debug, Args)]
struct DatumArgs {
    /// The datum's id or the start of it
    #[arg(value_name = "DATUM")]
    datum: String,
    /// In this job, or the newest job of this pipeline; the newest job that has the datum if not given
    #[arg(long, visible_alias = "pipeline", value_name = "JOB|PIPELINE")]
    job: Option<String>,
}

/// A datum of a listing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DatumRow {
    id: DatumId,
    job: JobId,
    pipeline: String,
    status: DatumStatus,
    label: String,
    inputs: Vec<InputView>,
    key: DatumKey,
    /// The job in which it ran.
    ran_in: JobId,
    exit: String,
    attempts: u32,
    started: String,
    wall_millis: u64,
    outputs: u64,
}

/// What a datum read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputView {
    name: String,
    repo: String,
    branch: String,
    path: String,
    files: u64,
    bytes: u64,
    /// Digest of the file, or of the folder with all below it.
    content: String,
}

impl From<&DatumInput> for InputView {
    fn from(input: &DatumInput) -> Self {
        let (files, content) = match &input.content {
            InputContent::File(entry) => (1, entry.blob.to_string()),
            InputContent::Folder { digest, files, .. } => (*files, digest.to_string()),
        };
        Self {
            name: input.name.to_string(),
            repo: input.repo.to_string(),
            branch: input.branch.to_string(),
            path: input.path.clone(),
            files,
            bytes: input.content.bytes(),
            content,
        }
    }
}

impl Row for DatumRow {
    const COLUMNS: &'static [&'static str] =
        &["datum", "status", "inputs", "time", "exit", "tries", "started", "ran in", "files written", "key"];
    const WIDE_FROM: usize = 5;

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.short(),
            self.status.word().to_owned(),
            self.label.clone(),
            words::millis(flow_model::time::Millis(self.wall_millis)),
            self.exit.clone(),
            self.attempts.to_string(),
            self.started.clone(),
            self.ran_in.short(),
            self.outputs.to_string(),
            self.key.short(),
        ]
    }
}

impl DatumRow {
    fn new(datum: &JobDatum, job: JobId, pipeline: &PipelineName) -> Self {
        Self {
            id: datum.id,
            job,
            pipeline: pipeline.to_string(),
            status: datum.entry.status(job),
            label: label(&datum.record.inputs),
            inputs: datum.record.inputs.iter().map(InputView::from).collect(),
            key: datum.entry.key,
            ran_in: datum.entry.ran_in,
            exit: datum.facts.exit.clone(),
            attempts: datum.facts.attempts,
            started: words::time(datum.facts.started),
            wall_millis: datum.facts.wall.0,
            outputs: datum.record.outputs.len() as u64,
        }
    }
}

/// Runs a command on datums.
pub(crate) async fn run(command: DatumCommand, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    match command {
        DatumCommand::Ls(args) => ls(&args, settings, ui).await,
        DatumCommand::Show(args) => show::show(&args, settings, ui).await,
        DatumCommand::Logs(args) => logs(&args, settings, ui).await,
        DatumCommand::Why(args) => why::why(&args, settings, ui).await,
    }
}

async fn ls(args: &DatumLsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let passes = |status| args.status.is_none_or(|wanted| wanted.passes(status));
    let mut rows: Vec<DatumRow> = match open.job(&args.job).await {
        Ok(job) => {
            let manifest = open.manifest(&job).await?;
            let datums = open.datums_of(&manifest, |entry| passes(entry.status(job.id))).await?;
            datums.iter().map(|datum| DatumRow::new(datum, job.id, &job.pipeline)).collect()
        }
        Err(error) => {
            let job = running_job(&open, &args.job, settings).await?.ok_or(error)?;
            let datums = job.datums(&open).await?;
            let rows = datums.iter().map(|datum| DatumRow::new(datum, job.id, &job.work.pipeline));
            rows.filter(|row| passes(row.status)).collect()
        }
    };
    rows.sort_by(|a, b| (&a.label, a.id).cmp(&(&b.label, b.id)));
    listing::print(ui, &args.output, &rows, "no datums")?;
    Ok(Exit::Done)
}

/// The one job that is run now and whose id or pipeline is meant: its finished datums can be listed already.
async fn running_job(
    open: &Open,
    text: &str,
    settings: &Settings,
) -> Result<Option<RunningJob>, CommandError> {
    let is_meant = |job: &RunningJob| {
        job.work.pipeline.as_str() == text || (text.len() >= 4 && job.id.to_string().starts_with(text))
    };
    let mut jobs = running::jobs(open, None, settings).await?.into_iter().filter(is_meant);
    Ok(jobs.next().filter(|_| jobs.next().is_none()))
}

async fn logs(args: &DatumLogsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let found = open.datum(&args.datum.datum, args.datum.job.as_deref()).await?;
    let datum = open.details(found.id, found.entry).await?;
    if !print_log(ui, &open.snapshot.reader(), &datum.facts, args.streams).await? {
        ui.say(&format!("datum {} wrote nothing", datum.id.short()));
    }
    Ok(Exit::Done)
}
