//! What a glob is made of, once parsed. Meaning is given to it by `pattern` and `machine`, which must agree.

/// Things that match one after the other.
pub(super) type Sequence = Vec<Node>;

/// One part of a glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Exactly this text.
    Text(String),
    /// `?`: one character that is not a slash.
    One,
    /// `*`: characters that are not slashes, as many as possible.
    Star,
    /// `**`: any characters, as many as possible.
    DoubleStar,
    /// `[...]`.
    Class(Class),
    /// `{a,b}`: one of these, the first that fits; does not capture.
    Either(Vec<Sequence>),
    /// `(a|b)` with what stands before it. Captures; groups are numbered from 1 by their opening parentheses.
    Group(Times, Vec<Sequence>),
}

/// How often one of the alternatives of a group occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// `( )` and `@( )`.
    Once,
    /// `?( )`.
    AtMostOnce,
    /// `*( )`.
    AnyNumber,
    /// `+( )`.
    AtLeastOnce,
    /// `!( )`: none of the alternatives begins here (up to where: see [`super::shape::negation_ends_path`]), and then
    /// it matches like `*`.
    Never,
}

/// A set of characters, as ranges with both ends in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) negated: bool,
    pub(super) ranges: Vec<(char, char)>,
}

impl Class {
    /// Whether `character` is in the set. As in Pachyderm, a negated set has the slash in it.
    pub(super) fn contains(&self, character: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != self.negated
    }

    /// The character, if there is just one in the set.
    pub(super) fn single(&self) -> Option<char> {
        match (self.negated, self.ranges.as_slice()) {
            (false, [(low, high)]) if low == high => Some(*low),
            _ => None,
        }
    }
}
