//! What is in a workspace's store, read past the command line: what the tests of crashes and the benches believe.
//!
//! **Invariant:** nothing is written, and every byte that is read was checked by the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use flow_model::{
    commit::Commit,
    datum::DatumInput,
    digest::{JobId, TreeId},
    job::{DatumRecord, FinishedBatch, JobCounts, JobStatus},
    name::{BranchName, PipelineName, ProjectName, RepoName},
    state::BranchState,
};
use flow_store::{LocalMedia, Project, Reader, Snapshot, Store, StoreError, SystemEntropy};
use tokio::runtime::Runtime;

use crate::failure::Failure;

/// A look at the local store of a workspace.
#[derive(Debug)]
pub struct Look {
    runtime: Runtime,
    project: Project,
    root: PathBuf,
}

/// What two runs must agree on, however often they were interrupted: contents, not ids that hold a clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contents {
    /// The tree of every branch, as `repo@branch`.
    pub branches: BTreeMap<String, TreeId>,
    /// Every pipeline's newest job.
    pub jobs: BTreeMap<PipelineName, JobStatus>,
}

impl Look {
    /// The store of the workspace in this folder.
    ///
    /// # Errors
    /// [`Failure`] if there is none, or none that anything was applied to.
    pub fn at(workspace: &Path) -> Result<Self, Failure> {
        let root = workspace.join(".flow/store");
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().map_err(Failure::io("look into", &root))?;
        let media = Arc::new(LocalMedia::new(root.clone()));
        let store = runtime.block_on(Store::open(media, Arc::new(SystemEntropy)))?;
        let store = store.ok_or_else(|| nothing(&root))?;
        let project = store.project(&only_project(&root)?);
        Ok(Self { runtime, project, root })
    }

    /// The newest state.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read.
    pub fn head(&self) -> Result<Snapshot, Failure> {
        self.wait(self.project.head())?.ok_or_else(|| nothing(&self.root))
    }

    /// A branch.
    ///
    /// # Errors
    /// [`Failure`] if it does not exist.
    pub fn branch(&self, repo: &str, branch: &str) -> Result<BranchState, Failure> {
        let head = self.head()?;
        let state = self.wait(head.branch(&parse::<RepoName>(repo)?, &parse::<BranchName>(branch)?))?;
        state.ok_or_else(|| Failure::Differs(format!("there is no branch `{repo}@{branch}`")))
    }

    /// The files of a branch with their texts, by path.
    ///
    /// # Errors
    /// [`Failure`] if it does not exist or a file is no text.
    pub fn files(&self, repo: &str, branch: &str) -> Result<Vec<(String, String)>, Failure> {
        let (head, state) = (self.head()?, self.branch(repo, branch)?);
        self.wait(async {
            let reader = head.reader();
            let commit: Commit = reader.stored(state.head.0).await?;
            let files = reader.files(commit.tree).files_with_prefix("").collect().await?;
            let blobs = reader.blobs(&files.iter().map(|(_, file)| file.blob).collect::<Vec<_>>()).await?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok(files.iter().zip(blobs).map(|((path, _), blob)| (path.to_string(), text(&blob))).collect())
        })
    }

    /// How the datums of a pipeline's newest job went.
    ///
    /// # Errors
    /// [`Failure`] if it has none.
    pub fn last_counts(&self, pipeline: &str) -> Result<JobCounts, Failure> {
        let (head, name) = (self.head()?, parse::<PipelineName>(pipeline)?);
        let job = self.wait(async {
            match head.last_job(&name).await? {
                Some(last) => head.job(&name, last.job).await,
                None => Ok(None),
            }
        })?;
        job.map(|job| job.counts).ok_or_else(|| Failure::Differs(format!("`{pipeline}` has no job")))
    }

    /// What two runs must agree on.
    ///
    /// # Errors
    /// [`Failure`] if the store cannot be read.
    pub fn contents(&self) -> Result<Contents, Failure> {
        let head = self.head()?;
        self.wait(async {
            let mut branches = BTreeMap::new();
            for ((repo, branch), state) in head.all_branches().await? {
                let commit: Commit = head.reader().stored(state.head.0).await?;
                branches.insert(format!("{repo}@{branch}"), commit.tree);
            }
            let last = head.last_jobs().await?;
            Ok(Contents { branches, jobs: last.into_iter().map(|(name, job)| (name, job.status)).collect() })
        })
    }

    /// How many operations there were.
    ///
    /// # Errors
    /// [`Failure`] if the history cannot be read.
    pub fn operations(&self) -> Result<usize, Failure> {
        Ok(self.wait(self.project.log(usize::MAX))?.len())
    }

    /// The datums whose results are durable below `jobs/`, as `input:/path` of their inputs: what must not run again.
    ///
    /// # Errors
    /// [`Failure`] if a record cannot be read.
    pub fn finished(&self) -> Result<BTreeSet<String>, Failure> {
        let base = self.head()?.reader();
        let mut labels = BTreeSet::new();
        for job in self.jobs_on_disk()? {
            labels.extend(self.wait(self.finished_in(&base, job))?);
        }
        Ok(labels)
    }

    async fn finished_in(&self, base: &Reader, job: JobId) -> Result<BTreeSet<String>, StoreError> {
        let packs = self.project.job_packs(job).await?;
        let batches: Vec<(_, FinishedBatch)> = packs.stored(base).await?;
        let reader = packs.reader(base);
        let records: Vec<_> =
            batches.iter().flat_map(|(_, batch)| &batch.datums).map(|datum| datum.record.0).collect();
        let records: Vec<DatumRecord> = reader.stored_many(&records).await?;
        Ok(records.iter().map(|record| label(&record.inputs)).collect())
    }

    fn jobs_on_disk(&self) -> Result<Vec<JobId>, Failure> {
        let folder = self.root.join("jobs");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        names_in(&folder)?.iter().map(|name| parse(name)).collect()
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
        Ok(self.runtime.block_on(work)?)
    }
}

/// A datum's inputs as a human calls them.
fn label(inputs: &[DatumInput]) -> String {
    let one = |input: &DatumInput| format!("{}:{}", input.name, input.path);
    inputs.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn nothing(root: &Path) -> Failure {
    Failure::Differs(format!("nothing was applied to the store `{}`", root.display()))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::Differs(format!("`{text}`: {error}")))
}

/// The project of a store that has one.
fn only_project(root: &Path) -> Result<ProjectName, Failure> {
    let names = names_in(&root.join("refs"))?;
    match names.iter().filter(|name| !name.starts_with('.')).collect::<Vec<_>>().as_slice() {
        [one] => parse(one),
        _ => Err(nothing(root)),
    }
}

/// The names in a folder, sorted.
///
/// # Errors
/// [`Failure::Io`] if it cannot be listed.
pub fn names_in(folder: &Path) -> Result<Vec<String>, Failure> {
    let listed = || fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>();
    let entries = listed().map_err(Failure::io("list", folder))?;
    let mut names: Vec<String> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}
