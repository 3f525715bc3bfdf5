//! Merkle search trees: sorted maps from byte keys to byte values, shared node by node between versions.
//!
//! | need | cost |
//! |---|---|
//! | look up, seek | one node per level |
//! | edit | nodes around the changed keys, on every level |
//! | diff | nodes that differ |
//! | count | the root |

mod cursor;
mod diff;
mod edit;
mod files;
mod node;
mod scan;

use flow_model::digest::TreeId;

pub use self::{
    diff::{Change, Diff},
    files::{Child as FolderChild, FileDiff, FileScan, FileTree},
    node::empty_tree,
    scan::Scan,
};
pub(crate) use self::{
    edit::edit,
    node::{Node, empty_node},
    scan::nodes_on_the_way,
};
use crate::{error::StoreError, reader::Reader};

/// A tree and the reader that resolves its nodes.
#[derive(Clone, Debug)]
pub struct Tree {
    reader: Reader,
    root: TreeId,
}

impl Tree {
    pub(crate) const fn new(reader: Reader, root: TreeId) -> Self {
        Self { reader, root }
    }

    /// Its root: equal roots mean equal entries.
    #[must_use]
    pub const fn id(&self) -> TreeId {
        self.root
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// As every read of a store: missing or damaged nodes, storage that does not answer.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut node = self.reader.node(self.root.0).await?;
        loop {
            let at = node.position(key);
            if at == node.len() {
                return Ok(None);
            }
            if node.level() == 0 {
                return Ok((node.key(at) == key).then(|| node.value(at).to_vec()));
            }
            node = self.reader.node_at(node.child(at).id, node.level() - 1).await?;
        }
    }

    /// How many entries it has; reads one node.
    ///
    /// # Errors
    /// As [`Tree::get`].
    pub async fn len(&self) -> Result<u64, StoreError> {
        Ok(self.reader.node(self.root.0).await?.count())
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root == empty_tree()
    }

    /// Its entries from `start` on, in key order, to be read in bounded batches.
    #[must_use]
    pub fn scan_from(&self, start: &[u8]) -> Scan {
        Scan::new(self.reader.clone(), self.root, start.to_vec(), None)
    }

    /// Its entries whose keys start with `prefix`, in key order, to be read in bounded batches.
    #[must_use]
    pub fn scan_prefix(&self, prefix: &[u8]) -> Scan {
        Scan::new(self.reader.clone(), self.root, prefix.to_vec(), scan::after_prefix(prefix))
    }
}
