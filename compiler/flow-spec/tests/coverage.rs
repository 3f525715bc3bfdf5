//! Every code has a golden case, so that its message is read by somebody before a user reads it.
#![expect(clippy::disallowed_methods, reason = "a test reads its cases from files and fails by a panic")]

use std::{fs, path::Path};

use flow_spec::codes;

/// Codes without a case, with the reason.
const ELSEWHERE: &[(&str, &str)] = &[("FLOW0101", "needs a file of 32 MiB: tests/hostile.rs")];

#[test]
fn each_code_has_a_golden_case() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden-tests/diagnostics");
    let mut all = String::new();
    for case in fs::read_dir(&directory).unwrap() {
        all.push_str(&fs::read_to_string(case.unwrap().path().join("expected.txt")).unwrap());
    }
    for code in codes::ALL {
        let shown = all.contains(&format!("[{}]", code.id));
        let excused = ELSEWHERE.iter().any(|(id, _)| *id == code.id);
        assert!(shown != excused, "{} ({}): shown {shown}, excused {excused}", code.id, code.slug);
    }
}
