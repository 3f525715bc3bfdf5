//! What a writer has put and not yet stored: deduplicated, compressed, cut into packs, written.
//!
//! Used by transactions and by the writers of jobs. Everything put is readable at once through the collector's own
//! reader. **Invariant:** an entry is held in memory until the pack that holds it is durable; a pack that could not be
//! written costs nothing but the attempt.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use flow_model::digest::{Digest, JobId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ulid::Ulid;

use crate::{
    entropy::new_ulid,
    error::StoreError,
    location::{Container, Kind, Slot, large_name},
    overlay::{Overlay, Place},
    pack::{Encoded, Large, PACK_TARGET, PackBuilder, RAW_MAX},
    reader::Reader,
    store::Shared,
};

/// Blobs of at least this length are objects of their own.
pub(crate) const LARGE: u64 = 1 << 20;
/// Packs of a transaction that are written at once.
const PACKS_AT_ONCE: usize = 3;
/// Compressing more than this is left to threads that may block.
const INLINE: usize = 128 << 10;

/// Whether what is put will be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Stored in ordinary packs.
    Publish,
    /// Stored in packs of a job.
    Job(JobId),
    /// Never stored: only ids and trees are wanted.
    Sketch,
}

#[derive(Debug)]
pub(crate) struct Collector {
    /// What was there before.
    base: Reader,
    /// The same with everything put.
    reader: Reader,
    overlay: Arc<Overlay>,
    purpose: Purpose,
    state: Mutex<State>,
    /// Held while packs of a job are written, so that what counts as stored is stored.
    alone: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    queue: Vec<Item>,
    queued_bytes: usize,
    /// How many entries were ever put.
    put: u64,
    /// How many of these a flush has stored.
    flushed: u64,
    stored: BTreeMap<Digest, Slot>,
    /// Large objects that no footer mentions yet.
    large: Vec<Large>,
}

/// An entry that waits to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    entry: Encoded,
    /// Whether compression was tried.
    tried: bool,
    /// Whether it is known not to be in the store.
    checked: bool,
}

impl Collector {
    pub(crate) fn new(base: Reader, purpose: Purpose) -> Self {
        let overlay = Arc::new(Overlay::default());
        let reader = base.over(Arc::clone(&overlay));
        Self { base, reader, overlay, purpose, state: Mutex::default(), alone: tokio::sync::Mutex::default() }
    }

