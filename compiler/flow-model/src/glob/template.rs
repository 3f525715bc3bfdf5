//! Expands the templates of `join_on` and `group_by` with what the groups of a glob captured.
//!
//! | written        | becomes |
//! |----------------|---------|
//! | `$1` `${1}`    | group 1; digits only, so `$1_x` is group 1 and `_x` |
//! | `$0`           | the whole path |
//! | `$9`, no such group | nothing |
//! | `$$`           | `$` |
//! | `$` before anything else, `${` without `}` | itself |

use std::collections::BTreeSet;

/// A part of a template.
enum Piece<'t> {
    Text(&'t str),
    /// A group by its number; `None` for a number that is none of a group (`$01`, or too large).
    Group(Option<usize>),
}

/// Replaces the groups in `template`; the whole path is group 0.
pub(super) fn expand<S: AsRef<str>>(template: &str, groups: &[S]) -> String {
    let group =
        |number: Option<usize>| number.and_then(|number| groups.get(number)).map_or("", AsRef::as_ref);
    pieces(template)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Group(number) => group(number),
        })
        .collect()
}

/// The groups that a template of `join_on` or `group_by` uses, so that one that its glob does not have can be found
/// before it is an empty key.
pub fn template_groups(template: &str) -> BTreeSet<usize> {
    pieces(template)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Group(number) => number,
            Piece::Text(_) => None,
        })
        .collect()
}

fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        let (text, from) = rest.split_at(dollar);
        pieces.push(Piece::Text(text));
        let after = &from[1..];
        let piece;
        (piece, rest) = match (after.strip_prefix('$'), reference(after)) {
            (Some(after), _) => (Piece::Text("$"), after),
            (None, Some((digits, after))) => (Piece::Group(number(digits)), after),
            (None, None) => (Piece::Text("$"), after),
        };
        pieces.push(piece);
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// Splits `1` or `{1}` off; the digits and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let start = inner.unwrap_or(text);
    let (digits, after) = start.split_at(start.find(|c: char| !c.is_ascii_digit()).unwrap_or(start.len()));
    let after = if inner.is_some() { after.strip_prefix('}')? } else { after };
    (!digits.is_empty()).then_some((digits, after))
}

fn number(digits: &str) -> Option<usize> {
    let padded = digits.len() > 1 && digits.starts_with('0');
    if padded { None } else { digits.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_like_pachyderm() {
        for (template, expanded) in [
            ("", ""),
            ("k", "k"),
            ("$1", "one"),
            ("${1}", "one"),
            ("$1-$2", "one-two"),
            ("$1_x", "one_x"),
            ("$1x", "onex"),
            ("${1}0", "one0"),
            ("$10", ""),
            ("$0", "/whole"),
            ("$3", ""),
            ("$01", ""),
            ("$99999999999999999999", ""),
            ("$$1", "$1"),
            ("$$$1", "$one"),
            ("$", "$"),
            ("a$", "a$"),
            ("$x", "$x"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("${x}$2", "${x}two"),
            ("$é$1", "$éone"),
        ] {
            assert_eq!(expand(template, &["/whole", "one", "two"]), expanded, "{template}");
        }
    }

    #[test]
    fn tells_the_groups() {
        assert_eq!(template_groups("$2-${10}$2 $$7 $x $01"), BTreeSet::from([2, 10]));
        assert_eq!(template_groups("constant"), BTreeSet::new());
    }
}
