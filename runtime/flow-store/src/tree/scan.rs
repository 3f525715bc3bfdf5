//! Reading a tree in key order with bounded memory.

use std::{collections::VecDeque, sync::Arc};

use flow_model::digest::{Digest, TreeId};

use super::node::{Node, empty_tree};
use crate::{error::StoreError, reader::Reader};

/// Nodes that are read at once.
const BATCH: usize = 32;

/// Entries of a tree in key order.
#[derive(Debug)]
pub struct Scan {
    reader: Reader,
    start: Vec<u8>,
    /// The first key that is not wanted.
    end: Option<Vec<u8>>,
    /// What lies ahead, in key order.
    ahead: VecDeque<Ahead>,
}

#[derive(Debug)]
enum Ahead {
    Subtree { id: Digest, level: Option<u8> },
    Leaf(Arc<Node>),
}

/// The first key after all that start with `prefix`; `None` if there is no such key.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

impl Scan {
    pub(crate) fn new(reader: Reader, root: TreeId, start: Vec<u8>, end: Option<Vec<u8>>) -> Self {
        let ahead = VecDeque::from([Ahead::Subtree { id: root.0, level: None }]);
        Self { reader, start, end, ahead }
    }

    /// The next entries, at least one; empty at the end.
    ///
    /// # Errors
    /// As every read of a store: missing or damaged nodes, storage that does not answer.
    pub async fn next_batch(&mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        while let Some(leaf) = self.next_leaf().await? {
            let from = leaf.position(&self.start);
            let to = self.end.as_ref().map_or(leaf.len(), |end| leaf.position(end));
            if from < to {
                return Ok((from..to).map(|at| (leaf.key(at).to_vec(), leaf.value(at).to_vec())).collect());
            }
        }
        Ok(Vec::new())
    }

    /// All entries that are left.
    ///
    /// # Errors
    /// As [`Scan::next_batch`].
    pub async fn collect(mut self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let mut all = Vec::new();
        loop {
            let mut batch = self.next_batch().await?;
            if batch.is_empty() {
                return Ok(all);
            }
            all.append(&mut batch);
        }
    }

    /// The next leaf; reads the subtrees ahead a batch at a time.
    async fn next_leaf(&mut self) -> Result<Option<Arc<Node>>, StoreError> {
        loop {
            match self.ahead.front() {
                None => return Ok(None),
                Some(Ahead::Leaf(_)) => {
                    let Some(Ahead::Leaf(leaf)) = self.ahead.pop_front() else { return Ok(None) };
                    return Ok(Some(leaf));
                }
                Some(Ahead::Subtree { .. }) => self.read_ahead().await?,
            }
        }
    }

    /// Replaces the first subtrees, as far as they are on one level, by what they hold.
    async fn read_ahead(&mut self) -> Result<(), StoreError> {
        let Some(Ahead::Subtree { level: first, .. }) = self.ahead.front() else { return Ok(()) };
        let first = *first;
        // Inner nodes one by one, so that the list ahead stays short; leaves in batches.
        let batch = if first == Some(0) { BATCH } else { 1 };
        let mut ids = Vec::new();
        while ids.len() < batch
            && let Some(Ahead::Subtree { id, level }) = self.ahead.front()
            && *level == first
        {
            ids.push(*id);
            self.ahead.pop_front();
        }
        let nodes = match first {
            Some(level) => self.reader.nodes_at(&ids, level).await?,
            None => vec![self.reader.node(ids[0]).await?],
        };
        for node in nodes.into_iter().rev() {
            if node.level() == 0 {
                self.ahead.push_front(Ahead::Leaf(node));
                continue;
            }
            let level = Some(node.level() - 1);
            let from = node.position(&self.start);
            // The child with the first key at or after the end may hold keys below it.
            let to = self.end.as_ref().map_or(node.len(), |end| (node.position(end) + 1).min(node.len()));
            for at in (from..to).rev() {
                self.ahead.push_front(Ahead::Subtree { id: node.child(at).id, level });
            }
        }
        Ok(())
    }
}

/// The nodes that reading all keys with `prefix` touches, root first; the empty tree has none.
pub(crate) async fn nodes_on_the_way(
    reader: &Reader,
    root: TreeId,
    prefix: &[u8],
) -> Result<Vec<Digest>, StoreError> {
    if root == empty_tree() {
        return Ok(Vec::new());
    }
    let end = after_prefix(prefix);
    let mut ids = vec![root.0];
    let mut nodes = vec![reader.node(root.0).await?];
    let mut all = ids.clone();
    while let Some(level) = nodes.first().map(|node| node.level()).filter(|level| *level > 0) {
        ids.clear();
        for node in &nodes {
            let to = end.as_ref().map_or(node.len(), |end| (node.position(end) + 1).min(node.len()));
            ids.extend((node.position(prefix)..to).map(|at| node.child(at).id));
        }
        nodes = reader.nodes_at(&ids, level - 1).await?;
        all.extend(&ids);
    }
    Ok(all)
}
