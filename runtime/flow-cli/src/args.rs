//! Arguments as typed. Parsing does nothing: files, stores and defaults are looked at later.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands;

/// Plan, apply and run data pipelines: like Terraform, for versioned data.
#[derive(Debug, Parser)]
#[command(
    name = "flow",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Examples:
  flow init                     start a workspace in this folder
  flow validate                 check the specs, offline
  flow plan                     show what would change, and the data work that follows
  flow apply                    carry it out
  flow cat total@master:/total.tsv
  flow provenance total@master:/total.tsv"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Arguments of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Run as if started in this folder
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Context of `flow.yaml` to use
    #[arg(long, global = true, env = "FLOW_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::InitArgs),
    Validate(commands::validate::ValidateArgs),
    Plan(commands::plan::PlanArgs),
    Apply(commands::apply::ApplyArgs),
    Destroy(commands::apply::DestroyArgs),
    Put(commands::put::PutArgs),
    Get(commands::get::GetArgs),
    Cat(commands::get::CatArgs),
    Ls(commands::ls::LsArgs),
    Rm(commands::put::RmArgs),
    Diff(commands::diff::DiffArgs),
    /// Repos
    #[command(subcommand)]
    Repo(commands::repo::RepoCommand),
    /// Branches
    #[command(subcommand)]
    Branch(commands::branch::BranchCommand),
    /// Commits
    #[command(subcommand)]
    Commit(commands::commit::CommitCommand),
    /// Pipelines
    #[command(subcommand)]
    Pipeline(commands::pipeline::PipelineCommand),
    /// Jobs
    #[command(subcommand)]
    Job(commands::job::JobCommand),
    /// Datums
    #[command(subcommand)]
    Datum(commands::datum::DatumCommand),
    /// Operations: the log of all changes, and undo
    #[command(subcommand)]
    Op(commands::op::OpCommand),
    Provenance(commands::provenance::ProvenanceArgs),
    Fsck(commands::fsck::FsckArgs),
    Completion(commands::completion::CompletionArgs),
    Version(commands::completion::VersionArgs),
}

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// An array of objects
    Json,
    /// The same as YAML
    Yaml,
    /// The table with all columns
    Wide,
}

/// Output options of every listing.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Output format; a table if not given
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Short for `--output json`
    #[arg(long, conflicts_with = "output")]
    pub(crate) json: bool,
}

impl OutputArgs {
    /// The format that was asked for; `None` means the table.
    pub(crate) fn format(&self) -> Option<Format> {
        if self.json { Some(Format::Json) } else { self.output }
    }
}

/// Where specs are.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// A workspace folder, or spec files
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) paths: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    fn leaves(command: &clap::Command, name: &str, found: &mut Vec<(String, clap::Command)>) {
        let mut below = command.get_subcommands().filter(|below| below.get_name() != "help").peekable();
        if below.peek().is_none() {
            found.push((name.to_owned(), command.clone()));
        }
        below.for_each(|below| leaves(below, &format!("{name} {}", below.get_name()), found));
    }

    #[test]
    fn every_command_says_what_it_does_and_has_examples_of_itself() {
        let mut found = Vec::new();
        leaves(&Arguments::command(), "flow", &mut found);
        assert!(found.len() > 30, "{}", found.len());
        for (name, command) in found {
            assert!(command.get_about().is_some(), "{name} has no help");
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains(&format!("  {name}")), "{name} has no example: {examples}");
        }
    }

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
