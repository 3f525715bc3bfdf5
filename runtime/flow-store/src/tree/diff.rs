//! The difference of two trees, reading only what differs.
//!
//! Both sides are opened from the top, one level at a time; a node that is on both sides holds no difference and is
//! dropped on both. What remains of the leaves is merged entry by entry.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use flow_model::digest::{Digest, TreeId};

use super::node::{Node, empty_tree};
use crate::{error::StoreError, reader::Reader};

/// Leaves per side that are held at once.
const LEAVES: usize = 32;

/// One key that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// Its value before, if it had one.
    pub before: Option<Vec<u8>>,
    /// Its value after, if it has one.
    pub after: Option<Vec<u8>>,
}

/// The changes from one tree to another in key order, to be read in bounded batches.
#[derive(Debug)]
pub struct Diff {
    reader: Reader,
    /// Leaves that differ, before and after.
    leaves: Option<[VecDeque<Digest>; 2]>,
    roots: [TreeId; 2],
    /// Leaves that are being merged, with the next position in the first.
    open: [(VecDeque<Arc<Node>>, usize); 2],
}

impl Diff {
    pub(crate) fn new(reader: Reader, before: Option<TreeId>, after: Option<TreeId>) -> Self {
        let roots = [before.unwrap_or_else(empty_tree), after.unwrap_or_else(empty_tree)];
        Self { reader, leaves: None, roots, open: Default::default() }
    }

    /// The next changes, at least one; empty at the end.
    ///
    /// # Errors
    /// As every read of a store: missing or damaged nodes, storage that does not answer.
    pub async fn next_batch(&mut self) -> Result<Vec<Change>, StoreError> {
        if self.leaves.is_none() {
            self.leaves = Some(self.differing_leaves().await?);
        }
        loop {
            self.fill().await?;
            if self.open.iter().all(|(leaves, _)| leaves.is_empty()) {
                return Ok(Vec::new());
            }
            let changes = self.merge();
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    /// All changes.
    ///
    /// # Errors
    /// As [`Diff::next_batch`].
    pub async fn collect(mut self) -> Result<Vec<Change>, StoreError> {
        let mut all = Vec::new();
        loop {
            let mut batch = self.next_batch().await?;
            if batch.is_empty() {
                return Ok(all);
            }
            all.append(&mut batch);
        }
    }

    async fn differing_leaves(&self) -> Result<[VecDeque<Digest>; 2], StoreError> {
        if self.roots[0] == self.roots[1] {
            return Ok(Default::default());
        }
        let mut sides: [Vec<Digest>; 2] = self.roots.map(|root| vec![root.0]);
        let mut nodes: [Vec<Arc<Node>>; 2] = Default::default();
        for (side, nodes) in sides.iter().zip(&mut nodes) {
            nodes.push(self.reader.node(side[0]).await?);
        }
        let mut level = nodes.iter().flatten().map(|node| node.level()).max().unwrap_or(0);
        while level > 0 {
            for (side, nodes) in sides.iter_mut().zip(&mut nodes) {
                if nodes.first().is_some_and(|node| node.level() == level) {
                    *side =
                        nodes.iter().flat_map(|node| (0..node.len()).map(|at| node.child(at).id)).collect();
                    nodes.clear();
                }
            }
            drop_common(&mut sides);
            level -= 1;
            if level == 0 {
                break;
            }
            for (side, nodes) in sides.iter().zip(&mut nodes) {
                // A side whose root is further down waits until the other has come down to it.
                if nodes.is_empty() {
                    *nodes = self.reader.nodes_at(side, level).await?;
                } else if side.is_empty() {
                    nodes.clear();
                }
            }
        }
        Ok(sides.map(VecDeque::from))
    }

    /// Reads leaves until each side has some, or has none left.
    async fn fill(&mut self) -> Result<(), StoreError> {
        let Some(waiting) = &mut self.leaves else { return Ok(()) };
        for (waiting, (open, at)) in waiting.iter_mut().zip(&mut self.open) {
            if open.is_empty() && !waiting.is_empty() {
                let ids: Vec<Digest> = waiting.drain(..LEAVES.min(waiting.len())).collect();
                *open = self.reader.nodes_at(&ids, 0).await?.into();
                *at = 0;
            }
        }
        Ok(())
    }

    /// Merges until one side runs out of open leaves.
    fn merge(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let finished = |side: usize, leaves: &Option<[VecDeque<Digest>; 2]>| {
            leaves.as_ref().is_none_or(|leaves| leaves[side].is_empty())
        };
        loop {
            for (leaves, at) in &mut self.open {
                while leaves.front().is_some_and(|leaf| *at >= leaf.len()) {
                    leaves.pop_front();
                    *at = 0;
                }
            }
            let [before, after] = [0, 1]
                .map(|side| self.open[side].0.front().map(|leaf| (Arc::clone(leaf), self.open[side].1)));
            let (take_before, take_after) = match (&before, &after) {
                (None, None) => return changes,
                (None, Some(_)) if !finished(0, &self.leaves) => return changes,
                (Some(_), None) if !finished(1, &self.leaves) => return changes,
                (None, Some(_)) => (false, true),
                (Some(_), None) => (true, false),
                (Some((a, i)), Some((b, j))) => (a.key(*i) <= b.key(*j), b.key(*j) <= a.key(*i)),
            };
            let value = |taken: bool, side: &Option<(Arc<Node>, usize)>| {
                side.as_ref().filter(|_| taken).map(|(leaf, at)| leaf.value(*at).to_vec())
            };
            let from = if take_before { &before } else { &after };
            let Some((leaf, at)) = from else { return changes };
            let (old, new) = (value(take_before, &before), value(take_after, &after));
            if old != new {
                changes.push(Change { key: leaf.key(*at).to_vec(), before: old, after: new });
            }
            self.open[0].1 += usize::from(take_before);
            self.open[1].1 += usize::from(take_after);
        }
    }
}

/// Removes what is on both sides.
fn drop_common(sides: &mut [Vec<Digest>; 2]) {
    let first: BTreeSet<Digest> = sides[0].iter().copied().collect();
    let common: BTreeSet<Digest> = sides[1].iter().filter(|id| first.contains(id)).copied().collect();
    for side in sides {
        side.retain(|id| !common.contains(id));
    }
}
