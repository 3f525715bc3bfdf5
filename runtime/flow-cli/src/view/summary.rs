//! What an apply says at its end: how each pipeline fared and how to look at the result.

use flow_engine::{
    job::failure_line,
    schedule::{PipelineOutcome, PipelineReport},
};
use flow_model::job::{DatumFailure, JobFailure, JobStatus, OutputConflict};

use crate::{
    ui::{Ui, style},
    view::words,
};

/// Conflicts and failed datums that are shown; `flow job show` has all.
const SHOWN_MAX: usize = 10;

/// Prints the summary: a line per pipeline, then what failed, then the next commands.
pub(crate) fn print(ui: &Ui, reports: &[PipelineReport]) {
    let width = reports.iter().map(|report| report.pipeline.as_str().len()).max().unwrap_or(0);
    for report in reports {
        ui.say(&line(report, width));
    }
    for report in reports {
        if let Some(failure) = report.outcome.failure() {
            print_failure(ui, report, failure);
        }
    }
    let last = reports.iter().rev().find(|report| {
        report.outcome.manifest().is_some_and(|manifest| manifest.status == JobStatus::Success)
    });
    if let Some(last) = last {
        ui.say("");
        ui.say(&format!(
            "look at the result: `flow ls {0}`, how it was made: `flow provenance {0}`",
            last.pipeline
        ));
    }
}

fn line(report: &PipelineReport, width: usize) -> String {
    let (good, bad, dim) = (style::GOOD, style::BAD, style::DIM);
    let name = format!("{:width$}", report.pipeline.as_str());
    let time = words::millis(report.wall);
    match &report.outcome {
        PipelineOutcome::Ran(job) => {
            let counts = job.counts;
            let run = counts.processed + counts.failed + counts.recovered;
            let mut text = format!("{} run, {} reused, {} failed", run, counts.reused, counts.failed);
            if counts.recovered > 0 {
                text.push_str(&format!(", {} recovered", counts.recovered));
            }
            let output = job.manifest.as_ref().and_then(|manifest| manifest.output);
            match (job.status, output) {
                (JobStatus::Success, Some(output)) => {
                    format!(
                        "  {good}done{good:#}    {name}  {text}, {time}  {dim}{}@{}{dim:#}",
                        report.pipeline,
                        output.short()
                    )
                }
                (JobStatus::Killed, _) => {
                    format!("  {bad}stopped{bad:#} {name}  {text}: `flow apply` goes on")
                }
                _ => format!(
                    "  {bad}failed{bad:#}  {name}  {text}, {time}  {dim}job {}{dim:#}",
                    job.job.short()
                ),
            }
        }
        PipelineOutcome::RunElsewhere => {
            format!("  {good}done{good:#}    {name}  by another `flow`, meanwhile")
        }
        PipelineOutcome::Unrunnable(upstream) => {
            format!("  {bad}skipped{bad:#} {name}  `{upstream}`, which it needs, did not succeed")
        }
        PipelineOutcome::Broken(reason) => format!("  {bad}broken{bad:#}  {name}  {reason}"),
    }
}

fn print_failure(ui: &Ui, report: &PipelineReport, failure: &JobFailure) {
    let bad = style::BAD;
    ui.say("");
    ui.say(&format!("{bad}error{bad:#}: pipeline `{}`: {}", report.pipeline, failure_line(failure)));
    match failure {
        JobFailure::Datums { failed } => {
            for datum in failed.iter().take(SHOWN_MAX) {
                print_datum(ui, datum);
            }
            ui.say(&format!(
                "  help: `flow job show {0}` has all of it, `flow job logs {0}` the logs",
                job_of(report)
            ));
        }
        JobFailure::OutputConflicts { conflicts } => {
            for conflict in conflicts.iter().take(SHOWN_MAX) {
                ui.say(&format!("  {}", conflict_line(conflict)));
            }
            let more = conflicts.len().saturating_sub(SHOWN_MAX);
            if more > 0 {
                ui.say(&format!("  and {more} more: `flow job show {}`", job_of(report)));
            }
            ui.say("  help: let each datum write paths of its own, for example named after its input");
        }
        JobFailure::Upstream { .. } | JobFailure::Job { .. } => {}
    }
}

fn job_of(report: &PipelineReport) -> String {
    report.outcome.manifest().map(|manifest| manifest.job.short()).unwrap_or_default()
}

/// A failed datum with the end of its log.
pub(crate) fn print_datum(ui: &Ui, datum: &DatumFailure) {
    let dim = style::DIM;
    ui.say(&format!("  datum {}: {}  {dim}{}{dim:#}", datum.label, datum.reason, datum.datum.short()));
    for line in &datum.log_tail {
        ui.say(&format!("    | {line}"));
    }
    if let Some(help) = &datum.help {
        ui.say(&format!("    help: {help}"));
    }
}

/// A conflict with both its datums.
pub(crate) fn conflict_line(conflict: &OutputConflict) -> String {
    let [(_, one), (_, two)] = &conflict.datums;
    match &conflict.other_path {
        None => format!("{} was written by datum {one} and by datum {two}", conflict.path),
        Some(other) => {
            format!("{} is a file of one and {other} lies below it: datums {one} and {two}", conflict.path)
        }
    }
}
