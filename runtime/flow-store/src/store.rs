//! A store: its identity, and what all its readers and writers share.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use flow_model::name::ProjectName;
use serde::{Deserialize, Serialize};

use crate::{
    entropy::Entropy,
    error::{MediaError, StoreError},
    media::{Created, Media},
    node_cache::NodeCache,
    project::Project,
    run::{Run, Shape},
    sealed,
};

const IDENTITY: &str = "flow.json";
const FORMAT: &str = "flow.store.v1";
const HASH: &str = "blake3";
/// Opened runs that are remembered between snapshots.
const RUNS_KEPT: usize = 64;

/// A store of versioned repos.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

pub(crate) struct Shared {
    media: Arc<dyn Media>,
    entropy: Arc<dyn Entropy>,
    lineage: String,
    nodes: NodeCache,
    pub(crate) node_reads: AtomicU64,
    runs: Mutex<BTreeMap<String, Arc<Run>>>,
    /// Large objects whose files this process has hashed.
    verified: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("lineage", &self.lineage).field("media", &self.media).finish()
    }
}

/// `flow.json`: written once, when a store is created.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Identity {
    format: String,
    lineage: String,
    hash: String,
}

impl Store {
    /// Opens a store; `None` if there is none yet. Writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Version`] for a store of a newer flow, [`StoreError::Corrupt`] if its identity is damaged; or the
    /// storage does not answer.
    pub async fn open(media: Arc<dyn Media>, entropy: Arc<dyn Entropy>) -> Result<Option<Self>, StoreError> {
        let bytes = match media.get(IDENTITY).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let identity: Identity =
            sealed::unseal(&bytes).map_err(|detail| StoreError::corrupt(IDENTITY, detail))?;
        if identity.format != FORMAT || identity.hash != HASH {
            return Err(StoreError::Version { found: identity.format, expected: FORMAT });
        }
        Ok(Some(Self(Arc::new(Shared {
            media,
            entropy,
            lineage: identity.lineage,
            nodes: NodeCache::default(),
            node_reads: AtomicU64::new(0),
            runs: Mutex::default(),
            verified: Mutex::default(),
        }))))
    }

    /// Creates a store, or opens it if somebody was faster.
    ///
    /// # Errors
    /// As [`Store::open`]; or the storage cannot be written.
    pub async fn create(media: Arc<dyn Media>, entropy: Arc<dyn Entropy>) -> Result<Self, StoreError> {
        let mut random = [0; 16];
        entropy.fill(&mut random)?;
        let identity = Identity { format: FORMAT.to_owned(), lineage: uuid(random), hash: HASH.to_owned() };
        media.create(IDENTITY, sealed::seal(&identity)).await?;
        let opened = Self::open(media, entropy).await?;
        opened.ok_or_else(|| MediaError::NotFound { name: IDENTITY.to_owned() }.into())
    }

    /// The store's own id, made when it was created.
    #[must_use]
    pub fn lineage(&self) -> &str {
        &self.0.lineage
    }

    /// The storage.
    #[must_use]
    pub fn media(&self) -> &Arc<dyn Media> {
        &self.0.media
    }

    /// The source of randomness that names and nonces come from.
    #[must_use]
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.0.entropy
    }

    /// A project of this store, whether it exists or not.
    #[must_use]
    pub fn project(&self, name: &ProjectName) -> Project {
        Project::new(Arc::clone(&self.0), name.clone())
    }

    /// Tree nodes that were read from storage through this handle: what the cost of a diff is measured in.
    #[must_use]
    pub fn node_reads(&self) -> u64 {
        self.0.node_reads.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(crate) fn media(&self) -> &Arc<dyn Media> {
        &self.media
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    pub(crate) fn entropy_handle(&self) -> Arc<dyn Entropy> {
        Arc::clone(&self.entropy)
    }

    pub(crate) const fn nodes(&self) -> &NodeCache {
        &self.nodes
    }

    /// Whether this process has hashed a large object's file.
    pub(crate) fn is_verified(&self, name: &str) -> bool {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// Remembers that a large object's file is intact.
    pub(crate) fn remember_verified(&self, name: String) {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }

    /// A run by name; runs are immutable, so an opened one serves every snapshot.
    pub(crate) fn run(&self, name: String, size: u64, shape: Shape) -> Arc<Run> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = runs.get(&name) {
            return Arc::clone(run);
        }
        if runs.len() >= RUNS_KEPT {
            runs.clear();
        }
        let run = Arc::new(Run::new(Arc::clone(&self.media), name.clone(), size, shape));
        runs.insert(name, Arc::clone(&run));
        run
    }

    /// Creates an object whose name nobody else uses. If it exists, an earlier try of ours landed, or something is
    /// badly wrong.
    pub(crate) async fn create(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        if self.media.create(name, bytes.clone()).await? == Created::Existed
            && self.media.get(name).await? != bytes
        {
            return Err(StoreError::corrupt(name, "the name is taken by other bytes"));
        }
        Ok(())
    }
}

/// Random bytes as a version 4 UUID.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lineages_are_uuids() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
