//! A store behind the `object_store` interface: memory today, cloud buckets with a builder more.
//!
//! A ref is updated with the storage's own conditional put. A client may repeat a put by itself after a 5xx, so
//! [`Created::Existed`] and [`Swap::Moved`] can mean that the first try landed: callers compare before they believe it.

use std::{
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use flow_model::{
    digest::{BlobId, Digest},
    name::ProjectName,
};
use futures::TryStreamExt as _;
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion, memory::InMemory,
    path::Path as Key,
};

use super::{Created, Media, ObjectInfo, RefVersion, Swap, ref_name};
use crate::error::MediaError;

const PART: usize = 8 << 20;

/// A store in an object store.
#[derive(Debug, Clone)]
pub struct ObjectMedia {
    store: Arc<dyn ObjectStore>,
}

impl ObjectMedia {
    /// The store at the root of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// A new, empty store in memory.
    #[must_use]
    pub fn memory() -> Self {
        Self::new(Arc::new(InMemory::new()))
    }
}

fn failed(action: &'static str, name: &str, error: Error) -> MediaError {
    match error {
        Error::NotFound { .. } => MediaError::NotFound { name: name.to_owned() },
        error => MediaError::Backend { action, name: name.to_owned(), source: Box::new(error) },
    }
}

/// Reads the next part of a file on a thread that may block.
async fn next_part(
    mut file: std::fs::File,
    mut hasher: blake3::Hasher,
) -> std::io::Result<(std::fs::File, blake3::Hasher, Vec<u8>)> {
    tokio::task::spawn_blocking(move || {
        let mut part = Vec::with_capacity(PART);
        file.by_ref().take(PART as u64).read_to_end(&mut part)?;
        hasher.update(&part);
        Ok((file, hasher, part))
    })
    .await
    .map_err(std::io::Error::other)?
}

#[async_trait]
impl Media for ObjectMedia {
    async fn create(&self, name: &str, bytes: Bytes) -> Result<Created, MediaError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&Key::from(name), bytes.into(), options).await {
            Ok(_) => Ok(Created::New),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Existed),
            Err(error) => Err(failed("write", name, error)),
        }
    }

    async fn create_from_file(
        &self,
        name: &str,
        source: &Path,
        content: BlobId,
    ) -> Result<Created, MediaError> {
        let unreadable = |error| MediaError::io("read", source.display().to_string(), error);
        if self.size(name).await?.is_some() {
            return Ok(Created::Existed);
        }
        let mut file = std::fs::File::open(source).map_err(unreadable)?;
        let mut hasher = blake3::Hasher::new();
        let mut upload =
            self.store.put_multipart(&Key::from(name)).await.map_err(|e| failed("write", name, e))?;
        loop {
            let part;
            (file, hasher, part) = next_part(file, hasher).await.map_err(unreadable)?;
            if part.is_empty() {
                break;
            }
            upload.put_part(part.into()).await.map_err(|e| failed("write", name, e))?;
        }
        if Digest::from_bytes(*hasher.finalize().as_bytes()) != content.0 {
            upload.abort().await.map_err(|e| failed("abort the upload of", name, e))?;
            return Err(MediaError::SourceChanged { path: source.to_owned() });
        }
        upload.complete().await.map_err(|e| failed("write", name, e))?;
        Ok(Created::New)
    }

    async fn get(&self, name: &str) -> Result<Bytes, MediaError> {
        let found = self.store.get(&Key::from(name)).await.map_err(|e| failed("read", name, e))?;
        found.bytes().await.map_err(|e| failed("read", name, e))
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, MediaError> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        match self.store.get_range(&Key::from(name), range.clone()).await {
            Ok(bytes) => Ok(bytes),
            Err(error @ Error::NotFound { .. }) => Err(failed("read", name, error)),
            // Storages refuse a range that begins behind the end; that is no failure of theirs.
            Err(error) => match self.size(name).await {
                Ok(Some(size)) if size <= range.start => Ok(Bytes::new()),
                _ => Err(failed("read", name, error)),
            },
        }
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, MediaError> {
        match self.store.head(&Key::from(name)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", name, error)),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, MediaError> {
        let prefix = (!folder.is_empty()).then(|| Key::from(folder.trim_end_matches('/')));
        let listed = self
            .store
            .list(prefix.as_ref())
            .map_ok(|meta| ObjectInfo { name: meta.location.to_string(), size: meta.size });
        let mut found: Vec<_> = listed.try_collect().await.map_err(|e| failed("list", folder, e))?;
        found.sort();
        Ok(found)
    }

    async fn delete(&self, name: &str) -> Result<(), MediaError> {
        match self.store.delete(&Key::from(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", name, error)),
        }
    }

    async fn read_ref(&self, project: &ProjectName) -> Result<Option<(Bytes, RefVersion)>, MediaError> {
        let name = ref_name(project);
        let found = match self.store.get(&Key::from(name.as_str())).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed("read", &name, error)),
        };
        let version = RefVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await.map_err(|e| failed("read", &name, e))?;
        Ok(Some((bytes, version)))
    }

    async fn swap_ref(
        &self,
        project: &ProjectName,
        expected: Option<RefVersion>,
        content: Bytes,
    ) -> Result<Swap, MediaError> {
        let name = ref_name(project);
        let mode = match expected {
            None => PutMode::Create,
            Some(RefVersion { e_tag, version }) => PutMode::Update(UpdateVersion { e_tag, version }),
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.store.put_opts(&Key::from(name.as_str()), content.into(), options).await {
            Ok(_) => Ok(Swap::Done),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }) => {
                Ok(Swap::Moved)
            }
            Err(error) => Err(failed("write", &name, error)),
        }
    }

    fn local_path(&self, _name: &str) -> Option<PathBuf> {
        None
    }
}
