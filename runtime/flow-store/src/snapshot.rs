//! One consistent state of a project, and how it is found from the ref.
//!
//! The ref names the pack that ends with the newest operation; one read of that pack's end brings the operation, the
//! view's new nodes and all nodes on the way to `index/`. From there on the index finds everything else.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use flow_model::{
    canonical,
    commit::Operation,
    digest::{Digest, JobId, OperationId, TreeId},
    name::{BranchName, PipelineName, ProjectName, RepoName},
    state::{BranchState, JobState, LastJob, PipelineState, RepoState, RunState, ViewKey},
};
use serde::de::DeserializeOwned;

use crate::{
    cache,
    error::StoreError,
    index::{self, IndexSet},
    location::{Kind, Slot},
    media::{RefVersion, ref_name},
    overlay::Overlay,
    pack::{self, Footer, Tail},
    reader::Reader,
    run::Run,
    state_ref::StateRef,
    store::Shared,
};

/// One consistent state of a project.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: OperationId,
    operation: Operation,
    reader: Reader,
}

/// The newest state, with what a writer needs to follow it.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) snapshot: Snapshot,
    pub(crate) version: RefVersion,
    /// Entries of the head's pack that no index run has yet.
    pub(crate) tail: Vec<(Digest, Slot)>,
    pub(crate) index: Vec<NamedRun>,
}

/// A run that the view names.
#[derive(Clone, Debug)]
pub(crate) struct NamedRun {
    /// Its ULID as text.
    pub(crate) name: String,
    pub(crate) state: RunState,
    pub(crate) run: Arc<Run>,
}

impl Snapshot {
    pub(crate) fn new(id: OperationId, operation: Operation, reader: Reader) -> Self {
        Self(Arc::new(Inner { id, operation, reader }))
    }

    /// The operation that made this state.
    #[must_use]
    pub fn operation_id(&self) -> OperationId {
        self.0.id
    }

