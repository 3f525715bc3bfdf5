//! Repos, which only native manifests declare.

use flow_model::span::{Span, Spanned};

use super::{DeclaredRepo, DeclaredSource, Field, Given, Object, rules, values};
use crate::report::Report;

/// A manifest of kind `Repo`; its `spec` may be left out.
pub(super) fn native(
    spec: Option<Field<'_>>,
    at: Span,
    name: Given<Spanned<String>>,
    report: &mut Report,
) -> Option<DeclaredRepo> {
    let span = name.value().map_or(at, |name| name.span);
    let Some(spec) = spec else {
        let (description, source, deletion_policy) = (Given::Absent, Given::Absent, Given::Absent);
        return Some(DeclaredRepo { span, name, description, source, deletion_policy });
    };
    let object = Object::read(spec.value, "spec", &rules::REPO, report)?;
    Some(DeclaredRepo {
        span,
        name,
        description: object.read_field("description", report, values::text),
        source: object.read_field("source", report, source),
        deletion_policy: object.read_field("deletion_policy", report, values::deletion_policy),
    })
}

fn source(field: Field<'_>, report: &mut Report) -> Option<DeclaredSource> {
    let object = Object::read(field.value, "source", &rules::SOURCE, report)?;
    Some(DeclaredSource {
        key: field.key.span(),
        path: object.read_field("path", report, values::text),
        branch: object.read_field("branch", report, values::text),
    })
}
