//! An object's keys against the rules: what is unknown, unsupported or given twice is reported here, and the rest can
//! be asked for by name.

use flow_model::{diagnostic::Diagnostic, similar_name::closest, span::Span};

use super::{
    Given,
    rules::{Harmless, Rule, Rules, Support, camel_case, home_of},
};
use crate::{
    codes::{fields, support},
    report::Report,
    syntax::{Kind, Node},
};

/// A field as written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// Its name in snake case.
    pub(crate) name: &'static str,
    pub(crate) key: Node<'a>,
    pub(crate) value: Node<'a>,
}

/// The supported fields of an object that are neither absent nor `null`.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    fields: Vec<Field<'a>>,
    /// Fields that were reported, as unsupported or as a typo: what they stand for is not missing as well.
    reported: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// Reads `node`, which stands under the key `name`, by the rules.
    pub(crate) fn read(
        node: Node<'a>,
        name: &str,
        rules: &'static Rules,
        report: &mut Report,
    ) -> Option<Self> {
        match node.kind() {
            Kind::Object => Some(Self::of(node, rules, report)),
            Kind::Broken => None,
            other => {
                report.push(fields::wrong_type(node.span(), name, "an object", other.words()));
                None
            }
        }
    }

    fn of(node: Node<'a>, rules: &'static Rules, report: &mut Report) -> Self {
        let mut seen: Vec<Field<'a>> = Vec::with_capacity(node.entries().len());
        let mut reported = Vec::new();
        for (key, value) in node.entries() {
            let Some(rule) = rules.find(key.text().unwrap_or_default()) else {
                report.push_with(fields::UNKNOWN_FIELD, key.span(), || {
                    let (diagnostic, meant) = unknown(key, rules);
                    reported.extend(meant);
                    diagnostic
                });
                continue;
            };
            if let Some(first) = seen.iter().find(|field| field.name == rule.name) {
                let names = (key.text().unwrap_or_default(), first.key.text().unwrap_or_default());
                report.push(fields::two_spellings(key.span(), first.key.span(), names.0, names.1));
                continue;
            }
            seen.push(Field { name: rule.name, key, value });
            if let Some(diagnostic) = objection(rule, key, value, rules) {
                report.push(diagnostic);
                reported.push(rule.name);
            }
        }
        let supported = |field: &Field<'_>| {
            field.value.kind() != Kind::Null
                && rules.find(field.name).is_some_and(|rule| matches!(rule.support, Support::Now))
        };
        seen.retain(supported);
        Self { fields: seen, reported }
    }

    /// The field of this name, in snake case.
    pub(crate) fn get(&self, name: &str) -> Option<Field<'a>> {
        self.fields.iter().copied().find(|field| field.name == name)
    }

    /// Reads the field of this name, if it is there.
    pub(crate) fn read_field<T>(
        &self,
        name: &str,
        report: &mut Report,
        read: impl FnOnce(Field<'a>, &mut Report) -> Option<T>,
    ) -> Given<T> {
        match self.get(name) {
            None if self.has_reported(&[name]) => Given::Invalid,
            None => Given::Absent,
            Some(field) => read(field, report).map_or(Given::Invalid, Given::Value),
        }
    }

    /// Whether one of these fields is there in some form and was reported.
    pub(crate) fn has_reported(&self, names: &[&str]) -> bool {
        self.reported.iter().any(|name| names.contains(name))
    }

    /// All supported fields, in the order of the file.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        self.fields.iter().copied()
    }
}

/// What is to be said of a field because of its rule.
fn objection(rule: &Rule, key: Node<'_>, value: Node<'_>, rules: &Rules) -> Option<Diagnostic> {
    let wrote = key.text().unwrap_or_default();
    match rule.support {
        Support::Now | Support::Ignored => None,
        Support::Later(harmless, _) | Support::Legacy(harmless, _) if is_harmless(value, harmless) => None,
        Support::Later(_, help) => Some(support::field(key.span(), wrote, rules.what, help)),
        Support::Legacy(_, help) => Some(support::legacy(key.span(), wrote, rules.what, help)),
        Support::Misplaced(help) => Some(fields::misplaced(key.span(), wrote, rules.what, help)),
    }
}

/// Whether a value says no more than leaving the field out.
fn is_harmless(value: Node<'_>, harmless: Harmless) -> bool {
    let text = value.text().unwrap_or_default();
    match (value.kind(), harmless) {
        (Kind::Null | Kind::Broken, _) => true,
        (_, Harmless::Nothing) => false,
        (Kind::Bool, _) => text.eq_ignore_ascii_case("false"),
        (Kind::Int, _) => text == "0",
        (Kind::Text, Harmless::Word(word)) => text.is_empty() || text == word,
        (Kind::Text, Harmless::Unset) => text.is_empty(),
        (Kind::Float, _) => false,
        (Kind::List, _) => value.items().len() == 0,
        (Kind::Object, _) => value.entries().len() == 0,
    }
}

/// What is to be said of a key that no rule knows, and the field that was probably meant.
fn unknown(key: Node<'_>, rules: &Rules) -> (Diagnostic, Option<&'static str>) {
    let wrote = key.text().unwrap_or_default();
    let snake = wrote.contains(['_', '-']);
    let spelled = |rule: &Rule| if snake { rule.name.to_owned() } else { camel_case(rule.name) };
    let likely = |rule: &&Rule| !matches!(rule.support, Support::Ignored | Support::Misplaced(_));
    let likely: Vec<(String, &'static str)> =
        rules.iter().filter(likely).map(|rule| (spelled(rule), rule.name)).collect();
    let elsewhere = home_of(wrote, rules);
    let near =
        closest(wrote, likely.iter().map(|(spelled, _)| spelled.as_str())).filter(|_| elsewhere.is_none());
    let meant =
        near.and_then(|near| likely.iter().find(|(spelled, _)| spelled == near)).map(|(_, name)| *name);
    let diagnostic = fields::unknown_field(fields::UnknownField {
        wrote,
        what: rules.what,
        key: key.span(),
        near,
        known: rules.iter().filter(|rule| matches!(rule.support, Support::Now)).map(spelled).collect(),
        elsewhere,
        quoted: is_quoted(key.span(), wrote),
    });
    (diagnostic, meant)
}

/// Whether a scalar is written in quotes: then a replacement must be, too.
pub(super) fn is_quoted(span: Span, text: &str) -> bool {
    span.len() >= text.len() + 2
}
