//! Taking in the user's files: read, hashed and compressed on all cores while packs are being written.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use flow_model::digest::{BlobId, Digest};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    collector::{Collector, LARGE, Purpose},
    error::StoreError,
    files::{Content, read_or_hash},
    location::Kind,
    pack::Encoded,
};

/// Files that one worker reads at a time, and the bytes after which it stops reading more.
const BATCH_FILES: usize = 128;
const BATCH_BYTES: usize = 4 << 20;
/// Workers beyond one per core: somebody is always waiting for a pack to become durable.
const WAITING_WORKERS: usize = 2;

type Numbered = (usize, PathBuf);

/// What one worker read: contents by the file's number, and the files it did not get to.
struct Batch {
    read: Vec<(usize, Content)>,
    left: Vec<Numbered>,
}

/// Ids and lengths of files, in the order of `paths`.
pub(crate) async fn put_files(
    collector: &Collector,
    paths: Vec<PathBuf>,
) -> Result<Vec<(BlobId, u64)>, StoreError> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    put_files_on(collector, paths, cores + WAITING_WORKERS).await
}

async fn put_files_on(
    collector: &Collector,
    paths: Vec<PathBuf>,
    workers: usize,
) -> Result<Vec<(BlobId, u64)>, StoreError> {
    let count = paths.len();
    let waiting: Mutex<VecDeque<Numbered>> = Mutex::new(paths.into_iter().enumerate().collect());
    let results = Mutex::new(vec![None; count]);
    stream::iter(0..workers)
        .map(|_| work(collector, &waiting, &results))
        .buffer_unordered(workers)
        .try_collect::<()>()
        .await?;
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(results.into_iter().flatten().collect())
}

async fn work(
    collector: &Collector,
    waiting: &Mutex<VecDeque<Numbered>>,
    results: &Mutex<Vec<Option<(BlobId, u64)>>>,
) -> Result<(), StoreError> {
    let mut mine: Vec<Numbered> = Vec::new();
    loop {
        if mine.is_empty() {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let take = BATCH_FILES.min(waiting.len());
            mine.extend(waiting.drain(..take));
        }
        if mine.is_empty() {
            return Ok(());
        }
        let batch = tokio::task::spawn_blocking(move || read_batch(mine)).await??;
        mine = batch.left;
        let mut small = Vec::with_capacity(batch.read.len());
        for (number, content) in batch.read {
            let (digest, size) = match content {
                Content::Small { path, digest, bytes } => {
                    let size = bytes.len() as u64;
                    if collector.purpose() == Purpose::Sketch {
                        collector.note_file(digest, path, size);
                    } else {
                        small.push((digest, bytes));
                    }
                    (digest, size)
                }
                Content::Large { path, digest, size } => {
                    collector.create_large_from(path, digest, size).await?;
                    (digest, size)
                }
            };
            results.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some((BlobId(digest), size));
        }
        put_small(collector, small).await?;
        collector.spill().await?;
    }
}

fn read_batch(mut files: Vec<Numbered>) -> Result<Batch, StoreError> {
    let (mut read, mut bytes) = (Vec::with_capacity(files.len()), 0);
    let mut taken = 0;
    for (number, path) in &mut files {
        if bytes >= BATCH_BYTES {
            break;
        }
        let content = read_or_hash(std::mem::take(path), LARGE)?;
        if let Content::Small { bytes: content, .. } = &content {
            bytes += content.len();
        }
        read.push((*number, content));
        taken += 1;
    }
    files.drain(..taken);
    Ok(Batch { read, left: files })
}

/// Puts contents that the store does not have.
async fn put_small(collector: &Collector, mut contents: Vec<(Digest, Bytes)>) -> Result<(), StoreError> {
    contents.sort_by_key(|(digest, _)| *digest);
    contents.dedup_by_key(|(digest, _)| *digest);
    let digests: Vec<Digest> = contents.iter().map(|(digest, _)| *digest).collect();
    let places = collector.reader().places(&digests).await?;
    let new: Vec<(Digest, Bytes)> = contents
        .into_iter()
        .zip(places)
        .filter(|(_, place)| place.is_none())
        .map(|(content, _)| content)
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let encode = |(digest, raw): (Digest, Bytes)| Encoded::new(digest, Kind::Blob, raw);
    let encoded: Vec<Encoded> =
        tokio::task::spawn_blocking(move || new.into_iter().map(encode).collect()).await?;
    encoded.into_iter().for_each(|entry| collector.put_encoded(entry));
    Ok(())
}

/// Id and length of one file.
pub(crate) async fn put_file(collector: &Collector, path: PathBuf) -> Result<(BlobId, u64), StoreError> {
    let mut put = put_files_on(collector, vec![path], 1).await?;
    put.pop().ok_or_else(|| StoreError::Task { detail: "a file was not read".to_owned() })
}
