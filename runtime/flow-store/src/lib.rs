//! The store of flow: versioned repos on any object store.
//!
//! ```text
//!   Transaction ──put──> packs, objects ──publish──> operation ──swap──> refs/<project>
//!   Snapshot    <──────────────── index runs <────── view <───────────── refs/<project>
//! ```
//!
//! | module | keeps |
//! |---|---|
//! | [`media`] | bytes under names; the only place that touches storage |
//! | `pack`, `run`, `sealed` | formats: many small things in one object; sorted tables; small JSON |
//! | `index`, `cache` | digest -> location; datum key -> result |
//! | [`tree`] | Merkle search trees: commits' files, views, jobs' datums |
//! | `reader` | digest -> verified content |
//! | `collector`, `ingest`, `jobs` | what is put: deduplicated, packed, durable |
//! | `transaction`, `publish` | one change, one compare-and-swap |
//! | `fsck` | whether all that is promised is there |
//! | [`fault`] | storage that fails on purpose, for tests |
//!
//! **Invariants:** everything but the refs is immutable; a ref is swapped only after all it leads to is durable; bytes
//! from storage are hashed before they are used.

pub mod fault;
pub mod media;
pub mod tree;

mod cache;
mod collector;
mod compress;
mod entropy;
mod error;
mod files;
mod filter;
mod fsck;
mod index;
mod ingest;
mod jobs;
mod location;
mod node_cache;
mod overlay;
mod pack;
mod project;
mod publish;
mod reader;
mod run;
mod sealed;
mod snapshot;
mod state_ref;
mod store;
mod transaction;
mod url;
mod wire;

pub use self::{
    entropy::{Entropy, SeededEntropy, SystemEntropy, new_nonce},
    error::{MediaError, PublishError, StoreError},
    fsck::{Affected, FsckCounts, FsckLevel, FsckReport, Problem, fsck},
    jobs::{JobPacks, JobWriter},
    location::{Kind, Location},
    media::{LocalMedia, Media, ObjectMedia},
    project::{Project, is_id_prefix},
    reader::Reader,
    snapshot::Snapshot,
    store::Store,
    transaction::{OperationMeta, Stamp, Transaction},
    tree::{FileTree, FolderChild, Tree, empty_tree},
    url::{StoreUrl, StoreUrlError},
};
