//! The local target: resources are entries of the store's view.
//!
//! An apply is one operation. Blobs and trees go first; then one compare-and-swap publishes specs, source commits and
//! removals together. There is no lock, no journal and no half-applied state: a killed apply leaves the old view or
//! the new one.

use std::collections::BTreeSet;

use flow_model::{
    commit::{Commit, OperationKind, Origin},
    digest::{CommitId, CommitSetId, FieldHasher, TreeId, VersionId},
    name::{BranchName, PipelineName, RepoName},
    plan::{Action, Change},
    resource::{Live, LiveResource, Resource, ResourceAddr},
    spec::{DeletionPolicy, PipelineVersion, RepoSpec},
    state::{BranchState, PipelineState, RepoData, RepoState, ViewKey},
};
use flow_store::{OperationMeta, Project, Snapshot, StoreError, Transaction};

use crate::{
    folder::{Folder, FolderFile},
    target::{Applied, ApplyError, Approved, Observed, Target},
};

/// A project in a store.
pub struct LocalTarget {
    project: Project,
}

impl LocalTarget {
    /// The project.
    #[must_use]
    pub fn new(project: Project) -> Self {
        Self { project }
    }
}

#[async_trait::async_trait]
impl Target for LocalTarget {
    async fn observe(&self) -> Result<Observed, ApplyError> {
        let Some(snapshot) = self.project.head().await? else {
            return Ok(Observed { snapshot: None, live: Live::new() });
        };
        let live = live(&snapshot).await?;
        Ok(Observed { snapshot: Some(snapshot), live })
    }

    async fn execute(&self, observed: &Observed, approved: &Approved<'_>) -> Result<Applied, ApplyError> {
        let acts = |change: &&Change| change.action != Action::NoOp;
        let changes: Vec<&Change> = approved.plan.changes.iter().filter(acts).collect();
        if changes.is_empty() {
            return Ok(Applied { operation: None, commit_set: None });
        }
        let snapshot = observed.snapshot.as_ref();
        let transaction = self.project.begin(snapshot);
        let commit_set = new_commit_set(&transaction)?;
        let mut execution = Execution { snapshot, approved, transaction, commit_set };
        for addr in &approved.plan.order {
            if let Some(change) = changes.iter().find(|change| change.addr == *addr) {
                execution.change(change).await?;
            }
        }
        let meta = OperationMeta {
            kind: OperationKind::Apply,
            description: describe(approved.plan.destroy, &changes),
            stamp: approved.stamp.clone(),
        };
        let published = execution.transaction.publish(meta).await?;
        Ok(Applied { operation: Some(published.operation_id()), commit_set: Some(commit_set) })
    }
}

fn describe(destroy: bool, changes: &[&Change]) -> String {
    let names = |action: Action, sign: char| {
        changes
            .iter()
            .filter(move |change| change.action == action)
            .map(move |change| format!("{sign}{}", change.addr))
    };
    let all: Vec<String> = names(Action::Create, '+')
        .chain(names(Action::Update, '~'))
        .chain(names(Action::Delete, '-'))
        .collect();
    let shown = all.iter().take(6).cloned().collect::<Vec<_>>().join(" ");
    let more = all.len().saturating_sub(6);
    let verb = if destroy { "destroy" } else { "apply" };
    if more == 0 { format!("{verb} {shown}") } else { format!("{verb} {shown} and {more} more") }
}

/// A new id for a change that starts here.
///
/// # Errors
/// If the system has no random bytes.
pub fn new_commit_set(transaction: &Transaction) -> Result<CommitSetId, StoreError> {
    let mut hasher = FieldHasher::new("flow commit set v1");
    for _ in 0..4 {
        hasher.push_u64(transaction.nonce()?.0);
    }
    Ok(CommitSetId(hasher.finish()))
}

