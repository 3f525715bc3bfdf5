//! What the workers of a running job store: packs under `jobs/<job>/`, group-committed, readable by whoever resumes.
//!
//! One flush is one durable create: output blobs, logs and records of all tasks that wait for it. **Invariant:** a
//! record in a pack refers only to what is in the same pack, in an earlier one, or in the store before the job.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use flow_model::{
    canonical::{self, Stored},
    digest::{BlobId, Digest, JobId},
};

use crate::{
    collector::{Collector, Purpose},
    error::StoreError,
    ingest,
    location::{Container, Kind, Slot, job_folder},
    overlay::{Overlay, Place},
    pack,
    reader::Reader,
    store::Shared,
};

/// Stores the results of a job's datums. Cheap to clone; used by all slots at once.
#[derive(Clone, Debug)]
pub struct JobWriter(Arc<Writer>);

#[derive(Debug)]
struct Writer {
    job: JobId,
    collector: Collector,
}

impl JobWriter {
    pub(crate) fn new(job: JobId, base: Reader) -> Self {
        let collector = Collector::new(base, Purpose::Job(job));
        Self(Arc::new(Writer { job, collector }))
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.0.job
    }

    /// Puts a blob; durable after the next [`JobWriter::flush`].
    #[must_use]
    pub fn put_blob(&self, content: Bytes) -> BlobId {
        let id = BlobId::of(&content);
        self.0.collector.put(id.0, Kind::Blob, content);
        id
    }

    /// Puts a stored object; durable after the next [`JobWriter::flush`].
    #[must_use]
    pub fn put_stored<T: Stored>(&self, object: &T) -> Digest {
        let bytes = canonical::encode(object);
        let digest = Digest::of(&bytes);
        self.0.collector.put(digest, Kind::Record, bytes.into());
        digest
    }

    /// Puts a file's content; a large one is copied at once, with bounded memory. Returns its id and length.
    ///
    /// # Errors
    /// The file cannot be read, or changes meanwhile; the storage cannot be written.
    pub async fn put_file(&self, path: PathBuf) -> Result<(BlobId, u64), StoreError> {
        ingest::put_file(&self.0.collector, path).await
    }

    /// Puts the contents of files, hashed on all cores. Ids and lengths are in the order of `paths`.
    ///
    /// # Errors
    /// As [`JobWriter::put_file`].
    pub async fn put_files(&self, paths: Vec<PathBuf>) -> Result<Vec<(BlobId, u64)>, StoreError> {
        ingest::put_files(&self.0.collector, paths).await
    }

    /// Makes everything durable that was put before this call. Calls at the same time share one pack.
    ///
    /// # Errors
    /// The storage cannot be written; what was put is kept and tried again by the next flush.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.0.collector.flush().await
    }

    /// Reads of everything put so far, and of the base.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.0.collector.reader().clone()
    }

    /// Everything that was flushed by this writer, as a resumed job would find it.
    #[must_use]
    pub fn packs(&self) -> JobPacks {
        JobPacks::of(self.0.job, self.0.collector.stored().into_iter().collect())
    }
}

/// What the workers of a job have stored.
#[derive(Clone, Debug)]
pub struct JobPacks {
    job: JobId,
    overlay: Arc<Overlay>,
    slots: Arc<Vec<(Digest, Slot)>>,
    unfinished: Vec<String>,
}

impl JobPacks {
    fn of(job: JobId, slots: Vec<(Digest, Slot)>) -> Self {
        let overlay = Overlay::default();
        for (digest, slot) in &slots {
            overlay.insert(*digest, Place::Stored(*slot));
        }
        Self { job, overlay: Arc::new(overlay), slots: Arc::new(slots), unfinished: Vec::new() }
    }

    /// Nothing stored yet.
    #[must_use]
    pub fn none(job: JobId) -> Self {
        Self::of(job, Vec::new())
    }

    pub(crate) async fn load(shared: &Shared, job: JobId) -> Result<Self, StoreError> {
        let (mut slots, mut unfinished) = (Vec::new(), Vec::new());
        for object in shared.media().list(&job_folder(job)).await? {
            let Some(container) = Container::parse_pack(&object.name) else { continue };
            match pack::read_footer(&**shared.media(), &object.name, object.size).await {
                Ok(footer) => {
                    slots.extend(footer.entries.iter().map(|entry| (entry.digest, entry.slot(container))));
                    let large = |large: &pack::Large| (large.digest, Slot::large(large.ulid, large.size));
                    slots.extend(footer.large.iter().map(large));
                }
                // A write that never finished: nothing in it was ever reported as durable.
                Err(StoreError::Corrupt { .. }) => unfinished.push(object.name),
                Err(error) => return Err(error),
            }
        }
        Ok(Self { unfinished, ..Self::of(job, slots) })
    }

    /// The job.
    #[must_use]
    pub const fn job(&self) -> JobId {
        self.job
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Packs without a readable footer: writes that never finished. They are ignored.
    #[must_use]
    pub fn unfinished(&self) -> &[String] {
        &self.unfinished
    }

    /// Reads of these packs and of `base`.
    #[must_use]
    pub fn reader(&self, base: &Reader) -> Reader {
        base.over(Arc::clone(&self.overlay))
    }

    /// All stored objects of one type, by digest: what a resumed job learns its finished datums from.
    ///
    /// # Errors
    /// As every read of a store.
    pub async fn stored<T: Stored>(&self, base: &Reader) -> Result<Vec<(Digest, T)>, StoreError> {
        let mut records: Vec<Digest> =
            self.slots.iter().filter(|(_, slot)| slot.kind == Kind::Record).map(|(d, _)| *d).collect();
        records.sort_unstable();
        records.dedup();
        let reader = self.reader(base);
        let mut found = Vec::new();
        for batch in records.chunks(4096) {
            let contents = reader.contents(batch).await?;
            for (digest, bytes) in batch.iter().zip(contents) {
                let of_type =
                    bytes.strip_prefix(T::TYPE.as_bytes()).is_some_and(|rest| rest.starts_with(b"\n"));
                if of_type {
                    let object = canonical::decode(&bytes)
                        .map_err(|source| StoreError::Decode { digest: *digest, source })?;
                    found.push((*digest, object));
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn slots(&self) -> &[(Digest, Slot)] {
        &self.slots
    }

    pub(crate) const fn overlay(&self) -> &Arc<Overlay> {
        &self.overlay
    }
}
