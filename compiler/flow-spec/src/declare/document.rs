//! Which kind of document it is.
//!
//! | document | is |
//! |---|---|
//! | `apiVersion: flow.dev/v1` | a native manifest |
//! | `kind` and another `apiVersion` | a manifest for somebody else: an error, because everything in the workspace is read and nothing is ignored |
//! | `kind` without `apiVersion` | a native manifest that lacks it: an error |
//! | any of `pipeline`, `transform`, `input`, `inputs` | a bare Pachyderm spec |
//! | `createPipelineRequest` | Pachyderm's defaults |
//! | a list | each item is a document |
//! | nothing (an empty document) | left out |
//! | anything else | not for flow: one error, not one per unknown key |

use flow_model::{name::ProjectName, span::Spanned, workflow::Workflow};

use super::{Declared, Field, Given, Object, pipeline, repo, rules, values};
use crate::{
    codes::{
        fields::{self, API_VERSION},
        support,
    },
    report::Report,
    syntax::{Kind, Node},
};

/// What declaring needs besides the document.
pub(super) struct Context<'r, 'p> {
    pub(super) report: &'r mut Report,
    pub(super) project: &'p ProjectName,
}

/// Kinds that design has and code has not.
const LATER_KINDS: [&str; 5] = ["Branch", "Defaults", "Policy", "RoleBinding", "List"];

/// Adds what a document declares to the workflow.
pub(crate) fn declare(
    document: Node<'_>,
    project: &ProjectName,
    workflow: &mut Workflow<Declared>,
    report: &mut Report,
) {
    let mut context = Context { report, project };
    match document.kind() {
        Kind::List => {
            for item in document.items() {
                one(item, workflow, &mut context);
            }
        }
        _ => one(document, workflow, &mut context),
    }
}

fn one(node: Node<'_>, workflow: &mut Workflow<Declared>, context: &mut Context<'_, '_>) {
    match node.kind() {
        Kind::Null | Kind::Broken => {}
        Kind::Object if is_manifest(node) => manifest(node, workflow, context),
        Kind::Object if is_bare(node) => workflow.pipelines.extend(pipeline::bare(node, context)),
        Kind::Object => match node.entries().find(|(key, _)| is_defaults(key.text())) {
            Some((key, _)) => {
                let help = "write the values into each pipeline";
                let what = "a document";
                context.report.push(support::field(key.span(), key.text().unwrap_or_default(), what, help));
            }
            None => context.report.push(fields::foreign_document(node.head())),
        },
        other => context.report.push(fields::not_a_document(node.span(), other.words())),
    }
}

fn is_manifest(node: Node<'_>) -> bool {
    node.get("apiVersion").is_some() || node.get("kind").is_some()
}

fn is_bare(node: Node<'_>) -> bool {
    ["pipeline", "transform", "input", "inputs"].iter().any(|key| node.get(key).is_some())
}

fn is_defaults(key: Option<&str>) -> bool {
    matches!(key, Some("createPipelineRequest" | "create_pipeline_request"))
}

fn manifest(node: Node<'_>, workflow: &mut Workflow<Declared>, context: &mut Context<'_, '_>) {
    let version = node.entries().find(|(key, _)| key.text() == Some("apiVersion"));
    let written = version.and_then(|(_, value)| value.text()).unwrap_or_default();
    let kind = node.get("kind").and_then(Node::text).unwrap_or_default();
    let ours = written.split('/').next() == API_VERSION.split('/').next();
    let diagnostic = match version {
        None => fields::missing_api_version(node.head()),
        Some(_) if written == API_VERSION => return native(node, workflow, context),
        Some((_, value)) if ours || written.is_empty() => fields::unknown_api_version(value.span(), written),
        Some((_, value)) if rules_kind(kind) && !written.contains('/') => {
            fields::unknown_api_version(value.span(), written)
        }
        Some((_, value)) => fields::foreign_manifest(value.span(), written, kind),
    };
    context.report.push(diagnostic);
}

fn rules_kind(kind: &str) -> bool {
    matches!(kind, "Pipeline" | "Repo")
}

fn native(node: Node<'_>, workflow: &mut Workflow<Declared>, context: &mut Context<'_, '_>) {
    let Some(object) = Object::read(node, "a manifest", &rules::MANIFEST, context.report) else { return };
    if object.has_reported(&["kind"]) {
        return;
    }
    let Some(kind_field) = object.get("kind") else {
        let help = "write `kind: Pipeline` or `kind: Repo`";
        context.report.push(fields::missing_field(node.head(), "kind", "this manifest", help));
        return;
    };
    let Some(kind) = values::text(kind_field, context.report) else { return };
    let at = object.get("metadata").map_or(kind.span, |field| field.key.span());
    match kind.value.as_str() {
        "Pipeline" => {
            let name = metadata_name(&object, kind_field, context.report);
            match object.get("spec") {
                None if object.has_reported(&["spec"]) => {}
                Some(spec) => workflow.pipelines.extend(pipeline::native(spec, at, name, context)),
                None => {
                    let help = "add `spec: {transform: …, input: …}`";
                    context.report.push(fields::missing_field(kind.span, "spec", "this pipeline", help));
                }
            }
        }
        "Repo" => {
            let name = metadata_name(&object, kind_field, context.report);
            workflow.repos.extend(repo::native(object.get("spec"), at, name, context.report));
        }
        known if LATER_KINDS.contains(&known) => context.report.push(support::kind(kind.span, known)),
        other => {
            let known = ["Pipeline", "Repo", "Branch", "Defaults"];
            context.report.push(fields::unknown_kind(kind.span, other, &known));
        }
    }
}

fn metadata_name(object: &Object<'_>, kind: Field<'_>, report: &mut Report) -> Given<Spanned<String>> {
    if object.has_reported(&["metadata"]) {
        return Given::Invalid;
    }
    let Some(field) = object.get("metadata") else {
        let help = "add `metadata: {name: NAME}`";
        report.push(fields::missing_field(kind.key.span(), "metadata", "this manifest", help));
        return Given::Invalid;
    };
    let Some(metadata) = Object::read(field.value, "metadata", &rules::METADATA, report) else {
        return Given::Invalid;
    };
    match metadata.read_field("name", report, values::text) {
        Given::Absent => {
            let help = "write `metadata: {name: NAME}`";
            report.push(fields::missing_field(field.key.span(), "name", "`metadata`", help));
            Given::Invalid
        }
        name => name,
    }
}
