//! `flow commit`: versions of repos.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use flow_model::{
    address::VersionAddr,
    commit::{Commit, Origin},
    digest::{CommitId, CommitSetId},
    name::RepoName,
    tree::FileCounts,
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

/// What to do with commits.
#[derive(Debug, Subcommand)]
pub(crate) enum CommitCommand {
    Ls(CommitLsArgs),
    Show(CommitShowArgs),
}

/// List commits, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow commit ls images              of all branches
  flow commit ls images@master -n 5  the newest five of one branch
  flow commit ls images@3f2a91^      from a commit backwards")]
pub(crate) struct CommitLsArgs {
    /// A repo, or `repo@branch` or `repo@commit` for the commits from there backwards
    #[arg(value_name = "ADDRESS")]
    addr: String,
    /// At most this many
    #[arg(short = 'n', long, value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Show a commit: what it changed, where it came from, what it set in motion
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flow commit show images@master\n  flow commit show images@master^\n  flow commit show total@1b725c --json"
)]
pub(crate) struct CommitShowArgs {
    /// The commit: `repo@branch`, `repo@commit`, `repo@branch^`
    #[arg(value_name = "ADDRESS")]
    addr: VersionAddr,
    #[command(flatten)]
    output: OutputArgs,
}

/// A commit of a listing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitRow {
    id: String,
    repo: RepoName,
    /// The branches that it is the head of.
    branches: Vec<String>,
    parent: Option<String>,
    origin: Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    commit_set: String,
    author: String,
    time: String,
    message: String,
    tree: String,
}

impl Row for CommitRow {
    const COLUMNS: &'static [&'static str] =
        &["commit", "time", "origin", "author", "branch", "message", "parent", "commit set"];
    const WIDE_FROM: usize = 6;

    fn cells(&self) -> Vec<String> {
        vec![
            words::short(&self.id),
            self.time.clone(),
            self.origin_in_words(),
            self.author.clone(),
            self.branches.join(","),
            words::first_line(&self.message),
            self.parent.as_deref().map(words::short).unwrap_or_default(),
            words::short(&self.commit_set),
        ]
    }
}

impl CommitRow {
    fn new(id: CommitId, commit: Commit, heads: &BTreeMap<CommitId, Vec<String>>) -> Self {
        Self {
            id: id.to_string(),
            repo: commit.repo,
            branches: heads.get(&id).cloned().unwrap_or_default(),
            parent: commit.parents.first().map(ToString::to_string),
            origin: commit.origin,
            job: commit.job.map(|job| job.to_string()),
            commit_set: commit.commit_set.to_string(),
            author: commit.author,
            time: words::time(commit.time),
            message: commit.message,
            tree: commit.tree.to_string(),
        }
    }

    fn origin_in_words(&self) -> String {
        match (self.origin, &self.job) {
            (Origin::Job, Some(job)) => format!("job {}", words::short(job)),
            (Origin::Job, None) => "job".to_owned(),
            (Origin::User, _) => "user".to_owned(),
            (Origin::Source, _) => "source folder".to_owned(),
        }
    }
}

/// A commit in full.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitView {
    #[serde(flatten)]
    row: CommitRow,
    files: u64,
    bytes: u64,
    /// Against the parent, or against nothing for the first commit.
    changes: FileCounts,
    provenance: Vec<MadeFrom>,
    /// What the same change set in motion.
    set: Vec<SetMember>,
}

#[derive(Serialize)]
struct MadeFrom {
    repo: RepoName,
    branch: String,
    commit: String,
}

