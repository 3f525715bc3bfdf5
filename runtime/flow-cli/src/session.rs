//! A command's hold on a project: workspace, store, newest state, and what addresses mean in it.

use std::sync::Arc;

use flow_model::{
    address::VersionAddr,
    commit::Commit,
    digest::{CommitId, TreeId},
    name::{BranchName, RepoName},
    state::{BranchState, RepoState},
    time::Timestamp,
    tree::FileEntry,
};
use flow_store::{Media, Project, Snapshot, Stamp, Store, StoreUrl, SystemEntropy};

use crate::{error::CommandError, settings::Settings, workspace::Workspace};

/// Wraps what keeps a store's bytes; tests put faults there.
pub type MediaLayer = dyn Fn(Arc<dyn Media>) -> Arc<dyn Media> + Send + Sync;

/// A project, whether there is a store already or not.
pub(crate) struct Session {
    pub(crate) workspace: Workspace,
    media: Arc<dyn Media>,
    store: Option<Store>,
}

/// A project with a state.
pub(crate) struct Open {
    pub(crate) workspace: Workspace,
    pub(crate) project: Project,
    pub(crate) snapshot: Snapshot,
}

impl Session {
    /// Opens the store of a workspace, if there is one. Writes nothing.
    pub(crate) async fn open(workspace: Workspace, settings: &Settings) -> Result<Self, CommandError> {
        let media = workspace.store.media();
        let media = match &settings.layer {
            Some(layer) => layer(media),
            None => media,
        };
        let store = Store::open(Arc::clone(&media), Arc::new(SystemEntropy)).await?;
        Ok(Self { workspace, media, store })
    }

    /// The project, if there is a store.
    pub(crate) fn project(&self) -> Option<Project> {
        self.store.as_ref().map(|store| store.project(&self.workspace.project))
    }

    /// The project, or where there is no store yet, one in memory: what a plan is sketched in.
    pub(crate) async fn project_to_look_at(&self) -> Result<Project, CommandError> {
        match self.project() {
            Some(project) => Ok(project),
            None => {
                let store = Store::create(StoreUrl::Memory.media(), Arc::new(SystemEntropy)).await?;
                Ok(store.project(&self.workspace.project))
            }
        }
    }

    /// The store's lineage, if there is a store.
    pub(crate) fn lineage(&self) -> Option<String> {
        self.store.as_ref().map(|store| store.lineage().to_owned())
    }

    /// The project, in a store that is made if there is none.
    pub(crate) async fn create(&mut self) -> Result<Project, CommandError> {
        if self.store.is_none() {
            self.workspace.prepare()?;
            self.store = Some(Store::create(Arc::clone(&self.media), Arc::new(SystemEntropy)).await?);
        }
        self.project().ok_or_else(|| CommandError::internal("a store that was just made is not there"))
    }
}

impl Open {
    /// The project around the current folder; an error if nothing was ever applied.
    pub(crate) async fn around(settings: &Settings) -> Result<Self, CommandError> {
        Self::of(Workspace::around(settings)?, settings).await
    }

    /// The project of a workspace; an error if nothing was ever applied.
    pub(crate) async fn of(workspace: Workspace, settings: &Settings) -> Result<Self, CommandError> {
        let session = Session::open(workspace, settings).await?;
        let nothing = || {
            CommandError::user(format!(
                "nothing has been applied in `{}` yet",
                session.workspace.root.display()
            ))
            .help("run `flow apply` first")
        };
        let project = session.project().ok_or_else(nothing)?;
        let snapshot = project.head().await?.ok_or_else(nothing)?;
        Ok(Self { workspace: session.workspace, project, snapshot })
    }

    /// The same project in its newest state.
    pub(crate) async fn newest(&self) -> Result<Self, CommandError> {
        let head = self.project.head().await?;
        let snapshot = head.unwrap_or_else(|| self.snapshot.clone());
        Ok(Self { workspace: self.workspace.clone(), project: self.project.clone(), snapshot })
    }

    /// A repo that must be there.
    pub(crate) async fn repo(&self, repo: &RepoName) -> Result<RepoState, CommandError> {
        match self.snapshot.repo(repo).await? {
            Some(state) => Ok(state),
            None => Err(self.no_repo(repo).await?),
        }
    }

