//! `flow put` and `flow rm`: commits on a branch.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;
use flow_apply::{Folder, FolderKind};
use flow_model::{
    address::DataAddr,
    commit::{Commit, OperationKind, Origin},
    digest::{CommitId, TreeId},
    name::{BranchName, PipelineName, RepoName},
    path::RepoPath,
    resource::ResourceAddr,
    state::{BranchState, ViewKey},
    tree::FileEntry,
};
use flow_store::{OperationMeta, Snapshot, Transaction};

use crate::{
    Exit,
    commands::{get::nothing_at, run::run_jobs},
    error::CommandError,
    planning,
    session::{Open, stamp},
    settings::Settings,
    ui::Ui,
    view::words,
};

/// Put files into a repo
///
/// Makes one commit on the branch and says which pipelines now have work; `--run` runs it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow put images@master:/a.png -f a.png
  flow put images@master:/2024 -r -f ./photos    a folder with everything below it
  echo hello | flow put texts:/hello.txt -f -
  flow put images:/a.png -f a.png --run")]
pub(crate) struct PutArgs {
    /// Where to: `repo@branch:/path`; a path that ends in `/` keeps the file's name
    #[arg(value_name = "ADDRESS")]
    addr: DataAddr,
    /// What: a file, a folder (with -r), or `-` for standard input
    #[arg(short, long, value_name = "PATH", required = true)]
    file: Vec<PathBuf>,
    /// Put a folder
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    commit: CommitArgs,
}

/// Remove files from a repo
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow rm images@master:/a.png\n  flow rm -r images@master:/2024")]
pub(crate) struct RmArgs {
    /// What: `repo@branch:/path`
    #[arg(value_name = "ADDRESS")]
    addr: DataAddr,
    /// Remove a folder with everything below it
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    commit: CommitArgs,
}

#[derive(Debug, Args)]
struct CommitArgs {
    /// Why, for `flow commit ls`
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Run the pipelines that have work now
    #[arg(long)]
    run: bool,
    /// Put into a branch that a source folder keeps in step; the next apply takes it out again
    #[arg(long)]
    force: bool,
}

/// Edits of a tree of files.
type FileEdits = BTreeMap<RepoPath, Option<FileEntry>>;

/// A branch that is about to get a commit.
struct Target<'a> {
    open: &'a Open,
    repo: RepoName,
    branch: BranchName,
    before: Option<BranchState>,
}

/// Commits files.
pub(crate) async fn put(args: &PutArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let target = target(&open, &args.addr, &args.commit).await?;
    let mut transaction = open.project.begin(Some(&open.snapshot));
    let mut edits = FileEdits::new();
    for file in &args.file {
        read_file(args, file, settings, &mut transaction, &mut edits).await?;
    }
    let verb =
        format!("put {} into {}@{}", words::count(edits.len() as u64, "file"), target.repo, target.branch);
    commit(target, transaction, edits, &verb, &args.commit, settings, ui).await
}

/// Commits removals.
pub(crate) async fn rm(args: &RmArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let target = target(&open, &args.addr, &args.commit).await?;
    let files = open.snapshot.reader().files(open.tree(&args.addr.version).await?);
    let path = RepoPath::parse(&args.addr.path).ok();
    let mut edits = FileEdits::new();
    match &path {
        Some(path) if files.get(path).await?.is_some() => {
            edits.insert(path.clone(), None);
        }
        _ if args.recursive => {
            let found = files.files(path.as_ref()).collect().await?;
            edits.extend(found.into_iter().map(|(path, _)| (path, None)));
        }
        Some(path) if files.is_folder(path).await? => {
            return Err(
                CommandError::user(format!("`{}` is a folder", args.addr)).help("remove it with `-r`")
            );
        }
        Some(_) => return Err(nothing_at(&args.addr)),
        None => {
            return Err(CommandError::user(format!("`{}` is a whole repo", args.addr))
                .help("remove everything in it with `-r`, or name a path: `repo@branch:/path`"));
        }
    }
    if edits.is_empty() {
        return Err(nothing_at(&args.addr));
    }
    let verb =
        format!("remove {} from {}@{}", words::count(edits.len() as u64, "file"), target.repo, target.branch);
    let transaction = open.project.begin(Some(&open.snapshot));
    commit(target, transaction, edits, &verb, &args.commit, settings, ui).await
}

