//! The arena of nodes.
//!
//! Children lie side by side, so that a tree of a million nodes is a handful of allocations. An alias is its anchor's
//! node once more: the "tree" may share, which the limits of `parse` account for.

use std::{borrow::Cow, ops::Range};

use flow_model::span::Span;

/// Index of a node in its tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeId(pub(super) u32);

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// A whole number as written.
    Int,
    /// Any other number as written.
    Float,
    /// `true` or `false`.
    Bool,
    /// Nothing: `null`, `~` or no value at all.
    Null,
    /// A list.
    List,
    /// Keys with values.
    Object,
    /// Something that was reported already; nobody complains about it again.
    Broken,
}

impl Kind {
    /// For messages: `found a list`.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Int | Self::Float => "a number",
            Self::Bool => "a boolean",
            Self::Null => "nothing",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Broken => "something broken",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct NodeData<'s> {
    pub(super) kind: Kind,
    pub(super) span: Span,
    pub(super) content: Content<'s>,
    /// Values in it, itself included, as a walk would count them.
    pub(super) weight: u32,
    /// Levels of lists and objects in it, itself included; 0 for a scalar.
    pub(super) height: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Content<'s> {
    Text(Cow<'s, str>),
    List(Range<u32>),
    Object(Range<u32>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct EntryData {
    pub(super) key: NodeId,
    pub(super) value: NodeId,
}

/// All documents of a file.
#[derive(Debug, Default)]
pub(crate) struct Tree<'s> {
    pub(super) nodes: Vec<NodeData<'s>>,
    pub(super) items: Vec<NodeId>,
    pub(super) entries: Vec<EntryData>,
    pub(super) roots: Vec<NodeId>,
    /// Whether a document could not be read to its end, so that names in it are unknown.
    pub(crate) lost_documents: bool,
}

impl<'s> Tree<'s> {
    pub(super) fn push(&mut self, node: NodeData<'s>) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() as u32 - 1)
    }

    pub(super) fn data(&self, id: NodeId) -> &NodeData<'s> {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn at(&self, id: NodeId) -> Node<'_> {
        Node { tree: self, id }
    }

    /// The documents, in order.
    pub(crate) fn documents(&self) -> impl Iterator<Item = Node<'_>> {
        self.roots.iter().map(|id| self.at(*id))
    }
}

/// A value in a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    tree: &'a Tree<'a>,
    id: NodeId,
}

impl<'a> Node<'a> {
    fn data(self) -> &'a NodeData<'a> {
        &self.tree.nodes[self.id.0 as usize]
    }

    /// What it is.
    pub(crate) fn kind(self) -> Kind {
        self.data().kind
    }

    /// Where it is written. An object in block style begins at its first key.
    pub(crate) fn span(self) -> Span {
        self.data().span
    }

    /// The text of a scalar: the content of a string, or the number, boolean or null as written.
    pub(crate) fn text(self) -> Option<&'a str> {
        match &self.data().content {
            Content::Text(text) => Some(text),
            Content::List(_) | Content::Object(_) => None,
        }
    }

    /// The items of a list; nothing for anything else.
    pub(crate) fn items(self) -> impl ExactSizeIterator<Item = Node<'a>> {
        let range = match &self.data().content {
            Content::List(range) => range.start as usize..range.end as usize,
            _ => 0..0,
        };
        self.tree.items[range].iter().map(move |id| self.tree.at(*id))
    }

    /// The keys and values of an object; nothing for anything else. Keys are unique scalars.
    pub(crate) fn entries(self) -> impl ExactSizeIterator<Item = (Node<'a>, Node<'a>)> {
        let range = match &self.data().content {
            Content::Object(range) => range.start as usize..range.end as usize,
            _ => 0..0,
        };
        self.tree.entries[range].iter().map(move |entry| (self.tree.at(entry.key), self.tree.at(entry.value)))
    }

    /// The value under a key.
    pub(crate) fn get(self, key: &str) -> Option<Node<'a>> {
        self.entries().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// Where a reader is sent who is to see this node: an object's first key instead of all its lines.
    pub(crate) fn head(self) -> Span {
        match self.entries().next() {
            Some((key, _)) if key.span().start >= self.span().start && key.span().end <= self.span().end => {
                key.span()
            }
            _ => self.span(),
        }
    }
}
