//! Why a case could not be run, or did not come out as expected.
//!
//! Test runners print an error with `{:?}`; a report of several lines would be unreadable in that form, so `Debug`
//! shows what `Display` does.

use std::{fmt, io, path::Path};

/// Why a test failed.
#[derive(thiserror::Error)]
pub enum Failure {
    /// A file could not be read or written.
    #[error("cannot {what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// `case.yaml` is not as [`crate::case`] describes it.
    #[error("`case.yaml` is not a case")]
    CaseFile(#[from] serde_yaml::Error),
    /// A command did not end in time.
    #[error("`{command}` did not end within {seconds} s; killed")]
    TooLong {
        /// The command.
        command: String,
        /// The limit.
        seconds: u64,
    },
    /// A store could not be read.
    #[error("a store could not be read")]
    Store(#[from] flow_store::StoreError),
    /// Output or exit code differ from what was expected; the text says all differences.
    #[error("{0}")]
    Differs(String),
}

impl Failure {
    /// An [`Failure::Io`] that names the path.
    pub fn io(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{verb} `{}`", path.display());
        move |source| Self::Io { what, source }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match self {
            Self::Io { source, .. } => write!(f, ": {source}"),
            Self::CaseFile(source) => write!(f, ": {source}"),
            Self::Store(source) => write!(f, ": {source}"),
            Self::TooLong { .. } | Self::Differs(_) => Ok(()),
        }
    }
}
