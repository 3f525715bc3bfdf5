//! A workflow by stage.
//!
//! The stage decides what a pipeline and a repo are made of: as written they may dangle and repeat, after resolution
//! they cannot. `Declared` belongs to flow-spec, which alone sees it.

use std::{collections::BTreeMap, fmt::Debug};

use crate::{
    name::{PipelineName, RepoName},
    resource::ResourceAddr,
    span::Span,
    spec::{PipelineSpec, RepoSpec},
};

/// How far a workflow has come.
pub trait Stage {
    /// All pipelines.
    type Pipelines: Debug + Clone;
    /// All repos.
    type Repos: Debug + Clone;
}

/// Pipelines and repos that belong together.
#[derive(Debug, Clone)]
pub struct Workflow<S: Stage> {
    /// The pipelines.
    pub pipelines: S::Pipelines,
    /// The repos that are declared or, after resolution, implied.
    pub repos: S::Repos,
}

/// Every reference found, every default filled in.
#[derive(Debug, Clone)]
pub enum Resolved {}

impl Stage for Resolved {
    type Pipelines = BTreeMap<PipelineName, Located<PipelineSpec>>;
    type Repos = BTreeMap<RepoName, ResolvedRepo>;
}

/// A resolved thing and the places of its fields.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The thing.
    pub value: T,
    /// Where its name is written.
    pub span: Span,
    /// Where each field's value is written, by path as in the resolved spec: `transform.stdin`.
    pub fields: BTreeMap<String, Span>,
}

/// A repo of a resolved workflow.
#[derive(Debug, Clone)]
pub enum ResolvedRepo {
    /// Written as a manifest.
    Declared(Located<RepoSpec>),
    /// Only named by inputs: created empty by the plan and shown as implied. The place is the first such input.
    Implied(Span),
}

impl Workflow<Resolved> {
    /// Where a field of a resource is written, or else the resource itself.
    #[must_use]
    pub fn span_of(&self, addr: &ResourceAddr, field: Option<&str>) -> Option<Span> {
        let pick = |span: Span, fields: &BTreeMap<String, Span>| {
            field.and_then(|field| fields.get(field).copied()).unwrap_or(span)
        };
        match addr {
            ResourceAddr::Pipeline(name) => self.pipelines.get(name).map(|p| pick(p.span, &p.fields)),
            ResourceAddr::Repo(name) => self.repos.get(name).map(|repo| match repo {
                ResolvedRepo::Declared(repo) => pick(repo.span, &repo.fields),
                ResolvedRepo::Implied(span) => *span,
            }),
        }
    }
}
