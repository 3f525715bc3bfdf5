//! Translates a glob without `!( )` to a regular expression, which tells fast whether a path matches.
//!
//! What the groups capture is not asked of it but of `machine`: the `regex` crate factors what alternatives have in
//! common, so that in `@(**a|**/b)` it may prefer another match than a backtracking matcher does. It has no look ahead
//! either, which `!( )` needs.

use super::syntax::{Class, Node, Sequence, Times};

/// A regular expression that matches whole paths, or `None` if there is a `!( )`.
pub(super) fn regular_expression(sequence: &Sequence) -> Option<String> {
    let mut pattern = String::from(r"\A");
    push_sequence(&mut pattern, sequence)?;
    pattern.push_str(r"\z");
    Some(pattern)
}

fn push_sequence(pattern: &mut String, sequence: &Sequence) -> Option<()> {
    for node in sequence {
        match node {
            Node::Text(text) => pattern.push_str(&regex::escape(text)),
            Node::One => pattern.push_str("[^/]"),
            Node::Star => pattern.push_str("[^/]*"),
            Node::DoubleStar => pattern.push_str("(?s:.*)"),
            Node::Class(class) => push_class(pattern, class),
            Node::Either(alternatives) => push_alternatives(pattern, alternatives, ")")?,
            Node::Group(times, alternatives) => {
                let close = match times {
                    Times::Once => ")",
                    Times::AtMostOnce => ")?",
                    Times::AnyNumber => ")*",
                    Times::AtLeastOnce => ")+",
                    Times::Never => return None,
                };
                push_alternatives(pattern, alternatives, close)?;
            }
        }
    }
    Some(())
}

fn push_alternatives(pattern: &mut String, alternatives: &[Sequence], close: &str) -> Option<()> {
    pattern.push_str("(?:");
    for (index, alternative) in alternatives.iter().enumerate() {
        if index > 0 {
            pattern.push('|');
        }
        push_sequence(pattern, alternative)?;
    }
    pattern.push_str(close);
    Some(())
}

fn push_class(pattern: &mut String, class: &Class) {
    pattern.push_str(if class.negated { "[^" } else { "[" });
    for (low, high) in &class.ranges {
        pattern.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(*low), u32::from(*high)));
    }
    pattern.push(']');
}
