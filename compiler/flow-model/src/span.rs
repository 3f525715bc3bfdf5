//! Source texts and places in them.
//!
//! A [`Span`] is a byte range of one file of a [`SourceMap`]. Lines and columns are derived when something is shown.

use serde::{Deserialize, Serialize};

/// Index of a file in its [`SourceMap`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub u32);

/// A byte range of a source file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it marks a position rather than a range.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// A value and where it was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Puts a value and its place together.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A text that was read, under the name that messages show.
#[derive(Clone, Debug)]
pub struct SourceFile {
    name: String,
    text: String,
    line_starts: Vec<u32>,
    /// Bytes that continue a character, before each block of [`BLOCK`] bytes: columns in a line of megabytes, as JSON
    /// writers make them, cost no more than others.
    continuations: Vec<u32>,
}

/// Bytes per entry of `continuations`.
const BLOCK: usize = 4096;

/// How many bytes continue a character that began before them.
fn continuations(bytes: &[u8]) -> u32 {
    bytes.iter().filter(|byte| **byte & 0xc0 == 0x80).count() as u32
}

/// A place for humans and for other tools: 1-based line and column (in characters).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Location {
    /// Path of the file as the user knows it.
    pub file: String,
    /// 1-based line.
    pub line: u32,
    /// 1-based column in characters.
    pub column: u32,
}

impl SourceFile {
    /// Takes over a text of less than 4 GiB.
    #[must_use]
    pub fn new(name: String, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(ends.map(|(at, _)| at as u32 + 1)).collect();
        let mut sum = 0;
        let mut before = |block: &[u8]| {
            let so_far = sum;
            sum += continuations(block);
            so_far
        };
        let continuations = text.as_bytes().chunks(BLOCK).map(&mut before).collect();
        Self { name, text, line_starts, continuations }
    }

    /// The path as the user knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 1-based line and column (in characters) of a byte offset.
    #[must_use]
    pub fn line_column(&self, offset: u32) -> (u32, u32) {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1) - 1;
        let start = self.line_starts[line];
        let end = offset.min(self.text.len() as u32);
        let column = (end - start) - (self.continuations_before(end) - self.continuations_before(start));
        (line as u32 + 1, column + 1)
    }

    fn continuations_before(&self, offset: u32) -> u32 {
        let offset = offset as usize;
        let block = offset / BLOCK;
        match self.continuations.get(block) {
            Some(before) => before + continuations(&self.text.as_bytes()[block * BLOCK..offset]),
            // The end of a text that fills its blocks.
            None => block.checked_sub(1).map_or(0, |last| {
                self.continuations[last] + continuations(&self.text.as_bytes()[last * BLOCK..offset])
            }),
        }
    }
}

/// All source texts of a run.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a text; files keep the order in which they are added.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.files.push(SourceFile::new(name.into(), text.into()));
        FileId(self.files.len() as u32 - 1)
    }

    /// The file behind an id of this map.
    ///
    /// # Panics
    /// If the id belongs to another map.
    #[must_use]
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All files with their ids.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter().enumerate().map(|(at, file)| (FileId(at as u32), file))
    }

    /// Where a span starts, for a message.
    #[must_use]
    pub fn location(&self, span: Span) -> Location {
        let file = self.file(span.file);
        let (line, column) = file.line_column(span.start);
        Location { file: file.name().to_owned(), line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let file = SourceFile::new("a.yaml".into(), "é: 1\nb: 2\n".into());
        assert_eq!(file.line_column(0), (1, 1));
        assert_eq!(file.line_column(2), (1, 2));
        assert_eq!(file.line_column(6), (2, 1));
        assert_eq!(file.line_column(11), (3, 1));
        assert_eq!(file.line_column(99), (3, 1));
    }

    #[test]
    fn columns_of_long_lines_are_counted_alike() {
        for length in [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let text = format!("x\n{}", "aé😀".repeat(length).chars().take(length).collect::<String>());
            let file = SourceFile::new("a".into(), text.clone());
            for (at, (offset, _)) in text.char_indices().enumerate().skip(2).step_by(97) {
                assert_eq!(file.line_column(offset as u32), (2, at as u32 - 1));
            }
            assert_eq!(file.line_column(text.len() as u32), (2, length as u32 + 1));
        }
        let full = SourceFile::new("a".into(), "é".repeat(BLOCK / 2));
        assert_eq!(full.line_column(BLOCK as u32), (1, BLOCK as u32 / 2 + 1));
        assert_eq!(SourceFile::new("a".into(), String::new()).line_column(0), (1, 1));
    }
}
