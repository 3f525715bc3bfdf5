//! `flow pipeline`: pipelines, how they stand and what they are.

use clap::{Args, Subcommand};
use flow_model::{
    digest::VersionId,
    job::{JobCounts, JobStatus},
    spec::PipelineSpec,
};
use serde::Serialize;

use crate::{
    Exit,
    args::OutputArgs,
    condition::{Condition, Look, is_running},
    error::CommandError,
    find::{FoundJob, LivePipeline},
    session::Open,
    settings::Settings,
    ui::Ui,
    view::{
        details::{self, Details},
        listing::{self, Row},
        words,
    },
};

/// What to do with pipelines.
#[derive(Debug, Subcommand)]
pub(crate) enum PipelineCommand {
    Ls(PipelineLsArgs),
    Show(PipelineShowArgs),
}

/// List pipelines and how they stand
///
/// The state of a pipeline is `up to date`, `running`, `has work` (`flow apply` runs it), `failed` (its newest job did, and nothing
/// has changed since), `waiting for data in REPO`, or `broken` (its program cannot be found).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flow pipeline ls\n  flow pipeline ls -o wide\n  flow pipeline ls --json"
)]
pub(crate) struct PipelineLsArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Show a pipeline: how it stands, its last job, its spec
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow pipeline show edges\n  flow pipeline show edges -o yaml")]
pub(crate) struct PipelineShowArgs {
    /// The pipeline
    #[arg(value_name = "PIPELINE")]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// A pipeline of a listing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PipelineRow {
    name: String,
    state: &'static str,
    #[serde(skip)]
    state_in_words: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How many versions there were.
    version: u64,
    version_id: VersionId,
    applied: String,
    inputs: Vec<InputView>,
    last_job: Option<LastJobView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputView {
    name: String,
    repo: String,
    branch: String,
    glob: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastJobView {
    id: String,
    status: JobStatus,
    counts: JobCounts,
    started: String,
    finished: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

impl Row for PipelineRow {
    const COLUMNS: &'static [&'static str] = &[
        "pipeline",
        "state",
        "inputs",
        "last job",
        "status",
        "ended",
        "version",
        "applied",
        "output",
        "description",
    ];
    const WIDE_FROM: usize = 6;

    fn cells(&self) -> Vec<String> {
        let last = |of: fn(&LastJobView) -> String| self.last_job.as_ref().map(of).unwrap_or_default();
        vec![
            self.name.clone(),
            self.state_in_words.clone(),
            self.repos(),
            last(|job| words::short(&job.id)),
            last(|job| job.status.word().to_owned()),
            last(|job| job.finished.clone()),
            self.version_in_words(),
            self.applied.clone(),
            last(|job| job.output.as_deref().map(words::short).unwrap_or_default()),
            self.description.clone().unwrap_or_default(),
        ]
    }
}

impl PipelineRow {
    fn new(pipeline: &LivePipeline, condition: &Condition, last: Option<&FoundJob>) -> Self {
        let input = |leaf: &flow_model::spec::PfsInput| InputView {
            name: leaf.name.to_string(),
            repo: leaf.repo.to_string(),
            branch: leaf.branch.to_string(),
            glob: leaf.glob.clone(),
        };
        let spec = &pipeline.version.spec;
        Self {
            name: pipeline.name.to_string(),
            state: condition.word(),
            state_in_words: condition.in_words(),
            waiting_for: match condition {
                Condition::Waiting(repo) => Some(repo.to_string()),
                _ => None,
            },
            reason: match condition {
                Condition::Broken(reason) => Some(reason.clone()),
                _ => None,
            },
            version: pipeline.state.number,
            version_id: pipeline.state.version,
            applied: words::time(pipeline.state.applied),
            inputs: spec.input.leaves().into_iter().map(input).collect(),
            last_job: last.map(last_job),
            description: spec.description.clone(),
        }
    }

    fn repos(&self) -> String {
        let mut repos: Vec<&str> = self.inputs.iter().map(|input| input.repo.as_str()).collect();
        repos.dedup();
        repos.join(", ")
    }

    fn version_in_words(&self) -> String {
        format!("{} ({})", self.version, self.version_id.short())
    }
}

fn last_job(job: &FoundJob) -> LastJobView {
    LastJobView {
        id: job.id.to_string(),
        status: job.state.status,
        counts: job.state.counts,
        started: words::time(job.state.started),
        finished: words::time(job.state.finished),
        output: job.state.output.map(|output| output.to_string()),
    }
}

/// A pipeline in full.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PipelineView<'a> {
    #[serde(flatten)]
    row: PipelineRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_tree: Option<String>,
    spec: &'a PipelineSpec,
}

/// Runs a command on pipelines.
pub(crate) async fn run(
    command: PipelineCommand,
    settings: &Settings,
    ui: &Ui,
) -> Result<Exit, CommandError> {
    match command {
        PipelineCommand::Ls(args) => ls(&args, settings, ui).await,
        PipelineCommand::Show(args) => show(&args, settings, ui).await,
    }
}

async fn ls(args: &PipelineLsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let look = Look::open(&open.workspace, settings).await?;
    let mut rows = Vec::new();
    for pipeline in open.pipelines().await? {
        rows.push(row(&open, &look, &pipeline).await?);
    }
    listing::print(ui, &args.output, &rows, "no pipelines")?;
    Ok(Exit::Done)
}

async fn row(open: &Open, look: &Look, pipeline: &LivePipeline) -> Result<PipelineRow, CommandError> {
    let condition = look.at(&open.snapshot, &pipeline.name).await?;
    let last = open.last_job(&pipeline.name).await?;
    let mut row = PipelineRow::new(pipeline, &condition, last.as_ref());
    if condition.next_job().is_some_and(|job| is_running(&open.workspace, job)) {
        (row.state, row.state_in_words) = ("running", "running".to_owned());
    }
    Ok(row)
}

async fn show(args: &PipelineShowArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let pipeline = open.pipeline(&args.name).await?;
    let look = Look::open(&open.workspace, settings).await?;
    let view = PipelineView {
        row: row(&open, &look, &pipeline).await?,
        code_tree: pipeline.version.code_tree.map(|tree| tree.to_string()),
        spec: &pipeline.version.spec,
    };
    details::print(ui, &args.output, &view, &describe(&view)?)?;
    Ok(Exit::Done)
}

fn describe(view: &PipelineView<'_>) -> Result<Details, CommandError> {
    let row = &view.row;
    let spec = serde_saphyr::to_string(view.spec);
    let spec = spec.map_err(|error| CommandError::internal(error.to_string()))?;
    let state = match &row.reason {
        Some(reason) => format!("{}: {reason}", row.state_in_words),
        None => row.state_in_words.clone(),
    };
    let last = row.last_job.as_ref().map(|job| {
        format!(
            "{}, {}, {}: {}",
            words::short(&job.id),
            job.status.word(),
            job.finished,
            words::job_counts(&job.counts)
        )
    });
    let output = row.last_job.as_ref().and_then(|job| job.output.as_deref());
    Ok(Details::default()
        .field("pipeline", row.name.clone())
        .field("description", row.description.clone().unwrap_or_default())
        .field("state", state)
        .field("version", format!("{}, applied {}", row.version_in_words(), row.applied))
        .field("code", view.code_tree.as_deref().map(words::short).unwrap_or_default())
        .field("last job", last.unwrap_or_else(|| "none".to_owned()))
        .field(
            "output",
            output.map(|output| format!("{}@{}", row.name, words::short(output))).unwrap_or_default(),
        )
        .section("spec", spec))
}
