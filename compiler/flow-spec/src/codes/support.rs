//! `FLOW06xx`: what flow cannot do yet. Nothing of it is ignored, because a pipeline that runs without it would do
//! something else than meant.

use flow_model::{
    diagnostic::{Code, Diagnostic},
    span::Span,
};

use super::code;

/// A field of Pachyderm or of flow that is known but not built yet.
pub const FIELD: Code = code("FLOW0601", "not-supported-yet");
/// A field of an earlier Pachyderm. The help shows today's form.
pub const LEGACY: Code = code("FLOW0602", "legacy-field");
/// A kind of manifest that is known but not built yet.
pub const KIND: Code = code("FLOW0603", "kind-not-supported-yet");
/// A pipeline or an input of another project than the workspace's.
pub const OTHER_PROJECT: Code = code("FLOW0604", "other-project");

pub(crate) fn field(at: Span, name: &str, what: &str, help: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(FIELD, format!("`{name}` in {what} is not supported yet")).at(at, "");
    if help.is_empty() {
        diagnostic.help("remove it, or wait for a later version")
    } else {
        diagnostic.help(help)
    }
}

pub(crate) fn legacy(at: Span, name: &str, what: &str, help: &str) -> Diagnostic {
    Diagnostic::error(LEGACY, format!("`{name}` in {what} is of an earlier Pachyderm and not supported yet"))
        .at(at, "")
        .help(help)
}

pub(crate) fn kind(at: Span, kind: &str) -> Diagnostic {
    Diagnostic::error(KIND, format!("kind `{kind}` is not supported yet"))
        .at(at, "")
        .help("the kinds that work now are Pipeline and Repo")
}

pub(crate) fn other_project(at: Span, wrote: &str, project: &str) -> Diagnostic {
    Diagnostic::error(
        OTHER_PROJECT,
        format!("project `{wrote}` is not this one, and crossing projects is not supported yet"),
    )
    .at(at, format!("this workspace is project `{project}`"))
    .help(format!("remove `project`, or name this project `{wrote}` in flow.yaml"))
}

pub(crate) fn store(at: Span, scheme: &str) -> Diagnostic {
    Diagnostic::error(FIELD, format!("stores at `{scheme}://` are not supported yet"))
        .at(at, "")
        .help("write a folder relative to this file, such as `.flow`, or `file:///` and an absolute path")
}
