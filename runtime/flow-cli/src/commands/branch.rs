//! `flow branch`: where branches point, and moving them.

use clap::{Args, Subcommand};
use flow_model::{
    address::VersionAddr,
    commit::{Commit, OperationKind},
    digest::{CommitId, Digest},
    name::{BranchName, RepoName},
    state::{BranchState, ViewKey},
};
use flow_store::OperationMeta;
use serde::Serialize;

use crate::{
    Exit,
    args::OutputArgs,
    commands::put::follow,
    error::CommandError,
    session::{Open, stamp},
    settings::Settings,
    ui::Ui,
    view::{
        listing::{self, Row},
        words,
    },
};

/// What to do with branches.
#[derive(Debug, Subcommand)]
pub(crate) enum BranchCommand {
    Ls(BranchLsArgs),
    Set(BranchSetArgs),
}

/// List branches
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flow branch ls\n  flow branch ls images\n  flow branch ls images --json"
)]
pub(crate) struct BranchLsArgs {
    /// Only the branches of this repo
    #[arg(value_name = "REPO")]
    repo: Option<RepoName>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Make a branch, or move one to another commit
///
/// Nothing is lost: the commits that the branch leaves stay in the store, and `flow op undo` takes the move back. Says
/// which pipelines now have work; `--run` runs it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow branch set images@dev images@master      a new branch where master is
  flow branch set images@master images@master^  back by one commit
  flow branch set images@master images@3f2a91")]
pub(crate) struct BranchSetArgs {
    /// The branch: `repo@branch`
    #[arg(value_name = "REPO@BRANCH")]
    branch: VersionAddr,
    /// The commit: `repo@branch`, `repo@commit`, `repo@branch^`
    #[arg(value_name = "FROM")]
    from: VersionAddr,
    /// Run the pipelines that have work now
    #[arg(long)]
    run: bool,
    /// Move a branch that a source folder keeps in step; the next apply moves it back
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BranchRow {
    repo: RepoName,
    branch: BranchName,
    head: String,
    files: u64,
    bytes: u64,
    commits: u64,
    time: String,
    author: String,
}

impl Row for BranchRow {
    const COLUMNS: &'static [&'static str] =
        &["repo", "branch", "head", "files", "size", "commits", "time", "author"];
    const WIDE_FROM: usize = 7;

    fn cells(&self) -> Vec<String> {
        vec![
            self.repo.to_string(),
            self.branch.to_string(),
            words::short(&self.head),
            self.files.to_string(),
            words::bytes(self.bytes),
            self.commits.to_string(),
            self.time.clone(),
            self.author.clone(),
        ]
    }
}

/// Runs a command on branches.
pub(crate) async fn run(command: BranchCommand, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    match command {
        BranchCommand::Ls(args) => ls(&args, settings, ui).await,
        BranchCommand::Set(args) => set(&args, settings, ui).await,
    }
}

async fn ls(args: &BranchLsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    if let Some(repo) = &args.repo {
        open.repo(repo).await?;
    }
    let wanted = |(repo, _): &(RepoName, BranchName)| args.repo.as_ref().is_none_or(|only| only == repo);
    let branches = open.snapshot.all_branches().await?;
    let branches: Vec<_> = branches.into_iter().filter(|(key, _)| wanted(key)).collect();
    let heads: Vec<Digest> = branches.iter().map(|(_, state)| state.head.0).collect();
    let commits: Vec<Commit> = open.snapshot.reader().stored_many(&heads).await?;
    let rows: Vec<BranchRow> = branches
        .into_iter()
        .zip(commits)
        .map(|(((repo, branch), state), commit)| BranchRow {
            repo,
            branch,
            head: state.head.to_string(),
            files: state.files,
            bytes: state.bytes,
            commits: state.commits,
            time: words::time(commit.time),
            author: commit.author,
        })
        .collect();
    listing::print(ui, &args.output, &rows, "no branches: they come with the first commit")?;
    Ok(Exit::Done)
}

async fn set(args: &BranchSetArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let (repo, branch) = (&args.branch.repo, &args.branch.base);
    check(&open, args).await?;
    let (head, commit) = open.commit(&args.from).await?;
    let before = open.snapshot.branch(repo, branch).await?;
    if before.as_ref().is_some_and(|state| state.head == head) {
        ui.say(&format!("{repo}@{branch} is at {} already: nothing was changed", head.short()));
        return Ok(Exit::Done);
    }
    let state = state_at(&open, &args.from, head, &commit, before.as_ref()).await?;
    let was = before.as_ref().map(|state| format!(", it was at {}", state.head.short()));
    let description = format!("set branch {repo}@{branch} to {}", head.short());
    let mut transaction = open.project.begin(Some(&open.snapshot));
    transaction.set(&ViewKey::Branch(repo.clone(), branch.clone()), &state);
    // A repo that is removed meanwhile must not get a branch back.
    transaction.expect_unchanged(&ViewKey::Repo(repo.clone()));
    let meta = OperationMeta { kind: OperationKind::Branch, description, stamp: stamp(settings) };
    let snapshot = transaction.publish(meta).await?;
    ui.say(&format!("{repo}@{branch} is at {} now{}", head.short(), was.unwrap_or_default()));
    follow(&open, &snapshot, repo, branch, args.run, settings, ui).await
}

/// Whether the branch may be moved to that place.
async fn check(open: &Open, args: &BranchSetArgs) -> Result<(), CommandError> {
    let BranchSetArgs { branch: target, from, .. } = args;
    let state = open.repo(&target.repo).await?;
    if target.back > 0 {
        return Err(CommandError::user(format!("`{target}` is a commit, not a branch"))
            .help(format!("name the branch to move: `{}@{}`", target.repo, target.base)));
    }
    if from.repo != target.repo {
        return Err(CommandError::user(format!(
            "`{from}` is no commit of repo `{}`: a branch points to commits of its own repo",
            target.repo
        ))
        .help(format!("to copy files: `flow get -r {from} --out DIR`, then `flow put -r {target} -f DIR`")));
    }
    if let Some(pipeline) = &state.pipeline {
        return Err(CommandError::user(format!(
            "repo `{}` is written by pipeline `{pipeline}` alone",
            target.repo
        ))
        .help("set a branch of one of its input repos instead, and run `flow apply`"));
    }
    let source = state.spec.source.as_ref().filter(|source| source.branch == target.base && !args.force);
    match source {
        Some(source) => {
            Err(CommandError::user(format!("`{target}` is kept in step with the folder `{}`", source.path))
                .help("change the folder and run `flow apply`")
                .help("or move it all the same with `--force`: the next apply moves it back"))
        }
        None => Ok(()),
    }
}

/// The state of a branch that points to `head`, counted from the nearest branch whose numbers are known.
async fn state_at(
    open: &Open,
    from: &VersionAddr,
    head: CommitId,
    commit: &Commit,
    before: Option<&BranchState>,
) -> Result<BranchState, CommandError> {
    let named = open.snapshot.branch(&from.repo, &from.base).await?;
    if let Some(state) = named.as_ref().filter(|state| state.head == head) {
        return Ok(state.clone());
    }
    let (files, bytes) = open.size_near(commit.tree, named.as_ref().or(before)).await?;
    let mut commits = 1;
    let mut next = commit.parents.first().copied();
    while let Some(id) = next {
        commits += 1;
        next = open.load(id).await?.parents.first().copied();
    }
    Ok(BranchState { head, files, bytes, commits })
}
