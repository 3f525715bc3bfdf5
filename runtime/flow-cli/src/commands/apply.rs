//! `flow apply` and `flow destroy`: carry out a plan and run the jobs that follow.

use std::path::{Path, PathBuf};

use clap::Args;
use flow_apply::{Approved, LocalTarget, Target};
use flow_model::{
    forecast::ForecastAction,
    plan::{Action, Plan},
};
use flow_plan::render::{self, RenderOptions};

use crate::{
    Exit,
    args::SpecArgs,
    commands::run::run_jobs,
    error::CommandError,
    planning::{self, Planned},
    session::{Session, stamp},
    settings::Settings,
    ui::Ui,
    view,
    workspace::Workspace,
};

/// Carry out a plan and run the jobs that follow
///
/// Shows the plan, asks, publishes all changes with one operation, then runs what has work. Interrupted anywhere and run
/// again, it goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow apply
  flow apply --auto-approve     without asking, for scripts
  flow apply plan.json          exactly the plan that `flow plan --out plan.json` kept

Exit codes: 0 done, 1 error, 4 applied but a job failed")]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    specs: SpecArgs,
    #[command(flatten)]
    consent: ConsentArgs,
    /// With a saved plan: refuse it if input data moved, too
    #[arg(long)]
    strict: bool,
    /// Refuse if more datums than this would run
    #[arg(long, value_name = "N")]
    max_datums: Option<u64>,
}

/// Remove everything that was applied
///
/// Repos with data are protected: `--allow-destroy` removes them too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow destroy\n  flow destroy --auto-approve --allow-destroy")]
pub(crate) struct DestroyArgs {
    /// The workspace folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    consent: ConsentArgs,
}

#[derive(Debug, Args)]
struct ConsentArgs {
    /// Do not ask
    #[arg(long)]
    auto_approve: bool,
    /// Remove repos that hold data, too
    #[arg(long)]
    allow_destroy: bool,
}

/// Carries out what the workspace, or a saved plan, wants.
pub(crate) async fn apply(args: &ApplyArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let saved = match args.specs.paths.as_slice() {
        [one] => read_plan_file(&settings.path(one))?,
        _ => None,
    };
    let paths = match &saved {
        Some(plan) => vec![PathBuf::from(&plan.workspace)],
        None => args.specs.paths.clone(),
    };
    let session = Session::open(Workspace::of_paths(&paths, settings)?, settings).await?;
    let planned = match saved.as_ref().map(|plan| plan.destroy) {
        Some(true) => planning::plan_destroy(&session).await?,
        _ => match planning::plan(&session, &paths, settings, ui).await? {
            Ok(planned) => planned,
            Err(_) => return Ok(Exit::Failed),
        },
    };
    let consent = match &saved {
        Some(saved) => check_saved(saved, &planned, args, ui)?,
        None => args.consent.auto_approve,
    };
    check_datums(&planned.plan, args.max_datums)?;
    carry_out(session, planned, consent, args.consent.allow_destroy, settings, ui).await
}

/// Removes everything.
pub(crate) async fn destroy(args: &DestroyArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let workspace = Workspace::of_paths(std::slice::from_ref(&args.folder), settings)?;
    let session = Session::open(workspace, settings).await?;
    let planned = planning::plan_destroy(&session).await?;
    carry_out(session, planned, args.consent.auto_approve, args.consent.allow_destroy, settings, ui).await
}

/// A saved plan, if that is what the path names: a JSON file with a plan's format version.
fn read_plan_file(path: &Path) -> Result<Option<Plan>, CommandError> {
    let is_json = path.extension().is_some_and(|kind| kind == "json");
    if !is_json || !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| CommandError::user(format!("cannot read `{}`: {error}", path.display())))?;
    if !flow_plan::file::is_plan(&text) {
        return Ok(None);
    }
    let plan = flow_plan::file::read(&text).map_err(|error| {
        CommandError::user(format!("`{}` is not a plan that can be applied: {error}", path.display()))
    })?;
    Ok(Some(plan))
}

