//! Edits: from one tree to another, rewriting only the nodes around what changes.
//!
//! Level by level from the leaves: the node that holds the first edit is opened, its entries and the edits are merged
//! and cut into nodes again, and following nodes are pulled in until a cut falls together with an old one. What was
//! replaced becomes the edits of the level above. **Invariant:** the result is the tree that building all entries from
//! nothing would give.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use flow_model::digest::{Digest, TreeId};

use super::{
    cursor::Cursor,
    node::{Child, Chunker, KEY_MAX, NewNode, Node, VALUE_MAX, empty_tree},
};
use crate::{error::StoreError, reader::Reader};

/// Values by key; `None` removes.
pub(crate) type Edits = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Keys for which nodes are read ahead, all at once.
const WARM_KEYS: usize = 4096;

/// Applies `edits` to the tree `base`; new nodes go to `sink` and must be readable through `reader` at once.
pub(crate) async fn edit(
    reader: &Reader,
    base: Option<TreeId>,
    edits: Edits,
    sink: &(dyn Fn(Digest, Bytes) + Sync),
) -> Result<TreeId, StoreError> {
    check_sizes(&edits)?;
    let base = base.unwrap_or_else(empty_tree);
    let root = reader.node(base.0).await?;
    if edits.len() <= WARM_KEYS {
        warm(reader, &root, &edits).await?;
    }
    let mut level = 0;
    let mut edits = edits;
    while level <= root.level() {
        if edits.is_empty() {
            return Ok(base);
        }
        edits = edit_level(reader, &root, level, edits, sink).await?;
        level += 1;
    }
    if edits.is_empty() {
        return Ok(base);
    }
    let top = edits.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let top = grow(top, level, sink);
    shrink(reader, top).await
}

fn check_sizes(edits: &Edits) -> Result<(), StoreError> {
    for (key, value) in edits {
        let value = value.as_ref().map_or(0, Vec::len);
        if key.len() > KEY_MAX || value > VALUE_MAX {
            let (key_max, value_max) = (KEY_MAX, VALUE_MAX);
            return Err(StoreError::EntryTooLarge { key: key.len(), key_max, value, value_max });
        }
    }
    Ok(())
}

/// Reads the nodes on the way to all edited keys, a level at a time, so that they are fetched together.
async fn warm(reader: &Reader, root: &Arc<Node>, edits: &Edits) -> Result<(), StoreError> {
    let mut nodes = vec![Arc::clone(root)];
    while let Some(level) = nodes.first().map(|node| node.level()).filter(|level| *level > 0) {
        let mut children = Vec::new();
        let mut keys = edits.keys().peekable();
        for (at, node) in nodes.iter().enumerate() {
            let rightmost = at + 1 == nodes.len();
            while let Some(key) = keys.peek() {
                let position = node.position(key);
                if position == node.len() && !rightmost {
                    break;
                }
                let child = node.child(position.min(node.len() - 1)).id;
                if children.last() != Some(&child) {
                    children.push(child);
                }
                keys.next();
            }
        }
        nodes = reader.nodes_at(&children, level - 1).await?;
    }
    Ok(())
}

/// Applies edits to one level and returns those of the level above.
async fn edit_level(
    reader: &Reader,
    root: &Arc<Node>,
    level: u8,
    edits: Edits,
    sink: &(dyn Fn(Digest, Bytes) + Sync),
) -> Result<Edits, StoreError> {
    let mut above = Edits::new();
    let mut replaced: BTreeMap<Vec<u8>, Digest> = BTreeMap::new();
    let mut cursor = Cursor::new(reader, Arc::clone(root), level);
    let mut edits = edits.into_iter().peekable();
    while let Some((key, _)) = edits.peek() {
        cursor.seek(key).await?;
        let mut chunker = Chunker::new(level);
        while let Some(node) = cursor.node().map(Arc::clone) {
            let is_last = cursor.is_last();
            if let Some(last) = node.last_key() {
                above.insert(last.to_vec(), None);
                if let Some(id) = cursor.id() {
                    replaced.insert(last.to_vec(), id);
                }
            }
            let bound = if is_last { None } else { node.last_key() };
            merge(&node, &mut edits, bound, &mut chunker);
            if is_last || chunker.is_closed() {
                break;
            }
            cursor.next().await?;
        }
        for NewNode { last_key, child, bytes } in chunker.finish() {
            if replaced.get(&last_key) == Some(&child.id) {
                above.remove(&last_key);
            } else {
                sink(child.id, bytes);
                above.insert(last_key, Some(child.encode()));
            }
        }
    }
    Ok(above)
}

/// Pushes the node's entries with the edits up to `bound` (all that are left, if there is none).
fn merge(
    node: &Node,
    edits: &mut std::iter::Peekable<impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>>,
    bound: Option<&[u8]>,
    chunker: &mut Chunker,
) {
    let count = |value: &[u8]| if node.level() == 0 { 1 } else { child_count(value) };
    for at in 0..node.len() {
        let key = node.key(at);
        while let Some((new, value)) = edits.next_if(|(edit, _)| edit.as_slice() < key) {
            if let Some(value) = value {
                chunker.push(&new, &value, count(&value));
            }
        }
        match edits.next_if(|(edit, _)| edit.as_slice() == key) {
            Some((_, Some(value))) => chunker.push(key, &value, count(&value)),
            Some((_, None)) => {}
            None => chunker.push(key, node.value(at), count(node.value(at))),
        }
    }
    while let Some((new, value)) =
        edits.next_if(|(edit, _)| bound.is_none_or(|bound| edit.as_slice() <= bound))
    {
        if let Some(value) = value {
            chunker.push(&new, &value, count(&value));
        }
    }
}

fn child_count(value: &[u8]) -> u64 {
    value.get(32..40).and_then(|count| count.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Builds levels on top of the children until one is left.
fn grow(
    mut children: Vec<(Vec<u8>, Vec<u8>)>,
    mut level: u8,
    sink: &(dyn Fn(Digest, Bytes) + Sync),
) -> TreeId {
    while children.len() > 1 {
        let mut chunker = Chunker::new(level);
        for (key, value) in &children {
            chunker.push(key, value, child_count(value));
        }
        children = chunker
            .finish()
            .into_iter()
            .map(|NewNode { last_key, child, bytes }| {
                sink(child.id, bytes);
                (last_key, child.encode())
            })
            .collect();
        level += 1;
    }
    let only = children.first().and_then(|(_, value)| value[..32].try_into().ok());
    only.map_or_else(empty_tree, |id| TreeId(Digest::from_bytes(id)))
}

/// Removes inner roots with a single child.
async fn shrink(reader: &Reader, mut root: TreeId) -> Result<TreeId, StoreError> {
    loop {
        let node = reader.node(root.0).await?;
        if node.level() == 0 || node.len() > 1 {
            return Ok(root);
        }
        let Child { id, .. } = node.child(0);
        root = TreeId(id);
    }
}
