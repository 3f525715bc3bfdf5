//! Trees whose entries are files: a commit's content, seen as folders.

use std::sync::Arc;

use flow_model::{
    digest::TreeId,
    path::RepoPath,
    tree::{FileChange, FileEntry},
};

use super::{Diff, Scan, Tree, cursor::Cursor, node::Node};
use crate::{error::StoreError, reader::Reader};

/// A tree of files.
#[derive(Clone, Debug)]
pub struct FileTree(Tree);

/// What lies directly in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Child {
    /// A file.
    File {
        /// Its last component.
        name: String,
        /// The file.
        entry: FileEntry,
    },
    /// A folder.
    Folder {
        /// Its last component.
        name: String,
    },
}

impl Child {
    /// Its last component.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::File { name, .. } | Self::Folder { name } => name,
        }
    }
}

/// The key prefix of everything below a folder; the root has none.
fn below(folder: Option<&RepoPath>) -> Vec<u8> {
    folder.map_or_else(Vec::new, |path| format!("{}/", path.as_str()).into_bytes())
}

fn damaged(tree: TreeId, detail: &str) -> StoreError {
    StoreError::corrupt_at("tree", tree.0, detail)
}

fn path_of(tree: TreeId, key: Vec<u8>) -> Result<RepoPath, StoreError> {
    let text = String::from_utf8(key).map_err(|_| damaged(tree, "a path is not UTF-8"))?;
    match RepoPath::parse(&text) {
        Ok(path) if path.as_str() == text => Ok(path),
        _ => Err(damaged(tree, "a key is no path")),
    }
}

fn entry_of(tree: TreeId, value: &[u8]) -> Result<FileEntry, StoreError> {
    FileEntry::decode(value).ok_or_else(|| damaged(tree, "an entry is no file"))
}

impl FileTree {
    pub(crate) const fn new(tree: Tree) -> Self {
        Self(tree)
    }

    /// Its root.
    #[must_use]
    pub const fn id(&self) -> TreeId {
        self.0.id()
    }

    /// The file at `path`.
    ///
    /// # Errors
    /// As every read of a store: missing or damaged nodes, storage that does not answer.
    pub async fn get(&self, path: &RepoPath) -> Result<Option<FileEntry>, StoreError> {
        let value = self.0.get(path.as_str().as_bytes()).await?;
        value.map(|value| entry_of(self.id(), &value)).transpose()
    }

    /// How many files it has.
    ///
    /// # Errors
    /// As [`FileTree::get`].
    pub async fn len(&self) -> Result<u64, StoreError> {
        self.0.len().await
    }

    /// Whether it has no files.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files below a folder (`None`: all), in path order.
    #[must_use]
    pub fn files(&self, folder: Option<&RepoPath>) -> FileScan {
        FileScan { tree: self.id(), scan: self.0.scan_prefix(&below(folder)) }
    }

    /// The files whose paths (without leading slash) start with `prefix`, in path order.
    #[must_use]
    pub fn files_with_prefix(&self, prefix: &str) -> FileScan {
        FileScan { tree: self.id(), scan: self.0.scan_prefix(prefix.as_bytes()) }
    }

    /// Whether `path` is a folder: whether a file lies below it.
    ///
    /// # Errors
    /// As [`FileTree::get`].
    pub async fn is_folder(&self, path: &RepoPath) -> Result<bool, StoreError> {
        Ok(!self.files(Some(path)).next_batch().await?.is_empty())
    }

    /// What lies directly in a folder (`None`: the root), by name; skips whatever lies deeper.
    ///
    /// # Errors
    /// As [`FileTree::get`].
    pub async fn children(&self, folder: Option<&RepoPath>) -> Result<Vec<Child>, StoreError> {
        let prefix = below(folder);
        let reader = &self.0.reader;
        let root = reader.node(self.id().0).await?;
        let mut cursor = Cursor::new(reader, root, 0);
        let mut children = Vec::new();
        let mut from = prefix.clone();
        loop {
            cursor.seek(&from).await?;
            let Some(leaf) = cursor.node().map(Arc::clone) else { return Ok(children) };
            match self.step(&leaf, &prefix, &mut from, &mut children)? {
                Step::Seek => {}
                Step::End => return Ok(sorted(children)),
                Step::Next if cursor.is_last() => return Ok(sorted(children)),
                Step::Next => {
                    cursor.next().await?;
                    let first = cursor.node().filter(|leaf| leaf.len() > 0).map(|leaf| leaf.key(0).to_vec());
                    let Some(first) = first else { return Ok(sorted(children)) };
                    from = first;
                }
            }
        }
    }

