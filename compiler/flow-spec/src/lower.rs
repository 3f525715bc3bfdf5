//! A resolved workflow to the resources that it wants.

use std::collections::BTreeMap;

use flow_model::{
    dag::Dag,
    digest::TreeId,
    name::{PipelineName, RepoName},
    resource::{Desired, DesiredResource, Resource, ResourceAddr},
    span::SourceMap,
    spec::{PipelineVersion, RepoSpec},
    workflow::{Resolved, ResolvedRepo, Workflow},
};

/// What the folders that specs name hold now. Reading and hashing them is `runtime/`'s work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// The trees of `transform.code`.
    pub code: BTreeMap<PipelineName, TreeId>,
    /// The trees of `source.path`.
    pub sources: BTreeMap<RepoName, TreeId>,
}

/// Lowers a workflow: one resource per pipeline and per repo, each with what must exist before it.
///
/// A repo that only inputs name is wanted as well, empty and marked as implied, whether it is live or not: what these
/// files use is never pruned.
#[must_use]
pub fn lower(workflow: &Workflow<Resolved>, dag: &Dag, sources: &SourceMap, folders: &Folders) -> Desired {
    let repos = workflow.repos.iter().map(|(name, repo)| {
        let (spec, span, implied) = match repo {
            ResolvedRepo::Declared(declared) => (declared.value.clone(), declared.span, false),
            ResolvedRepo::Implied(span) => (RepoSpec::default(), *span, true),
        };
        let resource = DesiredResource {
            resource: Resource::Repo(spec),
            implied,
            depends_on: Default::default(),
            location: Some(sources.location(span)),
            folder: folders.sources.get(name).copied(),
        };
        (ResourceAddr::Repo(name.clone()), resource)
    });
    let pipelines = workflow.pipelines.iter().map(|(name, pipeline)| {
        let addr = ResourceAddr::Pipeline(name.clone());
        let code_tree = folders.code.get(name).copied();
        let version = PipelineVersion { spec: pipeline.value.clone(), code_tree };
        let resource = DesiredResource {
            resource: Resource::Pipeline(Box::new(version)),
            implied: false,
            depends_on: dag.reads(&addr).cloned().unwrap_or_default(),
            location: Some(sources.location(pipeline.span)),
            folder: None,
        };
        (addr, resource)
    });
    repos.chain(pipelines).collect()
}
