//! A change of a project that is being prepared: data, trees, and edits of the view. Nothing is visible before it is
//! published; dropping it leaves at most packs that nobody refers to.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use flow_model::{
    canonical::{self, Stored},
    commit::{Nonce, OperationKind},
    digest::{BlobId, DatumKey, Digest, TreeId},
    forecast::ResultRef,
    path::RepoPath,
    state::ViewKey,
    time::Timestamp,
    tree::FileEntry,
};
use serde::Serialize;

use crate::{
    cache,
    collector::{Collector, Purpose},
    entropy::new_nonce,
    error::{PublishError, StoreError},
    ingest,
    jobs::JobPacks,
    location::Kind,
    project::Project,
    publish::Publication,
    reader::Reader,
    snapshot::Snapshot,
    tree,
};

/// Who did something, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// As `user@host`.
    pub actor: String,
    /// When.
    pub time: Timestamp,
}

/// What the operation log says about a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperationMeta {
    /// What kind of change.
    pub kind: OperationKind,
    /// One line.
    pub description: String,
    /// Who and when.
    pub stamp: Stamp,
}

/// A change that is being prepared.
#[derive(Debug)]
pub struct Transaction {
    project: Project,
    base: Option<Snapshot>,
    collector: Collector,
    edits: BTreeMap<ViewKey, Option<Vec<u8>>>,
    expected: BTreeSet<ViewKey>,
    adopted: Vec<JobPacks>,
    results: cache::Entries,
}

impl Transaction {
    pub(crate) fn new(project: Project, base: Option<Snapshot>, reader: Reader, sketch: bool) -> Self {
        let purpose = if sketch { Purpose::Sketch } else { Purpose::Publish };
        Self {
            project,
            base,
            collector: Collector::new(reader, purpose),
            edits: BTreeMap::new(),
            expected: BTreeSet::new(),
            adopted: Vec::new(),
            results: cache::Entries::new(),
        }
    }

    /// The state that this change starts from.
    #[must_use]
    pub const fn base(&self) -> Option<&Snapshot> {
        self.base.as_ref()
    }

    /// Reads that see everything put so far.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.collector.reader().clone()
    }

    /// A random value for a commit that is made in this transaction.
    ///
    /// # Errors
    /// [`StoreError::Entropy`] if the system has no random bytes.
    pub fn nonce(&self) -> Result<Nonce, StoreError> {
        new_nonce(self.project.shared().entropy())
    }

    /// Puts a blob that is in memory.
    pub fn put_blob(&self, content: Bytes) -> BlobId {
        let id = BlobId::of(&content);
        self.collector.put(id.0, Kind::Blob, content);
        id
    }

    /// Puts a commit, manifest, record or any other stored object; returns its digest.
    pub fn put_stored<T: Stored>(&self, object: &T) -> Digest {
        let bytes = canonical::encode(object);
        let digest = Digest::of(&bytes);
        self.collector.put(digest, Kind::Record, bytes.into());
        digest
    }

    /// Puts a file's content with bounded memory; returns its id and length.
    ///
    /// # Errors
    /// The file cannot be read, or changes meanwhile; the storage cannot be written.
    pub async fn put_file(&self, path: PathBuf) -> Result<(BlobId, u64), StoreError> {
        ingest::put_file(&self.collector, path).await
    }

    /// Puts the contents of many files, hashed on all cores while packs are written. Ids and lengths are in the order
    /// of `paths`.
    ///
    /// # Errors
    /// As [`Transaction::put_file`].
    pub async fn put_files(&self, paths: Vec<PathBuf>) -> Result<Vec<(BlobId, u64)>, StoreError> {
        ingest::put_files(&self.collector, paths).await
    }

    /// Stores what was put so far if it fills a pack: bounds the memory of a long row of puts.
    ///
    /// # Errors
    /// The storage cannot be written.
    pub async fn spill(&self) -> Result<(), StoreError> {
        if self.collector.purpose() == Purpose::Sketch { Ok(()) } else { self.collector.spill().await }
    }

    /// Sets (`Some`) and removes (`None`) keys of a tree; returns the root of the result.
    ///
    /// # Errors
    /// [`StoreError::EntryTooLarge`]; else as every read of a store.
    pub async fn edit_tree(
        &self,
        base: Option<TreeId>,
        edits: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) -> Result<TreeId, StoreError> {
        let sink = |id: Digest, bytes: Bytes| self.collector.put(id, Kind::Node, bytes);
        let root = tree::edit(self.collector.reader(), base, edits, &sink).await?;
        self.spill().await?;
        Ok(root)
    }

    /// Sets and removes files of a tree of files; returns the root of the result.
    ///
    /// # Errors
    /// As [`Transaction::edit_tree`].
    pub async fn edit_files(
        &self,
        base: Option<TreeId>,
        edits: BTreeMap<RepoPath, Option<FileEntry>>,
    ) -> Result<TreeId, StoreError> {
        let edits = edits
            .into_iter()
            .map(|(path, entry)| {
                (path.as_str().as_bytes().to_vec(), entry.map(|entry| entry.encode().to_vec()))
            })
            .collect();
        self.edit_tree(base, edits).await
    }

    /// Sets a key of the view. A value of the wrong type for its key makes the state unreadable.
    ///
    /// # Panics
    /// Never for the states of flow-model: they have string keys.
    pub fn set<T: Serialize>(&mut self, key: &ViewKey, value: &T) {
        let value = serde_json::to_vec(value).expect("states have string keys and write to memory");
        self.edits.insert(key.clone(), Some(value));
    }

    /// Removes a key of the view.
    pub fn remove(&mut self, key: &ViewKey) {
        self.edits.insert(key.clone(), None);
    }

    /// Makes publishing a conflict if somebody else changes `key`, although this change does not touch it.
    pub fn expect_unchanged(&mut self, key: &ViewKey) {
        self.expected.insert(key.clone());
    }

    /// Makes a finished job's packs ordinary ones: their entries go to the index.
    pub fn adopt(&mut self, packs: JobPacks) {
        self.collector.lay_over(Arc::clone(packs.overlay()));
        self.adopted.push(packs);
    }

    /// Adds results to the cache. A key's newest result wins.
    pub fn cache(&mut self, entries: Vec<(DatumKey, ResultRef)>) {
        self.results.extend(entries.into_iter().map(|(key, result)| (cache::prefix(key), result)));
    }

    /// Whether the view would stay as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.results.is_empty() && self.adopted.is_empty()
    }

    /// Publishes everything at once with one compare-and-swap.
    ///
    /// If others were faster, the edits are applied to the new state, unless a key that this change sets, removes or
    /// expects has changed.
    ///
    /// # Errors
    /// [`PublishError::Conflict`] names what moved; [`PublishError::Unknown`] if the store did not say; everything
    /// else means that nothing was changed.
    pub async fn publish(self, meta: OperationMeta) -> Result<Snapshot, PublishError> {
        if self.collector.purpose() == Purpose::Sketch {
            return Err(StoreError::Sketch.into());
        }
        let Self { project, base, collector, edits, expected, adopted, results } = self;
        let mut publication = Publication::new(project, base, meta, collector);
        publication.edits = edits;
        publication.expected = expected;
        publication.results = results;
        publication.adopt(&adopted);
        publication.run().await
    }
}
