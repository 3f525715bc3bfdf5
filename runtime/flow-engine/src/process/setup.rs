//! Which step of setting up a slot failed, and why.

use std::fmt::Display;

/// A step of setting up a slot that the system refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not {step}: {reason}")]
pub struct SetupError {
    /// The step as a verb phrase, such as "mount a fresh /proc".
    pub step: String,
    /// The system's answer.
    pub reason: String,
}

/// Names the step when it fails.
pub(super) trait Step<T> {
    fn step(self, step: impl Display) -> Result<T, SetupError>;
}

impl<T, E: Display> Step<T> for Result<T, E> {
    fn step(self, step: impl Display) -> Result<T, SetupError> {
        self.map_err(|error| SetupError { step: step.to_string(), reason: error.to_string() })
    }
}
