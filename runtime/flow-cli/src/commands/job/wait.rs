//! `flow job wait`: until a job has ended.
//!
//! Nothing tells us when a job ends, so the state is looked at again and again; a look costs two small reads.

use std::time::{Duration, Instant};

use clap::Args;
use flow_engine::job::failure_line;
use flow_model::{digest::JobId, job::JobStatus, name::PipelineName};

use crate::{
    Exit,
    condition::{Condition, Look, is_running, running, with_upstream},
    error::CommandError,
    find::FoundJob,
    planning::dag_of_state,
    session::Open,
    settings::Settings,
    ui::Ui,
    view::words,
};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// How long nobody may run what is waited for before that is said.
const PATIENCE: Duration = Duration::from_secs(2);
const NOBODY: &str = "nobody runs it now: `flow apply` does";

/// Wait until a job has ended; fails if it failed
///
/// With a pipeline: until it and all that it reads from have done their work, or one of them failed. Exits with 4 if
/// the job failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow job wait edges
  flow job wait 3289fb --timeout 30s
  flow job wait montage && flow get montage:/montage.png")]
pub(crate) struct JobWaitArgs {
    /// The job's id or the start of it, or a pipeline
    #[arg(value_name = "JOB|PIPELINE")]
    job: String,
    /// Give up after this time: `30s`, `5m`, `1h`
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
}

/// What is waited for.
enum Target {
    Job(JobId),
    Pipeline(PipelineName),
}

/// How it stands.
enum Standing {
    /// It has ended.
    Ended(Box<FoundJob>),
    /// It will not be done by itself any more; why.
    Failed(String),
    /// It has not ended; what is being waited for, and what would help if nobody is at it.
    Going { what: String, help: Option<&'static str> },
}

/// Waits.
pub(super) async fn wait(args: &JobWaitArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let mut open = Open::around(settings).await?;
    let look = Look::open(&open.workspace, settings).await?;
    let target = target(&open, &look, &args.job).await?;
    let start = Instant::now();
    let mut told = String::new();
    loop {
        let what = match standing(&open, &look, &target).await? {
            Standing::Ended(job) => return end(&open, &job, ui).await,
            Standing::Failed(why) => {
                ui.error(
                    &CommandError::user(why).help("`flow job ls` lists the jobs; `flow apply` tries again"),
                );
                return Ok(Exit::JobFailed);
            }
            Standing::Going { what, help } => {
                let help = help.filter(|_| start.elapsed() > PATIENCE && told != what);
                if let Some(help) = help {
                    ui.say(&format!("waiting for {what}; {help}"));
                    told.clone_from(&what);
                }
                what
            }
        };
        let left = args.timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(CommandError::user(format!("gave up waiting for {what}"))
                .help("wait longer with `--timeout`, or look at `flow job ls`"));
        }
        tokio::time::sleep(left.unwrap_or(PAUSE).min(PAUSE)).await;
        open = open.newest().await?;
    }
}

async fn target(open: &Open, look: &Look, text: &str) -> Result<Target, CommandError> {
    if let Ok(name) = PipelineName::parse(text)
        && open.snapshot.pipeline(&name).await?.is_some()
    {
        return Ok(Target::Pipeline(name));
    }
    let not_ended = match open.job(text).await {
        Ok(job) => return Ok(Target::Job(job.id)),
        Err(error) => error,
    };
    let mut candidates = running(&open.workspace);
    for name in open.snapshot.pipelines().await?.into_keys() {
        candidates.extend(look.at(&open.snapshot, &name).await?.next_job());
    }
    candidates.retain(|job| text.len() >= 4 && job.to_string().starts_with(text));
    candidates.sort_unstable();
    candidates.dedup();
    match candidates.as_slice() {
        [one] => Ok(Target::Job(*one)),
        _ => Err(not_ended),
    }
}

async fn standing(open: &Open, look: &Look, target: &Target) -> Result<Standing, CommandError> {
    match target {
        Target::Job(job) => of_job(open, look, *job).await,
        Target::Pipeline(pipeline) => of_pipeline(open, look, pipeline).await,
    }
}

