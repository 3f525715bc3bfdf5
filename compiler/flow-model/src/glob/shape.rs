//! What can be said of all paths that a glob matches, without matching: how they begin, and how deep they are.

use super::syntax::{Node, Sequence, Times};

/// The longest text that every match of `sequence` begins with, as far as it is easy to see.
pub(super) fn literal_prefix(sequence: &Sequence) -> String {
    let mut prefix = String::new();
    for node in sequence {
        if !extend_prefix(node, &mut prefix) {
            break;
        }
    }
    prefix
}

/// Adds what `node` begins with; whether it is nothing but that, so that what follows counts too.
fn extend_prefix(node: &Node, prefix: &mut String) -> bool {
    match node {
        Node::Text(text) => {
            prefix.push_str(text);
            true
        }
        Node::Class(class) => {
            prefix.extend(class.single());
            class.single().is_some()
        }
        Node::Either(alternatives) | Node::Group(Times::Once, alternatives) => {
            prefix.push_str(&common_prefix(alternatives));
            matches!(alternatives.as_slice(), [only] if is_literal(only))
        }
        Node::Group(Times::AtLeastOnce, alternatives) => {
            prefix.push_str(&common_prefix(alternatives));
            false
        }
        Node::One | Node::Star | Node::DoubleStar => false,
        Node::Group(Times::AtMostOnce | Times::AnyNumber | Times::Never, _) => false,
    }
}

fn common_prefix(alternatives: &[Sequence]) -> String {
    let shared =
        |a: String, b: String| a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    alternatives.iter().map(literal_prefix).reduce(shared).unwrap_or_default()
}

fn is_literal(sequence: &Sequence) -> bool {
    sequence.iter().all(|node| match node {
        Node::Text(_) => true,
        Node::Class(class) => class.single().is_some(),
        Node::Either(alternatives) | Node::Group(Times::Once, alternatives) => {
            matches!(alternatives.as_slice(), [only] if is_literal(only))
        }
        _ => false,
    })
}

/// How many slashes every match of `sequence` has, if all have equally many.
pub(super) fn slashes(sequence: &Sequence) -> Option<usize> {
    sequence.iter().map(node_slashes).sum()
}

fn node_slashes(node: &Node) -> Option<usize> {
    match node {
        Node::Text(text) => Some(text.matches('/').count()),
        Node::One | Node::Star | Node::Group(Times::Never, _) => Some(0),
        Node::DoubleStar => None,
        Node::Class(class) if class.single() == Some('/') => Some(1),
        Node::Class(class) => (!class.contains('/')).then_some(0),
        Node::Either(alternatives) | Node::Group(Times::Once, alternatives) => all_slashes(alternatives),
        Node::Group(_, alternatives) => all_slashes(alternatives).filter(|slashes| *slashes == 0),
    }
}

fn all_slashes(alternatives: &[Sequence]) -> Option<usize> {
    let mut counts = alternatives.iter().map(slashes);
    let first = counts.next().flatten()?;
    counts.all(|count| count == Some(first)).then_some(first)
}

/// Whether `sequence` can match without taking a character.
pub(super) fn can_be_empty(sequence: &Sequence) -> bool {
    sequence.iter().all(|node| match node {
        Node::Text(_) | Node::One | Node::Class(_) => false,
        Node::Star | Node::DoubleStar => true,
        Node::Either(alternatives) | Node::Group(Times::Once | Times::AtLeastOnce, alternatives) => {
            alternatives.iter().any(can_be_empty)
        }
        Node::Group(Times::AtMostOnce | Times::AnyNumber | Times::Never, _) => true,
    })
}

/// How many groups there are.
pub(super) fn groups(sequence: &Sequence) -> usize {
    sequence
        .iter()
        .map(|node| match node {
            Node::Either(alternatives) => alternatives.iter().map(groups).sum(),
            Node::Group(_, alternatives) => 1 + alternatives.iter().map(groups).sum::<usize>(),
            _ => 0,
        })
        .sum()
}

/// Whether what a `!( )` forbids must reach the end of the path.
///
/// Pachyderm decides this once for the whole glob: in `/!(a)` only `/a` is forbidden, not `/ab`, but as soon as text,
/// `*` or `**` follows the first `!( )`, as in `/!(a)/*`, everything that begins with what is forbidden is, too.
pub(super) fn negation_ends_path(sequence: &Sequence) -> bool {
    let mut scope = Scope::default();
    scope.sequence(sequence);
    !scope.bounded
}

/// Walks a glob in the order of its text.
#[derive(Default)]
struct Scope {
    /// The first `!( )` to close is behind us.
    closed: bool,
    /// Text, `*` or `**` came after that.
    bounded: bool,
}

impl Scope {
    fn sequence(&mut self, sequence: &Sequence) {
        for node in sequence {
            match node {
                Node::Text(_) | Node::Star | Node::DoubleStar => self.bounded |= self.closed,
                Node::One | Node::Class(_) => {}
                Node::Either(alternatives) => alternatives.iter().for_each(|one| self.sequence(one)),
                Node::Group(times, alternatives) => {
                    alternatives.iter().for_each(|one| self.sequence(one));
                    self.closed |= *times == Times::Never;
                }
            }
        }
    }
}
