//! The nouns of flow: names, addresses, digests, spans and diagnostics, specs by stage, the DAG, resources, state,
//! plans, commits, jobs, datums and manifests.
//!
//! What lives here is what more than one crate must agree on. Types only know how to be made, compared, encoded and
//! shown; deciding is flow-spec's and flow-plan's work, doing is `runtime/`'s.
//!
//! **Invariant:** nothing here reads a file, a clock, the environment or a random number.

pub mod address;
pub mod canonical;
pub mod commit;
pub mod dag;
pub mod datum;
pub mod diagnostic;
pub mod digest;
pub mod forecast;
pub mod glob;
pub mod job;
pub mod name;
pub mod path;
pub mod plan;
pub mod resource;
pub mod similar_name;
pub mod span;
pub mod spec;
pub mod state;
pub mod time;
pub mod tree;
pub mod workflow;
