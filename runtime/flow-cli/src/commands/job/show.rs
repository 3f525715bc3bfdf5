//! `flow job show`: one job in full.

use std::collections::BTreeMap;

use clap::Args;
use flow_engine::job::failure_line;
use flow_model::{
    datum::ExecutorIdentity,
    digest::DatumId,
    job::{DatumFailure, DatumOutcome, JobFailure, JobManifest, JobStatus, OutputConflict},
};
use serde::Serialize;

use super::JobRow;
use crate::{
    Exit,
    args::OutputArgs,
    error::CommandError,
    find::label,
    session::Open,
    settings::Settings,
    ui::Ui,
    view::{
        details::{self, Details},
        summary, words,
    },
};

/// Show a job: inputs, counts, output, and every failed datum
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow job show 3289fb   by the first digits of its id
  flow job show edges    the newest job of a pipeline
  flow job show edges --json")]
pub(crate) struct JobShowArgs {
    /// The job's id or the start of it, or a pipeline
    #[arg(value_name = "JOB|PIPELINE")]
    job: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// A job in full.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobView {
    #[serde(flatten)]
    row: JobRow,
    /// How often the same version had run on the same inputs before.
    run: u32,
    inputs: Vec<JobInputView>,
    executor: ExecutorIdentity,
    transform: String,
    actor: String,
    tool_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobInputView {
    name: String,
    repo: String,
    branch: String,
    commit: String,
}

/// Why a job did not succeed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureView {
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    datums: Vec<FailedDatum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<ConflictView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedDatum {
    id: DatumId,
    label: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    log_tail: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConflictView {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_path: Option<String>,
    datums: [ConflictSide; 2],
    #[serde(skip)]
    line: String,
}

#[derive(Serialize)]
struct ConflictSide {
    id: DatumId,
    label: String,
}

/// Shows a job.
pub(super) async fn show(args: &JobShowArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let job = open.job(&args.job).await?;
    let manifest = open.manifest(&job).await?;
    let input = |input: &flow_model::job::JobInput| JobInputView {
        name: input.name.to_string(),
        repo: input.repo.to_string(),
        branch: input.branch.to_string(),
        commit: input.commit.to_string(),
    };
    let view = JobView {
        row: JobRow::from(&job),
        run: manifest.run,
        inputs: manifest.inputs.iter().map(input).collect(),
        executor: manifest.executor.clone(),
        transform: manifest.transform.to_string(),
        actor: manifest.actor.clone(),
        tool_version: manifest.tool_version.clone(),
        failure: failure(&open, &manifest).await?,
    };
    details::print(ui, &args.output, &view, &describe(&view, &manifest))?;
    Ok(Exit::Done)
}

async fn failure(open: &Open, manifest: &JobManifest) -> Result<Option<FailureView>, CommandError> {
    let Some(failure) = &manifest.failure else { return Ok(None) };
    let (kind, datums, conflicts) = match failure {
        JobFailure::Datums { failed } => ("datums", failed_datums(open, manifest, failed).await?, Vec::new()),
        JobFailure::OutputConflicts { conflicts } => {
            ("outputConflicts", Vec::new(), conflicts.iter().map(conflict).collect())
        }
        JobFailure::Upstream { .. } => ("upstream", Vec::new(), Vec::new()),
        JobFailure::Job { .. } => ("job", Vec::new(), Vec::new()),
    };
    Ok(Some(FailureView { kind, message: failure_line(failure), datums, conflicts }))
}

/// All failed datums by label: the manifest describes the first few, the tree of datums has the others.
async fn failed_datums(
    open: &Open,
    manifest: &JobManifest,
    described: &[DatumFailure],
) -> Result<Vec<FailedDatum>, CommandError> {
    let described: BTreeMap<DatumId, &DatumFailure> =
        described.iter().map(|failure| (failure.datum, failure)).collect();
    let mut failed = Vec::new();
    for datum in open.datums_of(manifest, |entry| entry.outcome == DatumOutcome::Failed).await? {
        failed.push(match described.get(&datum.id) {
            Some(known) => FailedDatum {
                id: datum.id,
                label: known.label.clone(),
                reason: known.reason.clone(),
                help: known.help.clone(),
                log_tail: known.log_tail.clone(),
            },
            None => FailedDatum {
                id: datum.id,
                label: label(&datum.record.inputs),
                reason: datum.facts.exit.clone(),
                help: None,
                log_tail: Vec::new(),
            },
        });
    }
    failed.sort_by(|a, b| (&a.label, a.id).cmp(&(&b.label, b.id)));
    Ok(failed)
}

fn conflict(conflict: &OutputConflict) -> ConflictView {
    let side = |(id, label): &(DatumId, String)| ConflictSide { id: *id, label: label.clone() };
    ConflictView {
        path: conflict.path.to_string(),
        other_path: conflict.other_path.as_ref().map(ToString::to_string),
        datums: [side(&conflict.datums[0]), side(&conflict.datums[1])],
        line: summary::conflict_line(conflict),
    }
}

fn describe(view: &JobView, manifest: &JobManifest) -> Details {
    let row = &view.row;
    let status = match &view.failure {
        Some(failure) => format!("{}: {}", row.status, failure.message),
        None => row.status.to_owned(),
    };
    let input = |input: &JobInputView| {
        let name = if input.name == input.repo { String::new() } else { format!(" as {}", input.name) };
        format!("{}@{} ({}){name}", input.repo, words::short(&input.commit), input.branch)
    };
    let inputs: Vec<String> = view.inputs.iter().map(input).collect();
    let output = match (&manifest.output, manifest.status) {
        (Some(output), _) => format!("{}@{}", row.pipeline, output.short()),
        (None, JobStatus::Success) => String::new(),
        (None, _) => "none was published; results of good datums are kept".to_owned(),
    };
    let wall = words::millis(manifest.finished.since(manifest.started));
    let ended = format!("{}, after {wall}", words::time(manifest.finished));
    let again = if view.run == 0 { String::new() } else { format!(", run again ({})", view.run) };
    Details::default()
        .field("job", row.id.clone())
        .field("pipeline", row.pipeline.clone())
        .field("status", status)
        .field("datums", words::job_counts(&row.counts))
        .field("read", inputs.join("\n"))
        .field("output", output)
        .field("started", format!("{}{again}", row.started.clone().unwrap_or_default()))
        .field("ended", ended)
        .field("version", words::short(&row.version))
        .field("ran", words::executor(&view.executor))
        .field("set off by", format!("{} with flow {}", view.actor, view.tool_version))
        .field("commit set", row.commit_set.as_deref().map(words::short).unwrap_or_default())
        .section("failed datums", failed_text(view))
        .section("conflicts", conflicts_text(view))
}

fn failed_text(view: &JobView) -> String {
    let mut text = String::new();
    for datum in view.failure.iter().flat_map(|failure| &failure.datums) {
        text.push_str(&format!("{}: {}  ({})\n", datum.label, datum.reason, datum.id.short()));
        for line in &datum.log_tail {
            text.push_str(&format!("  | {line}\n"));
        }
        if let Some(help) = &datum.help {
            text.push_str(&format!("  help: {help}\n"));
        }
    }
    text
}

fn conflicts_text(view: &JobView) -> String {
    let lines =
        view.failure.iter().flat_map(|failure| &failure.conflicts).map(|conflict| conflict.line.as_str());
    lines.collect::<Vec<_>>().join("\n")
}
