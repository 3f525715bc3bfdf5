//! `flow job logs`: what the datums of a job wrote to standard output and standard error.

use clap::Args;
use flow_model::job::{DatumOutcome, DatumStatus, LogRef, RunFacts};
use flow_store::Reader;

use crate::{
    Exit,
    error::CommandError,
    find::{JobDatum, label},
    session::Open,
    settings::Settings,
    ui::{Ui, style},
    view::words,
};

/// Print what the datums of a job wrote, failed ones first
///
/// Of a datum whose result was reused, the log of the run that made the result is shown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow job logs edges                 the newest job of a pipeline
  flow job logs 3289fb --stderr       one stream alone
  flow job logs edges --datum 7f2d01  one datum")]
pub(crate) struct JobLogsArgs {
    /// The job's id or the start of it, or a pipeline
    #[arg(value_name = "JOB|PIPELINE")]
    job: String,
    /// Only this datum, by its id or the start of it
    #[arg(long, value_name = "ID")]
    datum: Option<String>,
    #[command(flatten)]
    streams: StreamArgs,
}

/// Which of the two streams.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct StreamArgs {
    /// Only standard output
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,
    /// Only standard error
    #[arg(long)]
    stderr: bool,
}

impl StreamArgs {
    /// The streams with their names.
    fn of(self, facts: &RunFacts) -> Vec<(&'static str, &LogRef)> {
        let mut streams = Vec::new();
        if !self.stderr {
            streams.push(("stdout", &facts.stdout));
        }
        if !self.stdout {
            streams.push(("stderr", &facts.stderr));
        }
        streams
    }

    const fn is_one(self) -> bool {
        self.stdout || self.stderr
    }
}

/// Prints the logs of a job's datums, each below a line that names it.
pub(super) async fn logs(args: &JobLogsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let job = open.job(&args.job).await?;
    let manifest = open.manifest(&job).await?;
    let mut datums = match &args.datum {
        Some(text) => {
            let found = open.datum(text, Some(&args.job)).await?;
            vec![open.details(found.id, found.entry).await?]
        }
        None => open.datums_of(&manifest, |_| true).await?,
    };
    datums.sort_by_cached_key(|datum| {
        (datum.entry.outcome == DatumOutcome::Success, label(&datum.record.inputs), datum.id)
    });
    let reader = open.snapshot.reader();
    let mut silent = 0;
    for datum in &datums {
        if args.streams.of(&datum.facts).iter().all(|(_, log)| log.blob.is_none()) {
            silent += 1;
            continue;
        }
        ui.data(&header(datum, datum.entry.status(job.id)))?;
        print_log(ui, &reader, &datum.facts, args.streams).await?;
    }
    if silent > 0 {
        ui.say(&format!("{} wrote nothing", words::count(silent, "datum")));
    }
    Ok(Exit::Done)
}

fn header(datum: &JobDatum, status: DatumStatus) -> String {
    let (strong, dim) = (style::STRONG, style::DIM);
    let how = match status {
        DatumStatus::Failed => format!("failed: {}", datum.facts.exit),
        DatumStatus::Reused => format!("reused from job {}", datum.entry.ran_in.short()),
        status => status.word().to_owned(),
    };
    let name = label(&datum.record.inputs);
    format!("{strong}==> {name}{strong:#} {dim}datum {}, {how}{dim:#}\n", datum.id.short())
}

/// Prints the kept logs of one run; with a line before each stream unless only one was asked for. `false` if
/// there was nothing to print.
pub(crate) async fn print_log(
    ui: &Ui,
    reader: &Reader,
    facts: &RunFacts,
    streams: StreamArgs,
) -> Result<bool, CommandError> {
    let dim = style::DIM;
    let mut printed = false;
    for (name, log) in streams.of(facts) {
        let Some(blob) = log.blob else { continue };
        printed = true;
        let bytes = reader.blob(blob).await?;
        let kept = bytes.len() as u64;
        let cut = if kept < log.written {
            format!(": {} were written, the start and the end are kept", words::bytes(log.written))
        } else {
            String::new()
        };
        if !streams.is_one() {
            ui.data(&format!("{dim}--- {name}{cut}{dim:#}\n"))?;
        } else if !cut.is_empty() {
            ui.say(&format!("{name}{cut}"));
        }
        ui.raw(&bytes)?;
        if !bytes.ends_with(b"\n") {
            ui.raw(b"\n")?;
        }
    }
    Ok(printed)
}