    pub(crate) const fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) const fn purpose(&self) -> Purpose {
        self.purpose
    }

    fn shared(&self) -> &Arc<Shared> {
        self.base.shared()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays more data over what was there before.
    pub(crate) fn lay_over(&mut self, overlay: Arc<Overlay>) {
        self.base = self.base.over(overlay);
        self.reader = self.base.over(Arc::clone(&self.overlay));
    }

    /// Takes raw bytes whose digest is known.
    pub(crate) fn put(&self, digest: Digest, kind: Kind, raw: Bytes) {
        if !self.overlay.hold(digest, kind, raw.clone()) || self.purpose == Purpose::Sketch {
            return;
        }
        let raw_len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        let entry = Encoded { digest, kind, zstd: false, raw_len, bytes: raw };
        self.enqueue(Item { entry, tried: false, checked: false });
    }

    /// Takes an entry that is known not to be in the store.
    pub(crate) fn put_encoded(&self, entry: Encoded) {
        if self.overlay.insert(entry.digest, Place::Held(entry.clone())) {
            self.enqueue(Item { entry, tried: true, checked: true });
        }
    }

    /// Remembers where a file's content can be read, without storing it.
    pub(crate) fn note_file(&self, digest: Digest, path: PathBuf, size: u64) {
        if !self.overlay.contains(&digest) {
            self.overlay.insert(digest, Place::File { path, size });
        }
    }

    fn enqueue(&self, item: Item) {
        let mut state = self.state();
        state.queued_bytes += item.entry.bytes.len();
        state.put += 1;
        state.queue.push(item);
    }

    fn take_queue(&self) -> Vec<Item> {
        let mut state = self.state();
        state.queued_bytes = 0;
        std::mem::take(&mut state.queue)
    }

    fn give_back(&self, items: Vec<Item>) {
        let mut state = self.state();
        state.queued_bytes += items.iter().map(|item| item.entry.bytes.len()).sum::<usize>();
        state.queue.extend(items);
    }

    /// Stores what is queued if it fills a pack.
    pub(crate) async fn spill(&self) -> Result<(), StoreError> {
        if self.state().queued_bytes < PACK_TARGET {
            return Ok(());
        }
        if matches!(self.purpose, Purpose::Job(_)) {
            return self.flush().await;
        }
        let items = self.prepare(self.take_queue()).await?;
        self.write_packs(items).await
    }

    /// Stores everything that was put before this call, records last: whatever a stored record refers to is stored
    /// before it. Calls at the same time share packs; after an error everything is still there to be tried again.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let mine = self.state().put;
        let _alone = self.alone.lock().await;
        let (items, all) = {
            let mut state = self.state();
            if state.flushed >= mine {
                return Ok(());
            }
            state.queued_bytes = 0;
            (std::mem::take(&mut state.queue), state.put)
        };
        self.store_or_give_back(items).await?;
        self.state().flushed = all;
        Ok(())
    }

    async fn store_or_give_back(&self, items: Vec<Item>) -> Result<(), StoreError> {
        let prepared = match self.prepare(items.clone()).await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.give_back(items);
                return Err(error);
            }
        };
        self.write_packs(prepared).await
    }

    /// Stores what does not fit the pack of the operation and returns the rest.
    pub(crate) async fn store_most(&self, keep: Keep) -> Result<Vec<Encoded>, StoreError> {
        let items = self.prepare(self.take_queue()).await?;
        let bytes: usize = items.iter().map(|item| item.entry.bytes.len()).sum();
        if bytes <= keep.bytes && items.len() <= keep.entries {
            return Ok(items.into_iter().map(|item| item.entry).collect());
        }
        self.write_packs(items).await?;
        Ok(Vec::new())
    }

    /// Everything that was stored.
    pub(crate) fn stored(&self) -> BTreeMap<Digest, Slot> {
        self.state().stored.clone()
    }

    /// Large objects that no footer mentions yet.
    pub(crate) fn take_large(&self) -> Vec<Large> {
        std::mem::take(&mut self.state().large)
    }

    /// Drops what the store has, stores large blobs and compresses the rest; in the order of kinds.
    async fn prepare(&self, items: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let unchecked: Vec<Digest> =
            items.iter().filter(|item| !item.checked).map(|item| item.entry.digest).collect();
        let mut places = self.base.places(&unchecked).await?.into_iter();
        let mut small = Vec::with_capacity(items.len());
        for item in items {
            let digest = item.entry.digest;
            if !item.checked && places.next().flatten().is_some() {
                self.overlay.remove(&digest);
            } else if item.entry.kind == Kind::Blob && item.entry.bytes.len() as u64 >= LARGE && !item.tried {
                self.create_large(digest, item.entry.bytes).await?;
            } else if item.entry.raw_len > RAW_MAX {
                return Err(StoreError::TooLarge { digest, size: u64::from(item.entry.raw_len) });
            } else {
                small.push(Item { checked: true, ..item });
            }
        }
        let mut small = compress_all(small).await?;
        small.sort_by_key(|item| item.entry.kind);
        Ok(small)
    }

    async fn create_large(&self, digest: Digest, bytes: Bytes) -> Result<(), StoreError> {
        let ulid = new_ulid(self.shared().entropy())?;
        let size = bytes.len() as u64;
        self.shared().create(&large_name(&digest, ulid), bytes).await?;
        self.note_large(Large { digest, ulid, size });
        Ok(())
    }

    /// Stores a file as a large object.
    pub(crate) async fn create_large_from(
        &self,
        path: PathBuf,
        digest: Digest,
        size: u64,
    ) -> Result<(), StoreError> {
        if self.purpose == Purpose::Sketch {
            self.note_file(digest, path, size);
            return Ok(());
        }
        if !self.reader.missing(&[digest]).await?.is_empty() {
            let ulid = new_ulid(self.shared().entropy())?;
            let name = large_name(&digest, ulid);
            self.shared().media().create_from_file(&name, &path, flow_model::digest::BlobId(digest)).await?;
            self.note_large(Large { digest, ulid, size });
        }
        Ok(())
    }

    fn note_large(&self, large: Large) {
        let slot = Slot::large(large.ulid, large.size);
        self.overlay.insert(large.digest, Place::Stored(slot));
        let mut state = self.state();
        state.stored.insert(large.digest, slot);
        state.large.push(large);
        state.put += 1;
    }

    const fn container(&self, ulid: Ulid) -> Container {
        match self.purpose {
            Purpose::Job(job) => Container::Job(job, ulid),
            Purpose::Publish | Purpose::Sketch => Container::Pack(ulid),
        }
    }

    async fn write_packs(&self, items: Vec<Item>) -> Result<(), StoreError> {
        let mut packs: Vec<Vec<Item>> = Vec::new();
        let mut room = 0;
        for item in items {
            let length = item.entry.bytes.len();
            if length > room || packs.is_empty() {
                packs.push(Vec::new());
                room = PACK_TARGET;
            }
            room = room.saturating_sub(length);
            if let Some(pack) = packs.last_mut() {
                pack.push(item);
            }
        }
        if packs.is_empty() && !self.state().large.is_empty() && matches!(self.purpose, Purpose::Job(_)) {
            packs.push(Vec::new());
        }
        // A job's packs become visible one by one, so they are written one by one: records come last.
        let at_once = if matches!(self.purpose, Purpose::Job(_)) { 1 } else { PACKS_AT_ONCE };
        let mut writes = stream::iter(packs).map(|items| self.write_pack(items)).buffer_unordered(at_once);
        let mut result = Ok(());
        while let Some(written) = writes.next().await {
            result = result.and(written);
            // The packs that were not begun are given back by their own failure.
        }
        result
    }

    async fn write_pack(&self, items: Vec<Item>) -> Result<(), StoreError> {
        let large = self.take_large();
        let ulid = new_ulid(self.shared().entropy())?;
        let mut nonce = [0; 16];
        self.shared().entropy().fill(&mut nonce)?;
        let bytes: usize = items.iter().map(|item| item.entry.bytes.len()).sum();
        let entries: Vec<Encoded> = items.iter().map(|item| item.entry.clone()).collect();
        let mentioned = large.clone();
        let build = move || {
            let mut pack = PackBuilder::new(bytes + (entries.len() + mentioned.len()) * 64);
            entries.iter().for_each(|entry| pack.push(entry));
            mentioned.into_iter().for_each(|large| pack.push_large(large));
            pack.finish(nonce)
        };
        let (pack, entries) =
            if bytes > INLINE { tokio::task::spawn_blocking(build).await? } else { build() };
        let container = self.container(ulid);
        let name = container.name(&Digest::from_bytes([0; 32]));
        if let Err(error) = self.shared().create(&name, pack).await {
            self.give_back(items);
            self.state().large.extend(large);
            return Err(error);
        }
        for entry in entries {
            let slot = entry.slot(container);
            self.overlay.insert(entry.digest, Place::Stored(slot));
            self.state().stored.insert(entry.digest, slot);
        }
        Ok(())
    }
}

/// What may be left for the pack of the operation.
#[derive(Clone, Copy)]
pub(crate) struct Keep {
    pub(crate) bytes: usize,
    pub(crate) entries: usize,
}

async fn compress_all(items: Vec<Item>) -> Result<Vec<Item>, StoreError> {
    let raw: usize = items.iter().filter(|item| !item.tried).map(|item| item.entry.bytes.len()).sum();
    if raw <= INLINE {
        return Ok(items.into_iter().map(compress_one).collect());
    }
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let piece = items.len().div_ceil(threads * 4).max(1);
    let pieces: Vec<Vec<Item>> = items.chunks(piece).map(<[Item]>::to_vec).collect();
    let compressed: Vec<Vec<Item>> = stream::iter(pieces)
        .map(|piece| tokio::task::spawn_blocking(|| piece.into_iter().map(compress_one).collect()))
        .buffered(threads)
        .try_collect()
        .await?;
    Ok(compressed.into_iter().flatten().collect())
}

fn compress_one(item: Item) -> Item {
    if item.tried {
        return item;
    }
    let Encoded { digest, kind, bytes, .. } = item.entry;
    Item { entry: Encoded::new(digest, kind, bytes), tried: true, checked: item.checked }
}
