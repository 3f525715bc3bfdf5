//! Makes the text of a glob an absolute, clean path, the way Pachyderm does before it looks for wildcards.
//!
//! A missing leading slash is added; `//`, `.`, `..` and trailing slashes go. This happens to the bare text, so a
//! `..` takes the component before it even when that has wildcards. **Invariant:** every byte of the result remembers
//! where it was written, so that errors point into the text of the author.

/// A cleaned text and where its parts were written.
pub(super) struct Cleaned {
    text: String,
    /// Offset in the result and in the source, for each component that was kept, in order.
    origins: Vec<(usize, usize)>,
}

impl Cleaned {
    pub(super) fn of(source: &str) -> Self {
        let mut kept: Vec<(usize, &str)> = Vec::new();
        let mut start = 0;
        for part in source.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(kept.pop()),
                _ => kept.push((start, part)),
            }
            start += part.len() + 1;
        }
        let mut text = String::with_capacity(source.len() + 1);
        let mut origins = Vec::with_capacity(kept.len());
        for (origin, part) in kept {
            text.push('/');
            origins.push((text.len(), origin));
            text.push_str(part);
        }
        if text.is_empty() {
            text.push('/');
        }
        Self { text, origins }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where the byte at `offset` of the result was written. A slash counts as the start of what follows it, since it
    /// may not have been written at all.
    pub(super) fn origin(&self, offset: usize) -> usize {
        let next = self.origins.partition_point(|(start, _)| *start <= offset);
        let after_slash = self.origins.get(next).filter(|(start, _)| *start == offset + 1);
        let before = next.checked_sub(1).and_then(|index| self.origins.get(index));
        match (after_slash, before) {
            (Some((_, origin)), _) => *origin,
            (None, Some((start, origin))) => origin + (offset - start),
            (None, None) => 0,
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_like_pachyderm() {
        for (source, clean) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            (".", "/"),
            ("..", "/"),
            ("/a/..", "/"),
            ("a*", "/a*"),
            ("/*/", "/*"),
            ("//*", "/*"),
            ("/./*", "/*"),
            ("/../up", "/up"),
            ("/a/../../b", "/b"),
            ("/..*", "/..*"),
            (" ", "/ "),
            ("/{a/../b}", "/b}"),
            ("/é//ü/", "/é/ü"),
        ] {
            assert_eq!(Cleaned::of(source).text(), clean, "{source:?}");
        }
    }

    #[test]
    fn remembers_where_each_character_was_written() {
        let source = "x/../a//./é)/";
        let cleaned = Cleaned::of(source);
        assert_eq!(cleaned.text(), "/a/é)");
        for (offset, character) in cleaned.text().char_indices().filter(|(_, character)| *character != '/') {
            assert!(source[cleaned.origin(offset)..].starts_with(character));
        }
    }
}