async fn target<'a>(open: &'a Open, addr: &DataAddr, args: &CommitArgs) -> Result<Target<'a>, CommandError> {
    let version = &addr.version;
    let state = open.repo(&version.repo).await?;
    if version.back > 0 {
        return Err(CommandError::user(format!("`{version}` is history and does not change"))
            .help(format!("put to the branch: `{}@{}`", version.repo, version.base)));
    }
    if let Some(pipeline) = &state.pipeline {
        return Err(CommandError::user(format!(
            "repo `{}` is written by pipeline `{pipeline}` alone",
            version.repo
        ))
        .help("put into one of its input repos instead"));
    }
    if let Some(source) =
        state.spec.source.as_ref().filter(|source| source.branch == version.base && !args.force)
    {
        return Err(CommandError::user(format!(
            "`{}@{}` is kept in step with the folder `{}`",
            version.repo, source.branch, source.path
        ))
        .help("change the folder and run `flow apply`")
        .help("or put all the same with `--force`: the next apply takes it out again"));
    }
    let before = open.snapshot.branch(&version.repo, &version.base).await?;
    let known = before.is_some() || version.base == BranchName::master();
    if !known {
        return Err(CommandError::user(format!("repo `{}` has no branch `{}`", version.repo, version.base))
            .help(format!("make it: `flow branch set {0}@{1} {0}@master`", version.repo, version.base)));
    }
    Ok(Target { open, repo: version.repo.clone(), branch: version.base.clone(), before })
}

async fn read_file(
    args: &PutArgs,
    file: &Path,
    settings: &Settings,
    transaction: &mut Transaction,
    edits: &mut FileEdits,
) -> Result<(), CommandError> {
    if file == Path::new("-") {
        let mut content = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut content)
            .map_err(|error| CommandError::user(format!("cannot read standard input: {error}")))?;
        let named = RepoPath::parse(&args.addr.path).ok().filter(|_| !args.addr.path.ends_with('/'));
        let path = named.ok_or_else(|| {
            CommandError::user("standard input has no name").help("name the file: `repo@branch:/path`")
        })?;
        let size = content.len() as u64;
        let blob = transaction.put_blob(content.into());
        edits.insert(path, Some(FileEntry { blob, size, executable: false }));
        return Ok(());
    }
    let from = settings.path(file);
    if args.recursive {
        let folder = Folder::read(&from, FolderKind::Source)?;
        let paths = folder.files.iter().map(|found| found.file.clone()).collect();
        let stored = transaction.put_files(paths).await?;
        for (found, (blob, size)) in folder.files.iter().zip(stored) {
            let path = RepoPath::parse(&format!("{}/{}", args.addr.path, found.path.as_str()))?;
            edits.insert(path, Some(FileEntry { blob, size, executable: found.entry.executable }));
        }
        return Ok(());
    }
    let data = std::fs::metadata(&from)
        .map_err(|error| CommandError::user(format!("cannot read `{}`: {error}", from.display())))?;
    if data.is_dir() {
        return Err(CommandError::user(format!("`{}` is a folder", from.display())).help("put it with `-r`"));
    }
    if !data.is_file() {
        return Err(CommandError::user(format!("`{}` is neither a file nor a folder", from.display())));
    }
    use std::os::unix::fs::PermissionsExt;
    let executable = data.permissions().mode() & 0o111 != 0;
    let path = target_path(args, &from)?;
    let (blob, size) = transaction.put_file(from).await?;
    edits.insert(path, Some(FileEntry { blob, size, executable }));
    Ok(())
}

/// The path in the repo: as given, or the file's own name below a folder.
fn target_path(args: &PutArgs, from: &Path) -> Result<RepoPath, CommandError> {
    let given = &args.addr.path;
    if !given.ends_with('/') && args.file.len() == 1 {
        return Ok(RepoPath::parse(given)?);
    }
    let name = from.file_name().and_then(|name| name.to_str());
    let name = name
        .ok_or_else(|| CommandError::user(format!("`{}` has no name that can be stored", from.display())))?;
    Ok(RepoPath::parse(&format!("{given}/{name}"))?)
}

