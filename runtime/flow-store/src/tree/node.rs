//! Nodes of a Merkle search tree: their bytes, and where one ends.
//!
//! ```text
//! type line  flow.node.v1
//! level      0 for leaves
//! count
//! entries    shared prefix with the key before, rest of the key, value
//! ```
//!
//! An inner node's entry has the last key of a child as key, and the child's digest and number of entries as value.
//! A node ends after a key whose hash says so (one in 128), or when it is full. The level takes part in the hash, so
//! that levels end independently. **Invariant:** a set of entries has exactly one tree, whatever the history.

use bytes::Bytes;
use flow_model::digest::{Digest, TreeId};

use crate::wire::{Wire, put_varint};

const TYPE_LINE: &[u8] = b"flow.node.v1\n";
/// One key in this many ends its node.
const FAN_OUT: u64 = 128;
/// A node with this many entries is full.
const ENTRIES_MAX: usize = 1024;
/// A node with this many bytes of keys and values is full.
const BYTES_MAX: usize = 512 << 10;
/// Above this level only full nodes end: an end to towers of nodes with one entry.
const LEVEL_MAX: u8 = 24;
/// The longest key: a repo path has at most 4,000 bytes.
pub(crate) const KEY_MAX: usize = 8 << 10;
/// The longest value.
pub(crate) const VALUE_MAX: usize = 1 << 20;
const CHILD_LENGTH: usize = 40;

/// A decoded node.
#[derive(Debug)]
pub(crate) struct Node {
    level: u8,
    arena: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    key: u32,
    value: u32,
    end: u32,
}

/// A subtree as its parent knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Child {
    pub(crate) id: Digest,
    pub(crate) count: u64,
}

impl Child {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(CHILD_LENGTH);
        value.extend_from_slice(self.id.as_bytes());
        value.extend_from_slice(&self.count.to_le_bytes());
        value
    }
}

impl Node {
    /// Reads a node; `None` if the bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut wire = Wire(bytes.strip_prefix(TYPE_LINE)?);
        let level = wire.u8()?;
        let count = wire.varint()?;
        if count > ENTRIES_MAX || level > LEVEL_MAX + 8 {
            return None;
        }
        let mut arena: Vec<u8> = Vec::with_capacity(bytes.len() * 2);
        let mut spans: Vec<Span> = Vec::with_capacity(count);
        for _ in 0..count {
            let (shared, rest) = (wire.varint()?, wire.varint()?);
            let before = spans.last().map_or(0..0, |span| span.key as usize..span.value as usize);
            if shared > before.len() || shared + rest > KEY_MAX {
                return None;
            }
            let key = arena.len();
            arena.extend_from_within(before.start..before.start + shared);
            arena.extend_from_slice(wire.take(rest)?);
            let value = arena.len();
            let length = wire.varint()?;
            if length > VALUE_MAX || (level > 0 && length != CHILD_LENGTH) {
                return None;
            }
            arena.extend_from_slice(wire.take(length)?);
            let ascending = spans.is_empty() || arena[before] < arena[key..value];
            let span = Span {
                key: u32::try_from(key).ok()?,
                value: u32::try_from(value).ok()?,
                end: u32::try_from(arena.len()).ok()?,
            };
            if !ascending {
                return None;
            }
            spans.push(span);
        }
        // Only a leaf may be empty, and only as the root of an empty tree.
        (wire.is_empty() && (level == 0 || count > 0)).then_some(Self { level, arena, spans })
    }

    pub(crate) const fn level(&self) -> u8 {
        self.level
    }

    pub(crate) const fn len(&self) -> usize {
        self.spans.len()
    }

    /// What the node takes up in memory, roughly.
    pub(crate) fn weight(&self) -> usize {
        self.arena.capacity() + self.spans.capacity() * size_of::<Span>() + 128
    }

    pub(crate) fn key(&self, at: usize) -> &[u8] {
        let span = self.spans[at];
        &self.arena[span.key as usize..span.value as usize]
    }

    pub(crate) fn value(&self, at: usize) -> &[u8] {
        let span = self.spans[at];
        &self.arena[span.value as usize..span.end as usize]
    }

    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        self.len().checked_sub(1).map(|at| self.key(at))
    }

    /// The child at a position of an inner node.
    pub(crate) fn child(&self, at: usize) -> Child {
        let value = self.value(at);
        let (mut id, mut count) = ([0; 32], [0; 8]);
        if value.len() == CHILD_LENGTH {
            id.copy_from_slice(&value[..32]);
            count.copy_from_slice(&value[32..]);
        }
        Child { id: Digest::from_bytes(id), count: u64::from_le_bytes(count) }
    }

    /// The first position whose key is not below `key`.
    pub(crate) fn position(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Entries in the whole subtree.
    pub(crate) fn count(&self) -> u64 {
        if self.level == 0 {
            self.len() as u64
        } else {
            (0..self.len()).fold(0, |sum: u64, at| sum.saturating_add(self.child(at).count))
        }
    }
}

