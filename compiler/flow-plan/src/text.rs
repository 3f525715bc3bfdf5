//! Unified diffs of texts, bounded in time and size.
//!
//! A plan holds the diff of every multi-line field and every code file that changes, so one huge file must neither
//! stall the planner nor swell the plan: what two texts have in common at their ends is taken off first, two middles
//! whose comparison would be quadratic are shown as removed and added whole, and long diffs are cut with a count.

use std::fmt::Write as _;

use flow_model::path::RepoPath;
use similar::TextDiff;

/// The longest diff in bytes that is kept; the rest is cut and counted.
pub const DIFF_BYTES_MAX: usize = 32 * 1024;
/// The longest text in bytes that is compared line by line.
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Two middles of more lines than this (product of both) are not aligned.
const COMPARISONS_MAX: usize = 4_000_000;
/// Unchanged lines around each change.
const CONTEXT_LINES: usize = 3;

/// How one file of a pipeline's code differs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CodeFile {
    /// Where, in the code folder.
    pub path: RepoPath,
    /// A unified diff with file headers, or one line that says what happened.
    pub diff: String,
}

/// A code file's content on one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodeText<'a> {
    /// The content; any bytes.
    pub bytes: &'a [u8],
    /// Whether it may be executed.
    pub executable: bool,
}

impl CodeFile {
    /// Compares one file; `None` on the side where there is none. Files that are not text, and files too large to
    /// compare, are summed up in one line.
    #[must_use]
    pub fn between(path: RepoPath, before: Option<CodeText<'_>>, after: Option<CodeText<'_>>) -> Self {
        let name = path.to_string();
        let name = name.trim_start_matches('/');
        let diff = code_diff(name, before, after);
        Self { path, diff }
    }
}

/// The unified diff of two texts, with hunk headers and without file headers; empty for equal texts.
#[must_use]
pub fn unified(before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let (before_lines, after_lines) = (lines(before), lines(after));
    let middle = |lines: usize, trimmed: usize| lines.saturating_sub(trimmed).max(1);
    let common = common_ends(&before_lines, &after_lines);
    let comparisons = middle(before_lines.len(), common).saturating_mul(middle(after_lines.len(), common));
    if comparisons > COMPARISONS_MAX {
        return whole(&before_lines, &after_lines);
    }
    cut(&TextDiff::from_lines(before, after).unified_diff().context_radius(CONTEXT_LINES).to_string())
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// How many lines two texts share at the start and the end together.
fn common_ends(before: &[&str], after: &[&str]) -> usize {
    let start = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[start..], &after[start..]);
    start + before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// All old lines as removed, all new ones as added: for texts that cannot be aligned cheaply.
fn whole(before: &[&str], after: &[&str]) -> String {
    let (removed, added) = (fitting(before), fitting(after));
    let mut diff = format!("@@ -1,{} +1,{} @@\n", removed.len(), added.len());
    for (sign, lines) in [('-', removed), ('+', added)] {
        for line in lines {
            let _ = writeln!(diff, "{sign}{}", line.trim_end_matches('\n'));
        }
    }
    let (old, new) = (before.len() - removed.len(), after.len() - added.len());
    if old + new > 0 {
        let _ = writeln!(diff, "... {old} more removed lines, {new} more added lines");
    }
    diff
}

/// The first lines that fill half of a diff at most.
fn fitting<'a, 'b>(lines: &'b [&'a str]) -> &'b [&'a str] {
    let mut left = DIFF_BYTES_MAX / 2;
    let fits = |line: &&&str| {
        let fits = line.len() < left;
        left = left.saturating_sub(line.len() + 1);
        fits
    };
    &lines[..lines.iter().take_while(fits).count()]
}

/// Cuts a diff at a line end and says how many lines are missing.
fn cut(diff: &str) -> String {
    if diff.len() <= DIFF_BYTES_MAX {
        return diff.to_owned();
    }
    let mut end = DIFF_BYTES_MAX;
    while !diff.is_char_boundary(end) {
        end -= 1;
    }
    let end = diff[..end].rfind('\n').map_or(0, |at| at + 1);
    format!("{}... {} more lines of this diff\n", &diff[..end], diff[end..].lines().count())
}

