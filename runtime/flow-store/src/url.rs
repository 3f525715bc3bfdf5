//! Where a store is: `file:///absolute/folder` or `memory://`.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use crate::media::{LocalMedia, Media, ObjectMedia};

/// The place of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreUrl {
    /// A folder on this machine.
    File(PathBuf),
    /// This process' memory: gone when it ends.
    Memory,
}

/// A text that is no place for a store.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreUrlError {
    /// A scheme that this version does not know.
    #[error("`{0}` is not a store: use `file:///absolute/folder` or `memory://`")]
    Scheme(String),
    /// A folder that depends on where one stands.
    #[error("`{0}` is not a store: the folder after `file://` must be absolute")]
    Relative(String),
}

impl StoreUrl {
    /// Access to the bytes at this place. Nothing is created.
    #[must_use]
    pub fn media(&self) -> Arc<dyn Media> {
        match self {
            Self::File(root) => Arc::new(LocalMedia::new(root.clone())),
            Self::Memory => Arc::new(ObjectMedia::memory()),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        if text == "memory://" {
            return Ok(Self::Memory);
        }
        let Some(path) = text.strip_prefix("file://") else {
            return Err(StoreUrlError::Scheme(text.to_owned()));
        };
        if !path.starts_with('/') {
            return Err(StoreUrlError::Relative(text.to_owned()));
        }
        Ok(Self::File(PathBuf::from(path)))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::Memory => f.write_str("memory://"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_round_trip_and_others_are_refused() {
        for text in ["file:///a/b", "memory://"] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), text);
        }
        for text in ["", "/a", "file://a", "s3://b", "memory://x"] {
            assert!(text.parse::<StoreUrl>().is_err(), "{text}");
        }
    }
}
