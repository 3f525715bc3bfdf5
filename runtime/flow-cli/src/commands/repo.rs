//! `flow repo`: repos, what they hold and who keeps them.

use clap::{Args, Subcommand};
use flow_model::{
    name::{BranchName, RepoName},
    spec::RepoSource,
    state::{BranchState, RepoState},
};
use serde::Serialize;

use crate::{
    Exit,
    args::OutputArgs,
    error::CommandError,
    session::Open,
    settings::Settings,
    ui::Ui,
    view::{
        details::{self, Details},
        listing::{self, Row},
        words,
    },
};

/// What to do with repos.
#[derive(Debug, Subcommand)]
pub(crate) enum RepoCommand {
    Ls(RepoLsArgs),
    Show(RepoShowArgs),
}

/// List repos
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow repo ls\n  flow repo ls -o wide\n  flow repo ls --json")]
pub(crate) struct RepoLsArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Show a repo: its data, who keeps it and who reads it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow repo show images\n  flow repo show images -o yaml")]
pub(crate) struct RepoShowArgs {
    /// The repo
    #[arg(value_name = "REPO")]
    name: RepoName,
    #[command(flatten)]
    output: OutputArgs,
}

/// A repo of a listing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RepoRow {
    name: RepoName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<RepoSource>,
    branches: u64,
    files: u64,
    bytes: u64,
    commits: u64,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl Row for RepoRow {
    const COLUMNS: &'static [&'static str] =
        &["repo", "files", "size", "commits", "kept by", "created", "branches", "description"];
    const WIDE_FROM: usize = 6;

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.to_string(),
            self.files.to_string(),
            words::bytes(self.bytes),
            self.commits.to_string(),
            self.kept_by(),
            self.created.clone(),
            self.branches.to_string(),
            self.description.clone().unwrap_or_default(),
        ]
    }
}

impl RepoRow {
    fn new(name: &RepoName, state: &RepoState, branches: &[(BranchName, BranchState)]) -> Self {
        let sum = |of: fn(&BranchState) -> u64| branches.iter().map(|(_, branch)| of(branch)).sum();
        Self {
            name: name.clone(),
            pipeline: state.pipeline.as_ref().map(ToString::to_string),
            source: state.spec.source.clone(),
            branches: branches.len() as u64,
            files: sum(|branch| branch.files),
            bytes: sum(|branch| branch.bytes),
            commits: sum(|branch| branch.commits),
            created: words::time(state.created),
            description: state.spec.description.clone(),
        }
    }

    fn kept_by(&self) -> String {
        match (&self.pipeline, &self.source) {
            (Some(pipeline), _) => format!("pipeline {pipeline}"),
            (None, Some(source)) => format!("folder {}", source.path),
            (None, None) => String::new(),
        }
    }
}

/// A repo in full.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RepoView {
    #[serde(flatten)]
    row: RepoRow,
    protected: bool,
    heads: Vec<HeadRow>,
    read_by: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadRow {
    branch: BranchName,
    head: String,
    files: u64,
    bytes: u64,
    commits: u64,
}

impl Row for HeadRow {
    const COLUMNS: &'static [&'static str] = &["branch", "head", "files", "size", "commits"];
    const WIDE_FROM: usize = 5;

    fn cells(&self) -> Vec<String> {
        vec![
            self.branch.to_string(),
            words::short(&self.head),
            self.files.to_string(),
            words::bytes(self.bytes),
            self.commits.to_string(),
        ]
    }
}

/// Runs a command on repos.
pub(crate) async fn run(command: RepoCommand, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    match command {
        RepoCommand::Ls(args) => ls(&args, settings, ui).await,
        RepoCommand::Show(args) => show(&args, settings, ui).await,
    }
}

async fn ls(args: &RepoLsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let mut branches = open.snapshot.all_branches().await?.into_iter().peekable();
    let mut rows = Vec::new();
    for (name, state) in open.snapshot.repos().await? {
        let mut own = Vec::new();
        while let Some(((_, branch), state)) = branches.next_if(|((repo, _), _)| *repo <= name) {
            own.push((branch, state));
        }
        rows.push(RepoRow::new(&name, &state, &own));
    }
    listing::print(ui, &args.output, &rows, "no repos")?;
    Ok(Exit::Done)
}

async fn show(args: &RepoShowArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let state = open.repo(&args.name).await?;
    let branches: Vec<(BranchName, BranchState)> =
        open.snapshot.branches(&args.name).await?.into_iter().collect();
    let reads = |pipeline: &crate::find::LivePipeline| {
        pipeline.version.spec.input.leaves().iter().any(|leaf| leaf.repo == args.name)
    };
    let read_by = open.pipelines().await?.into_iter().filter(reads).map(|pipeline| pipeline.name.to_string());
    let head = |(branch, state): &(BranchName, BranchState)| HeadRow {
        branch: branch.clone(),
        head: state.head.to_string(),
        files: state.files,
        bytes: state.bytes,
        commits: state.commits,
    };
    let row = RepoRow::new(&args.name, &state, &branches);
    let view = RepoView {
        protected: is_protected(&open, &state).await? && row.commits > 0,
        row,
        heads: branches.iter().map(head).collect(),
        read_by: read_by.collect(),
    };
    details::print(ui, &args.output, &view, &describe(&view))?;
    Ok(Exit::Done)
}

/// Whether removing it needs `--allow-destroy`: an output repo's data is its pipeline's.
async fn is_protected(open: &Open, state: &RepoState) -> Result<bool, CommandError> {
    let policy = match &state.pipeline {
        Some(pipeline) => open.pipeline(pipeline.as_str()).await?.version.spec.deletion_policy,
        None => state.spec.deletion_policy,
    };
    Ok(policy.is_retain())
}

fn describe(view: &RepoView) -> Details {
    let row = &view.row;
    let protection = if view.protected { "removing it needs --allow-destroy" } else { "" };
    Details::default()
        .field("repo", row.name.as_str())
        .field("description", row.description.clone().unwrap_or_default())
        .field("kept by", row.kept_by())
        .field("read by", view.read_by.join(", "))
        .field("data", format!("{}, {}", words::count(row.files, "file"), words::bytes(row.bytes)))
        .field("commits", row.commits.to_string())
        .field("created", row.created.clone())
        .field("protected", protection)
        .section("branches", listing::short_table(&view.heads))
}

#[cfg(test)]
mod tests {
    use flow_model::{digest::Digest, time::Timestamp};

    use super::*;

    #[test]
    fn a_row_adds_its_branches_up_and_says_who_keeps_it() {
        let branch = |files| BranchState {
            head: flow_model::digest::CommitId(Digest::of(b"c")),
            files,
            bytes: 10 * files,
            commits: 1,
        };
        let branches = [("master".parse().unwrap(), branch(2)), ("dev".parse().unwrap(), branch(3))];
        let mut state =
            RepoState { spec: flow_model::spec::RepoSpec::default(), pipeline: None, created: Timestamp(0) };
        let row = |state: &RepoState| RepoRow::new(&"r".parse().unwrap(), state, &branches);
        assert_eq!(row(&state).cells()[1..5], ["5", "50 bytes", "2", ""].map(String::from));
        state.spec.source = Some(RepoSource { path: "./in".to_owned(), branch: BranchName::master() });
        assert_eq!(row(&state).kept_by(), "folder ./in");
        state.pipeline = Some("p".parse().unwrap());
        assert_eq!(row(&state).kept_by(), "pipeline p");
    }
}