#[derive(Serialize)]
struct SetMember {
    pipeline: String,
    job: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// Runs a command on commits.
pub(crate) async fn run(command: CommitCommand, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    match command {
        CommitCommand::Ls(args) => ls(&args, settings, ui).await,
        CommitCommand::Show(args) => show(&args, settings, ui).await,
    }
}

async fn ls(args: &CommitLsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let addr: VersionAddr = args.addr.parse()?;
    let limit = args.limit.unwrap_or(usize::MAX);
    let commits = if args.addr.contains('@') {
        ancestors(&open, &addr, limit).await?
    } else {
        open.repo(&addr.repo).await?;
        open.history(&addr.repo).await?
    };
    let heads = heads(&open, &addr.repo).await?;
    let rows = commits.into_iter().take(limit).map(|(id, commit)| CommitRow::new(id, commit, &heads));
    let rows: Vec<CommitRow> = rows.collect();
    listing::print(ui, &args.output, &rows, "no commits")?;
    Ok(Exit::Done)
}

/// A commit and those before it, newest first.
async fn ancestors(
    open: &Open,
    addr: &VersionAddr,
    limit: usize,
) -> Result<Vec<(CommitId, Commit)>, CommandError> {
    let mut next = Some(open.commit(addr).await?.0);
    let mut found = Vec::new();
    while let Some(id) = next.filter(|_| found.len() < limit) {
        let commit = open.load(id).await?;
        next = commit.parents.first().copied();
        found.push((id, commit));
    }
    Ok(found)
}

/// The branches of a repo by what they point to.
async fn heads(open: &Open, repo: &RepoName) -> Result<BTreeMap<CommitId, Vec<String>>, CommandError> {
    let mut heads: BTreeMap<CommitId, Vec<String>> = BTreeMap::new();
    for (branch, state) in open.snapshot.branches(repo).await? {
        heads.entry(state.head).or_default().push(branch.to_string());
    }
    Ok(heads)
}

async fn show(args: &CommitShowArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let (id, commit) = open.commit(&args.addr).await?;
    let heads = heads(&open, &commit.repo).await?;
    let known = open.snapshot.branches(&commit.repo).await?.into_values().find(|branch| branch.head == id);
    let (files, bytes) = match known {
        Some(branch) => (branch.files, branch.bytes),
        None => open.size_near(commit.tree, None).await?,
    };
    let parent = match commit.parents.first() {
        Some(parent) => Some(open.load(*parent).await?.tree),
        None => None,
    };
    let mut diff = open.snapshot.reader().files(commit.tree).changes_since(parent);
    let mut changes = FileCounts::default();
    loop {
        let batch = diff.next_batch().await?;
        if batch.is_empty() {
            break;
        }
        batch.iter().for_each(|change| changes.count(change.before.as_ref(), change.after.as_ref()));
    }
    let made_from = commit.provenance.iter().map(|from| MadeFrom {
        repo: from.repo.clone(),
        branch: from.branch.to_string(),
        commit: from.commit.to_string(),
    });
    let provenance = made_from.collect();
    let set = set_of(&open, commit.commit_set).await?;
    let view = CommitView { row: CommitRow::new(id, commit, &heads), files, bytes, changes, provenance, set };
    details::print(ui, &args.output, &view, &describe(&view))?;
    Ok(Exit::Done)
}

/// The jobs of a commit set, in the order in which they ended.
async fn set_of(open: &Open, set: CommitSetId) -> Result<Vec<SetMember>, CommandError> {
    let jobs = open.jobs(None).await?.into_iter().rev().filter(|job| job.state.commit_set == set);
    Ok(jobs
        .map(|job| SetMember {
            pipeline: job.pipeline.to_string(),
            job: job.id.to_string(),
            status: job.state.status.word(),
            output: job.state.output.map(|output| output.to_string()),
        })
        .collect())
}

fn describe(view: &CommitView) -> Details {
    let row = &view.row;
    let changes = &view.changes;
    let from: Vec<String> = view
        .provenance
        .iter()
        .map(|from| format!("{}@{} ({})", from.repo, words::short(&from.commit), from.branch))
        .collect();
    let set: Vec<String> = view
        .set
        .iter()
        .map(|job| match &job.output {
            Some(output) => format!(
                "{0}: job {1} made {0}@{2}",
                job.pipeline,
                words::short(&job.job),
                words::short(output)
            ),
            None => format!("{}: job {}, {}", job.pipeline, words::short(&job.job), job.status),
        })
        .collect();
    Details::default()
        .field("commit", format!("{}@{}", row.repo, row.id))
        .field("branch", row.branches.join(", "))
        .field("origin", row.origin_in_words())
        .field("author", row.author.clone())
        .field("time", row.time.clone())
        .field("message", row.message.clone())
        .field("parent", row.parent.clone().unwrap_or_else(|| "none: it is the first".to_owned()))
        .field("made from", from.join("\n"))
        .field("holds", format!("{}, {}", words::count(view.files, "file"), words::bytes(view.bytes)))
        .field("changes", words::changes(changes))
        .field("commit set", row.commit_set.clone())
        .section("jobs of the commit set", set.join("\n"))
}