/// What a line of a unified diff is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DiffLine {
    /// `--- a/file` or `+++ b/file`.
    File,
    /// `@@ -1,3 +1,3 @@`.
    Hunk,
    Context,
    Removed,
    Added,
    /// Said about the diff, no part of either text.
    Note,
}

/// The lines of a diff of this module, each with what it is. Counting lines as the hunk headers say tells a removed
/// line `-- text` from a file header.
pub(crate) fn diff_lines(diff: &str) -> Vec<(DiffLine, &str)> {
    let (mut old, mut new) = (0_u64, 0_u64);
    let mut classify = |line: &str| match line.as_bytes().first() {
        Some(b'-') if old > 0 => {
            old -= 1;
            DiffLine::Removed
        }
        Some(b'+') if new > 0 => {
            new -= 1;
            DiffLine::Added
        }
        Some(b' ') if old > 0 && new > 0 => {
            (old, new) = (old - 1, new - 1);
            DiffLine::Context
        }
        _ if line.starts_with("--- ") || line.starts_with("+++ ") => DiffLine::File,
        _ => match hunk_lengths(line) {
            Some(lengths) => {
                (old, new) = lengths;
                DiffLine::Hunk
            }
            // A cut ends the hunk early, whatever its header promised.
            None if line.starts_with("... ") => {
                (old, new) = (0, 0);
                DiffLine::Note
            }
            None => DiffLine::Note,
        },
    };
    // Not `lines()`: a carriage return before the newline belongs to the text.
    diff.split_terminator('\n').map(|line| (classify(line), line)).collect()
}

/// Lengths of both sides from `@@ -START,LENGTH +START,LENGTH @@`, where a length of 1 may be left out.
fn hunk_lengths(line: &str) -> Option<(u64, u64)> {
    let (old, new) = line.strip_prefix("@@ -")?.strip_suffix(" @@")?.split_once(" +")?;
    let length = |side: &str| side.split_once(',').map_or(Some(1), |(_, length)| length.parse().ok());
    Some((length(old)?, length(new)?))
}

fn code_diff(name: &str, before: Option<CodeText<'_>>, after: Option<CodeText<'_>>) -> String {
    let as_text = |side: Option<CodeText<'_>>| match side {
        None => Some(String::new()),
        Some(file) if file.bytes.len() > TEXT_BYTES_MAX || file.bytes.contains(&0) => None,
        Some(file) => std::str::from_utf8(file.bytes).ok().map(str::to_owned),
    };
    let mut diff = match (as_text(before), as_text(after)) {
        (Some(old), Some(new)) if old == new => String::new(),
        (Some(old), Some(new)) => {
            let old_name = if before.is_some() { format!("a/{name}") } else { "/dev/null".to_owned() };
            let new_name = if after.is_some() { format!("b/{name}") } else { "/dev/null".to_owned() };
            format!("--- {old_name}\n+++ {new_name}\n{}", unified(&old, &new))
        }
        _ => binary_summary(name, before, after),
    };
    match (before, after) {
        (Some(old), Some(new)) if old.executable != new.executable => {
            let now = if new.executable { "executable now" } else { "not executable any more" };
            let _ = writeln!(diff, "{name}: {now}");
        }
        (None, Some(new)) if new.bytes.is_empty() => {
            let _ = writeln!(diff, "{name}: new empty file");
        }
        (Some(old), None) if old.bytes.is_empty() => {
            let _ = writeln!(diff, "{name}: empty file removed");
        }
        _ => {}
    }
    diff
}

