//! The planner: two pure differs, what they say, and how a plan is written and read.
//!
//! | module | decides or makes |
//! |---|---|
//! | [`resources`] | one change per resource of either side (station 8) |
//! | [`fields`] | which fields differ, and whether that runs datums again |
//! | [`order`] | in which order the changes are carried out |
//! | [`datums`] | one decision per datum of either side (station 15) |
//! | [`forecast`] | the summary of those decisions (station 9) |
//! | [`basis`] | what a plan was made from, and whether that has moved |
//! | [`file`](mod@file) | the plan file: canonical JSON, checked against its schema |
//! | [`notes`] | what belongs to no single row |
//! | [`render`] | a plan as text for people, and as Markdown for pull requests |
//! | [`text`] | unified diffs of texts and code files, bounded |
//!
//! **Invariant:** same input, same bytes; no I/O, no clock, no environment. Work and memory stay within O(n log n).
//!
//! Not here: observing the live side, listing datums and carrying a plan out (`runtime/`), and printing (flow-cli).

pub mod basis;
pub mod datums;
pub mod fields;
pub mod file;
pub mod forecast;
pub mod notes;
pub mod order;
pub mod render;
pub mod resources;
mod testing;
pub mod text;
