//! The canonical encoding of stored objects: a type line and compact JSON with the fields in declared order.
//!
//! The type line (`flow.commit.v1`) is hashed with the rest, so that no user file can pass for a record. Objects hold
//! no floating-point numbers and no unordered maps; therefore equal values have equal bytes.

use serde::{Serialize, de::DeserializeOwned};

use crate::digest::Digest;

/// A type that is stored under its digest.
pub trait Stored: Serialize + DeserializeOwned {
    /// Name and version of the format, for example `flow.commit.v1`.
    const TYPE: &'static str;
}

/// Bytes that are not the object they should be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Another type, or no stored object at all.
    #[error("expected an object of type `{expected}`, found `{found}`")]
    WrongType {
        /// The type that was asked for.
        expected: &'static str,
        /// The type line as found, shortened.
        found: String,
    },
    /// The right type line with a body that does not fit.
    #[error("object of type `{expected}` does not decode: {source}")]
    Malformed {
        /// The type that was asked for.
        expected: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// Encodes `value`; the digest of these bytes is its id.
///
/// # Panics
/// Never for the types of this crate: their keys are strings and their numbers are integers.
#[must_use]
pub fn encode<T: Stored>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(T::TYPE.as_bytes());
    bytes.push(b'\n');
    serde_json::to_writer(&mut bytes, value).expect("stored types have string keys and write to memory");
    bytes
}

/// The digest under which `value` is stored.
#[must_use]
pub fn digest<T: Stored>(value: &T) -> Digest {
    Digest::of(&encode(value))
}

/// Decodes what [`encode`] wrote.
///
/// # Errors
/// [`DecodeError`] if the type line or the body does not fit.
pub fn decode<T: Stored>(bytes: &[u8]) -> Result<T, DecodeError> {
    let split = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len().min(40));
    let (line, body) = bytes.split_at(split);
    if line != T::TYPE.as_bytes() {
        let found = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
        return Err(DecodeError::WrongType { expected: T::TYPE, found });
    }
    serde_json::from_slice(body).map_err(|source| DecodeError::Malformed { expected: T::TYPE, source })
}
