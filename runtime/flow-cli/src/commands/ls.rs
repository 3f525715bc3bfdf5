//! `flow ls`: files of a repo.

use clap::Args;
use flow_model::{address::DataAddr, path::RepoPath};
use flow_store::FolderChild as Child;
use serde::Serialize;

use crate::{
    Exit,
    args::OutputArgs,
    commands::get::nothing_at,
    error::CommandError,
    session::Open,
    settings::Settings,
    ui::Ui,
    view::{
        listing::{self, Row},
        words,
    },
};

/// List files
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flow ls images\n  flow ls images@master:/2024\n  flow ls -r images@dev")]
pub(crate) struct LsArgs {
    /// What to list: `repo@branch:/path`
    #[arg(value_name = "ADDRESS")]
    addr: DataAddr,
    /// Everything below, not just one level
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileRow {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    executable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
}

impl Row for FileRow {
    const COLUMNS: &'static [&'static str] = &["path", "type", "size", "executable", "hash"];
    const WIDE_FROM: usize = 3;

    fn cells(&self) -> Vec<String> {
        vec![
            self.path.clone(),
            self.kind.to_owned(),
            self.size.map(words::bytes).unwrap_or_default(),
            if self.executable { "yes".to_owned() } else { String::new() },
            self.blob.clone().unwrap_or_default(),
        ]
    }
}

fn file_row(path: &RepoPath, entry: &flow_model::tree::FileEntry) -> FileRow {
    FileRow {
        path: path.to_string(),
        kind: "file",
        size: Some(entry.size),
        executable: entry.executable,
        blob: Some(entry.blob.to_string()),
    }
}

/// Lists a folder, a file, or everything below a folder.
pub(crate) async fn ls(args: &LsArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let files = open.snapshot.reader().files(open.tree(&args.addr.version).await?);
    let folder = RepoPath::parse(&args.addr.path).ok();
    let mut rows = Vec::new();
    if let Some(path) = &folder
        && let Some(entry) = files.get(path).await?
    {
        rows.push(file_row(path, &entry));
    } else if args.recursive {
        let found = files.files(folder.as_ref()).collect().await?;
        rows.extend(found.iter().map(|(path, entry)| file_row(path, entry)));
    } else {
        for child in files.children(folder.as_ref()).await? {
            rows.push(child_row(folder.as_ref(), child)?);
        }
    }
    if rows.is_empty() && folder.is_some() {
        return Err(nothing_at(&args.addr));
    }
    listing::print(ui, &args.output, &rows, "no files")?;
    Ok(Exit::Done)
}

fn child_row(folder: Option<&RepoPath>, child: Child) -> Result<FileRow, CommandError> {
    let path = match folder {
        Some(folder) => RepoPath::parse(&format!("{}/{}", folder.as_str(), child.name()))?,
        None => RepoPath::parse(child.name())?,
    };
    Ok(match child {
        Child::File { entry, .. } => file_row(&path, &entry),
        Child::Folder { .. } => {
            FileRow { path: format!("{path}/"), kind: "folder", size: None, executable: false, blob: None }
        }
    })
}