/// The root of the tree without entries.
#[must_use]
pub fn empty_tree() -> TreeId {
    TreeId(Digest::of(&empty_node()))
}

/// The bytes of the node without entries; never stored.
pub(crate) fn empty_node() -> Vec<u8> {
    let mut bytes = TYPE_LINE.to_vec();
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

/// A finished node.
#[derive(Debug)]
pub(crate) struct NewNode {
    pub(crate) last_key: Vec<u8>,
    pub(crate) child: Child,
    pub(crate) bytes: Bytes,
}

/// Cuts a sorted sequence of entries of one level into nodes.
pub(crate) struct Chunker {
    level: u8,
    body: Vec<u8>,
    last_key: Vec<u8>,
    entries: usize,
    raw: usize,
    count: u64,
    done: Vec<NewNode>,
}

impl Chunker {
    pub(crate) const fn new(level: u8) -> Self {
        Self { level, body: Vec::new(), last_key: Vec::new(), entries: 0, raw: 0, count: 0, done: Vec::new() }
    }

    /// Adds the next entry; `count` is 1 in leaves and the child's count above.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8], count: u64) {
        let before: &[u8] = if self.entries == 0 { &[] } else { &self.last_key };
        let shared = key.iter().zip(before).take_while(|(a, b)| a == b).count();
        put_varint(&mut self.body, shared);
        put_varint(&mut self.body, key.len() - shared);
        self.body.extend_from_slice(&key[shared..]);
        put_varint(&mut self.body, value.len());
        self.body.extend_from_slice(value);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.entries += 1;
        self.raw += key.len() + value.len();
        self.count = self.count.saturating_add(count);
        if self.entries >= ENTRIES_MAX || self.raw >= BYTES_MAX || ends_node(self.level, key) {
            self.close();
        }
    }

    /// Whether the last entry ended a node, so that the next one starts afresh.
    pub(crate) const fn is_closed(&self) -> bool {
        self.entries == 0
    }

    fn close(&mut self) {
        if self.entries == 0 {
            return;
        }
        let mut bytes = Vec::with_capacity(TYPE_LINE.len() + 4 + self.body.len());
        bytes.extend_from_slice(TYPE_LINE);
        bytes.push(self.level);
        put_varint(&mut bytes, self.entries);
        bytes.append(&mut self.body);
        let child = Child { id: Digest::of(&bytes), count: self.count };
        self.done.push(NewNode { last_key: self.last_key.clone(), child, bytes: bytes.into() });
        (self.entries, self.raw, self.count) = (0, 0, 0);
    }

    /// Ends the last node.
    pub(crate) fn finish(mut self) -> Vec<NewNode> {
        self.close();
        self.done
    }
}

fn ends_node(level: u8, key: &[u8]) -> bool {
    if level > LEVEL_MAX {
        return false;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[level]).update(key);
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first) % FAN_OUT == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_round_trip_and_others_are_refused() {
        let mut chunker = Chunker::new(0);
        for (key, value) in [("a/b", "1"), ("a/c", ""), ("b", "3")] {
            chunker.push(key.as_bytes(), value.as_bytes(), 1);
        }
        let nodes = chunker.finish();
        let bytes = &nodes[0].bytes;
        let node = Node::decode(bytes).unwrap();
        assert_eq!((node.level(), node.len(), node.count()), (0, 3, 3));
        assert_eq!((node.key(1), node.value(2)), (&b"a/c"[..], &b"3"[..]));
        assert_eq!([b"a".as_slice(), b"a/c", b"c"].map(|key| node.position(key)), [0, 1, 3]);
        for cut in 0..bytes.len() {
            assert!(Node::decode(&bytes[..cut]).is_none(), "{cut}");
        }
        assert!(Node::decode(b"flow.node.v1\n\x01\x00").is_none(), "an inner node has children");
        assert!(Node::decode(&empty_node()).is_some());
    }

    #[test]
    fn the_format_stays_as_it_is() {
        let mut chunker = Chunker::new(0);
        chunker.push(b"a", b"1", 1);
        let nodes = chunker.finish();
        assert_eq!(&nodes[0].bytes[..], b"flow.node.v1\n\x00\x01\x00\x01a\x011");
        assert_eq!(empty_tree().to_string(), Digest::of(b"flow.node.v1\n\x00\x00").to_string(),);
    }
}
