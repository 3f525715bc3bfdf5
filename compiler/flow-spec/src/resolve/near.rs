//! Names that are nearly those that exist: what an undefined input was probably meant to be.
//!
//! Near means one letter off in names of four to seven letters, two in longer ones, none in shorter ones; case, `_`
//! and `-` do not count. Digits must be equal: `part-1` and `part-2` are two names, not a typo.
//!
//! **Invariant:** ten thousand unknown names among ten thousand known ones take less than a second: names are grouped
//! by their digits, and lengths and letters are compared before distances.

use std::collections::BTreeMap;

use strsim::damerau_levenshtein;

/// A name as Kubernetes would have it: lower case, `-` for `_`.
pub(super) fn kubernetes_name(name: &str) -> String {
    name.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[derive(Debug)]
struct Candidate {
    letters: String,
    signature: u64,
    name: String,
}

/// An index of the names that exist.
#[derive(Debug, Default)]
pub(super) struct NearNames {
    by_digits: BTreeMap<String, Vec<Candidate>>,
}

fn split(name: &str) -> (String, String) {
    kubernetes_name(name).chars().partition(char::is_ascii_digit)
}

/// Which letters a text has. One edit changes at most two of them.
fn signature(letters: &str) -> u64 {
    letters.bytes().fold(0, |bits, byte| bits | 1 << (byte % 64))
}

impl NearNames {
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut by_digits: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        for name in names {
            let (digits, letters) = split(name);
            let signature = signature(&letters);
            let candidate = Candidate { letters, signature, name: name.to_owned() };
            by_digits.entry(digits).or_default().push(candidate);
        }
        Self { by_digits }
    }

    /// The nearest names, at most three, all at the same distance.
    pub(super) fn find(&self, wrote: &str) -> Vec<&str> {
        let (digits, letters) = split(wrote);
        let bits = signature(&letters);
        let limit = match letters.len() {
            0..=3 => 0,
            4..=7 => 1,
            _ => 2,
        };
        let mut nearest: Vec<(usize, &str)> = Vec::new();
        for candidate in self.by_digits.get(&digits).into_iter().flatten() {
            let too_long = candidate.letters.len().abs_diff(letters.len()) > limit;
            if too_long || (candidate.signature ^ bits).count_ones() as usize > 2 * limit {
                continue;
            }
            let distance = damerau_levenshtein(&candidate.letters, &letters);
            if distance <= limit && candidate.name != wrote {
                nearest.push((distance, &candidate.name));
            }
        }
        nearest.sort_unstable();
        let best = nearest.first().map(|(distance, _)| *distance);
        nearest
            .into_iter()
            .take_while(|(distance, _)| Some(*distance) == best)
            .map(|(_, name)| name)
            .take(3)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_near_and_other_names_are_not() {
        let names = NearNames::of(["images", "edges", "part-1", "raw", "word_count", "cart", "card"]);
        for (wrote, near) in [
            ("imagse", &["images"][..]),
            ("Images", &["images"]),
            ("image", &["images"]),
            ("word-count", &["word_count"]),
            ("word-cuont", &["word_count"]),
            ("carx", &["card", "cart"]),
            ("RAW", &["raw"]),
            ("row", &[]),
            ("part-2", &[]),
            ("images2", &[]),
            ("bananas", &[]),
            ("", &[]),
        ] {
            assert_eq!(names.find(wrote), near, "{wrote}");
        }
    }
}
