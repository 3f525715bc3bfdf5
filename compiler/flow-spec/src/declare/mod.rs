//! Documents to manifests as written: `Workflow<Declared>`.
//!
//! | file | what |
//! |---|---|
//! | `rules` | every field of every generation, and how far it is supported |
//! | `object` | an object's keys against the rules: unknown, unsupported, given twice |
//! | `values`, `duration` | values of the wanted types |
//! | `document` | what kind of document it is |
//! | `pipeline`, `input`, `repo` | the parts |
//!
//! **Invariant:** whatever is left out here was reported here. A [`Given`] tells an absent field from one that was
//! reported, so that nobody complains twice.
//!
//! Not here: whether names exist and values work; that is `resolve`.

use std::collections::BTreeMap;

use flow_model::{
    span::{Span, Spanned},
    spec::DeletionPolicy,
    time::Millis,
    workflow::{Stage, Workflow},
};

mod document;
mod duration;
mod input;
mod object;
mod pipeline;
mod repo;
mod rules;
mod values;

pub(crate) use document::declare;
pub(crate) use object::{Field, Object};
pub(crate) use rules::{CONTEXT, SETTINGS};
pub(crate) use values::{place_in, text};

/// As written: names may dangle, values may be missing.
#[derive(Debug, Clone)]
pub(crate) enum Declared {}

impl Stage for Declared {
    type Pipelines = Vec<DeclaredPipeline>;
    type Repos = Vec<DeclaredRepo>;
}

/// A workflow without anything in it.
pub(crate) fn empty_workflow() -> Workflow<Declared> {
    Workflow { pipelines: Vec::new(), repos: Vec::new() }
}

/// A field that the author may leave out.
#[derive(Debug, Clone, Default)]
pub(crate) enum Given<T> {
    /// Not written, or written as `null`.
    #[default]
    Absent,
    /// Written, and already reported as wrong.
    Invalid,
    /// Written.
    Value(T),
}

impl<T> Given<T> {
    /// The value, if there is a right one.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Invalid => None,
        }
    }
}

/// A list of texts, each with its place, and the place of the list's key.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    pub(crate) key: Span,
    pub(crate) span: Span,
    pub(crate) items: Vec<Spanned<String>>,
}

/// A pipeline as written.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredPipeline {
    /// Where to point for what is missing.
    pub(crate) span: Span,
    pub(crate) name: Given<Spanned<String>>,
    pub(crate) description: Given<Spanned<String>>,
    pub(crate) transform: Given<DeclaredTransform>,
    pub(crate) input: Given<DeclaredInput>,
    pub(crate) parallelism: Given<Spanned<i64>>,
    pub(crate) datum_tries: Given<Spanned<i64>>,
    pub(crate) datum_timeout: Given<Spanned<Millis>>,
    pub(crate) deletion_policy: Given<Spanned<DeletionPolicy>>,
}

/// What runs, as written.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredTransform {
    pub(crate) key: Span,
    pub(crate) image: Given<Spanned<String>>,
    pub(crate) cmd: Given<Texts>,
    pub(crate) stdin: Given<Texts>,
    pub(crate) env: Given<DeclaredEnv>,
    pub(crate) code: Given<Spanned<String>>,
    pub(crate) working_dir: Given<Spanned<String>>,
    pub(crate) accept_return_code: Given<DeclaredCodes>,
    pub(crate) err_cmd: Given<Texts>,
    pub(crate) err_stdin: Given<Texts>,
}

/// Environment variables as written: the key's place with each value.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredEnv {
    pub(crate) span: Span,
    pub(crate) variables: BTreeMap<String, (Span, Spanned<String>)>,
}

/// Exit codes as written.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredCodes {
    pub(crate) span: Span,
    pub(crate) codes: Vec<Spanned<i64>>,
}

/// An input as written: of exactly one kind.
#[derive(Debug, Clone)]
pub(crate) enum DeclaredInput {
    Pfs(Box<DeclaredPfs>),
    Cross(Combination),
    Union(Combination),
}

/// The parts of a `cross` or a `union`.
#[derive(Debug, Clone)]
pub(crate) struct Combination {
    pub(crate) key: Span,
    pub(crate) parts: Vec<DeclaredInput>,
    /// Whether a part is missing because it was reported.
    pub(crate) broken: bool,
}

/// A `pfs` input as written.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredPfs {
    pub(crate) key: Span,
    pub(crate) name: Given<Spanned<String>>,
    pub(crate) repo: Given<Spanned<String>>,
    pub(crate) branch: Given<Spanned<String>>,
    pub(crate) glob: Given<Spanned<String>>,
}

/// A repo as written.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredRepo {
    pub(crate) span: Span,
    pub(crate) name: Given<Spanned<String>>,
    pub(crate) description: Given<Spanned<String>>,
    pub(crate) source: Given<DeclaredSource>,
    pub(crate) deletion_policy: Given<Spanned<DeletionPolicy>>,
}

/// A repo's folder as written.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredSource {
    pub(crate) key: Span,
    pub(crate) path: Given<Spanned<String>>,
    pub(crate) branch: Given<Spanned<String>>,
}
