//! A plain rendering of diagnostics for tests and logs: no colours, no source excerpt, the same bytes every time.

use std::fmt::Write;

use flow_model::{
    diagnostic::Diagnostic,
    span::{SourceMap, Span},
};

/// `file:line:col: error[FLOW0203] message`, then the labels, the help and the edit, indented.
#[must_use]
pub fn concise(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let place = |span: Span| {
        let location = sources.location(span);
        format!("{}:{}:{}", location.file, location.line, location.column)
    };
    let mut text = String::new();
    if let Some(primary) = &diagnostic.primary {
        text = format!("{}: ", place(primary.span));
    }
    let (word, id) = (diagnostic.severity.word(), diagnostic.code.id);
    text.push_str(&format!("{word}[{id}] {}\n", one_line(&diagnostic.message)));
    if let Some(primary) = diagnostic.primary.as_ref().filter(|label| !label.text.is_empty()) {
        text.push_str(&format!("  here: {}\n", one_line(&primary.text)));
    }
    for label in &diagnostic.related {
        text.push_str(&format!("  {}: {}\n", place(label.span), one_line(&label.text)));
    }
    if let Some(help) = &diagnostic.help {
        text.push_str(&format!("  help: {}\n", one_line(help)));
    }
    if let Some(edit) = &diagnostic.edit {
        let source = sources.file(edit.span.file).text();
        let old = source.get(edit.span.start as usize..edit.span.end as usize).unwrap_or_default();
        let (old, new) = (one_line(old), one_line(&edit.replacement));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  edit: {old} -> {new}");
    }
    text
}

/// Keeps control characters of hostile input out of the reader's terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}
