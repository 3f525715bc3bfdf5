//! The names that exist: pipelines and repos of these files, and live repos. Names that are wrong, given twice or
//! become one on Kubernetes are reported here.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use flow_model::{
    name::{BranchName, PipelineName, RepoName},
    span::Span,
    workflow::Workflow,
};

use super::near::{NearNames, kubernetes_name};
use crate::{
    KnownRepos,
    codes::names,
    declare::{Declared, DeclaredPipeline, DeclaredRepo},
    report::Report,
};

/// The names in scope.
pub(super) struct Scope<'a> {
    /// Pipelines by name; of duplicates the first.
    pub(super) pipelines: BTreeMap<PipelineName, &'a DeclaredPipeline>,
    /// Pipelines without a usable name of their own: checked, but nobody can refer to them.
    pub(super) nameless: Vec<&'a DeclaredPipeline>,
    /// Declared repos by name; of duplicates the first.
    pub(super) repos: BTreeMap<RepoName, &'a DeclaredRepo>,
    pub(super) known: &'a KnownRepos,
    /// Whether names may be missing because a document could not be read.
    pub(super) lost: bool,
    near: NearNames,
}

/// What is behind the name of a repo.
pub(super) enum Found {
    /// The output of a pipeline of these files.
    Output,
    /// A declared repo.
    Declared,
    /// A repo that is live and not in these files.
    Live,
    /// A live repo whose pipeline these files do not have.
    Orphan(PipelineName),
    /// Nothing of that name.
    Nothing,
}

impl<'a> Scope<'a> {
    pub(super) fn of(
        declared: &'a Workflow<Declared>,
        known: &'a KnownRepos,
        lost: bool,
        report: &mut Report,
    ) -> Self {
        let mut scope = Self {
            pipelines: BTreeMap::new(),
            nameless: Vec::new(),
            repos: BTreeMap::new(),
            known,
            lost,
            near: NearNames::default(),
        };
        scope.add_pipelines(declared, report);
        scope.add_repos(declared, report);
        let pipelines = scope.pipelines.keys().map(PipelineName::as_str);
        let repos = scope.repos.keys().chain(known.repos.keys()).map(RepoName::as_str);
        let all: BTreeSet<&str> = pipelines.chain(repos).collect();
        scope.near = NearNames::of(all);
        scope
    }

    fn add_pipelines(&mut self, declared: &'a Workflow<Declared>, report: &mut Report) {
        for pipeline in &declared.pipelines {
            let Some(written) = pipeline.name.value() else {
                self.nameless.push(pipeline);
                continue;
            };
            match PipelineName::parse(&written.value) {
                Err(error) => {
                    report.push(names::bad_name(written.span, &error));
                    self.nameless.push(pipeline);
                }
                Ok(name) => match self.pipelines.entry(name) {
                    Entry::Vacant(entry) => drop(entry.insert(pipeline)),
                    Entry::Occupied(entry) => {
                        let (code, name) = (names::DUPLICATE_PIPELINE, entry.key().as_str());
                        report.push(names::duplicate(code, written.span, entry.get().span, "pipeline", name));
                        self.nameless.push(pipeline);
                    }
                },
            }
        }
    }

    fn add_repos(&mut self, declared: &'a Workflow<Declared>, report: &mut Report) {
        for repo in &declared.repos {
            let Some(written) = repo.name.value() else { continue };
            let name = match RepoName::parse(&written.value) {
                Ok(name) => name,
                Err(error) => {
                    report.push(names::bad_name(written.span, &error));
                    continue;
                }
            };
            if let Some(pipeline) = self.producer(&name) {
                report.push(names::repo_is_output(written.span, pipeline.span, name.as_str()));
            }
            match self.repos.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(repo)),
                Entry::Occupied(entry) => {
                    let (code, name) = (names::DUPLICATE_REPO, entry.key().as_str());
                    report.push(names::duplicate(code, written.span, entry.get().span, "repo", name));
                }
            }
        }
    }

    fn producer(&self, repo: &RepoName) -> Option<&'a DeclaredPipeline> {
        let name = PipelineName::parse(repo.as_str()).ok()?;
        self.pipelines.get(&name).copied()
    }

    /// What is behind a repo's name.
    pub(super) fn find(&self, repo: &RepoName) -> Found {
        if self.producer(repo).is_some() {
            return Found::Output;
        }
        if self.repos.contains_key(repo) {
            return Found::Declared;
        }
        match self.known.repos.get(repo) {
            None => Found::Nothing,
            Some(live) => live.pipeline.clone().map_or(Found::Live, Found::Orphan),
        }
    }

    /// The names that are nearly this one.
    pub(super) fn near(&self, wrote: &str) -> Vec<&str> {
        self.near.find(wrote)
    }

    /// The branches that a repo has or will have.
    pub(super) fn branches(&self, repo: &RepoName) -> BTreeSet<BranchName> {
        let mut branches = BTreeSet::from([BranchName::master()]);
        if self.producer(repo).is_some() {
            return branches;
        }
        if let Some(live) = self.known.repos.get(repo) {
            branches.extend(live.branches.iter().cloned());
        }
        let source = self.repos.get(repo).and_then(|declared| declared.source.value());
        let branch = source.and_then(|source| source.branch.value());
        branches.extend(branch.and_then(|branch| BranchName::parse(&branch.value).ok()));
        branches
    }
}

/// Reports names that become one on Kubernetes. A repo with exactly the name of its pipeline is no collision.
pub(super) fn check_collisions(scope: &Scope<'_>, implied: &BTreeMap<RepoName, Span>, report: &mut Report) {
    let mut all: BTreeMap<&str, Span> = BTreeMap::new();
    all.extend(implied.iter().map(|(name, span)| (name.as_str(), *span)));
    let repo_span = |repo: &DeclaredRepo| repo.name.value().map_or(repo.span, |name| name.span);
    all.extend(scope.repos.iter().map(|(name, repo)| (name.as_str(), repo_span(repo))));
    all.extend(scope.pipelines.iter().map(|(name, pipeline)| (name.as_str(), pipeline.span)));
    let mut groups: BTreeMap<String, Vec<(Span, &str)>> = BTreeMap::new();
    for (name, span) in all {
        groups.entry(kubernetes_name(name)).or_default().push((span, name));
    }
    for group in groups.values_mut().filter(|group| group.len() > 1) {
        group.sort_unstable();
        let (first, first_name) = group[0];
        for (span, name) in &group[1..] {
            report.push(names::collision(*span, first, (name, first_name)));
        }
    }
}
