//! Progress of jobs: a bar on a terminal, plain lines elsewhere.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use flow_engine::{job::Observer, protocol::JobSpec};
use flow_model::{
    digest::JobId,
    job::{DatumOutcome, FinishedDatum},
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::ui::Ui;

/// Without a terminal a line is written at most this often per job.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows progress on standard error.
pub(crate) struct Progress<'a> {
    ui: &'a Ui,
    draw: bool,
    jobs: Mutex<BTreeMap<JobId, Running>>,
}

struct Running {
    bar: Option<ProgressBar>,
    total: u64,
    done: u64,
    failed: u64,
    said: Instant,
}

impl<'a> Progress<'a> {
    /// For a terminal (`draw`) or plain lines.
    pub(crate) fn new(ui: &'a Ui, draw: bool) -> Self {
        Self { ui, draw, jobs: Mutex::new(BTreeMap::new()) }
    }

    fn bar(&self, pipeline: &str, total: u64) -> Option<ProgressBar> {
        if !self.draw || total == 0 {
            return None;
        }
        let bar = ProgressBar::new(total).with_prefix(pipeline.to_owned());
        if let Ok(style) =
            ProgressStyle::with_template("  {prefix:16} {bar:30} {pos}/{len} datums {msg} {elapsed}")
        {
            bar.set_style(style);
        }
        Some(bar)
    }
}

impl Observer for Progress<'_> {
    fn job_started(&self, spec: &JobSpec, to_run: u64, reused: u64) {
        let bar = self.bar(spec.pipeline.as_str(), to_run);
        if bar.is_none() && to_run > 0 {
            let reused = if reused == 0 { String::new() } else { format!(", {reused} reused") };
            self.ui.say(&format!(
                "{}: {} to run{reused}",
                spec.pipeline,
                super::words::count(to_run, "datum")
            ));
        }
        let running = Running { bar, total: to_run, done: 0, failed: 0, said: Instant::now() };
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(spec.job, running);
    }

    fn datums_finished(&self, spec: &JobSpec, datums: &[FinishedDatum]) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(job) = jobs.get_mut(&spec.job) else { return };
        job.done += datums.len() as u64;
        job.failed += datums.iter().filter(|datum| datum.outcome == DatumOutcome::Failed).count() as u64;
        let failed = if job.failed == 0 { String::new() } else { format!("({} failed)", job.failed) };
        if let Some(bar) = &job.bar {
            bar.set_message(failed);
            bar.set_position(job.done);
            if job.done >= job.total {
                bar.finish_and_clear();
            }
        } else if job.said.elapsed() >= LINE_EVERY && job.done < job.total {
            job.said = Instant::now();
            self.ui.say(&format!("{}: {} of {} datums done {failed}", spec.pipeline, job.done, job.total));
        }
    }

    fn note(&self, text: &str) {
        self.ui.warn(text);
    }
}
