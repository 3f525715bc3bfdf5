//! Values of the wanted types, with what to write instead where they are not.

use std::{collections::BTreeMap, fmt};

use flow_model::{
    span::{Span, Spanned},
    spec::DeletionPolicy,
    time::Millis,
};

use super::{DeclaredCodes, DeclaredEnv, Field, Texts, duration, object::is_quoted};
use crate::{
    codes::{constraints, fields},
    report::Report,
    syntax::{Kind, Node, is_float, is_integer, parse_integer},
};

/// A string.
pub(crate) fn text(field: Field<'_>, report: &mut Report) -> Option<Spanned<String>> {
    string(field.value, format_args!("{}", field.key.text().unwrap_or(field.name)), report)
}

/// `name` is formatted only if there is something to say.
fn string(node: Node<'_>, name: fmt::Arguments<'_>, report: &mut Report) -> Option<Spanned<String>> {
    let written = node.text().unwrap_or_default();
    let usable = node.kind() == Kind::Text && !written.contains('\0');
    if usable {
        return Some(Spanned::new(written.to_owned(), node.span()));
    }
    let name = &name.to_string();
    let diagnostic = match node.kind() {
        Kind::Broken => return None,
        Kind::Text => constraints::nul(node.span(), name),
        Kind::Int | Kind::Float | Kind::Bool => {
            fields::unquoted(node.span(), name, node.kind().words(), written)
        }
        other => fields::wrong_type(node.span(), name, "a string", other.words()),
    };
    report.push(diagnostic);
    None
}

/// A list of strings. A single string is refused with the list it was probably meant to be.
pub(super) fn texts(field: Field<'_>, report: &mut Report) -> Option<Texts> {
    let name = field.key.text().unwrap_or(field.name);
    match field.value.kind() {
        Kind::List => {
            let count = field.value.items().len();
            let items: Vec<_> = field
                .value
                .items()
                .enumerate()
                .filter_map(|(at, item)| string(item, format_args!("{name}[{at}]"), report))
                .collect();
            let texts = Texts { key: field.key.span(), span: field.value.span(), items };
            (texts.items.len() == count).then_some(texts)
        }
        Kind::Broken => None,
        Kind::Text => {
            let help = as_list(name, field.value.text().unwrap_or_default());
            report.push(fields::not_a_list(field.value.span(), name, help));
            None
        }
        other => {
            report.push(fields::wrong_type(field.value.span(), name, "a list of strings", other.words()));
            None
        }
    }
}

