//! Measures flow beside the tools that its users know, on the same work, in the same run, on one file system.
//!
//! ```text
//! cargo run --release -p golden-tests --bin bench                  # everything
//! cargo run --release -p golden-tests --bin bench -- datums 5      # one of them, five rounds
//! BENCH_SCRATCH=/mnt/x cargo run ...                               # on another file system
//! ```
//!
//! Every tool takes its turn in every round, so that a slow moment of the machine hits all of them; shown is the
//! median. The program is `flow` itself when told so by its environment: what is measured is the code it was built with.
//!
//! **Invariant:** a time is shown only if the work came out right.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench shows what it measured")]

mod datums;
mod ingest;
mod table;
mod tool;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use golden_tests::failure::Failure;

/// Rounds, if the arguments do not say.
const ROUNDS: usize = 3;
/// Makes this program the `flow` binary.
const AS_FLOW: &str = "FLOW_BENCH_AS_FLOW";

fn main() -> ExitCode {
    if let Some(code) = flow_engine::process::helper_main() {
        return code;
    }
    if env::var_os(AS_FLOW).is_some() {
        return flow_cli::main();
    }
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), Failure> {
    let rounds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(ROUNDS);
    let wanted = |name: &str| {
        let named = |arg: &&String| arg.parse::<usize>().is_err();
        args.iter().find(named).is_none() || args.iter().any(|arg| arg == name)
    };
    let parent = env::var_os("BENCH_SCRATCH").map_or_else(env::temp_dir, PathBuf::from);
    let scratch = tempfile::Builder::new()
        .prefix("flow-bench-")
        .tempdir_in(&parent)
        .map_err(Failure::io("make a folder in", &parent))?;
    println!("everything in {}, {rounds} rounds\n", parent.display());
    if wanted("datums") {
        println!("{}", datums::measure(&folder(scratch.path(), "datums")?, rounds)?);
    }
    if wanted("ingest") {
        println!("{}", ingest::measure(&folder(scratch.path(), "ingest")?, rounds)?);
    }
    Ok(())
}

fn folder(parent: &Path, name: &str) -> Result<PathBuf, Failure> {
    let folder = parent.join(name);
    std::fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
    Ok(folder)
}
