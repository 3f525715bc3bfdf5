//! What a commit's tree holds.
//!
//! A tree maps full paths to files; folders are implied by their files, so an empty folder does not exist. The nodes of
//! the tree are flow-store's business; its root is a [`TreeId`].

use serde::{Deserialize, Serialize};

use crate::{digest::BlobId, path::RepoPath};

/// A file of a tree. Only what a program can rely on is kept: content and whether it may be executed; owners, times
/// and other mode bits are not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// The content.
    pub blob: BlobId,
    /// Length of the content in bytes.
    pub size: u64,
    /// Whether it is shown with mode 0755 rather than 0644.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

impl FileEntry {
    /// Length of [`FileEntry::encode`].
    pub const ENCODED_LENGTH: usize = 41;

    /// The value in a tree node: flags, size (little-endian), blob id. A stored format.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED_LENGTH] {
        let mut bytes = [0; Self::ENCODED_LENGTH];
        bytes[0] = u8::from(self.executable);
        bytes[1..9].copy_from_slice(&self.size.to_le_bytes());
        bytes[9..].copy_from_slice(self.blob.0.as_bytes());
        bytes
    }

    /// Reads what [`FileEntry::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::ENCODED_LENGTH] = bytes.try_into().ok()?;
        let executable = match bytes[0] {
            0 => false,
            1 => true,
            _ => return None,
        };
        let size = u64::from_le_bytes(bytes[1..9].try_into().ok()?);
        let blob = BlobId(crate::digest::Digest::from_bytes(bytes[9..].try_into().ok()?));
        Some(Self { blob, size, executable })
    }
}

/// One file that differs between two trees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileChange {
    /// Where.
    pub path: RepoPath,
    /// The file before, if there was one.
    pub before: Option<FileEntry>,
    /// The file after, if there is one.
    pub after: Option<FileEntry>,
}

/// How many files an edit adds, changes and removes, and how many bytes it brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileCounts {
    /// Files that were not there before.
    pub added: u64,
    /// Files with other content or another mode.
    pub changed: u64,
    /// Files that are gone.
    pub removed: u64,
    /// Bytes of the added and changed files.
    pub bytes: u64,
}

impl FileCounts {
    /// Counts one change.
    pub fn count(&mut self, before: Option<&FileEntry>, after: Option<&FileEntry>) {
        match (before, after) {
            (None, Some(new)) => (self.added, self.bytes) = (self.added + 1, self.bytes + new.size),
            (Some(_), Some(new)) => (self.changed, self.bytes) = (self.changed + 1, self.bytes + new.size),
            (Some(_), None) => self.removed += 1,
            (None, None) => {}
        }
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added == 0 && self.changed == 0 && self.removed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_reject_other_lengths_and_flags() {
        let entry = FileEntry { blob: BlobId::of(b"x"), size: 1, executable: true };
        let bytes = entry.encode();
        assert_eq!(FileEntry::decode(&bytes), Some(entry));
        assert_eq!(FileEntry::decode(&bytes[1..]), None);
        let mut bad = bytes;
        bad[0] = 2;
        assert_eq!(FileEntry::decode(&bad), None);
    }
}
