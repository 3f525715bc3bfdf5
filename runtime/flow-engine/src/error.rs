//! What can go wrong when jobs are listed and run.

use flow_model::name::{PipelineName, RepoName};
use flow_store::{PublishError, StoreError};

use crate::{
    process::{SlotError, StageError},
    program::ProgramError,
};

/// A failure of the engine itself; a failed datum is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The end of a job could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A slot for processes could not be started or broke.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Inputs could not be put below `/pfs`.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The program of a transform cannot be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A glob that was accepted once does not parse now.
    #[error(
        "glob `{glob}` of input repo `{repo}` does not parse: {message}; validate the spec and apply it again"
    )]
    StoredGlob {
        /// The repo that it reads.
        repo: RepoName,
        /// The glob.
        glob: String,
        /// Why.
        message: String,
    },
    /// Something that the state names is not there.
    #[error("the state names {what}, which is not there: run `flow fsck`")]
    Missing {
        /// What is not there.
        what: String,
    },
    /// A file on this machine could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted, with the path.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// All workers of a job broke.
    #[error("pipeline `{pipeline}`: no worker is left: {reason}")]
    NoWorkers {
        /// The pipeline.
        pipeline: PipelineName,
        /// How the last one broke.
        reason: String,
    },
}

impl EngineError {
    /// For an I/O error: says what was attempted.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
