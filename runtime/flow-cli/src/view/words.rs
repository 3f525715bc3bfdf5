//! Sizes, times and counts in words.

use flow_model::{
    datum::ExecutorIdentity,
    job::JobCounts,
    time::{Millis, Timestamp},
    tree::FileCounts,
};
pub(crate) use flow_plan::render::words::{bytes, duration};

/// A point in time as RFC 3339 in UTC, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The first digits of an id: enough for a human, and for a look-up.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// What fits into a cell of a text of several lines.
pub(crate) fn first_line(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    if lines.next().is_some() { first + " ..." } else { first }
}

/// `3 files added, 1 changed, 2 removed`.
pub(crate) fn changes(counts: &FileCounts) -> String {
    let kinds = [(counts.added, "added"), (counts.changed, "changed"), (counts.removed, "removed")];
    let mut parts: Vec<String> = Vec::new();
    for (number, verb) in kinds.into_iter().filter(|(number, _)| *number > 0) {
        let what = if parts.is_empty() { count(number, "file") } else { number.to_string() };
        parts.push(format!("{what} {verb}"));
    }
    if parts.is_empty() { "no file differs".to_owned() } else { parts.join(", ") }
}

/// `6 datums: 4 run, 2 reused`.
pub(crate) fn job_counts(counts: &JobCounts) -> String {
    let kinds = [
        (counts.processed, "run"),
        (counts.reused, "reused"),
        (counts.failed, "failed"),
        (counts.recovered, "recovered"),
    ];
    let parts: Vec<String> = kinds
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, verb)| format!("{number} {verb}"))
        .collect();
    let total = count(counts.total, "datum");
    if parts.is_empty() { total } else { format!("{total}: {}", parts.join(", ")) }
}

/// `process /usr/bin/sh on linux/x86_64`.
pub(crate) fn executor(executor: &ExecutorIdentity) -> String {
    match executor {
        ExecutorIdentity::Process { platform, program, .. } if program.is_empty() => {
            format!("process, a program of its code, on {platform}")
        }
        ExecutorIdentity::Process { platform, program, .. } => format!("process {program} on {platform}"),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A length of time.
pub(crate) fn millis(time: Millis) -> String {
    duration(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_name_what_there_is() {
        let counts = |added, changed, removed| FileCounts { added, changed, removed, bytes: 0 };
        assert_eq!(changes(&counts(1, 0, 0)), "1 file added");
        assert_eq!(changes(&counts(0, 2, 1)), "2 files changed, 1 removed");
        assert_eq!(changes(&counts(0, 0, 0)), "no file differs");
    }

    #[test]
    fn counts_of_a_job_name_what_there_is() {
        let counts = JobCounts { total: 7, processed: 4, reused: 2, failed: 1, recovered: 0 };
        assert_eq!(job_counts(&counts), "7 datums: 4 run, 2 reused, 1 failed");
        assert_eq!(job_counts(&JobCounts::default()), "0 datums");
    }

    #[test]
    fn a_cell_shows_that_a_text_goes_on() {
        assert_eq!(first_line("one"), "one");
        assert_eq!(first_line("one\ntwo"), "one ...");
        assert_eq!(first_line(""), "");
    }

    #[test]
    fn times_are_utc_and_sort_as_text() {
        assert_eq!(time(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20Z");
        assert_eq!(time(Timestamp(0)), "1970-01-01T00:00:00Z");
    }
}
