//! `flow get` and `flow cat`: data out of a repo.

use std::path::{Path, PathBuf};

use clap::Args;
use flow_model::{address::DataAddr, path::RepoPath, tree::FileEntry};
use flow_store::{FileTree, Reader};

use crate::{Exit, error::CommandError, session::Open, settings::Settings, ui::Ui, view::words};

/// Print a file
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flow cat total@master:/total.tsv\n  flow cat images@master^:/a.png > a.png"
)]
pub(crate) struct CatArgs {
    /// The file: `repo@branch:/path`
    #[arg(value_name = "ADDRESS")]
    addr: DataAddr,
}

/// Copy files out of a repo
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow get total@master:/total.tsv             to ./total.tsv
  flow get total@master:/total.tsv --out t.tsv
  flow get -r counts@master --out counts       a folder with everything below it")]
pub(crate) struct GetArgs {
    /// What to copy: `repo@branch:/path`
    #[arg(value_name = "ADDRESS")]
    addr: DataAddr,
    /// Copy a folder
    #[arg(short, long)]
    recursive: bool,
    /// Where to; the name of the file or folder here if not given
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

/// Prints a file's bytes.
pub(crate) async fn cat(args: &CatArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let files = open.snapshot.reader().files(open.tree(&args.addr.version).await?);
    let entry = file_at(&files, &args.addr).await?;
    ui.raw(&open.snapshot.reader().blob(entry.blob).await?)?;
    Ok(Exit::Done)
}

/// Copies a file, or a folder with everything below it.
pub(crate) async fn get(args: &GetArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let reader = open.snapshot.reader();
    let files = reader.files(open.tree(&args.addr.version).await?);
    if !args.recursive {
        let entry = file_at(&files, &args.addr).await?;
        let name = args.addr.path.rsplit('/').next().unwrap_or_default();
        let target = settings.path(args.out.as_deref().unwrap_or(Path::new(name)));
        write(&reader, &entry, &target, args.force).await?;
        ui.say(&format!("wrote {}", target.display()));
        return Ok(Exit::Done);
    }
    let folder = RepoPath::parse(&args.addr.path).ok();
    let default = folder.as_ref().map_or(args.addr.version.repo.as_str(), |path| path.file_name()).to_owned();
    let target = settings.path(args.out.as_deref().unwrap_or(Path::new(&default)));
    let mut count = 0;
    let mut scan = files.files(folder.as_ref());
    loop {
        let batch = scan.next_batch().await?;
        if batch.is_empty() {
            break;
        }
        for (path, entry) in batch {
            let relative = match &folder {
                Some(folder) => path.as_str().get(folder.as_str().len() + 1..).unwrap_or(path.file_name()),
                None => path.as_str(),
            };
            write(&reader, &entry, &target.join(relative), args.force).await?;
            count += 1;
        }
    }
    if count == 0 {
        return Err(nothing_at(&args.addr));
    }
    ui.say(&format!("wrote {} to {}", words::count(count, "file"), target.display()));
    Ok(Exit::Done)
}

async fn file_at(files: &FileTree, addr: &DataAddr) -> Result<FileEntry, CommandError> {
    let Ok(path) = RepoPath::parse(&addr.path) else {
        return Err(CommandError::user(format!("`{addr}` is a whole repo, not a file"))
            .help(format!("list it: `flow ls {}`; copy it: `flow get -r {}`", addr.version, addr.version)));
    };
    match files.get(&path).await? {
        Some(entry) => Ok(entry),
        None if files.is_folder(&path).await? => Err(CommandError::user(format!("`{addr}` is a folder"))
            .help(format!("list it: `flow ls {addr}`; copy it: `flow get -r {addr}`"))),
        None => Err(nothing_at(addr)),
    }
}

/// There is nothing at this address.
pub(crate) fn nothing_at(addr: &DataAddr) -> CommandError {
    CommandError::user(format!("`{addr}` does not exist"))
        .help(format!("`flow ls {}` lists what does", addr.version))
}

async fn write(reader: &Reader, entry: &FileEntry, target: &Path, force: bool) -> Result<(), CommandError> {
    use std::os::unix::fs::PermissionsExt;
    let fail =
        |error: std::io::Error| CommandError::user(format!("cannot write `{}`: {error}", target.display()));
    if target.exists() && !force {
        return Err(CommandError::user(format!("`{}` is there already", target.display()))
            .help("write over it with `--force`, or name another place with `--out`"));
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(fail)?;
    }
    reader.blob_to_file(entry.blob, target).await?;
    let mode = if entry.executable { 0o755 } else { 0o644 };
    std::fs::set_permissions(target, PermissionsExt::from_mode(mode)).map_err(fail)
}