async fn live(snapshot: &Snapshot) -> Result<Live, StoreError> {
    let mut live = Live::new();
    for (name, state) in snapshot.repos().await? {
        if state.pipeline.is_none() {
            let data = data_of(snapshot, &name).await?;
            let protected = state.spec.deletion_policy.is_retain() && data.commits > 0;
            let resource = Resource::Repo(state.spec);
            let depends_on = BTreeSet::new();
            live.insert(ResourceAddr::Repo(name), LiveResource { resource, depends_on, data, protected });
        }
    }
    for (name, state) in snapshot.pipelines().await? {
        let version: PipelineVersion = snapshot.reader().stored(state.version.0).await?;
        let data = data_of(snapshot, &name.output_repo()).await?;
        let protected = version.spec.deletion_policy.is_retain() && data.commits > 0;
        let depends_on = reads(snapshot, &version).await?;
        let resource = Resource::Pipeline(Box::new(version));
        live.insert(ResourceAddr::Pipeline(name), LiveResource { resource, depends_on, data, protected });
    }
    Ok(live)
}

async fn data_of(snapshot: &Snapshot, repo: &RepoName) -> Result<RepoData, StoreError> {
    let mut data = RepoData::default();
    for (_, branch) in snapshot.branches(repo).await? {
        data.files += branch.files;
        data.bytes += branch.bytes;
        data.commits += branch.commits;
    }
    Ok(data)
}

async fn reads(snapshot: &Snapshot, version: &PipelineVersion) -> Result<BTreeSet<ResourceAddr>, StoreError> {
    let mut addrs = BTreeSet::new();
    for leaf in version.spec.input.leaves() {
        let state = snapshot.repo(&leaf.repo).await?;
        addrs.insert(match state.and_then(|state| state.pipeline) {
            Some(pipeline) => ResourceAddr::Pipeline(pipeline),
            None => ResourceAddr::Repo(leaf.repo.clone()),
        });
    }
    Ok(addrs)
}

struct Execution<'a> {
    snapshot: Option<&'a Snapshot>,
    approved: &'a Approved<'a>,
    transaction: Transaction,
    commit_set: CommitSetId,
}

