//! Why a command failed, and what the user can do: the one place where library errors get their kind and hints.

use flow_apply::{ApplyError, FolderError};
use flow_engine::error::EngineError;
use flow_store::{PublishError, StoreError};

/// What a failed command says.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: Kind,
    message: String,
    help: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Internal,
}

impl CommandError {
    /// Something that the user can mend.
    pub(crate) fn user(message: impl Into<String>) -> Self {
        Self { kind: Kind::User, message: message.into(), help: Vec::new() }
    }

    /// A defect of flow.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { kind: Kind::Internal, message: message.into(), help: Vec::new() }
    }

    /// Adds a next step.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// What happened, in one phrase.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The next steps.
    pub(crate) fn helps(&self) -> &[String] {
        &self.help
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::User => 1,
            Kind::Internal => 3,
        }
    }

    /// An error with its causes.
    fn of(error: &dyn std::error::Error) -> Self {
        Self::user(flow_engine::schedule::error_line(error))
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::of(&error)
    }
}

impl From<EngineError> for CommandError {
    fn from(error: EngineError) -> Self {
        Self::of(&error)
    }
}

impl From<FolderError> for CommandError {
    fn from(error: FolderError) -> Self {
        Self::of(&error)
    }
}

impl From<PublishError> for CommandError {
    fn from(error: PublishError) -> Self {
        let conflict = matches!(error, PublishError::Conflict { .. });
        let failed = Self::of(&error);
        if conflict {
            failed.help("somebody else changed it meanwhile: run the command again")
        } else {
            failed
        }
    }
}

impl From<ApplyError> for CommandError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Publish(error) => error.into(),
            ApplyError::NotDesired { .. } => Self::internal(error.to_string()),
            error => Self::of(&error),
        }
    }
}

macro_rules! user_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::of(&error)
            }
        }
    )*};
}

user_errors!(
    flow_model::address::AddressError,
    flow_model::name::NameError,
    flow_model::path::PathError,
    flow_model::resource::ResourceAddrError,
    flow_model::digest::DigestError
);
