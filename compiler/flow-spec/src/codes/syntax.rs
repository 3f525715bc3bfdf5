//! `FLOW01xx`: text that is no YAML or JSON, or too much of it.

use flow_model::{
    diagnostic::{Code, Diagnostic, Severity},
    span::Span,
};
use granit_parser::ErrorKind;

use super::code;
use crate::syntax::{MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES, NotUtf8};

/// The file is larger than flow reads. Specs are small; a file this large is data or an accident. Move it out of the
/// workspace or split it.
pub const FILE_TOO_LARGE: Code = code("FLOW0101", "file-too-large");
/// The file is no UTF-8 text, so its characters are unknown. Save it as UTF-8.
pub const NOT_UTF8: Code = code("FLOW0102", "not-utf8");
/// The text is neither YAML nor JSON from here on. What follows up to the next `---` was not read.
pub const SYNTAX: Code = code("FLOW0103", "syntax");
/// An object has a key twice; which value is meant is unknown. Remove one.
pub const DUPLICATE_KEY: Code = code("FLOW0104", "duplicate-key");
/// Lists and objects are nested deeper than any spec needs. The rest of the file was not read.
pub const TOO_DEEP: Code = code("FLOW0105", "too-deep");
/// The file has more values than flow takes, mostly because aliases repeat aliases. Write less, or split the file.
pub const TOO_MANY_VALUES: Code = code("FLOW0106", "too-many-values");
/// `*name` without an earlier `&name` in the same document.
pub const UNKNOWN_ALIAS: Code = code("FLOW0107", "unknown-alias");
/// An alias inside the very value that it names: the value would never end.
pub const RECURSIVE_ALIAS: Code = code("FLOW0108", "recursive-alias");
/// `<<` names something that has no keys to merge.
pub const BAD_MERGE: Code = code("FLOW0109", "bad-merge");
/// A key that is no text: a list, an object, or nothing.
pub const BAD_KEY: Code = code("FLOW0110", "bad-key");
/// A YAML tag (`!name`) that means nothing here. Remove it.
pub const UNKNOWN_TAG: Code = code("FLOW0111", "unknown-tag");
/// One file has many problems of one kind; only the first are shown.
pub const MORE: Code = code("FLOW0199", "more-of-the-same");

/// For a file over [`MAX_FILE_BYTES`].
#[must_use]
pub fn file_too_large(span: Span, bytes: usize) -> Diagnostic {
    too_large(bytes).at(span, "")
}

/// For a file over [`MAX_FILE_BYTES`] that was not read at all.
#[must_use]
pub fn unread_file_too_large(file: &str, bytes: u64) -> Diagnostic {
    let mut diagnostic = too_large(usize::try_from(bytes).unwrap_or(usize::MAX));
    diagnostic.message = format!("`{file}`: {}", diagnostic.message);
    diagnostic
}

fn too_large(bytes: usize) -> Diagnostic {
    let (mib, limit) = (bytes.div_ceil(1 << 20), MAX_FILE_BYTES >> 20);
    Diagnostic::error(FILE_TOO_LARGE, format!("the file has {mib} MiB; at most {limit} MiB are read"))
        .help("move data out of the workspace, or split the specs over several files")
}

pub(crate) fn not_utf8(file: &str, error: &NotUtf8) -> Diagnostic {
    let NotUtf8 { offset, line, utf16 } = error;
    let help = if *utf16 { "it looks like UTF-16: save it as UTF-8" } else { "save it as UTF-8" };
    Diagnostic::error(
        NOT_UTF8,
        format!("`{file}` is not UTF-8 text: byte {} in line {line} is wrong", offset + 1),
    )
    .help(help)
}

/// `bracket` is the innermost one that is still open.
pub(crate) fn broken(span: Span, kind: &ErrorKind, bracket: Option<Span>) -> Diagnostic {
    let (message, help) = explain(kind);
    let mut diagnostic = Diagnostic::error(SYNTAX, message).at(span, "");
    if let Some(bracket) = bracket.filter(|bracket| *bracket != span) {
        diagnostic = diagnostic.and_at(bracket, "this bracket is open");
    }
    if help.is_empty() { diagnostic } else { diagnostic.help(help) }
}

