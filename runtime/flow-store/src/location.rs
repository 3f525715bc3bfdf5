//! Where stored things lie, and what the objects of a store are called.
//!
//! | object | name |
//! |---|---|
//! | pack | `packs/<ulid>` |
//! | large blob | `objects/<digest>.<ulid>` |
//! | pack of a job | `jobs/<job>/<ulid>` |
//! | index run | `index/<ulid>` |
//! | cache run | `cache/<ulid>` |
//!
//! **Invariant:** a location is never part of hashed bytes, so that moving things changes no id.

use std::path::PathBuf;

use flow_model::digest::{Digest, JobId};
use ulid::Ulid;

use crate::wire::Wire;

/// Where the content behind a digest lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    /// Inside a pack, perhaps compressed.
    Packed {
        /// The pack.
        pack: String,
        /// First byte.
        offset: u64,
        /// Stored bytes.
        length: u64,
    },
    /// An object of its own, as it is.
    Object {
        /// The object.
        name: String,
        /// Its file, where objects are files of this machine.
        local_path: Option<PathBuf>,
    },
    /// In this process only: a transaction holds it and has not stored it yet.
    Unsaved,
}

/// What an entry of a pack is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A file's content.
    Blob,
    /// A node of a tree.
    Node,
    /// A commit, manifest or record: anything with a type line.
    Record,
    /// An operation.
    Operation,
}

impl Kind {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Blob => 0,
            Self::Node => 1,
            Self::Record => 2,
            Self::Operation => 3,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Blob,
            1 => Self::Node,
            2 => Self::Record,
            3 => Self::Operation,
            _ => return None,
        })
    }
}

/// The object that holds an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Container {
    Pack(Ulid),
    Large(Ulid),
    Job(JobId, Ulid),
}

impl Container {
    pub(crate) const ENCODED_LENGTH: usize = 49;

    /// The object's name; a large object's contains the digest of its content.
    pub(crate) fn name(&self, digest: &Digest) -> String {
        match self {
            Self::Pack(ulid) => pack_name(*ulid),
            Self::Large(ulid) => large_name(digest, *ulid),
            Self::Job(job, ulid) => format!("{}{ulid}", job_folder(*job)),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (tag, ulid, job) = match self {
            Self::Pack(ulid) => (0, ulid, [0; 32]),
            Self::Large(ulid) => (1, ulid, [0; 32]),
            Self::Job(job, ulid) => (2, ulid, *job.0.as_bytes()),
        };
        out.push(tag);
        out.extend_from_slice(&ulid.to_bytes());
        out.extend_from_slice(&job);
    }

    pub(crate) fn decode(wire: &mut Wire<'_>) -> Option<Self> {
        let tag = wire.u8()?;
        let ulid = Ulid::from_bytes(wire.array()?);
        let job = wire.array()?;
        Some(match tag {
            0 => Self::Pack(ulid),
            1 => Self::Large(ulid),
            2 => Self::Job(JobId(Digest::from_bytes(job)), ulid),
            _ => return None,
        })
    }

    /// Reads the name of a pack or a job's pack.
    pub(crate) fn parse_pack(name: &str) -> Option<Self> {
        if let Some(rest) = name.strip_prefix("packs/") {
            return Some(Self::Pack(parse_ulid(rest)?));
        }
        let (job, ulid) = name.strip_prefix("jobs/")?.split_once('/')?;
        Some(Self::Job(job.parse().ok()?, parse_ulid(ulid)?))
    }
}

/// Everything that is needed to read one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) container: Container,
    pub(crate) kind: Kind,
    pub(crate) zstd: bool,
    pub(crate) offset: u32,
    /// Stored bytes; unused for large objects.
    pub(crate) length: u32,
    /// Bytes of the content.
    pub(crate) raw_len: u64,
}

impl Slot {
    pub(crate) const fn large(ulid: Ulid, size: u64) -> Self {
        Self {
            container: Container::Large(ulid),
            kind: Kind::Blob,
            zstd: false,
            offset: 0,
            length: 0,
            raw_len: size,
        }
    }

    pub(crate) const fn is_large(&self) -> bool {
        matches!(self.container, Container::Large(_))
    }
}

pub(crate) fn pack_name(ulid: Ulid) -> String {
    format!("packs/{ulid}")
}

pub(crate) fn large_name(digest: &Digest, ulid: Ulid) -> String {
    format!("objects/{digest}.{ulid}")
}

pub(crate) fn job_folder(job: JobId) -> String {
    format!("jobs/{job}/")
}

pub(crate) fn parse_large(name: &str) -> Option<(Digest, Ulid)> {
    let (digest, ulid) = name.strip_prefix("objects/")?.split_once('.')?;
    Some((digest.parse().ok()?, parse_ulid(ulid)?))
}

pub(crate) fn parse_ulid(text: &str) -> Option<Ulid> {
    let ulid = Ulid::from_string(text).ok()?;
    // One name per ULID: the decoder also takes lower case.
    (ulid.to_string() == text).then_some(ulid)
}
