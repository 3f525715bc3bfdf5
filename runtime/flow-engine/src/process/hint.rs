//! Recognises, in what a failed program printed, that it ran into the walls of its slot.

use super::command::{Exit, RunReport};

/// A help line for a program that failed because it wrote where nothing can be written, if that shows.
///
/// The phrases are those of the C library, Python, Go, Java and Node.
pub fn hint_for(report: &RunReport) -> Option<&'static str> {
    match report.exit {
        // 126 and 127 are a shell's: it could not run a command, which no writing will mend.
        Exit::Code(0 | 126 | 127) | Exit::NotStarted { .. } | Exit::TimedOut => return None,
        Exit::Code(_) | Exit::Signal(_) => {}
    }
    let says = |phrases: &[&str]| {
        [&report.stderr, &report.stdout].into_iter().any(|log| {
            let text = log.to_bytes().to_ascii_lowercase();
            phrases.iter().any(|phrase| text.windows(phrase.len()).any(|window| window == phrase.as_bytes()))
        })
    };
    if says(&["read-only file system", "erofs", "errno 30]"]) {
        return Some(
            "only /pfs/out and /tmp are writable; inputs, code and the rest of the machine are read-only",
        );
    }
    if says(&["permission denied", "operation not permitted", "eacces", "eperm"]) {
        return Some("write to /pfs/out or /tmp; a datum has no rights over other files, devices or mounts");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::CappedLog;

    fn report(exit: Exit, stderr: &str) -> RunReport {
        let stderr = CappedLog { head: stderr.as_bytes().to_vec(), ..CappedLog::default() };
        RunReport { exit, stderr, ..RunReport::not_started(String::new()) }
    }

    #[test]
    fn only_failed_writes_get_a_hint() {
        let cases = [
            (
                Exit::Code(1),
                "cp: cannot create regular file '/pfs/in/x': Read-only file system",
                Some("only /pfs/out"),
            ),
            (Exit::Code(1), "OSError: [Errno 30] Read-only file system: '/x'", Some("only /pfs/out")),
            (Exit::Code(1), "Error: EROFS: read-only file system, open '/x'", Some("only /pfs/out")),
            (Exit::Code(2), "sh: 1: cannot create /etc/x: Permission denied", Some("write to /pfs/out")),
            (Exit::Code(127), "sh: 1: frobnicate: Permission denied", None),
            (Exit::Code(0), "Read-only file system", None),
            (Exit::Code(1), "no such file", None),
            (Exit::TimedOut, "Read-only file system", None),
        ];
        for (exit, stderr, wanted) in cases {
            let hint = hint_for(&report(exit, stderr));
            assert_eq!(hint.is_some(), wanted.is_some(), "{stderr}");
            assert!(hint.unwrap_or_default().starts_with(wanted.unwrap_or_default()), "{stderr}: {hint:?}");
        }
    }
}
