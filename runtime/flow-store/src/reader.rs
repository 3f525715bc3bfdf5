//! Resolving digests to content: through overlays first, then through the index.
//!
//! **Invariant:** bytes that came from storage are hashed before anyone sees them.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use flow_model::{
    canonical::{self, Stored},
    digest::{BlobId, Digest, TreeId},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    error::StoreError,
    files,
    index::IndexSet,
    location::{Location, Slot},
    overlay::{Overlay, Place},
    pack,
    store::Shared,
    tree::{Diff, Node, Tree, empty_node, empty_tree},
};

/// Entries that are at most this far apart are read together.
const GAP: u64 = 16 << 10;
/// The most that one read brings.
const SPAN: u64 = 4 << 20;
/// Reads that are under way at once.
const READS: usize = 8;
/// Decoding more than this is left to a thread that may block.
const INLINE: u64 = 128 << 10;

/// Reads of one state of a project, and of whatever is laid over it.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    index: Arc<IndexSet>,
    /// Asked in this order.
    overlays: Vec<Arc<Overlay>>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, index: Arc<IndexSet>, overlays: Vec<Arc<Overlay>>) -> Self {
        Self(Arc::new(Inner { shared, index, overlays }))
    }

    /// The same with one more overlay in front.
    pub(crate) fn over(&self, overlay: Arc<Overlay>) -> Self {
        let mut overlays = vec![overlay];
        overlays.extend(self.0.overlays.iter().cloned());
        Self::new(Arc::clone(&self.0.shared), Arc::clone(&self.0.index), overlays)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// The content of a blob.
    ///
    /// # Errors
    /// [`StoreError::Missing`] and [`StoreError::Corrupt`]; or the storage does not answer.
    pub async fn blob(&self, id: BlobId) -> Result<Bytes, StoreError> {
        self.content(id.0).await
    }

    /// The contents of many blobs, in the order of `ids`; neighbours are read together.
    ///
    /// # Errors
    /// As [`Reader::blob`].
    pub async fn blobs(&self, ids: &[BlobId]) -> Result<Vec<Bytes>, StoreError> {
        let ids: Vec<Digest> = ids.iter().map(|id| id.0).collect();
        self.contents(&ids).await
    }

    /// Writes a blob to a new file, with bounded memory; returns its length. If the blob is damaged, no file remains.
    ///
    /// # Errors
    /// As [`Reader::blob`]; or the file cannot be written.
    pub async fn blob_to_file(&self, id: BlobId, path: &Path) -> Result<u64, StoreError> {
        match self.place(id.0).await? {
            Place::Stored(slot) if slot.is_large() => {
                files::copy_large(&**self.0.shared.media(), id, &slot, path).await
            }
            _ => files::write_new(path, self.blob(id).await?).await,
        }
    }

    /// The length of a blob, without reading it.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; or the storage does not answer.
    pub async fn blob_size(&self, id: BlobId) -> Result<u64, StoreError> {
        Ok(self.place(id.0).await?.raw_len())
    }

    /// A stored object.
    ///
    /// # Errors
    /// As [`Reader::blob`]; [`StoreError::Decode`] if it is of another type.
    pub async fn stored<T: Stored>(&self, digest: Digest) -> Result<T, StoreError> {
        let bytes = self.content(digest).await?;
        canonical::decode(&bytes).map_err(|source| StoreError::Decode { digest, source })
    }

    /// Many stored objects, in the order of `digests`; neighbours are read together.
    ///
    /// # Errors
    /// As [`Reader::stored`].
    pub async fn stored_many<T: Stored>(&self, digests: &[Digest]) -> Result<Vec<T>, StoreError> {
        let contents = self.contents(digests).await?;
        let decode = |(bytes, digest): (Bytes, &Digest)| {
            canonical::decode(&bytes).map_err(|source| StoreError::Decode { digest: *digest, source })
        };
        contents.into_iter().zip(digests).map(decode).collect()
    }

    /// Where something lies; `None` if the store does not have it.
    ///
    /// # Errors
    /// The storage does not answer, or an index run is damaged.
    pub async fn locate(&self, digest: Digest) -> Result<Option<Location>, StoreError> {
        let Some(place) = self.places(&[digest]).await?.pop().flatten() else { return Ok(None) };
        Ok(Some(match place {
            Place::Held(_) | Place::File { .. } => Location::Unsaved,
            Place::Stored(slot) => {
                let name = slot.container.name(&digest);
                if slot.is_large() {
                    let local_path = self.0.shared.media().local_path(&name);
                    Location::Object { name, local_path }
                } else {
                    let (offset, length) = (u64::from(slot.offset), u64::from(slot.length));
                    Location::Packed { pack: name, offset, length }
                }
            }
        }))
    }

    /// The file on this machine that holds a large blob as a whole, its content verified: for callers that link it
    /// instead of reading it. `None` for what is not such a file. A file is hashed once per process.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if its content is not what it should be; or it cannot be read.
    pub async fn local_object(&self, id: BlobId) -> Result<Option<PathBuf>, StoreError> {
        let Some(Location::Object { name, local_path: Some(path) }) = self.locate(id.0).await? else {
            return Ok(None);
        };
        if !self.0.shared.is_verified(&name) {
            files::verify(path.clone(), &name, id).await?;
            self.0.shared.remember_verified(name);
        }
        Ok(Some(path))
    }

    /// Which of `digests` the store does not have, in the order given. Nothing is read but the index.
    ///
    /// # Errors
    /// As [`Reader::locate`].
    pub async fn missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let places = self.places(digests).await?;
        Ok(digests
            .iter()
            .zip(places)
            .filter(|(_, place)| place.is_none())
            .map(|(digest, _)| *digest)
            .collect())
    }

    /// Whether the store has all of `digests`. Nothing is read but the index.
    ///
    /// # Errors
    /// As [`Reader::locate`].
    pub async fn contains_all(&self, digests: &[Digest]) -> Result<bool, StoreError> {
        Ok(self.missing(digests).await?.is_empty())
    }

    /// A tree by its root.
    #[must_use]
    pub fn tree(&self, root: TreeId) -> Tree {
        Tree::new(self.clone(), root)
    }

    /// The changes between two trees (`None`: the empty one), in key order.
    #[must_use]
    pub fn diff(&self, before: Option<TreeId>, after: Option<TreeId>) -> Diff {
        Diff::new(self.clone(), before, after)
    }

    async fn place(&self, digest: Digest) -> Result<Place, StoreError> {
        let place = self.places(&[digest]).await?.pop().flatten();
        place.ok_or(StoreError::Missing { digest })
    }

    /// Places at the positions of `digests`.
    pub(crate) async fn places(&self, digests: &[Digest]) -> Result<Vec<Option<Place>>, StoreError> {
        let overlaid = |digest| self.0.overlays.iter().find_map(|overlay| overlay.get(digest));
        let mut places: Vec<Option<Place>> = digests.iter().map(overlaid).collect();
        let mut open: Vec<Digest> =
            digests.iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(d, _)| *d).collect();
        if open.is_empty() {
            return Ok(places);
        }
        open.sort_unstable();
        open.dedup();
        let slots = self.0.index.lookup(&open).await?;
        for (digest, place) in digests.iter().zip(&mut places) {
            if place.is_none()
                && let Ok(at) = open.binary_search(digest)
            {
                *place = slots[at].map(Place::Stored);
            }
        }
        Ok(places)
    }

    async fn content(&self, digest: Digest) -> Result<Bytes, StoreError> {
        let mut contents = self.contents(&[digest]).await?;
        contents.pop().ok_or(StoreError::Missing { digest })
    }

    /// Verified contents at the positions of `digests`.
    pub(crate) async fn contents(&self, digests: &[Digest]) -> Result<Vec<Bytes>, StoreError> {
        let mut found: HashMap<Digest, Bytes> = HashMap::with_capacity(digests.len());
        let mut stored: BTreeMap<Digest, Slot> = BTreeMap::new();
        for (digest, place) in digests.iter().zip(self.places(digests).await?) {
            match place.ok_or(StoreError::Missing { digest: *digest })? {
                Place::Held(entry) => {
                    found.insert(*digest, files::unpack_held(&entry)?);
                }
                Place::File { path, .. } => {
                    found.insert(*digest, files::read_expected(&path, *digest).await?);
                }
                Place::Stored(slot) => {
                    stored.insert(*digest, slot);
                }
            }
        }
        let reads = group(stored).into_iter().map(|group| read_group(Arc::clone(&self.0.shared), group));
        let read: Vec<Vec<(Digest, Bytes)>> =
            stream::iter(reads).buffer_unordered(READS).try_collect().await?;
        found.extend(read.into_iter().flatten());
        let content =
            |digest: &Digest| found.get(digest).cloned().ok_or(StoreError::Missing { digest: *digest });
        digests.iter().map(content).collect()
    }

    /// A node of a tree.
    pub(crate) async fn node(&self, id: Digest) -> Result<Arc<Node>, StoreError> {
        let mut nodes = self.nodes(&[id]).await?;
        nodes.pop().ok_or(StoreError::Missing { digest: id })
    }

    /// A node that must be of the given level.
    pub(crate) async fn node_at(&self, id: Digest, level: u8) -> Result<Arc<Node>, StoreError> {
        let mut nodes = self.nodes_at(&[id], level).await?;
        nodes.pop().ok_or(StoreError::Missing { digest: id })
    }

    /// Nodes that must all be of the given level, at the positions of `ids`.
    pub(crate) async fn nodes_at(&self, ids: &[Digest], level: u8) -> Result<Vec<Arc<Node>>, StoreError> {
        let nodes = self.nodes(ids).await?;
        match nodes.iter().zip(ids).find(|(node, _)| node.level() != level) {
            Some((_, id)) => Err(StoreError::corrupt_at("tree", *id, "a node is on a wrong level")),
            None => Ok(nodes),
        }
    }

    async fn nodes(&self, ids: &[Digest]) -> Result<Vec<Arc<Node>>, StoreError> {
        let shared = &self.0.shared;
        let mut nodes: Vec<Option<Arc<Node>>> = ids.iter().map(|id| shared.nodes().get(id)).collect();
        let mut missing: Vec<Digest> =
            ids.iter().zip(&nodes).filter(|(_, node)| node.is_none()).map(|(id, _)| *id).collect();
        missing.sort_unstable();
        missing.dedup();
        let mut read = HashMap::with_capacity(missing.len());
        if missing.binary_search(&empty_tree().0).is_ok() {
            missing.retain(|id| *id != empty_tree().0);
            read.insert(empty_tree().0, Bytes::from(empty_node()));
        }
        shared.node_reads.fetch_add(missing.len() as u64, Ordering::Relaxed);
        let contents = self.contents(&missing).await?;
        read.extend(missing.into_iter().zip(contents));
        for (id, node) in ids.iter().zip(&mut nodes) {
            if node.is_some() {
                continue;
            }
            let bytes = read.get(id).ok_or(StoreError::Missing { digest: *id })?;
            let decoded = Node::decode(bytes)
                .ok_or_else(|| StoreError::corrupt_at("tree", *id, "it is no tree node"))?;
            let decoded = Arc::new(decoded);
            shared.nodes().put(*id, Arc::clone(&decoded));
            *node = Some(decoded);
        }
        Ok(nodes.into_iter().flatten().collect())
    }
}

