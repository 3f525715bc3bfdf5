//! Jobs: which pipelines have work, which datums they have, which of them run, and what comes of it.
//!
//! ```text
//! work ──> inputs ──> decide ──> coordinator <──protocol──> worker ──> recorder ──> finalise
//! (13)      (14)       (15)              datum sets (16)      process                (17, 18)
//! ```
//!
//! The coordinator decides, workers do, the store remembers. [`forecast`] takes the same decisions before anything is
//! done; [`schedule`] runs all that has work, upstream first.
//!
//! **Invariant:** a datum is finished when the record of its result is in the store; a finished datum never runs again
//! for the same key.
//!
//! Not here: specs as text (flow-spec), what changes (flow-plan), Kubernetes.

pub mod coordinator;
pub mod decide;
pub mod environment;
pub mod error;
mod finalise;
pub mod forecast;
pub mod incremental;
pub mod inputs;
pub mod job;
pub mod local;
pub mod merge;
pub mod process;
pub mod program;
pub mod protocol;
pub mod provenance;
pub mod recorder;
pub mod schedule;
pub mod work;
pub mod worker;
