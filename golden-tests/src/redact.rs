//! Replaces what differs from run to run by stable words, so that the rest can be compared byte for byte.
//!
//! | what | becomes |
//! |---|---|
//! | the workspace's temporary folder | `[ROOT]` |
//! | an id: 12, 32 or 64 hexadecimal digits | `<id1>`, `<id2>`, ... in order of first appearance in the case |
//! | a ULID | likewise |
//! | a point in time | `[TIME]`; a time ago: `[AGO]` |
//! | a duration | `[DURATION]` |
//! | numbers of JSON fields that measure (`...Ms`, `...Micros`, `cpu...`, `...memory...`) | `0` |
//! | `user@this-host` | `[ACTOR]` |
//!
//! A short id that begins a long one is the same id. A line in which something was replaced has its runs of spaces
//! shortened to two, because what was there decided how far a table's columns stand apart.
//!
//! Not here: sizes and counts. They are part of what is promised.

use std::{collections::BTreeMap, fs, path::Path};

use regex::{Captures, Regex};

use crate::failure::Failure;

/// How many digits decide that two ids are the same.
const SHORT: usize = 12;

/// The replacements of one case; ids keep their number from step to step.
#[derive(Debug)]
pub struct Redactions {
    root: String,
    ids: BTreeMap<String, usize>,
    id: Regex,
    facts: Vec<(Regex, &'static str)>,
    spaces: Regex,
}

impl Redactions {
    /// The replacements for a workspace whose temporary folder is `root`.
    ///
    /// # Errors
    /// [`Failure::Differs`] if the host's name cannot be made part of a pattern.
    pub fn new(root: &Path) -> Result<Self, Failure> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
        let actor = format!(r"[\w.-]+@{}\b", regex::escape(host));
        let facts = [
            (actor.as_str(), "[ACTOR]"),
            (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?UTC|Z|[+-]\d\d:\d\d)?", "[TIME]"),
            (r"\b\d+ objects \([^)]*\)", "[N] objects ([SIZE])"),
            (r"\b(\d+ ?(s|m|min|h|d|seconds?|minutes?|hours?|days?) ago|just now)\b", "[AGO]"),
            (r"\b(\d+h ?)?(\d+(min|m) ?)?\d+(\.\d+)? ?(ns|µs|us|ms|s)\b", "[DURATION]"),
            (
                r#"("\w*(Ms|Millis|Micros|Nanos|Seconds|Memory|MemoryBytes)"|"(cpu|memory|maxRss|estimate|wall|started|finished|time|applied|created)\w*"): ?\d+(\.\d+)?"#,
                "$1: 0",
            ),
        ];
        let facts = facts.into_iter().map(|(pattern, word)| Ok((compile(pattern)?, word)));
        Ok(Self {
            root: root.display().to_string(),
            ids: BTreeMap::new(),
            id: compile(
                r"\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{12}|[0-7][0-9A-HJKMNP-TV-Z]{25})\b",
            )?,
            facts: facts.collect::<Result<_, Failure>>()?,
            spaces: compile(r"\b {3,}|(?P<end>[\]>]) {3,}")?,
        })
    }

    /// `text` with everything replaced that differs from run to run.
    pub fn apply(&mut self, text: &str) -> String {
        let text = text.replace(&self.root, "[ROOT]");
        text.split_inclusive('\n').map(|line| self.line(line)).collect()
    }

    fn line(&mut self, line: &str) -> String {
        let ids = &mut self.ids;
        let mut new = self.id.replace_all(line, |found: &Captures<'_>| number(ids, &found[0])).into_owned();
        for (pattern, word) in &self.facts {
            new = pattern.replace_all(&new, *word).into_owned();
        }
        let is_header =
            line.contains("  ") && line.trim_end().chars().all(|c| c.is_ascii_uppercase() || c == ' ');
        if is_header {
            // Columns are as wide as what was replaced below them.
            return line.split_whitespace().collect::<Vec<_>>().join("  ") + "\n";
        }
        if new == line { new } else { self.spaces.replace_all(&new, "$end  ").into_owned() }
    }
}

fn number(ids: &mut BTreeMap<String, usize>, id: &str) -> String {
    let next = ids.len() + 1;
    let short = if id.len() == 26 || id.contains('-') { id } else { &id[..SHORT] };
    format!("<id{}>", ids.entry(short.to_owned()).or_insert(next))
}

fn compile(pattern: &str) -> Result<Regex, Failure> {
    Regex::new(pattern).map_err(|error| Failure::Differs(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        Redactions::new(Path::new("/tmp/flow-golden-x")).unwrap().apply(text)
    }

    #[test]
    fn what_differs_from_run_to_run_becomes_a_stable_word() {
        let long = "0123456789ab".to_owned() + &"c".repeat(52);
        let cases = [
            ("in /tmp/flow-golden-x/project/a.yaml", "in [ROOT]/project/a.yaml".to_owned()),
            ("commit 0123456789ab", "commit <id1>".to_owned()),
            (&format!("{long} 0123456789ab ffffffffffff"), "<id1> <id1> <id2>".to_owned()),
            ("pack 01ARZ3NDEKTSV4RRFFQ69G5FAV", "pack <id1>".to_owned()),
            ("at 2026-11-21T02:58:44.120Z", "at [TIME]".to_owned()),
            ("at 2026-11-21 02:58:44 UTC.", "at [TIME].".to_owned()),
            ("made 3 seconds ago", "made [AGO]".to_owned()),
            ("done in 1.25 s", "done in [DURATION]".to_owned()),
            ("done in 12ms, 1m 02s", "done in [DURATION], [DURATION]".to_owned()),
            (r#"{"wallMs": 12, "total": 12}"#, r#"{"wallMs": 0, "total": 12}"#.to_owned()),
        ];
        for (text, expected) in cases {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn sizes_counts_and_words_stay() {
        for text in
            ["57 files, 12.4 MiB", "3 datums run", "  texts   count", "deadbeef", "0123456789abcdef", "in 3"]
        {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn columns_of_replaced_lines_do_not_depend_on_what_was_there() {
        assert_eq!(redacted("count   9 ms       success\n"), redacted("count   12345 ms  success\n"));
        assert_eq!(redacted("0123456789ab     x"), "<id1>  x");
    }

    #[test]
    fn ids_keep_their_number_from_step_to_step() {
        let mut redactions = Redactions::new(Path::new("/tmp/r")).unwrap();
        assert_eq!(redactions.apply("aaaaaaaaaaaa"), "<id1>");
        assert_eq!(redactions.apply("bbbbbbbbbbbb aaaaaaaaaaaa"), "<id2> <id1>");
    }

    #[test]
    fn this_machine_is_not_named() {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(redacted(&format!("by someone@{}", host.trim())), "by [ACTOR]");
    }
}
