//! Pipelines, native and bare.

use flow_model::span::{Span, Spanned};

use super::{
    DeclaredPipeline, DeclaredTransform, Field, Given, Object, document::Context, input, rules, values,
};
use crate::{
    codes::{fields, support},
    syntax::{Kind, Node},
};

/// A bare Pachyderm spec.
pub(super) fn bare(node: Node<'_>, context: &mut Context<'_, '_>) -> Option<DeclaredPipeline> {
    let object = Object::read(node, "a pipeline spec", &rules::BARE_PIPELINE, context.report)?;
    let mut at = node.head();
    let name = match object.get("pipeline") {
        None if object.has_reported(&["pipeline"]) => Given::Invalid,
        None => {
            let help = "add `pipeline: {name: NAME}`";
            context.report.push(fields::missing_field(at, "pipeline", "this spec", help));
            Given::Invalid
        }
        Some(field) => {
            at = field.key.span();
            named(field, context)
        }
    };
    Some(pipeline(&object, at, name, context))
}

/// `pipeline: {name, project: {name}}`.
fn named(field: Field<'_>, context: &mut Context<'_, '_>) -> Given<Spanned<String>> {
    if field.value.kind() == Kind::Text {
        let help = format!("write `pipeline: {{name: {}}}`", field.value.text().unwrap_or_default());
        let wrong = fields::wrong_type(field.value.span(), "pipeline", "an object", "a string");
        context.report.push(wrong.help(help));
        return Given::Invalid;
    }
    let Some(object) = Object::read(field.value, "pipeline", &rules::PIPELINE_REF, context.report) else {
        return Given::Invalid;
    };
    if let Some(project) = object.get("project") {
        let inner = Object::read(project.value, "project", &rules::PROJECT_REF, context.report);
        if let Some(name) = inner.and_then(|project| project.get("name")) {
            own_project(name, context);
        }
    }
    match object.read_field("name", context.report, values::text) {
        Given::Absent => {
            let help = "write `pipeline: {name: NAME}`";
            context.report.push(fields::missing_field(field.key.span(), "name", "`pipeline`", help));
            Given::Invalid
        }
        name => name,
    }
}

/// A project is named: it must be this one.
pub(super) fn own_project(field: Field<'_>, context: &mut Context<'_, '_>) {
    let Some(name) = values::text(field, context.report) else { return };
    if !name.value.is_empty() && name.value != context.project.as_str() {
        context.report.push(support::other_project(name.span, &name.value, context.project.as_str()));
    }
}

/// The `spec` of a native manifest.
pub(super) fn native(
    spec: Field<'_>,
    at: Span,
    name: Given<Spanned<String>>,
    context: &mut Context<'_, '_>,
) -> Option<DeclaredPipeline> {
    let object = Object::read(spec.value, "spec", &rules::NATIVE_PIPELINE, context.report)?;
    Some(pipeline(&object, at, name, context))
}

fn pipeline(
    object: &Object<'_>,
    at: Span,
    name: Given<Spanned<String>>,
    context: &mut Context<'_, '_>,
) -> DeclaredPipeline {
    let span = name.value().map_or(at, |name| name.span);
    let transform = object.read_field("transform", context.report, transform);
    let input = match object.get("input") {
        None if object.has_reported(&["input", "inputs", "spout"]) => Given::Invalid,
        None => Given::Absent,
        Some(field) => input::input(field, context).map_or(Given::Invalid, Given::Value),
    };
    let report = &mut *context.report;
    DeclaredPipeline {
        span,
        name,
        description: object.read_field("description", report, values::text),
        transform,
        input,
        parallelism: parallelism(object, report),
        datum_tries: object.read_field("datum_tries", report, values::integer),
        datum_timeout: object.read_field("datum_timeout", report, values::duration),
        deletion_policy: object.read_field("deletion_policy", report, values::deletion_policy),
    }
}

fn parallelism(object: &Object<'_>, report: &mut crate::report::Report) -> Given<Spanned<i64>> {
    let Some(field) = object.get("parallelism_spec") else { return Given::Absent };
    match Object::read(field.value, field.name, &rules::PARALLELISM, report) {
        Some(inner) => inner.read_field("constant", report, values::integer),
        None => Given::Invalid,
    }
}

fn transform(field: Field<'_>, report: &mut crate::report::Report) -> Option<DeclaredTransform> {
    let object = Object::read(field.value, "transform", &rules::TRANSFORM, report)?;
    Some(DeclaredTransform {
        key: field.key.span(),
        image: object.read_field("image", report, values::text),
        cmd: match object.read_field("cmd", report, values::texts) {
            Given::Absent if object.has_reported(&["build"]) => Given::Invalid,
            cmd => cmd,
        },
        stdin: object.read_field("stdin", report, values::texts),
        env: object.read_field("env", report, values::environment),
        code: object.read_field("code", report, values::text),
        working_dir: object.read_field("working_dir", report, values::text),
        accept_return_code: object.read_field("accept_return_code", report, values::codes),
        err_cmd: object.read_field("err_cmd", report, values::texts),
        err_stdin: object.read_field("err_stdin", report, values::texts),
    })
}
