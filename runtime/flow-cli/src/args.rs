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
    /// Start a workspace: an example repo and pipeline to build on
    Init(commands::init::InitArgs),
    /// Check the specs, offline
    Validate(commands::validate::ValidateArgs),
    /// Show what `apply` would do: resources, fields, and the data work that follows
    Plan(commands::plan::PlanArgs),
    /// Carry out a plan and run the jobs that follow
    Apply(commands::apply::ApplyArgs),
    /// Remove everything that was applied
    Destroy(commands::apply::DestroyArgs),
    /// Put files into a repo
    Put(commands::put::PutArgs),
    /// Copy files out of a repo
    Get(commands::get::GetArgs),
    /// Print a file
    Cat(commands::get::CatArgs),
    /// List files
    Ls(commands::ls::LsArgs),
    /// Remove files from a repo
    Rm(commands::put::RmArgs),
    /// Show what differs between two versions
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
    /// Show how a file or commit was made, or what was made from it
    Provenance(commands::provenance::ProvenanceArgs),
    /// Check the store for damage
    Fsck(commands::fsck::FsckArgs),
    /// Print a completion script for a shell
    Completion(commands::completion::CompletionArgs),
    /// Print the version
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

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