fn as_list(name: &str, text: &str) -> String {
    if name.ends_with("tdin") {
        return format!("write one item per line: `{name}: [first line, second line]`");
    }
    if text.contains(['|', '>', '<', ';', '&', '$', '*', '`', '\'', '"', '\n']) {
        return format!("there is no shell unless you run one: `{name}: [sh]` and the line in `stdin`");
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    format!("write `{name}: [{}]`", words.join(", "))
}

/// A whole number; a string of digits counts as one, as in many existing specs.
pub(super) fn integer(field: Field<'_>, report: &mut Report) -> Option<Spanned<i64>> {
    whole_number(field.value, format_args!("{}", field.key.text().unwrap_or(field.name)), report)
}

fn whole_number(node: Node<'_>, name: fmt::Arguments<'_>, report: &mut Report) -> Option<Spanned<i64>> {
    let written = node.text().unwrap_or_default();
    let number = parse_integer(written);
    let name = &name.to_string();
    let diagnostic = match (node.kind(), number) {
        (Kind::Broken, _) => return None,
        (Kind::Int | Kind::Text, Some(number)) => return Some(Spanned::new(number, node.span())),
        (Kind::Int | Kind::Text, None) if is_integer(written) => {
            constraints::out_of_range(node.span(), name, written, "a number that fits 64 bits")
        }
        (Kind::Int | Kind::Text, None) => {
            let found = if is_float(written) { "a number with a fraction" } else { "a string" };
            fields::wrong_type(node.span(), name, "a whole number", found)
        }
        (Kind::Float, _) => {
            fields::wrong_type(node.span(), name, "a whole number", "a number with a fraction")
        }
        (other, _) => fields::wrong_type(node.span(), name, "a whole number", other.words()),
    };
    report.push(diagnostic);
    None
}

/// A list of whole numbers.
pub(super) fn codes(field: Field<'_>, report: &mut Report) -> Option<DeclaredCodes> {
    let name = field.key.text().unwrap_or(field.name);
    match field.value.kind() {
        Kind::List => {
            let count = field.value.items().len();
            let codes: Vec<_> = field
                .value
                .items()
                .enumerate()
                .filter_map(|(at, item)| whole_number(item, format_args!("{name}[{at}]"), report))
                .collect();
            (codes.len() == count).then_some(DeclaredCodes { span: field.value.span(), codes })
        }
        Kind::Broken => None,
        other => {
            let wanted = "a list of whole numbers";
            report.push(fields::wrong_type(field.value.span(), name, wanted, other.words()));
            None
        }
    }
}

/// An object of texts. Numbers and booleans count as written, as users of YAML expect of environment variables.
pub(super) fn environment(field: Field<'_>, report: &mut Report) -> Option<DeclaredEnv> {
    let name = field.key.text().unwrap_or(field.name);
    match field.value.kind() {
        Kind::Object => {}
        Kind::Broken => return None,
        other => {
            let wrong = fields::wrong_type(field.value.span(), name, "an object", other.words());
            report.push(wrong.help(format!("write `{name}: {{NAME: value}}`")));
            return None;
        }
    }
    let mut variables = BTreeMap::new();
    let mut complete = true;
    for (key, value) in field.value.entries() {
        match variable(key, value, report) {
            Some((name, value)) => drop(variables.insert(name, (key.span(), value))),
            None => complete = false,
        }
    }
    complete.then_some(DeclaredEnv { span: field.value.span(), variables })
}

fn variable(key: Node<'_>, value: Node<'_>, report: &mut Report) -> Option<(String, Spanned<String>)> {
    let name = key.text().unwrap_or_default();
    if name.is_empty() || name.contains(['=', '\0']) {
        report.push(constraints::bad_env(key.span(), &name.replace('\0', "\\0")));
        return None;
    }
    let written = value.text().unwrap_or_default();
    let label = format!("env.{name}");
    let diagnostic = match value.kind() {
        Kind::Broken => return None,
        Kind::Null => fields::wrong_type(key.span(), &label, "a string", "nothing")
            .help(format!("write `{name}: \"\"` for an empty value")),
        Kind::List | Kind::Object => {
            fields::wrong_type(value.head(), &label, "a string", value.kind().words())
        }
        Kind::Text | Kind::Int | Kind::Float | Kind::Bool if written.contains('\0') => {
            constraints::nul(value.span(), &label)
        }
        Kind::Text | Kind::Int | Kind::Float | Kind::Bool => {
            return Some((name.to_owned(), Spanned::new(written.to_owned(), value.span())));
        }
    };
    report.push(diagnostic);
    None
}

/// A duration as Go writes it: `300s`, `5m`, `1h30m`.
pub(super) fn duration(field: Field<'_>, report: &mut Report) -> Option<Spanned<Millis>> {
    let name = field.key.text().unwrap_or(field.name);
    let span = field.value.span();
    let written = field.value.text().unwrap_or_default();
    let diagnostic = match field.value.kind() {
        Kind::Broken => return None,
        Kind::Text | Kind::Int | Kind::Float => match duration::parse(written) {
            Ok(millis) => return Some(Spanned::new(millis, span)),
            Err(duration::DurationError::Malformed) => fields::bad_duration(span, name, written),
            Err(duration::DurationError::TooLong) => {
                constraints::out_of_range(span, name, written, "less than 292 years")
            }
        },
        other => fields::wrong_type(span, name, "a duration", other.words()),
    };
    report.push(diagnostic);
    None
}

/// `retain` or `delete`.
pub(super) fn deletion_policy(field: Field<'_>, report: &mut Report) -> Option<Spanned<DeletionPolicy>> {
    let word = text(field, report)?;
    let policy = match word.value.as_str() {
        "retain" | "Retain" => DeletionPolicy::Retain,
        "delete" | "Delete" => DeletionPolicy::Delete,
        other => {
            let name = field.key.text().unwrap_or(field.name);
            report.push(fields::unknown_value(word.span, name, other, &["retain", "delete"]));
            return None;
        }
    };
    Some(Spanned::new(policy, word.span))
}

/// The place inside a scalar of the byte at `offset` of its text; the whole scalar where escapes or folding make the
/// text differ from what is written.
pub(crate) fn place_in(scalar: &Spanned<String>, source: &str, offset: usize) -> Span {
    let whole = scalar.span;
    let written = &source[whole.start as usize..whole.end as usize];
    let skip = usize::from(is_quoted(whole, &scalar.value));
    let Some(inner) = written.get(skip..written.len().saturating_sub(skip)) else { return whole };
    let Some(rest) = scalar.value.get(offset..) else { return whole };
    if inner != scalar.value {
        return whole;
    }
    let start = whole.start as usize + skip + offset;
    let length = rest.chars().next().map_or(0, char::len_utf8);
    Span { file: whole.file, start: start as u32, end: (start + length) as u32 }
}
