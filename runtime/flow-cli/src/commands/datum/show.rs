//! `flow datum show`: one datum of one job in full.

use clap::Args;
use flow_model::job::{DatumFailure, JobFailure, JobManifest, LogRef};
use serde::Serialize;

use super::{DatumArgs, DatumRow};
use crate::{
    Exit,
    args::OutputArgs,
    error::CommandError,
    find::JobDatum,
    session::Open,
    settings::Settings,
    ui::Ui,
    view::{
        details::{self, Details},
        words,
    },
};

/// Show a datum: what it read and wrote, and how it ran
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow datum show 7f2d01
  flow datum show 7f2d01 --job edges
  flow datum show 7f2d01 --json")]
pub(crate) struct DatumShowArgs {
    #[command(flatten)]
    datum: DatumArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A datum in full.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DatumView {
    #[serde(flatten)]
    row: DatumRow,
    /// The versions that were read, as addresses.
    read: Vec<String>,
    wrote: Vec<OutputView>,
    cpu_millis: u64,
    max_memory_kib: u64,
    stdout_bytes: u64,
    stderr_bytes: u64,
    runner: String,
    executor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<DatumFailure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputView {
    path: String,
    bytes: u64,
    blob: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    executable: bool,
}

/// Shows a datum.
pub(super) async fn show(args: &DatumShowArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let found = open.datum(&args.datum.datum, args.datum.job.as_deref()).await?;
    let datum = open.details(found.id, found.entry).await?;
    let row = DatumRow::new(&datum, found.job.id, &found.job.pipeline);
    let view = view(row, &datum, &found.manifest);
    details::print(ui, &args.output, &view, &describe(&view))?;
    Ok(Exit::Done)
}

fn view(row: DatumRow, datum: &JobDatum, manifest: &JobManifest) -> DatumView {
    let facts = &datum.facts;
    let output = |output: &flow_model::job::DatumOutput| OutputView {
        path: output.path.to_string(),
        bytes: output.file.size,
        blob: output.file.blob.to_string(),
        executable: output.file.executable,
    };
    let written = |log: &LogRef| log.written;
    DatumView {
        row,
        read: datum.record.inputs.iter().map(|input| read_address(manifest, input)).collect(),
        wrote: datum.record.outputs.iter().map(output).collect(),
        cpu_millis: facts.cpu.0,
        max_memory_kib: facts.max_rss_kib,
        stdout_bytes: written(&facts.stdout),
        stderr_bytes: written(&facts.stderr),
        runner: facts.runner.clone(),
        executor: facts.executor.clone(),
        failure: failure_of(datum, manifest),
    }
}

/// `repo@commit:/path`, or the branch where the job did not record the version.
fn read_address(manifest: &JobManifest, input: &flow_model::datum::DatumInput) -> String {
    let read = manifest
        .inputs
        .iter()
        .find(|read| (&read.name, &read.repo, &read.branch) == (&input.name, &input.repo, &input.branch));
    let version = read.map_or_else(|| input.branch.to_string(), |read| read.commit.to_string());
    format!("{}@{version}:{}", input.repo, input.path)
}

fn failure_of(datum: &JobDatum, manifest: &JobManifest) -> Option<DatumFailure> {
    match &manifest.failure {
        Some(JobFailure::Datums { failed }) => {
            failed.iter().find(|failure| failure.datum == datum.id).cloned()
        }
        _ => None,
    }
}

fn describe(view: &DatumView) -> Details {
    let row = &view.row;
    let status = match &view.failure {
        Some(failure) => format!("{}: {}", row.status.word(), failure.reason),
        None => row.status.word().to_owned(),
    };
    let ran_in = if row.ran_in == row.job { String::new() } else { format!("in job {}", row.ran_in) };
    let inputs: Vec<String> = row.inputs.iter().zip(&view.read).map(input_line).collect();
    let outputs: Vec<String> =
        view.wrote.iter().map(|output| format!("{}  {}", output.path, words::bytes(output.bytes))).collect();
    let logs = format!(
        "{} to stdout, {} to stderr",
        words::bytes(view.stdout_bytes),
        words::bytes(view.stderr_bytes)
    );
    let usage = format!(
        "{}, {} of processor time, at most {} of memory",
        words::millis(flow_model::time::Millis(row.wall_millis)),
        words::millis(flow_model::time::Millis(view.cpu_millis)),
        words::bytes(view.max_memory_kib * 1024)
    );
    let tries = if row.attempts == 1 { String::new() } else { format!(", try {}", row.attempts) };
    let tail = view.failure.iter().flat_map(|failure| &failure.log_tail);
    let tail: Vec<&str> = tail.map(String::as_str).collect();
    let help = view.failure.as_ref().and_then(|failure| failure.help.clone());
    Details::default()
        .field("datum", row.id.to_string())
        .field("inputs", row.label.clone())
        .field("job", format!("{} of {}", row.job, row.pipeline))
        .field("status", status)
        .field("help", help.unwrap_or_default())
        .field("ran", ran_in)
        .field("ended with", format!("{}{tries}", row.exit))
        .field("started", row.started.clone())
        .field("took", usage)
        .field("logs", logs)
        .field("run by", format!("{}, as a {}", view.runner, view.executor))
        .field("key", row.key.to_string())
        .section("read", inputs.join("\n"))
        .section("wrote", outputs.join("\n"))
        .section("last lines of its log", tail.join("\n"))
}

fn input_line((input, address): (&super::InputView, &String)) -> String {
    let size = if input.files == 1 {
        words::bytes(input.bytes)
    } else {
        format!("{}, {}", words::count(input.files, "file"), words::bytes(input.bytes))
    };
    format!("{address}  {size}, content {}", words::short(&input.content))
}
