//! Diagnostics that only a look at the machine can give: folders and programs that a spec names.
//!
//! flow-spec has all others; ids `FLOW07xx` are of this family.

use flow_model::{
    diagnostic::{Code, Diagnostic},
    span::Span,
};

/// A folder that a spec names cannot be read. Nothing can be planned without its files.
const UNUSABLE_FOLDER: Code = Code { id: "FLOW0701", slug: "unusable-folder" };
/// The program of a `cmd` is not there or cannot be run. Every datum would fail.
const UNUSABLE_PROGRAM: Code = Code { id: "FLOW0702", slug: "unusable-program" };

/// [`UNUSABLE_FOLDER`] at the path as written.
pub(crate) fn unusable_folder(span: Span, problem: &str) -> Diagnostic {
    Diagnostic::error(UNUSABLE_FOLDER, problem)
        .at(span, "named here")
        .help("the path is taken from the workspace's folder")
}

/// [`UNUSABLE_PROGRAM`] at the command as written.
pub(crate) fn unusable_program(span: Span, problem: &str, help: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error(UNUSABLE_PROGRAM, problem).at(span, "run here");
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}
