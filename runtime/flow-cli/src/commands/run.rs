//! Runs the jobs that follow from a change: shared by `apply` and `put --run`.

use std::collections::BTreeSet;

use flow_engine::{
    job::{Observer, Surroundings},
    local::{LocalOptions, LocalPool},
    process::{Helper, SandboxSupport},
    schedule::{self, PipelineOutcome, PipelineReport},
};
use flow_model::{job::JobStatus, name::PipelineName};
use flow_store::Project;
use tokio::sync::watch;

use crate::{
    Exit,
    error::CommandError,
    session::now,
    settings::Settings,
    ui::Ui,
    view::{progress::Progress, summary},
    workspace::Workspace,
};

/// Runs everything that has work and prints how it went.
pub(crate) async fn run_jobs(
    workspace: &Workspace,
    project: &Project,
    only: Option<&BTreeSet<PipelineName>>,
    settings: &Settings,
    ui: &Ui,
) -> Result<Exit, CommandError> {
    let progress = Progress::new(ui, settings.can_draw);
    let pool = LocalPool::open(LocalOptions {
        scratch: workspace.scratch(),
        environment: settings.environment.clone(),
        slots_max: std::thread::available_parallelism().map_or(1, usize::from),
        helper: Helper::default(),
        plain: settings.plain_slots,
    })
    .await?;
    if let SandboxSupport::Unavailable { reason } = pool.support() {
        progress.note(&format!(
            "processes are not contained: {reason}. Inputs are copies below `$FLOW_PFS`; nothing keeps a program from writing elsewhere"
        ));
    }
    let stop = stop_on_interrupt(*ui);
    let around = Surroundings {
        name: &workspace.project,
        project,
        pool: &pool,
        observer: &progress,
        stop,
        actor: &settings.actor,
        tool_version: env!("CARGO_PKG_VERSION"),
        now: &now,
    };
    let reports = schedule::run_all(&around, only).await?;
    summary::print(ui, &reports);
    Ok(exit_of(&reports))
}

fn exit_of(reports: &[PipelineReport]) -> Exit {
    let stopped = |report: &PipelineReport| matches!(&report.outcome, PipelineOutcome::Ran(job) if job.status == JobStatus::Killed);
    if reports.iter().any(stopped) {
        return Exit::Failed;
    }
    if reports.iter().all(|report| report.outcome.is_good()) { Exit::Done } else { Exit::JobFailed }
}

/// Turns true at the first Ctrl-C; the second one ends the process at once.
fn stop_on_interrupt(ui: Ui) -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            ui.say("stopping: datums that run are finished first; Ctrl-C again kills them");
            // Nobody listens any more when the jobs have ended.
            let _ = stop.send(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                // Slots die with this process; what is durable stays.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
            }
        }
        std::future::pending::<()>().await;
    });
    stopped
}
