//! Text to a tree of spanned nodes: one parser for YAML and JSON, which cannot fail.
//!
//! | file | what |
//! |---|---|
//! | `tree` | the arena of nodes, with the byte range of every key and value |
//! | `parse` | events of the scanner to nodes; documents, anchors, limits, recovery |
//! | `close` | what is checked when a list or an object ends: duplicate keys, merge keys |
//! | `scalar` | what an unquoted word means: the core schema of YAML 1.2 |
//! | `decode` | bytes to text |
//!
//! **Invariant:** time and memory are linear in the text; what would make them more (aliases of aliases, deep nesting,
//! merges of merges) is an error at its place.

mod close;
mod decode;
mod parse;
mod scalar;
#[cfg(test)]
mod tests;
mod tree;

pub use decode::{NotUtf8, decode};
pub(crate) use parse::parse;
pub(crate) use scalar::{is_float, is_integer, parse_integer};
pub(crate) use tree::{Kind, Node};

/// The largest file that is read, in bytes. Larger ones are refused unread.
pub const MAX_FILE_BYTES: usize = 32 << 20;

/// How deep lists and objects may be nested, what aliases bring in included.
pub const MAX_DEPTH: usize = 128;

/// How many values a file may have, what aliases and merge keys bring in counted each time.
pub const MAX_NODES: usize = 4_000_000;
