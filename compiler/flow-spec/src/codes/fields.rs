//! `FLOW02xx`: documents, fields and types.

use flow_model::{
    diagnostic::{Code, Diagnostic},
    similar_name::closest,
    span::Span,
};

use super::code;

/// A field that does not exist, most often a typo. Nothing is ignored silently, so it is an error.
pub const UNKNOWN_FIELD: Code = code("FLOW0201", "unknown-field");
/// A field that must be there is not.
pub const MISSING_FIELD: Code = code("FLOW0202", "missing-field");
/// A value of another type than the field takes.
pub const WRONG_TYPE: Code = code("FLOW0203", "wrong-type");
/// One string where a list of strings is wanted. Commands run without a shell, so nobody would split it.
pub const NOT_A_LIST: Code = code("FLOW0204", "not-a-list");
/// A field in both spellings, `snake_case` and `camelCase`; which value is meant is unknown.
pub const TWO_SPELLINGS: Code = code("FLOW0205", "two-spellings");
/// A word that is none of those which the field takes.
pub const UNKNOWN_VALUE: Code = code("FLOW0206", "unknown-value");
/// A text that is no duration. Write `300s`, `5m` or `1h30m`.
pub const BAD_DURATION: Code = code("FLOW0207", "bad-duration");
/// A document that is a text, a number or a list of such. Documents are objects.
pub const NOT_A_DOCUMENT: Code = code("FLOW0208", "not-a-document");
/// A YAML or JSON document that is neither a manifest of flow nor a pipeline spec: a Compose file, a workflow of a CI,
/// a Kubernetes Deployment. flow reads every YAML and JSON file of the workspace and does not guess which ones are
/// meant. Move it elsewhere, or name the files to read.
pub const FOREIGN_DOCUMENT: Code = code("FLOW0209", "foreign-document");
/// A manifest of a kind that does not exist.
pub const UNKNOWN_KIND: Code = code("FLOW0210", "unknown-kind");
/// A manifest without `apiVersion: flow.dev/v1`, or with another version.
pub const UNKNOWN_API_VERSION: Code = code("FLOW0211", "unknown-api-version");

/// The version that native manifests name.
pub const API_VERSION: &str = "flow.dev/v1";

pub(crate) struct UnknownField<'a> {
    pub(crate) wrote: &'a str,
    pub(crate) what: &'a str,
    pub(crate) key: Span,
    /// The fields that work, in the spelling of the author.
    pub(crate) known: Vec<String>,
    /// The field that was probably meant.
    pub(crate) near: Option<&'a str>,
    /// Where else a field of this name exists.
    pub(crate) elsewhere: Option<&'static str>,
    /// Whether the key can be replaced as it stands.
    pub(crate) quoted: bool,
}

pub(crate) fn unknown_field(field: UnknownField<'_>) -> Diagnostic {
    let UnknownField { wrote, what, key, known, near, elsewhere, quoted } = field;
    let diagnostic =
        Diagnostic::error(UNKNOWN_FIELD, format!("unknown field `{wrote}` in {what}")).at(key, "");
    if let Some(place) = elsewhere {
        return diagnostic.help(format!("`{wrote}` belongs in {place}"));
    }
    match near {
        Some(near) => {
            let replacement = if quoted { format!("\"{near}\"") } else { near.to_owned() };
            diagnostic.help(format!("did you mean `{near}`?")).fix(key, replacement)
        }
        None => diagnostic.help(format!("{what} has: {}", known.join(", "))),
    }
}

pub(crate) fn misplaced(at: Span, name: &str, what: &str, help: &str) -> Diagnostic {
    Diagnostic::error(UNKNOWN_FIELD, format!("`{name}` is no field of {what}")).at(at, "").help(help)
}

pub(crate) fn missing_field(at: Span, name: &str, what: &str, help: impl Into<String>) -> Diagnostic {
    Diagnostic::error(MISSING_FIELD, format!("{what} has no `{name}`")).at(at, "").help(help)
}

