//! What can go wrong, for the caller's next move.
//!
//! [`MediaError`] is about bytes under a name, [`StoreError`] about what they should mean, [`PublishError`] about who
//! won. A doubtful write is told apart from a failed one only by reading back, which is publishing's work.

use std::{io, path::PathBuf};

use flow_model::{
    canonical::DecodeError,
    digest::{Digest, OperationId},
    state::ViewKey,
};

/// An operation on the bytes of a store did not succeed, or nobody knows whether it did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// There is no such object.
    #[error("object `{name}` does not exist")]
    NotFound {
        /// The object.
        name: String,
    },
    /// The operating system refused.
    #[error("cannot {action} `{name}`: {source}")]
    Io {
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// The object or file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// An object store refused or did not answer.
    #[error("cannot {action} `{name}`: {source}")]
    Backend {
        /// What was tried.
        action: &'static str,
        /// The object.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file changed between hashing and copying.
    #[error("file `{}` changed while it was read: try again when nothing writes it", .path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// A name is in place but may not survive a power loss, because its folder could not be synced.
    #[error("`{name}` was written but could not be made durable: {source}")]
    NotDurable {
        /// The object.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The answer was lost: the write may or may not have happened.
    #[error("no answer to the write of `{name}`")]
    NoReply {
        /// The object.
        name: String,
    },
    /// A simulated crash: see [`crate::fault`].
    #[error("the process stopped here (a simulated crash)")]
    Crashed,
}

impl MediaError {
    pub(crate) fn io(action: &'static str, name: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action, name: name.into(), source }
    }

    /// Whether the object is simply not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// Reading or writing a store did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The bytes could not be read or written.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// Bytes are not what they should be.
    #[error("object `{object}` is damaged: {detail}; `flow fsck` lists what it affects")]
    Corrupt {
        /// The object that holds the bytes.
        object: String,
        /// What they should have been, if that is known.
        digest: Option<Digest>,
        /// What is wrong.
        detail: String,
    },
    /// Something that is referred to is in no pack and no object.
    #[error("`{digest}` is missing from the store; `flow fsck` lists what it affects")]
    Missing {
        /// What is missing.
        digest: Digest,
    },
    /// A stored object does not decode.
    #[error("`{digest}` cannot be used: {source}")]
    Decode {
        /// The object.
        digest: Digest,
        /// Why.
        source: DecodeError,
    },
    /// A store of a version that this program does not know.
    #[error("the store has format `{found}`, this flow reads `{expected}`: use a newer flow")]
    Version {
        /// The format of the store.
        found: String,
        /// The format of this program.
        expected: &'static str,
    },
    /// A record that no reader would accept.
    #[error("`{digest}` is too large for a pack: {size} bytes")]
    TooLarge {
        /// What was put.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
    },
    /// An id that names nothing.
    #[error("no operation starts with `{text}`; `flow op log` lists them")]
    NoSuchOperation {
        /// The id or prefix as given.
        text: String,
    },
    /// A prefix that names more than one thing.
    #[error("`{text}` is the start of more than one operation's id: give more digits")]
    Ambiguous {
        /// The prefix as given.
        text: String,
    },
    /// A file of the user's cannot be read.
    #[error("cannot read `{}`: {source}", .path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key or value of a tree that no reader would accept.
    #[error(
        "a tree entry is too large: key {key} bytes (at most {key_max}), value {value} bytes (at most {value_max})"
    )]
    EntryTooLarge {
        /// Length of the key.
        key: usize,
        /// The longest key.
        key_max: usize,
        /// Length of the value.
        value: usize,
        /// The longest value.
        value_max: usize,
    },
    /// A sketch was asked to write.
    #[error("a sketch writes nothing: begin a transaction to publish")]
    Sketch,
    /// The system gave no random bytes.
    #[error("the system has no random bytes: {detail}")]
    Entropy {
        /// Why.
        detail: String,
    },
    /// A background task did not finish.
    #[error("internal error: a background task ended early: {detail}")]
    Task {
        /// Why.
        detail: String,
    },
}

impl StoreError {
    pub(crate) fn corrupt(object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Corrupt { object: object.into(), digest: None, detail: detail.into() }
    }

    pub(crate) fn corrupt_at(object: impl Into<String>, digest: Digest, detail: impl Into<String>) -> Self {
        Self::Corrupt { object: object.into(), digest: Some(digest), detail: detail.into() }
    }

    /// Whether something that should be there is gone or damaged, as against a store that does not answer.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Missing { .. } | Self::Decode { .. } => true,
            Self::Media(error) => error.is_not_found(),
            _ => false,
        }
    }
}

impl From<tokio::task::JoinError> for StoreError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Task { detail: error.to_string() }
    }
}

/// A transaction was not published, or nobody knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Somebody else changed what this transaction relied on. Nothing was changed.
    #[error("changed by someone else in the meantime: {}", list(.keys))]
    Conflict {
        /// What moved.
        keys: Vec<ViewKey>,
    },
    /// The store did not say whether the operation was published. Running the command again is safe.
    #[error("it is not known whether operation `{}` was published: {source}; `flow op log` tells", .operation.short())]
    Unknown {
        /// The operation in doubt.
        operation: OperationId,
        /// The last answer.
        source: Box<StoreError>,
    },
    /// Too many others published at the same time. Nothing was changed.
    #[error("gave up after {attempts} attempts, because others kept publishing: try again")]
    Busy {
        /// How often it was tried.
        attempts: u32,
    },
    /// Nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<MediaError> for PublishError {
    fn from(error: MediaError) -> Self {
        Self::Store(error.into())
    }
}

fn list(keys: &[ViewKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
