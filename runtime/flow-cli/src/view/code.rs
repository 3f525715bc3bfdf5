//! How a pipeline's code differs from the version that runs: file by file, as unified diffs.

use std::collections::BTreeMap;

use bytes::Bytes;
use flow_apply::Folder;
use flow_model::{digest::TreeId, path::RepoPath, tree::FileEntry};
use flow_plan::{
    resources::CodeDiff,
    text::{CodeFile, CodeText},
};
use flow_store::Reader;

use crate::error::CommandError;

/// Larger files are not read for a diff; the differ says that they differ.
const DIFF_BYTES_MAX: u64 = 4 << 20;

/// Compares two stored code trees.
pub(crate) async fn diff_stored(
    reader: &Reader,
    before: Option<TreeId>,
    after: TreeId,
) -> Result<CodeDiff, CommandError> {
    let mut files = Vec::new();
    for change in reader.files(after).changes_since(before).collect().await? {
        let (old, new) = (stored(reader, change.before).await?, stored(reader, change.after).await?);
        let old = change.before.map(|entry| CodeText { bytes: &old, executable: entry.executable });
        let new = change.after.map(|entry| CodeText { bytes: &new, executable: entry.executable });
        files.push(CodeFile::between(change.path, old, new));
    }
    Ok(CodeDiff { files })
}

async fn stored(reader: &Reader, entry: Option<FileEntry>) -> Result<Bytes, CommandError> {
    match entry {
        Some(entry) if entry.size <= DIFF_BYTES_MAX => Ok(reader.blob(entry.blob).await?),
        _ => Ok(Bytes::new()),
    }
}

/// Compares the stored code tree `before` with the folder whose tree is `after`.
pub(crate) async fn diff(
    reader: &Reader,
    before: Option<TreeId>,
    after: TreeId,
    folder: &Folder,
) -> Result<CodeDiff, CommandError> {
    let here: BTreeMap<&RepoPath, &std::path::Path> =
        folder.files.iter().map(|file| (&file.path, file.file.as_path())).collect();
    let mut files = Vec::new();
    for change in reader.files(after).changes_since(before).collect().await? {
        let old = stored(reader, change.before).await?;
        let new = match (&change.after, here.get(&change.path)) {
            (Some(entry), Some(path)) if entry.size <= DIFF_BYTES_MAX => {
                Bytes::from(std::fs::read(path).map_err(|error| {
                    CommandError::user(format!("cannot read `{}`: {error}", path.display()))
                })?)
            }
            _ => Bytes::new(),
        };
        let old = change.before.map(|entry| CodeText { bytes: &old, executable: entry.executable });
        let new = change.after.map(|entry| CodeText { bytes: &new, executable: entry.executable });
        files.push(CodeFile::between(change.path, old, new));
    }
    Ok(CodeDiff { files })
}
