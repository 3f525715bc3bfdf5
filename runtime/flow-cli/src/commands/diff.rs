//! `flow diff`: what differs between two versions of a repo.

use clap::Args;
use flow_model::{
    address::{DataAddr, VersionAddr},
    tree::FileChange,
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
        listing::{self, Row},
        words,
    },
};

/// Show what differs between two versions
///
/// With one address: what its newest commit changed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flow diff images@master\n  flow diff images@master^3 images@master\n  flow diff images@dev:/2024 images@master"
)]
pub(crate) struct DiffArgs {
    /// The old version, or the only one; a path in it narrows the comparison
    #[arg(value_name = "ADDRESS")]
    old: DataAddr,
    /// The new version
    #[arg(value_name = "ADDRESS")]
    new: Option<VersionAddr>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeRow {
    change: &'static str,
    path: String,
    before: Option<u64>,
    after: Option<u64>,
}

impl Row for ChangeRow {
    const COLUMNS: &'static [&'static str] = &["change", "path", "before", "after"];
    const WIDE_FROM: usize = 4;

    fn cells(&self) -> Vec<String> {
        let size = |size: Option<u64>| size.map(words::bytes).unwrap_or_default();
        vec![self.change.to_owned(), self.path.clone(), size(self.before), size(self.after)]
    }
}

/// Compares two versions.
pub(crate) async fn diff(args: &DiffArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let (before, after) = match &args.new {
        Some(new) => (Some(open.tree(&args.old.version).await?), open.tree(new).await?),
        None => {
            let (_, commit) = open.commit(&args.old.version).await?;
            let parent = match commit.parents.first() {
                Some(parent) => Some(open.load(*parent).await?.tree),
                None => None,
            };
            (parent, commit.tree)
        }
    };
    let changes = open.snapshot.reader().files(after).changes_since(before).collect().await?;
    let prefix = args.old.path.trim_end_matches('/');
    let below = |change: &&FileChange| {
        let path = change.path.to_string();
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let rows: Vec<ChangeRow> = changes.iter().filter(below).map(row).collect();
    listing::print(ui, &args.output, &rows, "no differences")?;
    Ok(Exit::Done)
}

fn row(change: &FileChange) -> ChangeRow {
    let kind = match (&change.before, &change.after) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    ChangeRow {
        change: kind,
        path: change.path.to_string(),
        before: change.before.map(|entry| entry.size),
        after: change.after.map(|entry| entry.size),
    }
}