fn binary_summary(name: &str, before: Option<CodeText<'_>>, after: Option<CodeText<'_>>) -> String {
    let size = |file: CodeText<'_>| crate::render::words::bytes(file.bytes.len() as u64);
    match (before, after) {
        (Some(old), Some(new)) if old.bytes == new.bytes => String::new(),
        (Some(old), Some(new)) => format!("{name}: not text, {} -> {}\n", size(old), size(new)),
        (None, Some(new)) => format!("{name}: new, not text, {}\n", size(new)),
        (Some(old), None) => format!("{name}: removed, not text, {}\n", size(old)),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
        let side = |bytes| CodeText { bytes, executable: false };
        CodeFile::between(RepoPath::parse(name).unwrap(), before.map(side), after.map(side)).diff
    }

    #[test]
    fn equal_texts_have_no_diff() {
        assert_eq!(unified("a\n", "a\n"), "");
    }

    #[test]
    fn a_changed_line_is_shown_with_its_neighbours() {
        assert_eq!(unified("a\nb\nc\n", "a\nx\nc\n"), "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
    }

    #[test]
    fn files_that_are_not_text_are_summed_up() {
        assert_eq!(file("m.bin", Some(b"\0a"), Some(b"\0ab")), "m.bin: not text, 2 bytes -> 3 bytes\n");
        assert_eq!(file("m.bin", None, Some(b"\xff")), "m.bin: new, not text, 1 byte\n");
        assert_eq!(file("m.bin", Some(b"\xff"), None), "m.bin: removed, not text, 1 byte\n");
    }

    #[test]
    fn new_and_removed_files_name_the_empty_side() {
        assert_eq!(file("d/a.py", None, Some(b"x\n")), "--- /dev/null\n+++ b/d/a.py\n@@ -0,0 +1 @@\n+x\n");
        assert_eq!(file("a.py", Some(b"x\n"), None), "--- a/a.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n");
        assert_eq!(file("a.py", None, Some(b"")), "a.py: new empty file\n");
    }

    #[test]
    fn a_mode_change_alone_is_said() {
        let side = |executable| Some(CodeText { bytes: b"x\n", executable });
        let path = RepoPath::parse("run.sh").unwrap();
        assert_eq!(CodeFile::between(path, side(false), side(true)).diff, "run.sh: executable now\n");
    }

    #[test]
    fn giant_texts_stay_bounded_and_say_what_is_missing() {
        let text = |salt: &str| (0..100_000).map(|i| format!("{salt}{i}\n")).collect::<String>();
        let diff = unified(&text("a"), &text("b"));
        assert!(diff.len() < DIFF_BYTES_MAX + 200, "{}", diff.len());
        assert!(diff.contains(" more removed lines, "), "{}", &diff[diff.len() - 100..]);
        let notes = diff_lines(&diff).into_iter().filter(|(kind, _)| *kind == DiffLine::Note).count();
        assert_eq!(notes, 1, "the hunk header counts what is shown");
        let one_line = unified(&text("a"), &text("a").replace("a50000\n", "changed\n"));
        assert!(one_line.contains("-a50000\n+changed\n"), "common ends make a giant text cheap");
        let long_line = unified("a\n", &"é".repeat(DIFF_BYTES_MAX));
        assert!(long_line.contains("more lines of this diff"));
    }

    #[test]
    fn lines_of_a_diff_are_told_apart_by_counting() {
        use DiffLine::{Added, Context, File, Hunk, Note, Removed};
        let sql = unified("a\n-- old\n", "a\n++ new\n");
        let kinds = |diff: &str| diff_lines(diff).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
        assert_eq!(sql, "@@ -1,2 +1,2 @@\n a\n--- old\n+++ new\n");
        assert_eq!(kinds(&sql), [Hunk, Context, Removed, Added]);
        let files = format!("{}{}", file("a", Some(b"-- x\n"), None), file("b", Some(b"1"), Some(b"2")));
        assert_eq!(kinds(&files), [File, File, Hunk, Removed, File, File, Hunk, Removed, Note, Added, Note]);
        assert_eq!(
            kinds("@@ -1,9 +1,9 @@\n a\n... 8 more lines of this diff\n--- a/b\n"),
            [Hunk, Context, Note, File]
        );
    }
}