/// The scanner's errors in the words of someone who writes specs.
fn explain(kind: &ErrorKind) -> (String, &'static str) {
    let (message, help) = match kind {
        ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => ("a tab cannot indent YAML", "use spaces"),
        ErrorKind::ExpectedDocumentStart => (
            "another value follows the end of the document",
            "put `---` on a line of its own between documents, or make them a list",
        ),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            "a `:` cannot stand here",
            "check the indentation of this line and the one before, or put the text in quotes",
        ),
        ErrorKind::UnclosedQuotedScalar => ("this string is never closed", "add the closing quote"),
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("this `{open}` is never closed"), "add its closing bracket");
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("`{close}` closes a `{open}`"), "");
        }
        ErrorKind::MisplacedFlowCollectionEnd => ("this bracket closes nothing", "remove it"),
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            ("a `,` or a closing bracket is missing before this", "")
        }
        ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate
        | ErrorKind::InvalidLowSurrogate
        | ErrorKind::InvalidUnicodeEscape => (
            "this escape is half a character",
            "write both halves of the surrogate pair, or the character itself",
        ),
        ErrorKind::UnknownQuotedScalarEscape => {
            ("unknown escape in this string", "write `\\\\` for a backslash, or use single quotes")
        }
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            let message = format!("the text has the control character U+{:04X}", u32::from(*character));
            return (
                message,
                "remove it; in a double-quoted string it can be written as an escape, such as `\\x7f`",
            );
        }
        ErrorKind::UnexpectedCharacter { character } => {
            return (format!("`{character}` cannot stand here"), "put the text in quotes");
        }
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry => {
            ("the indentation fits no line above", "line it up with its siblings")
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("this is no `key: value`", "a key is on one line, with `:` and a space behind it")
        }
        other => return (format!("this is no YAML or JSON: {other}"), ""),
    };
    (message.to_owned(), help)
}

pub(crate) fn duplicate_key(second: Span, first: Span, key: &str) -> Diagnostic {
    Diagnostic::error(DUPLICATE_KEY, format!("`{key}` is given twice"))
        .at(second, "again here")
        .and_at(first, "first here")
        .help("remove one of them")
}

pub(crate) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(TOO_DEEP, format!("lists and objects are nested more than {MAX_DEPTH} deep"))
        .at(span, "the file was read up to here")
}

pub(crate) fn too_many_values(span: Span) -> Diagnostic {
    Diagnostic::error(
        TOO_MANY_VALUES,
        format!("the file has more than {MAX_NODES} values, counting what aliases repeat"),
    )
    .at(span, "the file was read up to here")
    .help("split it over several files, or use fewer aliases of aliases")
}

pub(crate) fn unknown_alias(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(UNKNOWN_ALIAS, format!("there is no anchor `&{name}` before this alias"))
        .at(span, "")
        .help("anchors hold within one document and come before their aliases; put a text with `*` in quotes")
}

pub(crate) fn recursive_alias(span: Span) -> Diagnostic {
    Diagnostic::error(RECURSIVE_ALIAS, "this alias is part of the value that it names").at(span, "")
}

pub(crate) fn bad_merge(span: Span, found: &str) -> Diagnostic {
    Diagnostic::error(BAD_MERGE, format!("`<<` merges objects, not {found}"))
        .at(span, "")
        .help("write `<<: *anchor`, or `<<: [*one, *another]`")
}

pub(crate) fn bad_key(span: Span, found: &str) -> Diagnostic {
    Diagnostic::error(BAD_KEY, format!("a key must be a string, not {found}")).at(span, "")
}

pub(crate) fn unknown_tag(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(UNKNOWN_TAG, format!("the tag `{name}` has no meaning here"))
        .at(span, "")
        .help("remove it; put a text that begins with `!` in quotes")
}

pub(crate) fn more_of_the_same(code: Code, more: usize, severity: Severity, at: Option<Span>) -> Diagnostic {
    let message = format!("{more} more of {} ({}) in this file", code.id, code.slug);
    let diagnostic = Diagnostic::new(MORE, severity, message);
    match at {
        Some(span) => diagnostic.at(span, "the last one that is shown"),
        None => diagnostic,
    }
}