    async fn no_repo(&self, repo: &RepoName) -> Result<CommandError, CommandError> {
        let names: Vec<String> =
            self.snapshot.repos().await?.into_keys().map(|name| name.to_string()).collect();
        let near = flow_model::similar_name::closest(repo.as_str(), names.iter().map(String::as_str));
        let error = CommandError::user(format!("repo `{repo}` does not exist"));
        Ok(match near {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error
                .help("`flow repo ls` lists the repos; declare it with `kind: Repo` and run `flow apply`"),
        })
    }

    /// The commit that an address means.
    pub(crate) async fn commit(&self, addr: &VersionAddr) -> Result<(CommitId, Commit), CommandError> {
        self.repo(&addr.repo).await?;
        let start = match self.snapshot.branch(&addr.repo, &addr.base).await? {
            Some(branch) => branch.head,
            None => self.commit_by_id(&addr.repo, &addr.base).await?,
        };
        let mut id = start;
        let mut commit = self.load(id).await?;
        for _ in 0..addr.back {
            id = *commit.parents.first().ok_or_else(|| {
                CommandError::user(format!("`{addr}` goes back further than the history of `{}`", addr.repo))
                    .help(format!("`flow commit ls {}` lists it", addr.repo))
            })?;
            commit = self.load(id).await?;
        }
        Ok((id, commit))
    }

    /// The tree that an address means.
    pub(crate) async fn tree(&self, addr: &VersionAddr) -> Result<TreeId, CommandError> {
        Ok(self.commit(addr).await?.1.tree)
    }

    /// Reads a commit.
    pub(crate) async fn load(&self, id: CommitId) -> Result<Commit, CommandError> {
        Ok(self.snapshot.reader().stored(id.0).await?)
    }

    /// Files and bytes of a tree, counted from a branch whose numbers are known: O(changes), or O(files) without one.
    pub(crate) async fn size_near(
        &self,
        tree: TreeId,
        near: Option<&BranchState>,
    ) -> Result<(u64, u64), CommandError> {
        let (base, mut files, mut bytes) = match near {
            Some(state) => (
                Some(self.load(state.head).await?.tree),
                state.files.cast_signed(),
                state.bytes.cast_signed(),
            ),
            None => (None, 0, 0),
        };
        let mut changes = self.snapshot.reader().files(tree).changes_since(base);
        loop {
            let batch = changes.next_batch().await?;
            if batch.is_empty() {
                return Ok((files.max(0).cast_unsigned(), bytes.max(0).cast_unsigned()));
            }
            let size = |entry: Option<FileEntry>| entry.map_or(0, |entry| entry.size.cast_signed());
            for change in batch {
                files += i64::from(change.after.is_some()) - i64::from(change.before.is_some());
                bytes += size(change.after) - size(change.before);
            }
        }
    }

    /// Commits of a repo, newest first, over all branches.
    pub(crate) async fn history(&self, repo: &RepoName) -> Result<Vec<(CommitId, Commit)>, CommandError> {
        let mut seen = std::collections::BTreeSet::new();
        let mut found = Vec::new();
        for (_, branch) in self.snapshot.branches(repo).await? {
            let mut next = Some(branch.head);
            while let Some(id) = next.take().filter(|id| seen.insert(*id)) {
                let commit = self.load(id).await?;
                next = commit.parents.first().copied();
                found.push((id, commit));
            }
        }
        found.sort_by_key(|(id, commit)| (std::cmp::Reverse(commit.time), *id));
        Ok(found)
    }

    async fn commit_by_id(&self, repo: &RepoName, text: &BranchName) -> Result<CommitId, CommandError> {
        let text = text.as_str();
        let is_id = text.len() >= 4
            && text.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
        let mut matches = Vec::new();
        if is_id {
            let history = self.history(repo).await?;
            matches
                .extend(history.into_iter().map(|(id, _)| id).filter(|id| id.to_string().starts_with(text)));
        }
        match matches.as_slice() {
            [one] => Ok(*one),
            [] if self.snapshot.branches(repo).await?.is_empty() => {
                Err(CommandError::user(format!("repo `{repo}` has no commit yet"))
                    .help(format!("put data into it: `flow put {repo}@master:/NAME -f FILE`")))
            }
            [] => Err(CommandError::user(format!("`{repo}` has no branch or commit `{text}`"))
                .help(format!("`flow branch ls {repo}` and `flow commit ls {repo}` list them"))),
            _ => {
                Err(CommandError::user(format!("commit `{text}` of `{repo}` is ambiguous: give more digits")))
            }
        }
    }
}

/// Who and when, for something that is done now.
pub(crate) fn stamp(settings: &Settings) -> Stamp {
    Stamp { actor: settings.actor.clone(), time: now() }
}

/// The clock.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