/// Compares a saved plan with now. What flow owns must not have moved; data may, unless `--strict`.
fn check_saved(saved: &Plan, now: &Planned, args: &ApplyArgs, ui: &Ui) -> Result<bool, CommandError> {
    let mut basis = now.plan.basis.clone();
    basis.touched = flow_plan::basis::touched(&saved.changes, &now.desired, &now.observed.live);
    let staleness = flow_plan::basis::stale(&saved.basis, &basis);
    let line = |moved: &flow_plan::basis::Moved| {
        format!("{}: planned {}, now {}", moved.what, moved.before, moved.after)
    };
    let refused: Vec<_> = staleness.refused.iter().map(line).collect();
    if !refused.is_empty() {
        let error = CommandError::user("the saved plan is stale: what it was made from has moved");
        let error = refused.into_iter().fold(error, CommandError::help);
        return Err(error.help("make a new one: `flow plan --out FILE`"));
    }
    if staleness.data_moved.is_empty() {
        return Ok(true);
    }
    for moved in &staleness.data_moved {
        ui.say(&format!("data moved since the plan was made: {}", line(moved)));
    }
    if args.strict {
        return Err(CommandError::user("the saved plan is refused, because input data moved (`--strict`)")
            .help("make a new one: `flow plan --out FILE`"));
    }
    ui.say("the changes are as planned; the data work is forecast anew");
    Ok(true)
}

fn check_datums(plan: &Plan, most: Option<u64>) -> Result<(), CommandError> {
    let Some(most) = most else { return Ok(()) };
    let run: u64 = plan.data.iter().map(|forecast| forecast.count(ForecastAction::Run)).sum();
    let open: Vec<String> = plan
        .data
        .iter()
        .filter(|forecast| !forecast.unknown_until.is_empty())
        .map(|f| f.pipeline.to_string())
        .collect();
    if run > most {
        return Err(CommandError::user(format!("{run} datums would run, more than `--max-datums {most}`"))
            .help("`flow plan` shows which and why"));
    }
    if !open.is_empty() {
        return Err(CommandError::user(format!(
            "how many datums run is not known before upstream pipelines have run: {}",
            open.join(", ")
        ))
        .help("apply without `--max-datums`, or apply upstream pipelines first"));
    }
    Ok(())
}

async fn carry_out(
    mut session: Session,
    planned: Planned,
    consent: bool,
    allow_destroy: bool,
    settings: &Settings,
    ui: &Ui,
) -> Result<Exit, CommandError> {
    let options = RenderOptions { width: settings.width, next_commands: false, ..RenderOptions::default() };
    ui.data(&view::plan::painted(&render::human(&planned.plan, &options)))?;
    if planned.plan.is_empty() {
        return Ok(Exit::Done);
    }
    refuse_protected(&planned.plan, allow_destroy)?;
    if !consent && !approved(ui)? {
        ui.say("nothing was changed");
        return Ok(Exit::Failed);
    }
    let project = session.create().await?;
    let approved = Approved {
        plan: &planned.plan,
        desired: &planned.desired,
        sources: &planned.sources,
        code: &planned.code,
        stamp: stamp(settings),
    };
    let applied = LocalTarget::new(project.clone()).execute(&planned.observed, &approved).await?;
    if let Some(operation) = applied.operation {
        let made = |action| planned.plan.count(action);
        ui.say(&format!(
            "applied: {} created, {} changed, {} deleted (operation {})",
            made(Action::Create),
            made(Action::Update),
            made(Action::Delete),
            operation.short()
        ));
    }
    run_jobs(&session.workspace, &project, None, settings, ui).await
}

fn refuse_protected(plan: &Plan, allow_destroy: bool) -> Result<(), CommandError> {
    let protected: Vec<String> = plan.refused().map(|change| format!("`{}`", change.addr)).collect();
    if allow_destroy || protected.is_empty() {
        return Ok(());
    }
    Err(CommandError::user(format!(
        "{} would be deleted with data: nothing was changed",
        protected.join(", ")
    ))
    .help("keep the data: put the specs back")
    .help("or remove it too: `--allow-destroy`"))
}

fn approved(ui: &Ui) -> Result<bool, CommandError> {
    ui.confirm("Carry this out?").ok_or_else(|| {
        CommandError::user("nobody can be asked for a yes here: nothing was changed")
            .help("say it beforehand: `--auto-approve`")
    })
}