    /// Reads children from one leaf, starting at `from`; moves `from` past a folder that goes on in other leaves.
    fn step(
        &self,
        leaf: &Node,
        prefix: &[u8],
        from: &mut Vec<u8>,
        children: &mut Vec<Child>,
    ) -> Result<Step, StoreError> {
        let mut at = leaf.position(from);
        while at < leaf.len() {
            let key = leaf.key(at);
            let Some(rest) = key.strip_prefix(prefix) else { return Ok(Step::End) };
            let name = |bytes: &[u8]| {
                String::from_utf8(bytes.to_vec()).map_err(|_| damaged(self.id(), "a path is not UTF-8"))
            };
            let Some(slash) = rest.iter().position(|byte| *byte == b'/') else {
                let entry = entry_of(self.id(), leaf.value(at))?;
                children.push(Child::File { name: name(rest)?, entry });
                at += 1;
                continue;
            };
            children.push(Child::Folder { name: name(&rest[..slash])? });
            *from = key[..prefix.len() + slash].to_vec();
            from.push(b'/' + 1);
            at = leaf.position(from);
            if at == leaf.len() {
                return Ok(Step::Seek);
            }
        }
        Ok(Step::Next)
    }

    /// What changed from `before` (`None`: from nothing), in path order.
    #[must_use]
    pub fn changes_since(&self, before: Option<TreeId>) -> FileDiff {
        FileDiff { tree: self.id(), diff: Diff::new(self.0.reader.clone(), before, Some(self.id())) }
    }

    /// The underlying tree.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.0
    }
}

/// A folder `a` and a file `a.b`: their keys `a/…` and `a.b` do not sort like their names.
fn sorted(mut children: Vec<Child>) -> Vec<Child> {
    children.sort_by(|a, b| a.name().cmp(b.name()));
    children
}

enum Step {
    /// The leaf is used up; the next one follows on.
    Next,
    /// The rest of the leaf, and perhaps more, lies in a folder: seek behind it.
    Seek,
    /// What follows is outside the folder.
    End,
}

/// Files in path order.
#[derive(Debug)]
pub struct FileScan {
    tree: TreeId,
    scan: Scan,
}

impl FileScan {
    /// The next files, at least one; empty at the end.
    ///
    /// # Errors
    /// As every read of a store: missing or damaged nodes, storage that does not answer.
    pub async fn next_batch(&mut self) -> Result<Vec<(RepoPath, FileEntry)>, StoreError> {
        let batch = self.scan.next_batch().await?;
        batch
            .into_iter()
            .map(|(key, value)| Ok((path_of(self.tree, key)?, entry_of(self.tree, &value)?)))
            .collect()
    }

    /// All files that are left.
    ///
    /// # Errors
    /// As [`FileScan::next_batch`].
    pub async fn collect(mut self) -> Result<Vec<(RepoPath, FileEntry)>, StoreError> {
        let mut all = Vec::new();
        loop {
            let mut batch = self.next_batch().await?;
            if batch.is_empty() {
                return Ok(all);
            }
            all.append(&mut batch);
        }
    }
}

/// Changed files in path order.
#[derive(Debug)]
pub struct FileDiff {
    tree: TreeId,
    diff: Diff,
}

impl FileDiff {
    /// The next changes, at least one; empty at the end.
    ///
    /// # Errors
    /// As every read of a store: missing or damaged nodes, storage that does not answer.
    pub async fn next_batch(&mut self) -> Result<Vec<FileChange>, StoreError> {
        let batch = self.diff.next_batch().await?;
        let entry = |value: Option<Vec<u8>>| value.map(|value| entry_of(self.tree, &value)).transpose();
        batch
            .into_iter()
            .map(|change| {
                Ok(FileChange {
                    path: path_of(self.tree, change.key)?,
                    before: entry(change.before)?,
                    after: entry(change.after)?,
                })
            })
            .collect()
    }

    /// All changes.
    ///
    /// # Errors
    /// As [`FileDiff::next_batch`].
    pub async fn collect(mut self) -> Result<Vec<FileChange>, StoreError> {
        let mut all = Vec::new();
        loop {
            let mut batch = self.next_batch().await?;
            if batch.is_empty() {
                return Ok(all);
            }
            all.append(&mut batch);
        }
    }
}

impl Reader {
    /// A tree of files.
    #[must_use]
    pub fn files(&self, root: TreeId) -> FileTree {
        FileTree::new(self.tree(root))
    }
}