/// Cuts what is wanted into reads: one per large object, one per stretch of a pack.
fn group(stored: BTreeMap<Digest, Slot>) -> Vec<Vec<(Digest, Slot)>> {
    let mut wanted: Vec<(Digest, Slot)> = stored.into_iter().collect();
    wanted.sort_unstable_by_key(|(_, slot)| (slot.container, slot.offset));
    let mut groups: Vec<Vec<(Digest, Slot)>> = Vec::new();
    for (digest, slot) in wanted {
        let joins = groups.last().and_then(|group| Some((group.first()?, group.last()?))).is_some_and(
            |((_, first), (_, last))| {
                let end = u64::from(last.offset) + u64::from(last.length);
                first.container == slot.container
                    && !slot.is_large()
                    && u64::from(slot.offset) <= end + GAP
                    && u64::from(slot.offset) + u64::from(slot.length) - u64::from(first.offset) <= SPAN
            },
        );
        match groups.last_mut() {
            Some(group) if joins => group.push((digest, slot)),
            _ => groups.push(vec![(digest, slot)]),
        }
    }
    groups
}

async fn read_group(
    shared: Arc<Shared>,
    group: Vec<(Digest, Slot)>,
) -> Result<Vec<(Digest, Bytes)>, StoreError> {
    let (Some((digest, first)), Some((_, last))) = (group.first().copied(), group.last().copied()) else {
        return Ok(Vec::new());
    };
    let name = first.container.name(&digest);
    let absent = |error: crate::error::MediaError| {
        if error.is_not_found() {
            StoreError::corrupt_at(&name, digest, "it does not exist")
        } else {
            error.into()
        }
    };
    if first.is_large() {
        let bytes = shared.media().get(&name).await.map_err(absent)?;
        let (bytes, actual) =
            tokio::task::spawn_blocking(move || (bytes.clone(), Digest::of(&bytes))).await?;
        if actual != digest {
            return Err(StoreError::corrupt_at(name, digest, "its bytes have another hash"));
        }
        return Ok(vec![(digest, bytes)]);
    }
    let (start, end) = (u64::from(first.offset), u64::from(last.offset) + u64::from(last.length));
    let bytes = shared.media().get_range(&name, start..end).await.map_err(absent)?;
    if bytes.len() as u64 != end - start {
        return Err(StoreError::corrupt_at(name, digest, "it is shorter than the index says"));
    }
    let decode = move || {
        let one = |(digest, slot): &(Digest, Slot)| {
            let from = (u64::from(slot.offset) - start) as usize;
            let stored = bytes.slice(from..from + slot.length as usize);
            Ok((*digest, pack::decode(&stored, slot, digest)?))
        };
        group.iter().map(one).collect::<Result<Vec<_>, StoreError>>()
    };
    if end - start > INLINE { tokio::task::spawn_blocking(decode).await? } else { decode() }
}
