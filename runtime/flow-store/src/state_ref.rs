//! A project's ref: the one mutable object, which says what the newest operation is and where it lies.

use bytes::Bytes;
use flow_model::digest::OperationId;
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    location::{Container, parse_ulid},
    sealed,
};

const FORMAT: &str = "flow.ref.v1";
/// What a reader takes from the end of a pack at most: a hostile ref cannot ask for more.
const TAIL_MAX: u64 = 64 << 20;

/// The content of `refs/<project>`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StateRef {
    format: String,
    /// The newest operation.
    pub(crate) operation: OperationId,
    /// The pack that ends with it.
    pack: String,
    /// Where in the pack the operation lies.
    pub(crate) offset: u32,
    /// Its stored bytes.
    pub(crate) length: u32,
    /// Where in the pack the nodes of the operation's view begin; from here on, one read brings all.
    pub(crate) tail: u32,
    /// The size of the pack.
    pub(crate) size: u64,
    /// The epoch of garbage collection that the operation was checked against.
    pub(crate) gc_epoch: u64,
}

impl StateRef {
    pub(crate) fn new(operation: OperationId, pack: &str, place: Place) -> Self {
        Self {
            format: FORMAT.to_owned(),
            operation,
            pack: pack.to_owned(),
            offset: place.offset,
            length: place.length,
            tail: place.tail,
            size: place.size,
            gc_epoch: 0,
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        sealed::seal(self)
    }

    /// Reads and checks a ref; `name` is for the message.
    pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        let state: Self = sealed::unseal(bytes).map_err(|detail| StoreError::corrupt(name, detail))?;
        if state.format != FORMAT {
            return Err(StoreError::Version { found: state.format, expected: FORMAT });
        }
        let tail = u64::from(state.tail);
        let fits = tail <= u64::from(state.offset) && u64::from(state.offset) < state.size;
        if !fits || state.size - tail > TAIL_MAX || state.container().is_none() {
            return Err(StoreError::corrupt(name, "its numbers do not fit together"));
        }
        Ok(state)
    }

    pub(crate) fn pack(&self) -> &str {
        &self.pack
    }

    pub(crate) fn container(&self) -> Option<Container> {
        self.pack.strip_prefix("packs/").and_then(parse_ulid).map(Container::Pack)
    }
}

/// Where an operation lies in its pack.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) tail: u32,
    pub(crate) size: u64,
}
