//! What the tests of this crate share.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use flow_model::{
    commit::{Commit, OperationKind, Origin},
    digest::{BlobId, CommitId, CommitSetId, Digest},
    name::{BranchName, ProjectName, RepoName},
    path::RepoPath,
    spec::RepoSpec,
    state::{BranchState, RepoState, ViewKey},
    time::Timestamp,
    tree::FileEntry,
};
use flow_store::{
    LocalMedia, Media, ObjectMedia, OperationMeta, Project, PublishError, SeededEntropy, Snapshot, Stamp,
    Store, Transaction, new_nonce,
};

pub(crate) fn memory() -> Arc<dyn Media> {
    Arc::new(ObjectMedia::memory())
}

pub(crate) fn local(root: &Path) -> Arc<dyn Media> {
    Arc::new(LocalMedia::new(root.to_owned()))
}

pub(crate) async fn create(media: Arc<dyn Media>, seed: u64) -> Store {
    Store::create(media, Arc::new(SeededEntropy::new(seed))).await.unwrap()
}

pub(crate) async fn open(media: Arc<dyn Media>, seed: u64) -> Store {
    Store::open(media, Arc::new(SeededEntropy::new(seed))).await.unwrap().unwrap()
}

pub(crate) fn project(store: &Store) -> Project {
    store.project(&"p".parse::<ProjectName>().unwrap())
}

pub(crate) fn meta(kind: OperationKind, description: &str) -> OperationMeta {
    let stamp = Stamp { actor: "test@host".to_owned(), time: Timestamp(1) };
    OperationMeta { kind, description: description.to_owned(), stamp }
}

pub(crate) fn repo(name: &str) -> RepoName {
    name.parse().unwrap()
}

pub(crate) fn branch_key(name: &str) -> ViewKey {
    ViewKey::Branch(repo(name), BranchName::master())
}

pub(crate) fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

pub(crate) fn entry(text: &str) -> FileEntry {
    FileEntry { blob: BlobId::of(text.as_bytes()), size: text.len() as u64, executable: false }
}

/// Puts files into a repo's branch within a transaction; `None` removes.
pub(crate) async fn stage_put(
    store: &Store,
    txn: &mut Transaction,
    name: &str,
    files: &[(&str, Option<&str>)],
) -> CommitId {
    let before: Option<BranchState> = match txn.base().cloned() {
        Some(base) => base.branch(&repo(name), &BranchName::master()).await.unwrap(),
        None => None,
    };
    let old: Option<Commit> = match &before {
        Some(branch) => Some(txn.reader().stored(branch.head.0).await.unwrap()),
        None => None,
    };
    let mut edits = BTreeMap::new();
    for (at, text) in files {
        let entry = text.map(|text| {
            let blob = txn.put_blob(text.to_owned().into_bytes().into());
            FileEntry { blob, size: text.len() as u64, executable: false }
        });
        edits.insert(path(at), entry);
    }
    let tree = txn.edit_files(old.map(|commit| commit.tree), edits).await.unwrap();
    let commit = Commit {
        repo: repo(name),
        tree,
        parents: before.iter().map(|branch| branch.head).collect(),
        origin: Origin::User,
        provenance: Vec::new(),
        job: None,
        commit_set: CommitSetId(Digest::of(b"set")),
        author: "test@host".to_owned(),
        time: Timestamp(1),
        message: String::new(),
        nonce: new_nonce(&**store.entropy()).unwrap(),
    };
    let id = CommitId(txn.put_stored(&commit));
    let files = txn.reader().tree(tree).len().await.unwrap();
    let commits = before.map_or(0, |branch| branch.commits) + 1;
    txn.set(&branch_key(name), &BranchState { head: id, files, bytes: 0, commits });
    if commits == 1 {
        let state = RepoState { spec: RepoSpec::default(), pipeline: None, created: Timestamp(1) };
        txn.set(&ViewKey::Repo(repo(name)), &state);
    }
    id
}

/// One whole put: open the head, stage, publish.
pub(crate) async fn put(
    store: &Store,
    name: &str,
    files: &[(&str, Option<&str>)],
) -> Result<Snapshot, PublishError> {
    let project = project(store);
    let head = project.head().await?;
    let mut txn = project.begin(head.as_ref());
    stage_put(store, &mut txn, name, files).await;
    txn.publish(meta(OperationKind::Put, name)).await
}

/// All files of a repo's branch with their contents.
pub(crate) async fn contents(snapshot: &Snapshot, name: &str) -> BTreeMap<String, String> {
    let branch = snapshot.branch(&repo(name), &BranchName::master()).await.unwrap().unwrap();
    let reader = snapshot.reader();
    let commit: Commit = reader.stored(branch.head.0).await.unwrap();
    let files = reader.files(commit.tree).files(None).collect().await.unwrap();
    let ids: Vec<BlobId> = files.iter().map(|(_, entry)| entry.blob).collect();
    let blobs = reader.blobs(&ids).await.unwrap();
    files
        .into_iter()
        .zip(blobs)
        .map(|((path, _), blob)| (path.absolute(), String::from_utf8(blob.to_vec()).unwrap()))
        .collect()
}
