//! Inputs: exactly one kind per node, nested at will (the parser bounds the depth).

use super::{
    Combination, DeclaredInput, DeclaredPfs, Field, Given, Object, document::Context, pipeline::own_project,
    rules, values,
};
use crate::{
    codes::{constraints, fields, names},
    syntax::{Kind, Node},
};

/// The input under a key.
pub(super) fn input(field: Field<'_>, context: &mut Context<'_, '_>) -> Option<DeclaredInput> {
    node(field.value, field.key, context)
}

/// `around` is where to point if there is nothing in it.
fn node(value: Node<'_>, around: Node<'_>, context: &mut Context<'_, '_>) -> Option<DeclaredInput> {
    let errors = context.report.errors();
    let object = Object::read(value, "input", &rules::INPUT, context.report)?;
    let mut present = object.fields();
    let Some(first) = present.next() else {
        // Something of another kind may have been reported, but need not: `join: []` says nothing.
        let broken = value.entries().any(|(_, value)| value.kind() == Kind::Broken);
        if context.report.errors() == errors && !broken {
            context.report.push(constraints::no_input(around.span()));
        }
        return None;
    };
    if let Some(second) = present.next() {
        let spans = (second.key.span(), first.key.span());
        context.report.push(constraints::many_inputs(spans.0, spans.1, (second.name, first.name)));
    }
    let several = present.next().is_some() || object.fields().count() > 1;
    let input = match first.name {
        "cross" => DeclaredInput::Cross(combination(first, context)?),
        "union" => DeclaredInput::Union(combination(first, context)?),
        _ => DeclaredInput::Pfs(Box::new(pfs(first, context)?)),
    };
    (!several).then_some(input)
}

fn combination(field: Field<'_>, context: &mut Context<'_, '_>) -> Option<Combination> {
    match field.value.kind() {
        Kind::List => {}
        Kind::Broken => return None,
        other => {
            let wrong = fields::wrong_type(field.value.head(), field.name, "a list of inputs", other.words());
            context.report.push(wrong);
            return None;
        }
    }
    let count = field.value.items().len();
    if count == 0 {
        context.report.push(constraints::empty_combination(field.key.span(), field.name));
        return None;
    }
    let parts: Vec<_> =
        field.value.items().filter_map(|item| node(item, item_or(item, field), context)).collect();
    let broken = parts.len() < count;
    Some(Combination { key: field.key.span(), parts, broken })
}

/// An item, or the key of its list if there is nothing to see of it.
fn item_or<'a>(item: Node<'a>, list: Field<'a>) -> Node<'a> {
    if item.span().is_empty() { list.key } else { item }
}

fn pfs(field: Field<'_>, context: &mut Context<'_, '_>) -> Option<DeclaredPfs> {
    let object = Object::read(field.value, field.name, &rules::PFS, context.report)?;
    if let Some(project) = object.get("project") {
        own_project(project, context);
    }
    if let Some(commit) = object.get("commit").filter(|commit| commit.value.text() != Some("")) {
        context.report.push(names::commit_in_input(commit.key.span()));
    }
    let report = &mut *context.report;
    Some(DeclaredPfs {
        key: field.key.span(),
        name: object.read_field("name", report, values::text),
        repo: object.read_field("repo", report, values::text),
        branch: object.read_field("branch", report, values::text),
        glob: match object.read_field("glob", report, values::text) {
            Given::Absent if object.has_reported(&["s3"]) => Given::Invalid,
            glob => glob,
        },
    })
}
