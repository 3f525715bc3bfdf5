//! Paths inside a repo.
//!
//! A repo path is UTF-8, uses `/`, and has no empty, `.` or `..` component. It is kept without its leading slash, so
//! that byte order is tree order; it is shown with one.

use std::{borrow::Borrow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest path in bytes; Linux allows no longer one below `/pfs`.
pub const PATH_BYTES_MAX: usize = 4000;
/// The longest component in bytes, the limit of every file system we write to.
pub const COMPONENT_BYTES_MAX: usize = 255;

/// Why a text is not a repo path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The root itself, or nothing, where a file is meant.
    #[error("path `{0}` names no file")]
    Empty(String),
    /// A component that leads out of the repo.
    #[error("path `{0}` contains `..`: paths are relative to the repo's root")]
    Parent(String),
    /// A NUL byte cannot be written to any file system.
    #[error("path `{}` contains a NUL byte", .0.escape_debug())]
    Nul(String),
    /// Too long for a file system.
    #[error(
        "path is too long ({0} bytes): at most {PATH_BYTES_MAX} bytes, {COMPONENT_BYTES_MAX} per component"
    )]
    TooLong(usize),
}

/// The path of a file in a repo, for example `data/2024/a.csv`, shown as `/data/2024/a.csv`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(String);

impl RepoPath {
    /// Cleans and checks `text`: a missing leading slash, `//`, `/./` and a trailing slash are tolerated, as Pachyderm
    /// does; `..` is refused.
    ///
    /// # Errors
    /// [`PathError`] says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.contains('\0') {
            return Err(PathError::Nul(text.to_owned()));
        }
        let mut clean = String::with_capacity(text.len());
        for component in text.split('/').filter(|c| !c.is_empty() && *c != ".") {
            if component == ".." {
                return Err(PathError::Parent(text.to_owned()));
            }
            if component.len() > COMPONENT_BYTES_MAX {
                return Err(PathError::TooLong(component.len()));
            }
            if !clean.is_empty() {
                clean.push('/');
            }
            clean.push_str(component);
        }
        match clean.len() {
            0 => Err(PathError::Empty(text.to_owned())),
            length if length > PATH_BYTES_MAX => Err(PathError::TooLong(length)),
            _ => Ok(Self(clean)),
        }
    }

    /// The path without a leading slash: the key in trees.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path with its leading slash, as globs and users see it.
    #[must_use]
    pub fn absolute(&self) -> String {
        format!("/{}", self.0)
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folders above, nearest last: `a`, `a/b` for `a/b/c`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl Borrow<str> for RepoPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for RepoPath {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RepoPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl Serialize for RepoPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RepoPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for RepoPath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RepoPath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^/."})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (text, clean) in [("/a", "a"), ("a/b", "a/b"), ("//a//./b/", "a/b"), ("/é x", "é x")] {
            assert_eq!(RepoPath::parse(text).unwrap().as_str(), clean);
        }
    }

    #[test]
    fn paths_that_leave_the_repo_or_name_nothing_are_refused() {
        for text in ["", "/", "/.", "/../x", "a/../b", "a\0b"] {
            assert!(RepoPath::parse(text).is_err(), "{text:?}");
        }
        assert!(RepoPath::parse(&"x".repeat(256)).is_err());
    }

    #[test]
    fn ancestors_are_the_folders_above() {
        let path = RepoPath::parse("/a/b/c").unwrap();
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
