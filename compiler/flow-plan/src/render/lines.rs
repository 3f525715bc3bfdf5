//! Text in segments with neutral styles.
//!
//! **Invariant:** a segment never carries a control character other than newline and tab, nor one that reorders what is
//! shown: texts of a plan come from files that anybody may have written, and must not steer the terminal or deceive a
//! reviewer. They are escaped as they enter.

use std::fmt;

/// What a segment is, not how it looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Style {
    /// Ordinary text.
    Plain,
    /// What a reader's eye should find.
    Strong,
    /// Of lesser weight.
    Dim,
    /// Something that is created or added.
    Add,
    /// Something that changes.
    Change,
    /// Something that is deleted or removed.
    Delete,
    /// Something that is dragged along.
    Drag,
}

/// A piece of text in one style.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// What it is.
    pub style: Style,
    /// The text; may hold newlines.
    pub text: String,
}

/// Styled text. [`fmt::Display`] gives it without styles.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Text {
    segments: Vec<Segment>,
}

impl Text {
    /// The segments in order; neighbours differ in style.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn push(&mut self, style: Style, text: &str) -> &mut Self {
        if text.is_empty() {
            return self;
        }
        match self.segments.last_mut() {
            Some(last) if last.style == style => escape_into(&mut last.text, text),
            _ => {
                let mut escaped = String::with_capacity(text.len());
                escape_into(&mut escaped, text);
                self.segments.push(Segment { style, text: escaped });
            }
        }
        self
    }

    pub(crate) fn plain(&mut self, text: &str) -> &mut Self {
        self.push(Style::Plain, text)
    }

    /// A whole line.
    pub(crate) fn line(&mut self, style: Style, text: &str) -> &mut Self {
        self.push(style, text).plain("\n")
    }

    pub(crate) fn blank(&mut self) -> &mut Self {
        self.plain("\n")
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| f.write_str(&segment.text))
    }
}

fn escape_into(out: &mut String, text: &str) {
    for character in text.chars() {
        if is_harmless(character) { out.push(character) } else { out.extend(character.escape_unicode()) }
    }
}

fn is_harmless(character: char) -> bool {
    let reorders = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    matches!(character, '\n' | '\t') || !(character.is_control() || reorders)
}

/// The same escaping for plain strings.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(&mut out, text);
    out
}

/// Shortens a text to `width` characters, with an ellipsis for what is missing.
pub(crate) fn trimmed(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Pads a text to `width` characters.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

/// Breaks a text between words into lines of at most `width` characters; a longer word has a line of its own.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_style_are_one_segment() {
        let mut text = Text::default();
        text.plain("a").plain("b").push(Style::Add, "").push(Style::Add, "c");
        let styles: Vec<Style> = text.segments().iter().map(|segment| segment.style).collect();
        assert_eq!(styles, [Style::Plain, Style::Add]);
        assert_eq!(text.to_string(), "abc");
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        let mut text = Text::default();
        text.plain("a\x1b[31m\u{202e}b\r\n\tc");
        assert_eq!(text.to_string(), "a\\u{1b}[31m\\u{202e}b\\u{d}\n\tc");
    }

    #[test]
    fn trimming_padding_and_wrapping_count_characters() {
        assert_eq!(trimmed("ééééé", 5), "ééééé");
        assert_eq!(trimmed("éééééé", 5), "éééé…");
        assert_eq!(padded("é", 3), "é  ");
        assert_eq!(wrapped("a bb ccc dddddddd e", 6), ["a bb", "ccc", "dddddddd", "e"]);
    }
}