impl Execution<'_> {
    async fn change(&mut self, change: &Change) -> Result<(), ApplyError> {
        match (&change.addr, change.action) {
            (_, Action::NoOp) => Ok(()),
            (ResourceAddr::Repo(name), Action::Delete) => self.delete_repo(name).await,
            (ResourceAddr::Pipeline(name), Action::Delete) => self.delete_pipeline(name).await,
            (addr, Action::Create | Action::Update) => {
                let wanted = self.approved.desired.get(addr);
                let wanted = wanted.ok_or_else(|| ApplyError::NotDesired { addr: addr.clone() })?;
                match (addr, &wanted.resource) {
                    (ResourceAddr::Repo(name), Resource::Repo(spec)) => {
                        self.put_repo(name, spec, change).await
                    }
                    (ResourceAddr::Pipeline(name), Resource::Pipeline(version)) => {
                        self.put_pipeline(name, version).await
                    }
                    _ => Err(ApplyError::NotDesired { addr: addr.clone() }),
                }
            }
        }
    }

    async fn put_repo(
        &mut self,
        name: &RepoName,
        spec: &RepoSpec,
        change: &Change,
    ) -> Result<(), ApplyError> {
        let before = match self.snapshot {
            Some(snapshot) => snapshot.repo(name).await?,
            None => None,
        };
        let created = before.map_or(self.approved.stamp.time, |state| state.created);
        let state = RepoState { spec: spec.clone(), pipeline: None, created };
        self.transaction.set(&ViewKey::Repo(name.clone()), &state);
        match (&change.folder, &spec.source, self.approved.sources.get(name)) {
            (Some(sync), Some(source), Some(folder)) => {
                let tree = self.put_folder(folder).await?;
                self.commit_source(name, &source.branch, tree, folder, &sync.path).await
            }
            _ => Ok(()),
        }
    }

    /// Puts the folder's files and its tree.
    async fn put_folder(&mut self, folder: &Folder) -> Result<TreeId, ApplyError> {
        self.put_files(&folder.files).await?;
        let edits = folder
            .files
            .iter()
            .map(|file| (file.path.as_str().as_bytes().to_vec(), Some(file.entry.encode().to_vec())));
        Ok(self.transaction.edit_tree(None, edits.collect()).await?)
    }

    async fn put_files(&mut self, files: &[FolderFile]) -> Result<(), ApplyError> {
        let paths = files.iter().map(|file| file.file.clone()).collect();
        let stored = self.transaction.put_files(paths).await?;
        for (file, (blob, _)) in files.iter().zip(stored) {
            if blob != file.entry.blob {
                return Err(ApplyError::FileMoved { file: file.file.display().to_string() });
            }
        }
        Ok(())
    }

    async fn commit_source(
        &mut self,
        repo: &RepoName,
        branch: &BranchName,
        tree: TreeId,
        folder: &Folder,
        path: &str,
    ) -> Result<(), ApplyError> {
        let before = match self.snapshot {
            Some(snapshot) => snapshot.branch(repo, branch).await?,
            None => None,
        };
        let commit = Commit {
            repo: repo.clone(),
            tree,
            parents: before.iter().map(|state| state.head).collect(),
            origin: Origin::Source,
            provenance: Vec::new(),
            job: None,
            commit_set: self.commit_set,
            author: self.approved.stamp.actor.clone(),
            time: self.approved.stamp.time,
            message: format!("in step with {path}"),
            nonce: self.transaction.nonce()?,
        };
        let head = CommitId(self.transaction.put_stored(&commit));
        let (files, bytes) = folder.size();
        let commits = before.map_or(0, |state| state.commits) + 1;
        let state = BranchState { head, files, bytes, commits };
        self.transaction.set(&ViewKey::Branch(repo.clone(), branch.clone()), &state);
        Ok(())
    }

    async fn put_pipeline(
        &mut self,
        name: &PipelineName,
        version: &PipelineVersion,
    ) -> Result<(), ApplyError> {
        if let Some(folder) = self.approved.code.get(name) {
            self.put_folder(folder).await?;
        }
        let before = match self.snapshot {
            Some(snapshot) => snapshot.pipeline(name).await?,
            None => None,
        };
        let id = VersionId(self.transaction.put_stored(version));
        let time = self.approved.stamp.time;
        if before.is_none() {
            let spec = RepoSpec { deletion_policy: DeletionPolicy::Retain, ..RepoSpec::default() };
            let state = RepoState { spec, pipeline: Some(name.clone()), created: time };
            self.transaction.set(&ViewKey::Repo(name.output_repo()), &state);
        }
        let state = PipelineState {
            version: id,
            number: before.map_or(0, |state| state.number) + 1,
            applied: time,
            commit_set: self.commit_set,
        };
        self.transaction.set(&ViewKey::Pipeline(name.clone()), &state);
        Ok(())
    }

    async fn delete_repo(&mut self, name: &RepoName) -> Result<(), ApplyError> {
        if let Some(snapshot) = self.snapshot {
            for (branch, _) in snapshot.branches(name).await? {
                self.transaction.remove(&ViewKey::Branch(name.clone(), branch));
            }
        }
        self.transaction.remove(&ViewKey::Repo(name.clone()));
        Ok(())
    }

    async fn delete_pipeline(&mut self, name: &PipelineName) -> Result<(), ApplyError> {
        if let Some(snapshot) = self.snapshot {
            for (job, _) in snapshot.jobs(name).await? {
                self.transaction.remove(&ViewKey::Job(name.clone(), job));
            }
            if snapshot.last_job(name).await?.is_some() {
                self.transaction.remove(&ViewKey::Last(name.clone()));
            }
        }
        self.delete_repo(&name.output_repo()).await?;
        self.transaction.remove(&ViewKey::Pipeline(name.clone()));
        Ok(())
    }
}
