//! Carries out plans against a target.
//!
//! A [`Target`] can be observed and can carry out one plan; it decides nothing. Here is the local target, where an
//! apply is one operation of the store: blobs first, then one compare-and-swap. Kubernetes is another target, in a
//! crate of its own.
//!
//! Not here: making plans (flow-plan), running the jobs that follow (flow-engine).

pub mod folder;
pub mod local;
pub mod target;

pub use folder::{Folder, FolderError, FolderKind};
pub use local::{LocalTarget, new_commit_set};
pub use target::{Applied, ApplyError, Approved, Observed, Target};
