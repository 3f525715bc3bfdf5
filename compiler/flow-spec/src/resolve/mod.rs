//! `Workflow<Declared>` to `Workflow<Resolved>` and its `Dag`: every reference found, every default filled in, every
//! constraint checked.
//!
//! | file | what |
//! |---|---|
//! | `scope` | the names that exist, and which of them clash |
//! | `near` | names that are nearly those that exist |
//! | `pipeline`, `transform`, `input`, `repo` | the parts, each with its constraints |
//! | `graph` | cycles |
//!
//! **Invariant:** a resolved workflow exists only if nothing was reported as an error; the result does not depend on
//! the order of files or documents.

use std::collections::BTreeMap;

use flow_model::{
    dag::Dag,
    name::{PipelineName, RepoName},
    span::{SourceMap, Span},
    workflow::{Resolved, ResolvedRepo, Workflow},
};

mod graph;
mod input;
mod near;
mod pipeline;
mod repo;
mod scope;
mod transform;

use crate::{KnownRepos, declare::Declared, report::Report};
use scope::Scope;

/// Where each pipeline reads each repo: the edges of the graph.
type Reads = BTreeMap<PipelineName, BTreeMap<RepoName, Span>>;

/// What resolving needs to know and where it writes what it finds.
struct Context<'a> {
    sources: &'a SourceMap,
    scope: Scope<'a>,
    globs: input::Globs,
    reads: Reads,
    /// Repos that only inputs name, each with the first place.
    implied: BTreeMap<RepoName, Span>,
    report: &'a mut Report,
}

impl Context<'_> {
    fn imply(&mut self, repo: RepoName, at: Span) {
        self.implied.entry(repo).and_modify(|first| *first = at.min(*first)).or_insert(at);
    }
}

/// Resolves the workflow. `lost` says that some documents could not be read, so that names may be missing.
pub(crate) fn resolve(
    declared: &Workflow<Declared>,
    sources: &SourceMap,
    known: &KnownRepos,
    lost: bool,
    report: &mut Report,
) -> Option<(Workflow<Resolved>, Dag)> {
    let scope = Scope::of(declared, known, lost, report);
    let mut context = Context {
        sources,
        scope,
        globs: input::Globs::default(),
        reads: Reads::new(),
        implied: BTreeMap::new(),
        report,
    };
    let mut pipelines = BTreeMap::new();
    for (name, declared) in context.scope.pipelines.clone() {
        if let Some(spec) = pipeline::resolve(&name, declared, &mut context) {
            pipelines.insert(name, spec);
        }
    }
    for declared in context.scope.nameless.clone() {
        pipeline::check_nameless(declared, &mut context);
    }
    let mut repos = BTreeMap::new();
    for (name, declared) in context.scope.repos.clone() {
        if let Some(spec) = repo::resolve(declared, context.report) {
            repos.insert(name, ResolvedRepo::Declared(spec));
        }
    }
    scope::check_collisions(&context.scope, &context.implied, context.report);
    let dag = graph::check(context.reads, context.report);
    for (name, at) in context.implied {
        repos.entry(name).or_insert(ResolvedRepo::Implied(at));
    }
    let complete = pipelines.len() == context.scope.pipelines.len()
        && context.scope.repos.keys().all(|name| repos.contains_key(name));
    debug_assert!(complete || report.has_errors(), "something was left out without a word");
    let dag = dag.filter(|_| !report.has_errors())?;
    Some((Workflow { pipelines, repos }, dag))
}