pub(crate) fn wrong_type(at: Span, name: &str, wanted: &str, found: &str) -> Diagnostic {
    Diagnostic::error(WRONG_TYPE, format!("`{name}` must be {wanted}, not {found}")).at(at, "")
}

pub(crate) fn unquoted(at: Span, name: &str, found: &str, source: &str) -> Diagnostic {
    let quoted = format!("\"{source}\"");
    wrong_type(at, name, "a string", found).help(format!("put it in quotes: {quoted}")).fix(at, quoted)
}

pub(crate) fn not_a_list(at: Span, name: &str, help: impl Into<String>) -> Diagnostic {
    Diagnostic::error(NOT_A_LIST, format!("`{name}` must be a list of strings, not one string"))
        .at(at, "")
        .help(help)
}

pub(crate) fn two_spellings(second: Span, first: Span, second_name: &str, first_name: &str) -> Diagnostic {
    Diagnostic::error(TWO_SPELLINGS, format!("`{second_name}` and `{first_name}` are the same field"))
        .at(second, "again here")
        .and_at(first, "first here")
        .help("remove one of them")
}

pub(crate) fn unknown_value(at: Span, name: &str, wrote: &str, known: &[&str]) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(UNKNOWN_VALUE, format!("`{wrote}` is no value of `{name}`")).at(at, "");
    let all: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    match closest(wrote, known.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")).fix(at, near),
        None => diagnostic.help(format!("write {}", all.join(" or "))),
    }
}

pub(crate) fn bad_duration(at: Span, name: &str, wrote: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(BAD_DURATION, format!("`{name}`: `{wrote}` is not a duration"))
        .at(at, "")
        .help("write a number and its unit, such as `300s`, `5m` or `1h30m`");
    if wrote.bytes().all(|byte| byte.is_ascii_digit()) && !wrote.is_empty() {
        return diagnostic.help(format!("a unit is missing: write `{wrote}s` for seconds"));
    }
    diagnostic
}

pub(crate) fn not_a_document(at: Span, found: &str) -> Diagnostic {
    Diagnostic::error(NOT_A_DOCUMENT, format!("a document must be an object, not {found}")).at(at, "").help(
        format!(
            "write a manifest (`apiVersion: {API_VERSION}`, `kind`, `metadata`, `spec`) or a pipeline spec"
        ),
    )
}

pub(crate) fn foreign_manifest(at: Span, api_version: &str, kind: &str) -> Diagnostic {
    Diagnostic::error(FOREIGN_DOCUMENT, format!("`{kind}` of `{api_version}` is not for flow"))
        .at(at, "")
        .help(format!(
            "manifests of flow have `apiVersion: {API_VERSION}`; keep other files out of the workspace"
        ))
}

pub(crate) fn foreign_document(at: Span) -> Diagnostic {
    Diagnostic::error(FOREIGN_DOCUMENT, "this is neither a manifest of flow nor a pipeline spec")
        .at(at, "")
        .help(format!(
            "a manifest has `apiVersion: {API_VERSION}`, a pipeline spec has `pipeline`, `transform` and `input`; \
             keep other files out of the workspace"
        ))
}

pub(crate) fn unknown_kind(at: Span, wrote: &str, known: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::error(UNKNOWN_KIND, format!("unknown kind `{wrote}`")).at(at, "");
    match closest(wrote, known.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")).fix(at, near),
        None => diagnostic.help(format!("the kinds are: {}", known.join(", "))),
    }
}

pub(crate) fn unknown_api_version(at: Span, wrote: &str) -> Diagnostic {
    Diagnostic::error(UNKNOWN_API_VERSION, format!("unknown apiVersion `{wrote}`"))
        .at(at, "")
        .help(format!("write `{API_VERSION}`"))
        .fix(at, API_VERSION)
}

pub(crate) fn missing_api_version(at: Span) -> Diagnostic {
    Diagnostic::error(UNKNOWN_API_VERSION, "this manifest has a `kind` but no `apiVersion`")
        .at(at, "")
        .help(format!("add `apiVersion: {API_VERSION}`"))
}