async fn commit(
    target: Target<'_>,
    mut transaction: Transaction,
    edits: FileEdits,
    what: &str,
    args: &CommitArgs,
    settings: &Settings,
    ui: &Ui,
) -> Result<Exit, CommandError> {
    let open = target.open;
    let base = match &target.before {
        Some(state) => Some(open.load(state.head).await?.tree),
        None => None,
    };
    check_collisions(open, base, &edits).await?;
    let before = sizes(open, base, &edits).await?;
    let after =
        edits.values().flatten().fold((0, 0), |(files, bytes), entry| (files + 1, bytes + entry.size as i64));
    let encoded = edits
        .iter()
        .map(|(path, entry)| (path.as_str().as_bytes().to_vec(), entry.map(|entry| entry.encode().to_vec())))
        .collect();
    let tree = transaction.edit_tree(base, encoded).await?;
    if Some(tree) == base {
        ui.say(&format!("{}@{} has this already: nothing was committed", target.repo, target.branch));
        return Ok(Exit::Done);
    }
    let stamp = stamp(settings);
    let commit = Commit {
        repo: target.repo.clone(),
        tree,
        parents: target.before.iter().map(|state| state.head).collect(),
        origin: Origin::User,
        provenance: Vec::new(),
        job: None,
        commit_set: flow_apply::new_commit_set(&transaction)?,
        author: stamp.actor.clone(),
        time: stamp.time,
        message: args.message.clone(),
        nonce: transaction.nonce()?,
    };
    let head = CommitId(transaction.put_stored(&commit));
    let old = target.before.unwrap_or(BranchState { head, files: 0, bytes: 0, commits: 0 });
    let state = BranchState {
        head,
        files: old.files.saturating_add_signed(after.0 - before.0),
        bytes: old.bytes.saturating_add_signed(after.1 - before.1),
        commits: old.commits + 1,
    };
    transaction.set(&ViewKey::Branch(target.repo.clone(), target.branch.clone()), &state);
    // A repo that is removed meanwhile must not get a branch back.
    transaction.expect_unchanged(&ViewKey::Repo(target.repo.clone()));
    let meta = OperationMeta { kind: OperationKind::Put, description: what.to_owned(), stamp };
    let snapshot = transaction.publish(meta).await?;
    ui.say(&format!("{what}: commit {}", head.short()));
    follow(open, &snapshot, &target.repo, &target.branch, args.run, settings, ui).await
}

/// Says which pipelines have work now, or runs it.
pub(crate) async fn follow(
    open: &Open,
    snapshot: &Snapshot,
    repo: &RepoName,
    branch: &BranchName,
    run: bool,
    settings: &Settings,
    ui: &Ui,
) -> Result<Exit, CommandError> {
    let affected = affected(snapshot, repo, branch).await?;
    if affected.is_empty() {
        return Ok(Exit::Done);
    }
    if run {
        return run_jobs(&open.workspace, &open.project, Some(&affected), settings, ui).await;
    }
    let names: Vec<&str> = affected.iter().map(PipelineName::as_str).collect();
    ui.say(&format!("these pipelines have work now: {}; `flow apply` runs it", names.join(", ")));
    Ok(Exit::Done)
}

/// The pipelines that read a branch, and those that read what they write.
async fn affected(
    snapshot: &Snapshot,
    repo: &RepoName,
    branch: &BranchName,
) -> Result<BTreeSet<PipelineName>, CommandError> {
    let dag = planning::dag_of_state(snapshot).await?;
    let mut affected: BTreeSet<PipelineName> = BTreeSet::new();
    for pipeline in dag.pipelines() {
        let reads_branch = match snapshot.pipeline(pipeline).await? {
            Some(state) => {
                let version: flow_model::spec::PipelineVersion =
                    snapshot.reader().stored(state.version.0).await?;
                version.spec.input.leaves().iter().any(|leaf| leaf.repo == *repo && leaf.branch == *branch)
            }
            None => false,
        };
        if reads_branch || dag.upstream(pipeline).any(|upstream| affected.contains(upstream)) {
            affected.insert(pipeline.clone());
        }
    }
    debug_assert!(affected.iter().all(|name| dag.reads(&ResourceAddr::Pipeline(name.clone())).is_some()));
    Ok(affected)
}

/// A file must not stand where a folder is, nor the other way round.
async fn check_collisions(open: &Open, base: Option<TreeId>, edits: &FileEdits) -> Result<(), CommandError> {
    let new = edits.iter().filter(|(_, entry)| entry.is_some());
    let collide = |file: &str, below: &str| {
        CommandError::user(format!("`/{file}` is a file, and `/{below}` lies below it"))
            .help("remove the one first, or choose another path: nothing was committed")
    };
    for (path, _) in new {
        for folder in path.ancestors() {
            let put = edits.get(folder);
            let there = match (put, base) {
                (Some(entry), _) => entry.is_some(),
                (None, Some(base)) => {
                    open.snapshot.reader().files(base).get(&RepoPath::parse(folder)?).await?.is_some()
                }
                (None, None) => false,
            };
            if there {
                return Err(collide(folder, path.as_str()));
            }
        }
        if let Some(base) = base {
            let below = open.snapshot.reader().files(base).files(Some(path)).collect().await?;
            if let Some((below, _)) = below.iter().find(|(below, _)| !matches!(edits.get(below), Some(None)))
            {
                return Err(collide(path.as_str(), below.as_str()));
            }
        }
    }
    Ok(())
}

/// Files and bytes that the edited paths hold now.
async fn sizes(open: &Open, base: Option<TreeId>, edits: &FileEdits) -> Result<(i64, i64), CommandError> {
    let Some(base) = base else { return Ok((0, 0)) };
    let files = open.snapshot.reader().files(base);
    let (mut count, mut bytes) = (0, 0);
    for path in edits.keys() {
        if let Some(entry) = files.get(path).await? {
            count += 1;
            bytes += entry.size as i64;
        }
    }
    Ok((count, bytes))
}
