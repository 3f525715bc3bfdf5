//! Files outside the store: what blobs are written to and read from.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use flow_model::digest::{BlobId, Digest};
use nix::libc;

use crate::{
    collector::LARGE,
    error::{MediaError, StoreError},
    location::Container,
    location::Slot,
    media::Media,
    pack::{self, Encoded},
};

const PIECE: u64 = 8 << 20;

fn source(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Source { path, source }
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let name = path.display().to_string();
    move |source| MediaError::io("write", name, source).into()
}

/// Writes `bytes` to a new file.
pub(crate) async fn write_new(path: &Path, bytes: Bytes) -> Result<u64, StoreError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut file = create_new(&path)?;
        file.write_all(&bytes).map_err(writing(&path))?;
        Ok(bytes.len() as u64)
    })
    .await?
}

fn create_new(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new().write(true).create_new(true).open(path).map_err(writing(path))
}

/// Copies a large object to a new file in pieces, and removes the file if the content is not what it should be.
pub(crate) async fn copy_large(
    media: &dyn Media,
    id: BlobId,
    slot: &Slot,
    path: &Path,
) -> Result<u64, StoreError> {
    let name = slot.container.name(&id.0);
    let target = path.to_owned();
    let mut file = tokio::task::spawn_blocking(move || create_new(&target)).await??;
    let mut hasher = blake3::Hasher::new();
    let mut copied = 0;
    let result = loop {
        let piece = match media.get_range(&name, copied..slot.raw_len.min(copied + PIECE)).await {
            Ok(piece) => piece,
            Err(error) => break Err(error.into()),
        };
        copied += piece.len() as u64;
        if piece.is_empty() {
            let intact = *hasher.finalize().as_bytes() == *id.0.as_bytes() && copied == slot.raw_len;
            let damaged = || StoreError::corrupt_at(&name, id.0, "its bytes have another hash");
            break if intact { Ok(copied) } else { Err(damaged()) };
        }
        let written;
        (file, hasher, written) = tokio::task::spawn_blocking(move || {
            hasher.update(&piece);
            let written = file.write_all(&piece);
            (file, hasher, written)
        })
        .await?;
        if let Err(error) = written {
            break Err(writing(path)(error));
        }
    };
    if result.is_err() {
        // Nobody may use what is not verified; if the file cannot be removed, the error still stands.
        drop(fs::remove_file(path));
    }
    result
}

/// The content of an entry that this process holds.
pub(crate) fn unpack_held(entry: &Encoded) -> Result<Bytes, StoreError> {
    if !entry.zstd {
        return Ok(entry.bytes.clone());
    }
    let slot = Slot {
        container: Container::Pack(ulid::Ulid::nil()),
        kind: entry.kind,
        zstd: true,
        offset: 0,
        length: 0,
        raw_len: u64::from(entry.raw_len),
    };
    pack::decode(&entry.bytes, &slot, &entry.digest)
}

/// The content of a file that must still be what it was when it was hashed.
pub(crate) async fn read_expected(path: &Path, digest: Digest) -> Result<Bytes, StoreError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let bytes = fs::read(&path).map_err(source(&path))?;
        if Digest::of(&bytes) == digest {
            Ok(bytes.into())
        } else {
            Err(MediaError::SourceChanged { path }.into())
        }
    })
    .await?
}

/// What a file holds.
pub(crate) enum Content {
    /// All of it, because it is small.
    Small { path: PathBuf, digest: Digest, bytes: Bytes },
    /// Its digest and length.
    Large { path: PathBuf, digest: Digest, size: u64 },
}

/// Checks that a large object's file holds what it should.
pub(crate) async fn verify(path: PathBuf, name: &str, id: BlobId) -> Result<(), StoreError> {
    let content = tokio::task::spawn_blocking(move || read_or_hash(path, LARGE)).await??;
    let (Content::Small { digest, .. } | Content::Large { digest, .. }) = content;
    if digest == id.0 {
        return Ok(());
    }
    Err(StoreError::corrupt_at(name, id.0, "its bytes have another hash"))
}

/// Reads a file of less than `limit` bytes, or hashes a longer one, with bounded memory.
pub(crate) fn read_or_hash(path: PathBuf, limit: u64) -> Result<Content, StoreError> {
    // Not blocking: a pipe that was put in a file's place must not hold us up.
    let mut file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).map_err(source(&path))?;
    let meta = file.metadata().map_err(source(&path))?;
    if !meta.is_file() {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(source(&path)(error));
    }
    let size = meta.len();
    let mut start = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0) + 1);
    Read::by_ref(&mut file).take(limit).read_to_end(&mut start).map_err(source(&path))?;
    if (start.len() as u64) < limit {
        return Ok(Content::Small { path, digest: Digest::of(&start), bytes: start.into() });
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&start);
    let mut size = start.len() as u64;
    loop {
        let read = file.read(&mut start).map_err(source(&path))?;
        if read == 0 {
            let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
            return Ok(Content::Large { path, digest, size });
        }
        hasher.update(&start[..read]);
        size += read as u64;
    }
}
