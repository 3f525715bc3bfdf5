//! One file per command or noun: its arguments (their comments are the help text) and what it does.

pub(crate) mod apply;
pub(crate) mod branch;
pub(crate) mod commit;
pub(crate) mod completion;
pub(crate) mod datum;
pub(crate) mod diff;
pub(crate) mod fsck;
pub(crate) mod get;
pub(crate) mod init;
pub(crate) mod job;
pub(crate) mod ls;
pub(crate) mod op;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod provenance;
pub(crate) mod put;
pub(crate) mod repo;
pub(crate) mod run;
pub(crate) mod validate;

use crate::{Exit, args::Command, error::CommandError, settings::Settings, ui::Ui};

/// Runs a command.
pub(crate) async fn run(command: Command, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    match command {
        Command::Init(args) => init::init(&args, settings, ui),
        Command::Validate(args) => validate::validate(&args, settings, ui).await,
        Command::Plan(args) => plan::plan(&args, settings, ui).await,
        Command::Apply(args) => apply::apply(&args, settings, ui).await,
        Command::Destroy(args) => apply::destroy(&args, settings, ui).await,
        Command::Put(args) => put::put(&args, settings, ui).await,
        Command::Get(args) => get::get(&args, settings, ui).await,
        Command::Cat(args) => get::cat(&args, settings, ui).await,
        Command::Ls(args) => ls::ls(&args, settings, ui).await,
        Command::Rm(args) => put::rm(&args, settings, ui).await,
        Command::Diff(args) => diff::diff(&args, settings, ui).await,
        Command::Repo(command) => repo::run(command, settings, ui).await,
        Command::Branch(command) => branch::run(command, settings, ui).await,
        Command::Commit(command) => commit::run(command, settings, ui).await,
        Command::Pipeline(command) => pipeline::run(command, settings, ui).await,
        Command::Job(command) => job::run(command, settings, ui).await,
        Command::Datum(command) => datum::run(command, settings, ui).await,
        Command::Op(command) => op::run(command, settings, ui).await,
        Command::Provenance(args) => provenance::provenance(&args, settings, ui).await,
        Command::Fsck(args) => fsck::fsck(&args, settings, ui).await,
        Command::Completion(args) => completion::completion(&args, ui),
        Command::Version(args) => completion::version(&args, ui),
    }
}
