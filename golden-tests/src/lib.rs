//! The harness of the golden tests: runs the real `flow` binary on copies of small workspaces and compares what it
//! says with files.
//!
//! | module | keeps |
//! |---|---|
//! | [`workspace`] | a copy of a directory, and a fixed environment to run commands in |
//! | [`case`] | a golden case: steps, and what each is expected to print |
//! | [`faults`] | crashes of the binary under test at a chosen write |
//! | [`look`] | what is in a workspace's store, read past the command line |
//! | [`redact`] | what differs from run to run (ids, times, paths), replaced by stable words |
//!
//! `tests/cli.rs` runs every case below `plan/`, `apply/`, `commands/` and `errors/`; `tests/examples.rs` runs what
//! lies in the repository's `examples/`; `tests/architecture.rs` checks the house rules that no compiler checks.
//!
//! To accept new output: `UPDATE_GOLDEN=1 cargo test -p golden-tests --test cli`, then read the diff.

pub mod case;
pub mod failure;
pub mod faults;
pub mod look;
pub mod redact;
pub mod workspace;

use std::path::PathBuf;

/// Directories of this package whose sub-directories are golden cases.
pub const GROUPS: [&str; 4] = ["plan", "apply", "commands", "errors"];

/// The workspaces in `examples/`; `tests/examples.rs` has one test of the same name for each.
pub const EXAMPLES: [&str; 2] = ["iris", "wordcount"];

/// This package's directory.
#[must_use]
pub fn package_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The repository's root.
#[must_use]
pub fn repository_dir() -> PathBuf {
    package_dir().join("..")
}