    /// The operation that made this state.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.0.operation
    }

    /// The root of the view's tree.
    #[must_use]
    pub fn view_root(&self) -> TreeId {
        self.0.operation.view
    }

    /// Reads of this state.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.0.reader.clone()
    }

    /// The value of a key as stored.
    pub(crate) async fn raw(&self, key: &ViewKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.reader.tree(self.view_root()).get(key.text().as_bytes()).await
    }

    /// The value of a key.
    ///
    /// # Errors
    /// As every read of a store; [`StoreError::Corrupt`] if the value is of another type.
    pub async fn get<T: DeserializeOwned>(&self, key: &ViewKey) -> Result<Option<T>, StoreError> {
        let value = self.raw(key).await?;
        value.map(|value| decode(key, &value)).transpose()
    }

    /// All keys that start with `prefix`, with their values, in the order of the view.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<Vec<(ViewKey, T)>, StoreError> {
        list_view(&self.0.reader, self.view_root(), prefix).await
    }

    /// All keys of the view with their values as JSON, in order.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn view(&self) -> Result<Vec<(ViewKey, serde_json::Value)>, StoreError> {
        self.list("").await
    }

    /// A repo.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn repo(&self, repo: &RepoName) -> Result<Option<RepoState>, StoreError> {
        self.get(&ViewKey::Repo(repo.clone())).await
    }

    /// A branch.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn branch(
        &self,
        repo: &RepoName,
        branch: &BranchName,
    ) -> Result<Option<BranchState>, StoreError> {
        self.get(&ViewKey::Branch(repo.clone(), branch.clone())).await
    }

    /// A pipeline.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn pipeline(&self, pipeline: &PipelineName) -> Result<Option<PipelineState>, StoreError> {
        self.get(&ViewKey::Pipeline(pipeline.clone())).await
    }

    /// An ended job.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn job(&self, pipeline: &PipelineName, job: JobId) -> Result<Option<JobState>, StoreError> {
        self.get(&ViewKey::Job(pipeline.clone(), job)).await
    }

    /// A pipeline's newest ended job.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn last_job(&self, pipeline: &PipelineName) -> Result<Option<LastJob>, StoreError> {
        self.get(&ViewKey::Last(pipeline.clone())).await
    }

    /// All repos by name.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn repos(&self) -> Result<BTreeMap<RepoName, RepoState>, StoreError> {
        let listed = self.list("repo/").await?;
        Ok(listed
            .into_iter()
            .filter_map(|(key, state)| match key {
                ViewKey::Repo(repo) => Some((repo, state)),
                _ => None,
            })
            .collect())
    }

    /// All branches of all repos.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn all_branches(&self) -> Result<BTreeMap<(RepoName, BranchName), BranchState>, StoreError> {
        self.branches_below("branch/").await
    }

    /// The branches of one repo.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn branches(&self, repo: &RepoName) -> Result<BTreeMap<BranchName, BranchState>, StoreError> {
        let listed = self.branches_below(&format!("branch/{repo}@")).await?;
        Ok(listed.into_iter().map(|((_, branch), state)| (branch, state)).collect())
    }

    async fn branches_below(
        &self,
        prefix: &str,
    ) -> Result<BTreeMap<(RepoName, BranchName), BranchState>, StoreError> {
        let listed = self.list(prefix).await?;
        Ok(listed
            .into_iter()
            .filter_map(|(key, state)| match key {
                ViewKey::Branch(repo, branch) => Some(((repo, branch), state)),
                _ => None,
            })
            .collect())
    }

    /// All pipelines by name.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn pipelines(&self) -> Result<BTreeMap<PipelineName, PipelineState>, StoreError> {
        let listed = self.list("pipeline/").await?;
        Ok(listed
            .into_iter()
            .filter_map(|(key, state)| match key {
                ViewKey::Pipeline(pipeline) => Some((pipeline, state)),
                _ => None,
            })
            .collect())
    }

    /// All ended jobs of all pipelines, by pipeline and id.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn all_jobs(&self) -> Result<BTreeMap<(PipelineName, JobId), JobState>, StoreError> {
        self.jobs_below("job/").await
    }

    /// The ended jobs of a pipeline, by id.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn jobs(&self, pipeline: &PipelineName) -> Result<BTreeMap<JobId, JobState>, StoreError> {
        let listed = self.jobs_below(&format!("job/{pipeline}/")).await?;
        Ok(listed.into_iter().map(|((_, job), state)| (job, state)).collect())
    }

    async fn jobs_below(
        &self,
        prefix: &str,
    ) -> Result<BTreeMap<(PipelineName, JobId), JobState>, StoreError> {
        let listed = self.list(prefix).await?;
        Ok(listed
            .into_iter()
            .filter_map(|(key, state)| match key {
                ViewKey::Job(pipeline, job) => Some(((pipeline, job), state)),
                _ => None,
            })
            .collect())
    }

    /// The newest jobs of all pipelines.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn last_jobs(&self) -> Result<BTreeMap<PipelineName, LastJob>, StoreError> {
        let listed = self.list("last/").await?;
        Ok(listed
            .into_iter()
            .filter_map(|(key, state)| match key {
                ViewKey::Last(pipeline) => Some((pipeline, state)),
                _ => None,
            })
            .collect())
    }

    /// The cache runs of this state, largest last.
    pub(crate) async fn cache_runs(&self) -> Result<Vec<NamedRun>, StoreError> {
        let listed = self.list::<RunState>("cache/").await?;
        Ok(listed
            .into_iter()
            .filter_map(|(key, state)| match key {
                ViewKey::Cache(name) => {
                    let path = format!("cache/{name}");
                    let run = self.0.reader.shared().run(path, state.bytes, cache::SHAPE);
                    Some(NamedRun { name, state, run })
                }
                _ => None,
            })
            .collect())
    }
}

pub(crate) fn decode<T: DeserializeOwned>(key: &ViewKey, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value)
        .map_err(|error| StoreError::corrupt("view", format!("{key} does not decode: {error}")))
}

async fn list_view<T: DeserializeOwned>(
    reader: &Reader,
    view: TreeId,
    prefix: &str,
) -> Result<Vec<(ViewKey, T)>, StoreError> {
    let mut scan = reader.tree(view).scan_prefix(prefix.as_bytes());
    let mut found = Vec::new();
    loop {
        let batch = scan.next_batch().await?;
        if batch.is_empty() {
            return Ok(found);
        }
        for (key, value) in batch {
            // Keys of a later version are not ours to interpret.
            let Some(key) = std::str::from_utf8(&key).ok().and_then(ViewKey::parse) else { continue };
            let value = decode(&key, &value)?;
            found.push((key, value));
        }
    }
}

