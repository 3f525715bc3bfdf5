//! Bytes under names: the only thing in flow that touches a store's storage.
//!
//! | operation | promise |
//! |---|---|
//! | create | durable when it returns; never overwrites; readers see nothing or all of it |
//! | swap of a ref | durable when it returns; atomic against every other swap, also of other processes |
//! | get | the bytes as stored: checking them is the caller's duty |
//!
//! **Invariant:** names are never reused, except the one mutable object per project, `refs/<project>`.
//!
//! An implementation is wrapped from outside to inject faults ([`crate::fault`]) or to count.

mod disk;
mod local;
mod object;

use std::{
    fmt::Debug,
    ops::Range,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use flow_model::{digest::BlobId, name::ProjectName};

pub use self::{
    disk::{Disk, OsDisk, Staged},
    local::LocalMedia,
    object::ObjectMedia,
};
use crate::error::MediaError;

/// What a create found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Created {
    /// The name was free and holds the bytes now.
    New,
    /// The name was taken; nothing was changed. After a retry inside a client it may hold our own bytes.
    Existed,
}

/// What a swap of a ref found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swap {
    /// The ref had the expected version and has the new content now.
    Done,
    /// The ref had another version; nothing was changed.
    Moved,
}

/// The version of a ref as its storage tells it; only compared, never interpreted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefVersion {
    /// Entity tag.
    pub e_tag: Option<String>,
    /// Generation, where the storage has one.
    pub version: Option<String>,
}

/// An object as a listing shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ObjectInfo {
    /// Its name, relative to the store.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Storage for one store.
#[async_trait]
pub trait Media: Send + Sync + Debug {
    /// Stores `bytes` under `name` unless the name is taken. Durable when it returns.
    async fn create(&self, name: &str, bytes: Bytes) -> Result<Created, MediaError>;

    /// Copies the file at `source` to `name` with bounded memory; durable when it returns. The copy is hashed on the
    /// way: if its content is not `content`, nothing is created and the error is [`MediaError::SourceChanged`].
    async fn create_from_file(
        &self,
        name: &str,
        source: &Path,
        content: BlobId,
    ) -> Result<Created, MediaError>;

    /// All bytes of an object.
    async fn get(&self, name: &str) -> Result<Bytes, MediaError>;

    /// Some bytes of an object; fewer if it ends before.
    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, MediaError>;

    /// The size of an object, `None` if it does not exist.
    async fn size(&self, name: &str) -> Result<Option<u64>, MediaError>;

    /// All objects below a folder (`jobs/x/`) or, for the empty text, of the store; by name.
    async fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, MediaError>;

    /// Removes an object; removing what is not there is no error.
    async fn delete(&self, name: &str) -> Result<(), MediaError>;

    /// A project's ref, `None` if it has none yet.
    async fn read_ref(&self, project: &ProjectName) -> Result<Option<(Bytes, RefVersion)>, MediaError>;

    /// Replaces a project's ref if it still has the `expected` version (`None`: if there is none). Any error but
    /// [`MediaError::Crashed`] leaves open whether it happened.
    async fn swap_ref(
        &self,
        project: &ProjectName,
        expected: Option<RefVersion>,
        content: Bytes,
    ) -> Result<Swap, MediaError>;

    /// The file that holds an object, where objects are files of this machine.
    fn local_path(&self, name: &str) -> Option<PathBuf>;
}

/// The name of a project's ref.
#[must_use]
pub fn ref_name(project: &ProjectName) -> String {
    format!("refs/{project}")
}
