//! Reads character classes: `[abc]`, `[a-z]`, `[!a]`, `[^a]`, `[[:alpha:]]`, and `[:alpha:]`, which Pachyderm takes for
//! the same.
//!
//! Ranges are found from left to right, and a `-` that has nothing before it or behind it is itself.

use super::error::GlobProblem;
use super::parse::{Failed, Parser};
use super::syntax::Class;

/// The characters of a named class.
type Ranges = &'static [(char, char)];

/// The named classes: ASCII only, as in Pachyderm.
pub(super) const NAMED: &[(&str, Ranges)] = &[
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", &[('0', '9')]),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

/// One thing between the brackets, before ranges are found.
#[derive(Clone, Copy)]
enum Member {
    Character { character: char, escaped: bool, at: usize },
    Named(Ranges),
}

impl Parser<'_> {
    /// Reads a class; the next character is its `[`.
    pub(super) fn class(&mut self) -> Result<Class, Failed> {
        let start = self.offset();
        self.skip('[');
        let mut negated = self.skip('!') || self.skip('^');
        let mut members = Vec::new();
        while !self.skip(']') {
            let at = self.offset();
            match self.take().ok_or((start, GlobProblem::Unclosed { opener: '[' }))? {
                '\\' => {
                    let character = self.take().ok_or((start, GlobProblem::Unclosed { opener: '[' }))?;
                    members.push(Member::Character { character, escaped: true, at });
                }
                '[' => {
                    let (inverse, ranges) = self.bracketed_name(at)?;
                    // `[[:^alpha:]]` is another way to write `[^[:alpha:]]`, but only as the whole class.
                    if inverse && (negated || !members.is_empty() || self.peek() != Some(']')) {
                        return Err((at, GlobProblem::LateNegation { sign: '^' }));
                    }
                    negated |= inverse;
                    members.push(Member::Named(ranges));
                }
                ':' if let Some(ranges) = self.bare_name() => members.push(Member::Named(ranges)),
                sign @ ('!' | '^') if !negated => return Err((at, GlobProblem::LateNegation { sign })),
                character => members.push(Member::Character { character, escaped: false, at }),
            }
        }
        if members.is_empty() {
            return Err((start, GlobProblem::EmptyClass));
        }
        Ok(Class { negated, ranges: ranges(&members)? })
    }

    /// Reads `:name:]` or `:^name:]`, after a `[` that stood at `at`.
    fn bracketed_name(&mut self, at: usize) -> Result<(bool, Ranges), Failed> {
        let name = self
            .rest()
            .strip_prefix(':')
            .and_then(|rest| rest.split_once(":]"))
            .map(|(name, _)| name)
            .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '^'))
            .ok_or((at, GlobProblem::BracketInClass))?;
        let (inverse, plain) = name.strip_prefix('^').map_or((false, name), |plain| (true, plain));
        let ranges = named(plain).ok_or_else(|| (at, GlobProblem::UnknownClass { name: name.to_owned() }))?;
        self.advance(name.len() + 3);
        Ok((inverse, ranges))
    }

    /// Reads `name:`, after a `:`, if that is one of the names.
    fn bare_name(&mut self) -> Option<Ranges> {
        let (name, _) = self.rest().split_once(':')?;
        let ranges = named(name)?;
        self.advance(name.len() + 1);
        Some(ranges)
    }
}

fn named(name: &str) -> Option<Ranges> {
    NAMED.iter().find(|(known, _)| *known == name).map(|(_, ranges)| *ranges)
}

/// Finds the ranges in the members of a class.
fn ranges(members: &[Member]) -> Result<Vec<(char, char)>, Failed> {
    let mut found = Vec::new();
    let mut rest = members;
    while let [first, after @ ..] = rest {
        rest = after;
        let dash = match after {
            [Member::Character { character: '-', escaped, at }, high, ..] => Some((*escaped, *at, *high)),
            _ => None,
        };
        match (*first, dash) {
            (Member::Character { character, .. }, None) => found.push((character, character)),
            (Member::Named(ranges), None) => found.extend_from_slice(ranges),
            (
                Member::Character { character: low, at, .. },
                Some((false, _, Member::Character { character: high, .. })),
            ) => {
                if high < low {
                    return Err((at, GlobProblem::BackwardsRange { low, high }));
                }
                found.push((low, high));
                rest = &after[2..];
            }
            (_, Some((_, at, _))) => return Err((at, GlobProblem::AmbiguousDash)),
        }
    }
    Ok(found)
}
