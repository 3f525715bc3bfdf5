//! Tests of the slot: every misbehaviour of user code, in the sandbox and in the plain slot, as this user and, when
//! run by root, as an unprivileged one.
//!
//! Its own `main`, because a slot's helper is this very program started again. Arguments without a dash are
//! substrings of test names, as with the ordinary harness.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test program with a `main` of its own")]

mod contained;
mod lab;
mod lifetime;
mod outputs;
mod running;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use flow_engine::process::{Helper, Sandbox, SandboxSupport, helper_main, probe};
use lab::Lab;

/// A test of the slot.
struct Case {
    name: &'static str,
    test: fn(&Lab),
    /// The only kind of slot it is for.
    only: Option<Sandbox>,
}

const fn both(name: &'static str, test: fn(&Lab)) -> Case {
    Case { name, test, only: None }
}

const fn contained(name: &'static str, test: fn(&Lab)) -> Case {
    Case { name, test, only: Some(Sandbox::Namespaces) }
}

const fn plain(name: &'static str, test: fn(&Lab)) -> Case {
    Case { name, test, only: Some(Sandbox::Plain) }
}

const UNPRIVILEGED: &str = "--as-unprivileged-user";

fn main() -> ExitCode {
    if let Some(code) = helper_main() {
        return code;
    }
    if let Some(code) = lifetime::victim_main() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    let wanted = |case: &&Case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter));
    let all = [running::CASES, contained::CASES, outputs::CASES, lifetime::CASES];
    let cases: Vec<&Case> = all.into_iter().flatten().filter(wanted).collect();
    if arguments.iter().any(|word| word == "--list") {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let unprivileged = arguments.iter().any(|word| word == UNPRIVILEGED);
    let mut failed = run_all(&cases, if unprivileged { "nobody" } else { "self" });
    if lab::is_root() && !unprivileged && !lab::run_as_nobody(UNPRIVILEGED, &filters) {
        failed += 1;
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// Runs the cases in each kind of slot they are for; returns how many failed.
fn run_all(cases: &[&Case], user: &str) -> usize {
    let (mut passed, mut failed) = (0, 0);
    let scratch = lab::scratch();
    let support = lab::runtime().block_on(probe(&scratch.path().join("probe"), &Helper::default()));
    for sandbox in [Sandbox::Namespaces, Sandbox::Plain] {
        if let (Sandbox::Namespaces, SandboxSupport::Unavailable { reason }) = (sandbox, &support) {
            println!("no namespaces here, {} tests left out: {reason}", cases.len());
            continue;
        }
        for case in cases.iter().filter(|case| case.only.is_none_or(|only| only == sandbox)) {
            let started = std::time::Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| (case.test)(&Lab::new(sandbox))));
            let word = if outcome.is_ok() { "ok" } else { "FAILED" };
            let took = started.elapsed().as_secs_f32();
            println!("test {} [{sandbox:?}, {user}] ... {word} ({took:.1} s)", case.name);
            *(if outcome.is_ok() { &mut passed } else { &mut failed }) += 1;
        }
    }
    println!("\ntest result ({user}): {passed} passed; {failed} failed\n");
    failed
}
