//! The front end: text to spanned documents, to manifests as written, to a resolved workflow and its DAG, to the
//! resources that are wanted.
//!
//! ```text
//! SourceMap --syntax--> Tree --declare--> Workflow<Declared> --resolve--> Workflow<Resolved> + Dag --lower--> Desired
//! ```
//!
//! It never fails: whatever is wrong becomes a [`Diagnostic`] with a stable code (`codes`), and all problems of all
//! files are found in one run. It reads nothing: texts, live repos and the trees of folders are arguments.
//!
//! **Invariant:** a workflow comes out if and only if no diagnostic is an error, and it does not depend on the order of
//! files, of documents, or on YAML or JSON.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    dag::Dag,
    diagnostic::Diagnostic,
    name::{BranchName, PipelineName, ProjectName, RepoName},
    span::{FileId, SourceMap},
    workflow::{Resolved, Workflow},
};

pub mod codes;
mod declare;
mod lower;
pub mod render;
mod report;
mod resolve;
pub mod settings;
mod syntax;

pub use lower::{Folders, lower};
pub use syntax::{MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES, NotUtf8, decode};

/// What the front end must know of the world besides the texts.
#[derive(Debug, Clone)]
pub struct KnownRepos {
    /// The project of the workspace.
    pub project: ProjectName,
    /// The repos that are live, outputs of pipelines included.
    pub repos: BTreeMap<RepoName, KnownRepo>,
    /// The settings file among the sources, which is no manifest.
    pub settings: Option<FileId>,
}

/// A live repo.
#[derive(Debug, Clone, Default)]
pub struct KnownRepo {
    /// Its branches.
    pub branches: BTreeSet<BranchName>,
    /// The pipeline that writes it.
    pub pipeline: Option<PipelineName>,
}

impl KnownRepos {
    /// Of a project with nothing in it.
    #[must_use]
    pub fn none(project: ProjectName) -> Self {
        Self { project, repos: BTreeMap::new(), settings: None }
    }
}

/// What comes out of the texts.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The workflow; there if and only if nothing is an error.
    pub workflow: Option<Workflow<Resolved>>,
    /// Its graph; there with the workflow.
    pub dag: Option<Dag>,
    /// What is wrong or worth knowing, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles all texts but the settings.
#[must_use]
pub fn compile(sources: &SourceMap, known: &KnownRepos) -> Compiled {
    let mut report = report::Report::default();
    let mut declared = declare::empty_workflow();
    let mut lost = false;
    for (id, file) in sources.files().filter(|(id, _)| Some(*id) != known.settings) {
        let tree = syntax::parse(id, file, &mut report);
        lost |= tree.lost_documents;
        for document in tree.documents() {
            declare::declare(document, &known.project, &mut declared, &mut report);
        }
    }
    let resolved = resolve::resolve(&declared, sources, known, lost, &mut report);
    let (workflow, dag) = resolved.unzip();
    Compiled { workflow, dag, diagnostics: report.finish() }
}
