//! `flow op`: the log of everything that ever changed in a project, and undo.

mod changes;
mod undo;

use clap::{Args, Subcommand};
use flow_model::{
    commit::{Operation, OperationKind},
    digest::OperationId,
};
use flow_store::Snapshot;
use serde::Serialize;

use self::changes::{ViewChange, changes_of};
use crate::{
    Exit,
    args::OutputArgs,
    error::CommandError,
    find::too_short,
    session::Open,
    settings::Settings,
    ui::Ui,
    view::{
        details::{self, Details},
        listing::{self, Row},
        words,
    },
};

/// What to do with operations.
#[derive(Debug, Subcommand)]
pub(crate) enum OpCommand {
    Log(OpLogArgs),
    Show(OpShowArgs),
    Undo(undo::OpUndoArgs),
}

/// List operations, newest first
///
/// Every change of a project is one operation: an apply, a put, the results of a job, a branch that was moved, an undo.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow op log\n  flow op log -n 5\n  flow op log --json")]
pub(crate) struct OpLogArgs {
    /// At most this many
    #[arg(short = 'n', long, value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Show what an operation changed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow op show           the newest operation
  flow op show 9c5944
  flow op show 9c5944 --json")]
pub(crate) struct OpShowArgs {
    /// The operation's id or the start of it; the newest one if not given
    #[arg(value_name = "OPERATION")]
    operation: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// An operation of a listing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OpRow {
    id: OperationId,
    number: u64,
    kind: OperationKind,
    description: String,
    actor: String,
    time: String,
    parent: Option<OperationId>,
}

impl Row for OpRow {
    const COLUMNS: &'static [&'static str] =
        &["operation", "time", "actor", "kind", "description", "number", "parent"];
    const WIDE_FROM: usize = 5;

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.short(),
            self.time.clone(),
            self.actor.clone(),
            kind_word(self.kind).to_owned(),
            words::first_line(&self.description),
            self.number.to_string(),
            self.parent.map(|parent| parent.short()).unwrap_or_default(),
        ]
    }
}

impl OpRow {
    fn new(id: OperationId, operation: &Operation) -> Self {
        Self {
            id,
            number: operation.number,
            kind: operation.kind,
            description: operation.description.clone(),
            actor: operation.actor.clone(),
            time: words::time(operation.time),
            parent: operation.parent,
        }
    }
}

const fn kind_word(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Init => "init",
        OperationKind::Apply => "apply",
        OperationKind::Put => "put",
        OperationKind::Jobs => "jobs",
        OperationKind::Branch => "branch",
        OperationKind::Undo => "undo",
        OperationKind::Compact => "compact",
    }
}

/// An operation in full.
#[derive(Serialize)]
struct OpView {
    #[serde(flatten)]
    row: OpRow,
    changes: Vec<ViewChange>,
}

/// Runs a command on operations.
pub(crate) async fn run(command: OpCommand, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    match command {
        OpCommand::Log(args) => log(&args, settings, ui).await,
        OpCommand::Show(args) => show(&args, settings, ui).await,
        OpCommand::Undo(args) => undo::undo(&args, settings, ui).await,
    }
}

async fn log(args: &OpLogArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let log = open.project.log(args.limit.unwrap_or(usize::MAX)).await?;
    let rows: Vec<OpRow> = log.iter().map(|(id, operation)| OpRow::new(*id, operation)).collect();
    listing::print(ui, &args.output, &rows, "no operations")?;
    Ok(Exit::Done)
}

async fn show(args: &OpShowArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let found = find(&open, args.operation.as_deref()).await?;
    let view = OpView {
        row: OpRow::new(found.operation_id(), found.operation()),
        changes: changes_of(&open, found.operation()).await?,
    };
    details::print(ui, &args.output, &view, &describe(&view))?;
    Ok(Exit::Done)
}

/// The state after an operation: of the newest one, or of the one whose id starts with `text`.
async fn find(open: &Open, text: Option<&str>) -> Result<Snapshot, CommandError> {
    let Some(text) = text else { return Ok(open.snapshot.clone()) };
    match too_short("operation", text) {
        Some(error) => Err(error),
        None => Ok(open.project.find(text).await?),
    }
}

fn describe(view: &OpView) -> Details {
    let row = &view.row;
    Details::default()
        .field("operation", row.id.to_string())
        .field("kind", kind_word(row.kind))
        .field("description", row.description.clone())
        .field("actor", row.actor.clone())
        .field("time", row.time.clone())
        .field("number", row.number.to_string())
        .field("parent", row.parent.map_or_else(|| "none: it is the first".to_owned(), |id| id.to_string()))
        .section("changes", changes::text(&view.changes))
}
