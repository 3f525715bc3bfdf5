//! Did you mean: the nearest of the names in scope.

/// The one candidate that is near enough to `wrote` to be what was meant: at most a third of its length away, and
/// nearer than every other. Case differences count as nothing.
pub fn closest<'a>(wrote: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrote.chars().count().max(3)) / 3;
    let mut ranked: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| *candidate != wrote)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&wrote.to_lowercase(), &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    ranked.sort_unstable();
    match ranked.as_slice() {
        [] => None,
        [(near, _), (second, _), ..] if near == second => None,
        [(_, name), ..] => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn near_names_are_offered_and_far_or_ambiguous_ones_are_not() {
        assert_eq!(closest("imagse", ["images", "edges"]), Some("images"));
        assert_eq!(closest("datumTimeout", ["datum_timeout", "jobTimeout"]), Some("datum_timeout"));
        assert_eq!(closest("xyz", ["images"]), None);
        assert_eq!(closest("cat", ["bat", "rat"]), None);
    }
}
