//! Counts what a command costs.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use flow_model::{digest::BlobId, name::ProjectName};

use crate::{
    error::MediaError,
    media::{Created, Media, ObjectInfo, RefVersion, Swap, ref_name},
};

/// Passes everything on and counts reads by object.
#[derive(Debug)]
pub struct CountingMedia {
    inner: Arc<dyn Media>,
    reads: Mutex<BTreeMap<String, u64>>,
    lists: Mutex<u64>,
}

impl CountingMedia {
    /// Counts what goes to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Media>) -> Self {
        Self { inner, reads: Mutex::default(), lists: Mutex::default() }
    }

    /// How often each object was read, by name.
    #[must_use]
    pub fn reads(&self) -> BTreeMap<String, u64> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many different objects were read.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.reads().len()
    }

    /// How often a prefix was listed.
    #[must_use]
    pub fn lists(&self) -> u64 {
        *self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, name: &str) {
        *self.reads.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default() += 1;
    }
}

#[async_trait]
impl Media for CountingMedia {
    async fn create(&self, name: &str, bytes: Bytes) -> Result<Created, MediaError> {
        self.inner.create(name, bytes).await
    }

    async fn create_from_file(
        &self,
        name: &str,
        source: &Path,
        content: BlobId,
    ) -> Result<Created, MediaError> {
        self.inner.create_from_file(name, source, content).await
    }

    async fn get(&self, name: &str) -> Result<Bytes, MediaError> {
        self.count(name);
        self.inner.get(name).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, MediaError> {
        self.count(name);
        self.inner.get_range(name, range).await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, MediaError> {
        self.count(name);
        self.inner.size(name).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, MediaError> {
        *self.lists.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.inner.list(folder).await
    }

    async fn delete(&self, name: &str) -> Result<(), MediaError> {
        self.inner.delete(name).await
    }

    async fn read_ref(&self, project: &ProjectName) -> Result<Option<(Bytes, RefVersion)>, MediaError> {
        self.count(&ref_name(project));
        self.inner.read_ref(project).await
    }

    async fn swap_ref(
        &self,
        project: &ProjectName,
        expected: Option<RefVersion>,
        content: Bytes,
    ) -> Result<Swap, MediaError> {
        self.inner.swap_ref(project, expected, content).await
    }

    fn local_path(&self, name: &str) -> Option<PathBuf> {
        self.inner.local_path(name)
    }
}
