//! Runs every golden case: `plan/`, `apply/`, `commands/` and `errors/`, one test per directory.

use std::path::Path;

use golden_tests::case::{Case, Mode};

fn case(case_yaml: &Path) -> datatest_stable::Result<()> {
    let flow = Path::new(env!("CARGO_BIN_EXE_flow-under-test"));
    Ok(Case::of(case_yaml)?.run(flow, Mode::from_env())?)
}

datatest_stable::harness! {
    { test = case, root = ".", pattern = r"^(plan|apply|commands|errors)/[^/]+/case\.yaml$" },
}
