//! What a reader sees besides the index: data of a transaction, of a job's packs, of the head's own pack.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{PoisonError, RwLock},
};

use bytes::Bytes;
use flow_model::digest::Digest;

use crate::{
    location::{Kind, Slot},
    pack::Encoded,
};

/// Where something that the index does not know lies.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In memory; the bytes are known to be right.
    Held(Encoded),
    /// In a file of the user's, which may change.
    File { path: PathBuf, size: u64 },
    /// In a store.
    Stored(Slot),
}

impl Place {
    /// Length of the content.
    pub(crate) fn raw_len(&self) -> u64 {
        match self {
            Self::Held(entry) => u64::from(entry.raw_len),
            Self::File { size, .. } => *size,
            Self::Stored(slot) => slot.raw_len,
        }
    }
}

/// A set of places by digest.
#[derive(Debug, Default)]
pub(crate) struct Overlay(RwLock<HashMap<Digest, Place>>);

impl Overlay {
    pub(crate) fn get(&self, digest: &Digest) -> Option<Place> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(digest)
    }

    /// Adds or replaces a place; tells whether the digest is new.
    pub(crate) fn insert(&self, digest: Digest, place: Place) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(digest, place).is_none()
    }

    /// Forgets a digest.
    pub(crate) fn remove(&self, digest: &Digest) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    /// Adds raw bytes unless the digest is known already; tells whether it was new.
    pub(crate) fn hold(&self, digest: Digest, kind: Kind, raw: Bytes) -> bool {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if places.contains_key(&digest) {
            return false;
        }
        let raw_len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        let entry = Encoded { digest, kind, zstd: false, raw_len, bytes: raw };
        places.insert(digest, Place::Held(entry));
        true
    }
}
