//! A position in one level of a tree.

use std::sync::Arc;

use flow_model::digest::Digest;

use super::node::Node;
use crate::{error::StoreError, reader::Reader};

/// Walks the nodes of one level from left to right; reads each node on the way once.
pub(crate) struct Cursor<'a> {
    reader: &'a Reader,
    root: Arc<Node>,
    level: u8,
    /// From the root down: node and the position that was taken in it; the last one is the current node.
    path: Vec<(Arc<Node>, usize)>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(reader: &'a Reader, root: Arc<Node>, level: u8) -> Self {
        Self { reader, root, level, path: Vec::new() }
    }

    /// Goes to the node that holds `key` or would hold it: the first whose last key is not below, else the last one.
    pub(crate) async fn seek(&mut self, key: &[u8]) -> Result<(), StoreError> {
        // Stays below the deepest node of the path that still covers the key.
        while let Some((node, _)) = self.path.last() {
            let covers = node.len() > 0
                && node.key(0) <= key
                && node.last_key().is_some_and(|last| key <= last)
                && self.path.len() > 1;
            if covers {
                break;
            }
            self.path.pop();
        }
        if let Some((node, position)) = self.path.last_mut() {
            *position = node.position(key).min(node.len().saturating_sub(1));
        } else {
            let position = self.root.position(key).min(self.root.len().saturating_sub(1));
            self.path.push((Arc::clone(&self.root), position));
        }
        self.descend(|node| node.position(key).min(node.len().saturating_sub(1))).await
    }

    async fn descend(&mut self, choose: impl Fn(&Node) -> usize) -> Result<(), StoreError> {
        while let Some((node, position)) = self.path.last()
            && node.level() > self.level
        {
            let child = node.child(*position).id;
            let below = self.reader.node_at(child, node.level() - 1).await?;
            let position = choose(&below);
            self.path.push((below, position));
        }
        Ok(())
    }

    /// The current node and its digest as its parent has it; the root has none.
    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.path.last().map(|(node, _)| node)
    }

    /// The digest of the current node, unless it is the root.
    pub(crate) fn id(&self) -> Option<Digest> {
        let (parent, position) = self.path.len().checked_sub(2).map(|at| &self.path[at])?;
        Some(parent.child(*position).id)
    }

    /// Whether no node of this level comes after.
    pub(crate) fn is_last(&self) -> bool {
        let above = self.path.len().saturating_sub(1);
        self.path[..above].iter().all(|(node, position)| position + 1 >= node.len())
    }

    /// Goes to the next node of this level; does nothing at the last one.
    pub(crate) async fn next(&mut self) -> Result<(), StoreError> {
        if self.is_last() {
            return Ok(());
        }
        self.path.pop();
        while let Some((node, position)) = self.path.last_mut() {
            if *position + 1 < node.len() {
                *position += 1;
                break;
            }
            self.path.pop();
        }
        self.descend(|_| 0).await
    }
}
