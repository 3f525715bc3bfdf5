//! Compares flow with a real Pachyderm, whose answers are recorded in `pachyderm/` (see the README there).
//!
//! | module | compares |
//! |---|---|
//! | [`datums`] | the datums of an input |
//! | [`views`] | what user code sees |
//! | [`scenarios`] | steps, and after each jobs, datums and outputs |
//!
//! **Invariants:** every recorded case is compared, listed as a difference with its reason, or uses what is not built
//! yet. A listed difference that does not differ fails, and so does a case of what is not built that flow takes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod datums;
mod recorded;
mod scenarios;
mod views;
mod world;