impl Head {
    /// Reads the newest state of a project; `None` before its first operation.
    pub(crate) async fn load(
        shared: &Arc<Shared>,
        project: &ProjectName,
    ) -> Result<Option<Self>, StoreError> {
        let Some((bytes, version)) = shared.media().read_ref(project).await? else { return Ok(None) };
        let state = StateRef::decode(&ref_name(project), &bytes)?;
        let range = u64::from(state.tail)..state.size;
        let tail = shared.media().get_range(state.pack(), range).await.map_err(|error| {
            if error.is_not_found() {
                StoreError::corrupt(state.pack(), "it holds the newest operation and does not exist")
            } else {
                error.into()
            }
        })?;
        Self::open(shared, &state, version, &tail).await.map(Some)
    }

    /// Opens a state from its ref and the end of its pack.
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        state: &StateRef,
        version: RefVersion,
        bytes: &Bytes,
    ) -> Result<Self, StoreError> {
        let damaged = |detail: &str| StoreError::corrupt(state.pack(), detail);
        let container = state.container().ok_or_else(|| damaged("it is no pack"))?;
        if bytes.len() as u64 != state.size - u64::from(state.tail) {
            return Err(damaged("it is shorter than the ref says"));
        }
        let footer = match Footer::parse(bytes, state.size) {
            Tail::Whole(footer) => footer,
            Tail::From(_) => return Err(damaged("the ref points behind its footer")),
            Tail::Damaged(detail) => return Err(damaged(detail)),
        };
        let overlay = Arc::new(Overlay::default());
        let mut tail = Vec::new();
        for entry in footer.entries.iter().filter(|entry| entry.offset >= state.tail) {
            let slot = entry.slot(container);
            let start = (entry.offset - state.tail) as usize;
            let stored = bytes.slice(start..start + entry.length as usize);
            overlay.hold(entry.digest, entry.kind, pack::decode(&stored, &slot, &entry.digest)?);
            tail.push((entry.digest, slot));
        }
        let last = footer.entries.last();
        if last.is_none_or(|last| last.digest != state.operation.0 || last.kind != Kind::Operation) {
            return Err(damaged("it does not end with the operation that the ref names"));
        }
        let bare = Reader::new(Arc::clone(shared), Arc::default(), vec![Arc::clone(&overlay)]);
        let operation: Operation = read_operation(&bare, state.operation).await?;
        let index = index_runs(shared, &bare, operation.view).await?;
        let set = Arc::new(IndexSet::new(index.iter().map(|named| Arc::clone(&named.run)).collect()));
        let reader = Reader::new(Arc::clone(shared), set, vec![overlay]);
        Ok(Self { snapshot: Snapshot::new(state.operation, operation, reader), version, tail, index })
    }
}

pub(crate) async fn read_operation(reader: &Reader, id: OperationId) -> Result<Operation, StoreError> {
    let contents = reader.contents(&[id.0]).await?;
    let bytes = contents.first().ok_or(StoreError::Missing { digest: id.0 })?;
    canonical::decode(bytes).map_err(|source| StoreError::Decode { digest: id.0, source })
}

/// The index runs that a view names, the largest first: most of what is looked up is old.
async fn index_runs(
    shared: &Arc<Shared>,
    reader: &Reader,
    view: TreeId,
) -> Result<Vec<NamedRun>, StoreError> {
    let listed = list_view::<RunState>(reader, view, "index/").await?;
    let mut runs: Vec<NamedRun> = listed
        .into_iter()
        .filter_map(|(key, state)| match key {
            ViewKey::Index(name) => {
                let run = shared.run(format!("index/{name}"), state.bytes, index::SHAPE);
                Some(NamedRun { name, state, run })
            }
            _ => None,
        })
        .collect();
    runs.sort_by(|a, b| (b.state.entries, &b.name).cmp(&(a.state.entries, &a.name)));
    Ok(runs)
}
