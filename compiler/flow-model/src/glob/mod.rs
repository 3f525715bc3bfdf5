//! Pachyderm's globs: which files and folders of a repo an input takes, and the keys made from their paths.
//!
//! A glob is cleaned (`clean`), parsed (`parse`), and compiled twice: to a regular expression (`pattern`), which tells
//! fast whether a path matches, and to a program (`machine`), which tells what the groups capture, and does both when
//! the glob has `!( )`. It matches **files and folders** alike, by their whole path without a slash at the end. The recordings in `golden-tests/pachyderm/` decide what is right; where this differs on purpose (broken globs
//! are errors), `tests/glob_oracle.rs` lists it.
//!
//! **Invariant:** matching is linear in the path for a given glob, and globs are bounded, so that no spec can make it
//! hang. Not here: which datums come of the matches.

mod class;
mod clean;
mod error;
mod listing;
mod machine;
mod parse;
mod pattern;
mod shape;
mod syntax;
mod template;
#[cfg(test)]
mod tests;

pub use error::{GlobError, GlobProblem, MAX_GLOB_BYTES, MAX_GLOB_NESTING};
pub use listing::{Match, matches};
pub use template::template_groups;

use machine::Machine;
use regex::Regex;
use std::cmp::Ordering;
use std::fmt;

/// A parsed Pachyderm glob over repo paths. Compares by its text as written.
#[derive(Clone)]
pub struct Glob {
    source: String,
    pattern: String,
    /// Tells whether a path matches; `None` if the glob has `!( )`, which only the machine can do.
    regex: Option<Regex>,
    machine: Machine,
    literal_prefix: String,
    fixed_depth: Option<usize>,
    capture_count: usize,
}

impl Glob {
    /// Cleans `text` to an absolute path and compiles it.
    ///
    /// Cleaning is Pachyderm's: a missing leading slash is added; `//`, `.`, `..` and a slash at the end go. An empty
    /// text is `/`. Globs that Pachyderm takes by accident are errors: see [`GlobProblem`].
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        if text.len() > MAX_GLOB_BYTES {
            return Err(GlobError::new(0, GlobProblem::TooLong { bytes: text.len() }));
        }
        let cleaned = clean::Cleaned::of(text);
        let sequence = parse::parse(cleaned.text())
            .map_err(|(at, problem)| GlobError::new(cleaned.origin(at), problem))?;
        let regex = match pattern::regular_expression(&sequence).map(|text| Regex::new(&text)) {
            Some(Err(_)) => return Err(GlobError::new(0, GlobProblem::TooComplex)),
            Some(Ok(regex)) => Some(regex),
            None => None,
        };
        let pattern = cleaned.into_text();
        Ok(Self {
            source: text.to_owned(),
            fixed_depth: if pattern == "/" { Some(0) } else { shape::slashes(&sequence) },
            pattern,
            regex,
            machine: Machine::new(&sequence),
            literal_prefix: shape::literal_prefix(&sequence),
            capture_count: shape::groups(&sequence),
        })
    }

    /// The glob as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The glob after cleaning: it begins with a slash and does not end with one, except for `/` itself.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether this is `/`, which matches the whole repo and nothing else.
    pub fn is_root(&self) -> bool {
        self.pattern == "/"
    }

    /// Whether it matches `path`: absolute, without a slash at the end (which is overlooked), `/` for the whole repo.
    pub fn is_match(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        if path.is_empty() || self.is_root() {
            return path.is_empty() && self.is_root();
        }
        match &self.regex {
            Some(regex) => regex.is_match(path),
            None => path.starts_with(&self.literal_prefix) && self.machine.captures(path).is_some(),
        }
    }

    /// What the groups captured, if `path` matches: first the whole path, then groups by their opening parentheses.
    ///
    /// A group that took no part, or is inside of `!( )`, is empty. For `/` the whole path is empty, as in Pachyderm,
    /// which drops the slash at the end first.
    pub fn captures(&self, path: &str) -> Option<Vec<String>> {
        self.groups(path).map(|groups| groups.into_iter().map(str::to_owned).collect())
    }

    /// Expands a template of `join_on` or `group_by` for `path`, if it matches.
    ///
    /// `$1` and `${1}` are groups and `$0` is the whole path; digits only, so `$1_x` is group 1 and `_x`. A group that
    /// the glob does not have is empty; `$$` is a dollar sign.
    pub fn replace(&self, path: &str, template: &str) -> Option<String> {
        self.groups(path).map(|groups| template::expand(template, &groups))
    }

    /// How many groups there are, without the whole path: the largest number that a template can use.
    pub fn capture_count(&self) -> usize {
        self.capture_count
    }

    /// The longest text that every match is known to begin with, so that a listing can skip everything else.
    pub fn literal_prefix(&self) -> &str {
        &self.literal_prefix
    }

    /// How many components every match has (`/*/*`: 2, `/`: 0), or `None` if that varies or can not be told.
    pub fn fixed_depth(&self) -> Option<usize> {
        self.fixed_depth
    }

    fn groups<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        if !self.is_match(path) {
            return None;
        }
        let path = path.trim_end_matches('/');
        let captures = if path.is_empty() { Vec::new() } else { self.machine.captures(path)? };
        Some(std::iter::once(path).chain(captures).collect())
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Glob").field(&self.source).finish()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Glob {}

impl PartialOrd for Glob {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Glob {
    fn cmp(&self, other: &Self) -> Ordering {
        self.source.cmp(&other.source)
    }
}
