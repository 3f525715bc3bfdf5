//! `flow plan`: show what `apply` would do.

use std::path::{Path, PathBuf};

use clap::Args;
use flow_model::{plan::Plan, resource::ResourceAddr};
use flow_plan::render::{self, RenderOptions};

use crate::{
    Exit, args::SpecArgs, error::CommandError, planning, session::Session, settings::Settings, ui::Ui, view,
    workspace::Workspace,
};

/// Show what `apply` would do: resources, fields, and the data work that follows
///
/// Nothing is written, neither to the store nor anywhere else but to the file of `--out`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow plan
  flow plan --out plan.json     keep it; `flow apply plan.json` carries out exactly that
  flow plan --why edges         details of one pipeline
  flow plan --detailed-exitcode 0: nothing to do, 1: error, 2: changes")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    specs: SpecArgs,
    /// Keep the plan in this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the plan as JSON (schema: schemas/plan.schema.json)
    #[arg(long)]
    json: bool,
    /// Print the plan as Markdown, for a pull request
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Explain one resource: `pipeline.NAME`, `repo.NAME` or just the name of a pipeline
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["json", "markdown"])]
    why: Option<String>,
    /// Everything in full: long values, whole diffs, places
    #[arg(short, long)]
    verbose: bool,
    /// Exit with 2 if there are changes
    #[arg(long)]
    detailed_exitcode: bool,
    /// Plan the removal of everything
    #[arg(long)]
    destroy: bool,
}

/// Makes and prints a plan.
pub(crate) async fn plan(args: &PlanArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let workspace = Workspace::of_paths(&args.specs.paths, settings)?;
    let session = Session::open(workspace, settings).await?;
    let plan = if args.destroy {
        planning::plan_destroy(&session).await?.plan
    } else {
        match planning::plan(&session, &args.specs.paths, settings, ui).await? {
            Ok(planned) => planned.plan,
            Err(_) => return Ok(Exit::Failed),
        }
    };
    if let Some(file) = &args.out {
        let path = settings.path(file);
        std::fs::write(&path, flow_plan::file::write(&plan))
            .map_err(|error| CommandError::user(format!("cannot write `{}`: {error}", path.display())))?;
    }
    print(args, &plan, settings, ui)?;
    if let Some(file) = &args.out {
        ui.say(&format!("kept in {0}: `flow apply {0}` carries out exactly this", file.display()));
    }
    Ok(if args.detailed_exitcode && !plan.is_empty() { Exit::Changes } else { Exit::Done })
}

/// How the next command would name the workspace.
fn named(args: &PlanArgs) -> String {
    match args.specs.paths.as_slice() {
        [one] if one == Path::new(".") => String::new(),
        paths => paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" "),
    }
}

/// The resource that a full address or a bare name means.
fn address(plan: &Plan, text: &str) -> Result<ResourceAddr, CommandError> {
    let by_name = || plan.changes.iter().map(|change| &change.addr).find(|addr| addr.name() == text).cloned();
    match by_name() {
        Some(addr) => Ok(addr),
        None if text.contains('.') => Ok(text.parse()?),
        None => Ok(ResourceAddr::Pipeline(text.parse()?)),
    }
}

fn print(args: &PlanArgs, plan: &Plan, settings: &Settings, ui: &Ui) -> Result<(), CommandError> {
    if args.json {
        return ui.data(&flow_plan::file::write(plan));
    }
    if args.markdown {
        return ui.data(&render::markdown(plan));
    }
    let options = RenderOptions {
        width: settings.width,
        verbose: args.verbose,
        next_commands: args.out.is_none(),
        folder: named(args),
    };
    if let Some(name) = &args.why {
        let addr = address(plan, name)?;
        let text = render::why(plan, &addr, &options).ok_or_else(|| {
            CommandError::user(format!("the plan has no `{addr}`")).help("`flow plan` lists what it has")
        })?;
        return ui.data(&view::plan::painted(&text));
    }
    ui.data(&view::plan::painted(&render::human(plan, &options)))
}
