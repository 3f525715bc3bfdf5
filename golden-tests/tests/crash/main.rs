//! `kill -9` of `flow apply` at any moment, then the same command again.
//!
//! Afterwards the contents are those of an undisturbed run, the store is whole, no process and no lock is left, and no
//! datum that was finished when the process died has run twice. How often a datum ran is counted by what it says to a
//! listener of the test, not by flow's own records.
//!
//! [`points`] dies at every write to the store in turn; [`moments`] is killed from outside in a job of 1,000 datums.
//! [`writers`] lets several commands work on one store at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod lab;
mod listener;
mod moments;
mod points;
mod writers;
