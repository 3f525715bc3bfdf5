//! Reads the cleaned text of a glob.
//!
//! | written                  | meaning |
//! |--------------------------|---------|
//! | `?` `*` `**`             | one character, any characters of one component, any characters |
//! | `[abc]` `[a-z]` `[!a]`   | one character of a set (see `class`) |
//! | `{a,b}`                  | either; does not capture |
//! | `(a\|b)` `@(a\|b)`       | one of these; captures |
//! | `?(a)` `*(a)` `+(a)`     | at most once, any number of times, at least once; captures |
//! | `!(a\|b)`                | anything in one component but these; captures |
//! | `\x`                     | the character `x` |
//!
//! `,` outside of `{ }` and `|` outside of `( )` are themselves. Where `( )` and `{ }` are nested in each other,
//! Pachyderm reads some separators and closing parentheses as part of a name; those few are errors here.
//! **Invariant:** recursion is bounded by [`MAX_GLOB_NESTING`].

use super::error::{GlobProblem, MAX_GLOB_NESTING};
use super::syntax::{Node, Sequence, Times};

/// What is wrong, and at which byte of the cleaned text.
pub(super) type Failed = (usize, GlobProblem);

/// Parses a cleaned glob.
pub(super) fn parse(text: &str) -> Result<Sequence, Failed> {
    if let Some(at) = text.find('\0') {
        return Err((at, GlobProblem::Nul));
    }
    // At the top nothing but the end of the text ends a sequence: a stray closer is an error.
    Parser { text, at: 0, open: Vec::new() }.sequence()
}

/// What the parser is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nest {
    Braces,
    Group,
}

/// A place in the text, and what is open there.
pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Nest>,
}

impl<'a> Parser<'a> {
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Goes on by `bytes`, which the caller has looked at.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Takes the next character if it is `wanted`.
    pub(super) fn skip(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Reads up to a separator or closer of what is open, or to the end.
    fn sequence(&mut self) -> Result<Sequence, Failed> {
        let mut nodes = Sequence::new();
        while let Some(next) = self.peek() {
            if self.ends_sequence(next, nodes.last())? {
                break;
            }
            match (self.node(next)?, nodes.last_mut()) {
                (Node::Text(more), Some(Node::Text(text))) => text.push_str(&more),
                (node, _) => nodes.push(node),
            }
        }
        Ok(nodes)
    }

    /// Whether `next` separates or closes, given the part before it.
    fn ends_sequence(&self, next: char, before: Option<&Node>) -> Result<bool, Failed> {
        let innermost = self.open.last();
        let nested = self.open.contains(&Nest::Braces) && self.open.contains(&Nest::Group);
        // Within braces Pachyderm ends a name at `,` and `}` but not at `)` and `|`.
        let swallowed = self.open.contains(&Nest::Braces) && matches!(before, Some(Node::Text(_)));
        let ambiguous = Err((self.at, GlobProblem::AmbiguousNesting { character: next }));
        match (innermost, next) {
            (Some(Nest::Group), ')' | '|') if swallowed => ambiguous,
            (Some(Nest::Group), ',') | (Some(Nest::Braces), '|') if nested => ambiguous,
            (Some(Nest::Group), ')' | '|') | (Some(Nest::Braces), '}' | ',') => Ok(true),
            (_, ')' | '}' | ']') => Err((self.at, GlobProblem::Unopened { closer: next })),
            _ => Ok(false),
        }
    }

    /// Reads one part, which begins with `next`.
    fn node(&mut self, next: char) -> Result<Node, Failed> {
        let second = self.rest()[next.len_utf8()..].chars().next();
        match (next, second) {
            ('\\', _) => self.escaped(),
            ('(', _) => self.group(Times::Once, 1),
            ('@', Some('(')) => self.group(Times::Once, 2),
            ('?', Some('(')) => self.group(Times::AtMostOnce, 2),
            ('*', Some('(')) => self.group(Times::AnyNumber, 2),
            ('+', Some('(')) => self.group(Times::AtLeastOnce, 2),
            ('!', Some('(')) => self.group(Times::Never, 2),
            ('^', Some('(')) => Err((self.at, GlobProblem::CaretGroup)),
            ('[', _) => Ok(Node::Class(self.class()?)),
            ('{', _) => Ok(Node::Either(self.alternatives(Nest::Braces, 1)?)),
            ('?', _) => Ok(self.wildcard(Node::One, 1)),
            // In `**(a)` the second star belongs to the group.
            ('*', Some('*')) if !self.rest().starts_with("**(") => Ok(self.wildcard(Node::DoubleStar, 2)),
            ('*', _) => Ok(self.wildcard(Node::Star, 1)),
            (literal, _) => Ok(self.wildcard(Node::Text(literal.into()), literal.len_utf8())),
        }
    }

    fn wildcard(&mut self, node: Node, bytes: usize) -> Node {
        self.advance(bytes);
        node
    }

    fn escaped(&mut self) -> Result<Node, Failed> {
        let start = self.at;
        self.skip('\\');
        let literal = self.take().ok_or((start, GlobProblem::TrailingBackslash))?;
        Ok(Node::Text(literal.into()))
    }

    fn group(&mut self, times: Times, opener: usize) -> Result<Node, Failed> {
        Ok(Node::Group(times, self.alternatives(Nest::Group, opener)?))
    }

    /// Reads alternatives up to and with their closer; their opener is the next `opener` bytes.
    fn alternatives(&mut self, nest: Nest, opener: usize) -> Result<Vec<Sequence>, Failed> {
        if self.open.len() == MAX_GLOB_NESTING {
            return Err((self.at, GlobProblem::TooDeep));
        }
        self.advance(opener);
        let start = self.at - 1;
        let (separator, closer) = match nest {
            Nest::Braces => (',', '}'),
            Nest::Group => ('|', ')'),
        };
        self.open.push(nest);
        let mut alternatives = vec![self.sequence()?];
        while self.skip(separator) {
            alternatives.push(self.sequence()?);
        }
        self.open.pop();
        if !self.skip(closer) {
            let opener = if nest == Nest::Braces { '{' } else { '(' };
            return Err((start, GlobProblem::Unclosed { opener }));
        }
        Ok(alternatives)
    }
}
