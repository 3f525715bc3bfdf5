//! Whether everything that the store promises is there.
//!
//! | level | checks |
//! |---|---|
//! | structure | refs, operations, views, commits, trees, manifests and records are there and hash right; every blob they name is located, inside an object that exists, and has the right length; packs and runs have readable guides |
//! | data | besides: every byte of every object |
//!
//! What a problem affects is found by walking from the operations, so a problem in data that nothing refers to affects
//! nothing. **Invariant:** fsck changes nothing, and what it holds in memory does not grow with the size of files.

mod graph;
mod objects;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use flow_model::{
    digest::{CommitId, DatumId, Digest, JobId, OperationId},
    name::{PipelineName, RepoName},
    path::RepoPath,
};

use crate::{
    error::{MediaError, StoreError},
    project::Project,
    snapshot::Head,
    store::Store,
};

/// The most that is listed as affected by one problem.
const AFFECTED_MAX: usize = 1000;

/// How thorough to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FsckLevel {
    /// Everything but the contents of files.
    Structure,
    /// Every byte.
    Data,
}

/// Something that is lost as far as a problem is not healed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Affected {
    /// A file of a commit. Running the datum again that wrote it heals it.
    File {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
        /// The file.
        path: RepoPath,
        /// The datum that wrote it, if a job made the commit.
        datum: Option<DatumId>,
    },
    /// A commit as a whole: some or all of its files cannot be listed.
    Commit {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
    },
    /// What is known about a job.
    Job {
        /// The pipeline.
        pipeline: PipelineName,
        /// The job.
        job: JobId,
    },
    /// A pipeline's version, or its code.
    Pipeline {
        /// The pipeline.
        pipeline: PipelineName,
    },
    /// The state after an operation.
    Operation {
        /// The operation.
        operation: OperationId,
    },
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { repo, commit, path, datum: None } => {
                write!(f, "{repo}@{}:{path}", commit.short())
            }
            Self::File { repo, commit, path, datum: Some(datum) } => {
                write!(f, "{repo}@{}:{path} (written by datum {})", commit.short(), datum.short())
            }
            Self::Commit { repo, commit } => write!(f, "{repo}@{}", commit.short()),
            Self::Job { pipeline, job } => write!(f, "job {} of {pipeline}", job.short()),
            Self::Pipeline { pipeline } => write!(f, "pipeline {pipeline}"),
            Self::Operation { operation } => write!(f, "operation {}", operation.short()),
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The object that is damaged or missing; empty if no object is known to hold what is missing.
    pub object: String,
    /// What is damaged or missing in it, if that is known.
    pub digest: Option<Digest>,
    /// What is wrong.
    pub detail: String,
    /// What it affects, the first thousand; empty if nothing refers to it.
    pub affects: BTreeSet<Affected>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.object.as_str(), &self.digest) {
            ("", Some(digest)) => write!(f, "`{digest}`: {}", self.detail),
            (object, Some(digest)) => write!(f, "`{object}`: `{digest}`: {}", self.detail),
            (object, None) => write!(f, "`{object}`: {}", self.detail),
        }
    }
}

/// What was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FsckCounts {
    /// Objects of the store.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Operations.
    pub operations: u64,
    /// Commits.
    pub commits: u64,
    /// Tree nodes.
    pub nodes: u64,
    /// References to blobs.
    pub files: u64,
}

/// The result of a check.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FsckReport {
    /// Everything that is wrong, by object and digest.
    pub problems: Vec<Problem>,
    /// Objects of writes that never finished: harmless, and of no use.
    pub leftovers: Vec<String>,
    /// What was looked at.
    pub counts: FsckCounts,
}

impl FsckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Problems by object, digest and detail.
#[derive(Default)]
struct Problems(BTreeMap<(String, Option<Digest>, String), BTreeSet<Affected>>);

impl Problems {
    fn add(&mut self, object: &str, digest: Option<Digest>, detail: &str, affected: Option<&Affected>) {
        let affects = self.0.entry((object.to_owned(), digest, detail.to_owned())).or_default();
        if let Some(affected) = affected
            && affects.len() < AFFECTED_MAX
        {
            affects.insert(affected.clone());
        }
    }

    /// Notes damage; anything else, such as storage that does not answer, ends the check.
    fn add_error(&mut self, error: StoreError, affected: Option<&Affected>) -> Result<(), StoreError> {
        match error {
            StoreError::Corrupt { object, digest, detail } => self.add(&object, digest, &detail, affected),
            StoreError::Missing { digest } => {
                self.add("", Some(digest), "it is in no pack and no object", affected);
            }
            StoreError::Decode { digest, source } => {
                self.add("", Some(digest), &source.to_string(), affected);
            }
            StoreError::Media(MediaError::NotFound { name }) => {
                self.add(&name, None, "it does not exist", affected);
            }
            other => return Err(other),
        }
        Ok(())
    }

    fn finish(self) -> Vec<Problem> {
        let problem = |((object, digest, detail), affects)| Problem { object, digest, detail, affects };
        self.0.into_iter().map(problem).collect()
    }
}

/// Checks a project and the objects of its store.
///
/// # Errors
/// The storage does not answer. Damage is no error: it is in the report.
pub async fn fsck(project: &Project, level: FsckLevel) -> Result<FsckReport, StoreError> {
    let mut problems = Problems::default();
    let mut report = FsckReport::default();
    // A handle of its own, so that nothing that was read before hides what is on storage now.
    let shared = project.shared();
    let opened = Store::open(shared.media().clone(), shared.entropy_handle()).await;
    let opened = opened
        .and_then(|store| store.ok_or_else(|| MediaError::NotFound { name: "flow.json".to_owned() }.into()));
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            problems.add_error(error, None)?;
            report.problems = problems.finish();
            return Ok(report);
        }
    };
    let project = store.project(project.name());
    let head = match Head::load(project.shared(), project.name()).await {
        Ok(head) => head,
        Err(error) => {
            problems.add_error(error, None)?;
            None
        }
    };
    let objects = objects::scan(&project, head.as_ref(), level, &mut problems, &mut report).await?;
    if let Some(head) = head {
        graph::walk(&head.snapshot, &objects, &mut problems, &mut report.counts).await?;
    }
    report.problems = problems.finish();
    Ok(report)
}
