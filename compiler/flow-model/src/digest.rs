//! Digests and the ids made of them.
//!
//! Every id is a BLAKE3 digest with a type of its own, so that two ids that look alike cannot be mixed up. Ids of
//! structured things are derived with a context string and length-prefixed fields ([`FieldHasher`]): a stored format,
//! versioned in its context.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 32-byte BLAKE3 digest, shown as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: expected 64 hexadecimal digits")]
pub struct DigestError(String);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Takes over a digest that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hex digits: enough for a human, never for a lookup by machine.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0u8; 64];
        for (i, byte) in self.0.iter().enumerate() {
            text[2 * i] = DIGITS[usize::from(byte >> 4)];
            text[2 * i + 1] = DIGITS[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.as_bytes();
        let bad = || DigestError(text.to_owned());
        if digits.len() != 64 {
            return Err(bad());
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (hex_digit(pair[0]).ok_or_else(bad)?, hex_digit(pair[1]).ok_or_else(bad)?);
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]{64}$"})
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl $name {
            /// The first twelve hex digits, for messages.
            #[must_use]
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// Identity of a blob: the digest of its whole content, whatever way it is stored.
    BlobId;
    /// Root (or inner node) of a Merkle search tree. Equal ids mean equal sets of entries.
    TreeId;
    /// A commit: one immutable version of a repo.
    CommitId;
    /// One change of a project's refs; the head of the operation log is the project's state.
    OperationId;
    /// Everything that one change set in motion: the commits and jobs of all repos and pipelines share it.
    CommitSetId;
    /// A pipeline version: the resolved spec together with its code.
    VersionId;
    /// A job: pipeline version, input commits and run counter. Two coordinators make the same id.
    JobId;
    /// *Which* datum: repos, branches, input names and paths, no contents.
    DatumId;
    /// *What a datum computes*: equal keys mean that the work is already done.
    DatumKey;
    /// What a transform and its executor contribute to a [`DatumKey`].
    TransformDigest;
    /// What the inputs contribute to a [`DatumKey`].
    InputsDigest;
    /// A datum's record: key, inputs and outputs.
    RecordId;
    /// A job's manifest.
    ManifestId;
}

impl BlobId {
    /// The id of a blob with this content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(Digest::of(content))
    }
}

/// Derives a digest from fields. Each field is preceded by its length, so no two field lists collide.
pub struct FieldHasher(blake3::Hasher);

impl FieldHasher {
    /// Starts a derivation; `context` names the format and its version, for example `"flow datum key v1"`.
    #[must_use]
    pub fn new(context: &'static str) -> Self {
        Self(blake3::Hasher::new_derive_key(context))
    }

    /// Adds one field.
    #[must_use]
    pub fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.push(bytes);
        self
    }

    /// Adds one field in place.
    pub fn push(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds a number.
    pub fn push_u64(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    /// Adds a list: its length, then each item as a field.
    pub fn push_list<T: AsRef<[u8]>>(&mut self, items: impl ExactSizeIterator<Item = T>) {
        self.push_u64(items.len() as u64);
        for item in items {
            self.push(item);
        }
    }

    /// The derived digest.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_rejects_what_is_not_an_id() {
        let digest = Digest::of(b"flow");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().len(), 64);
        for bad in ["", "00", &"g".repeat(64), &"A".repeat(64), &"0".repeat(65)] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let one = FieldHasher::new("test").field("ab").field("c").finish();
        let two = FieldHasher::new("test").field("a").field("bc").finish();
        assert_ne!(one, two);
    }
}