async fn of_job(open: &Open, look: &Look, id: JobId) -> Result<Standing, CommandError> {
    if let Some(job) = open.jobs(None).await?.into_iter().find(|job| job.id == id) {
        return Ok(Standing::Ended(Box::new(job)));
    }
    let what = format!("job `{}`", id.short());
    if is_running(&open.workspace, id) {
        return Ok(Standing::Going { what, help: None });
    }
    for name in open.snapshot.pipelines().await?.into_keys() {
        if look.at(&open.snapshot, &name).await?.next_job() == Some(id) {
            return Ok(Standing::Going { what, help: Some(NOBODY) });
        }
    }
    // It may have ended between the two looks.
    match open.newest().await?.jobs(None).await?.into_iter().find(|job| job.id == id) {
        Some(job) => Ok(Standing::Ended(Box::new(job))),
        None => Ok(Standing::Failed(format!("{what} did not end: it was stopped, or its pipeline changed"))),
    }
}

async fn of_pipeline(open: &Open, look: &Look, pipeline: &PipelineName) -> Result<Standing, CommandError> {
    let gone = || Standing::Failed(format!("pipeline `{pipeline}` does not exist any more"));
    if open.snapshot.pipeline(pipeline).await?.is_none() {
        return Ok(gone());
    }
    for name in with_upstream(&dag_of_state(&open.snapshot).await?, pipeline) {
        let condition = look.at(&open.snapshot, &name).await?;
        let running = condition.next_job().is_some_and(|job| is_running(&open.workspace, job));
        match condition {
            Condition::UpToDate => {}
            Condition::Failed(_) if !running => return failed(open, pipeline, &name).await,
            Condition::Failed(_) | Condition::HasWork(_) => {
                let help = (!running).then_some(NOBODY);
                return Ok(Standing::Going { what: format!("the work of pipeline `{name}`"), help });
            }
            Condition::Waiting(repo) => {
                let help = Some("`flow put` brings some");
                return Ok(Standing::Going { what: format!("data in repo `{repo}`"), help });
            }
            Condition::Broken(reason) => return Ok(Standing::Failed(format!("pipeline `{name}`: {reason}"))),
        }
    }
    Ok(open.last_job(pipeline).await?.map_or_else(gone, |job| Standing::Ended(Box::new(job))))
}

/// The pipeline's own failure, or that of one that it reads from.
async fn failed(open: &Open, wanted: &PipelineName, name: &PipelineName) -> Result<Standing, CommandError> {
    match open.last_job(name).await? {
        Some(job) if wanted == name => Ok(Standing::Ended(Box::new(job))),
        _ => Ok(Standing::Failed(format!("pipeline `{name}`, which `{wanted}` reads from, failed"))),
    }
}

async fn end(open: &Open, job: &FoundJob, ui: &Ui) -> Result<Exit, CommandError> {
    let (id, status) = (job.id.short(), job.state.status);
    let counts = words::job_counts(&job.state.counts);
    if status == JobStatus::Success {
        ui.say(&format!("job {id} of {}: {}, {counts}", job.pipeline, status.word()));
        return Ok(Exit::Done);
    }
    let manifest = open.manifest(job).await?;
    let why = manifest.failure.as_ref().map(failure_line).unwrap_or_else(|| status.word().to_owned());
    let error = CommandError::user(format!("job {id} of `{}`: {counts}: {why}", job.pipeline));
    ui.error(&error.help(format!("`flow job show {id}` has all of it, `flow job logs {id}` the logs")));
    Ok(Exit::JobFailed)
}

/// Reads `30s`, `5m`, `1h`, `500ms`; a number alone counts seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let number: Option<u64> = number.parse().ok();
    number
        .filter(|_| millis > 0)
        .and_then(|number| number.checked_mul(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| "a time is a number with a unit: `30s`, `5m`, `1h`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_or_count_seconds() {
        let cases =
            [("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("500ms", 500), ("7", 7000), ("0s", 0)];
        for (text, millis) in cases {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "1d", "-1s", "1.5s", "99999999999999999999s", "9999999999999999h", " 1s"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
