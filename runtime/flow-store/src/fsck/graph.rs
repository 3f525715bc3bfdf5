//! From the newest operation to every blob: what a state needs is there.
//!
//! A subtree or record in which nothing is wrong is looked at once; one with a problem is looked at again for every
//! commit that has it, so that all of them are named.

use std::{collections::HashSet, future::Future, pin::Pin};

use flow_model::{
    canonical::Stored,
    commit::{Commit, Operation},
    digest::{BlobId, CommitId, DatumId, Digest, ManifestId, TreeId, VersionId},
    job::{DatumEntry, DatumOutcome, DatumRecord, JobManifest, LogRef, RunFacts},
    name::{PipelineName, RepoName},
    path::RepoPath,
    spec::PipelineVersion,
    state::{BranchState, JobState, LastJob, PipelineState, ViewKey},
    tree::FileEntry,
};
use serde::de::DeserializeOwned;

use super::{Affected, FsckCounts, Problems, objects::Objects};
use crate::{
    error::StoreError,
    overlay::Place,
    reader::Reader,
    snapshot::{self, Snapshot, read_operation},
    tree::{Node, empty_tree},
};

/// What the entries of a tree are.
#[derive(Clone, Copy)]
enum Leaves {
    View,
    Files,
    Datums,
    Owners,
}

struct Walk<'a> {
    head: &'a Snapshot,
    reader: Reader,
    objects: &'a Objects,
    problems: &'a mut Problems,
    counts: &'a mut FsckCounts,
    /// Nodes and records below which nothing is wrong.
    clean: HashSet<Digest>,
    commits: HashSet<CommitId>,
    manifests: HashSet<ManifestId>,
    versions: HashSet<VersionId>,
    /// Commits that were found and not yet looked at.
    waiting: Vec<CommitId>,
    /// What is being looked at.
    at: Affected,
}

type Checked<'f> = Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'f>>;

pub(super) async fn walk(
    head: &Snapshot,
    objects: &Objects,
    problems: &mut Problems,
    counts: &mut FsckCounts,
) -> Result<(), StoreError> {
    let mut walk = Walk {
        head,
        reader: head.reader(),
        objects,
        problems,
        counts,
        clean: HashSet::new(),
        commits: HashSet::new(),
        manifests: HashSet::new(),
        versions: HashSet::new(),
        waiting: Vec::new(),
        at: Affected::Operation { operation: head.operation_id() },
    };
    let mut next = Some(head.operation_id());
    while let Some(operation) = next {
        walk.at = Affected::Operation { operation };
        walk.counts.operations += 1;
        let read: Result<Operation, StoreError> = read_operation(&walk.reader, operation).await;
        let Some(read) = walk.keep(read)? else { break };
        walk.place(&[(operation.0, None)]).await?;
        walk.tree(read.view, Leaves::View).await?;
        walk.waiting_commits().await?;
        next = read.parent;
    }
    Ok(())
}

impl Walk<'_> {
    /// Notes damage and goes on without.
    fn keep<T>(&mut self, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.problems.add_error(error, Some(&self.at))?;
                Ok(None)
            }
        }
    }

    async fn stored<T: Stored>(&mut self, digest: Digest) -> Result<Option<T>, StoreError> {
        let read = self.reader.stored(digest).await;
        self.place(&[(digest, None)]).await?;
        self.keep(read)
    }

    /// Whether all of these are located where something of their length can be.
    async fn place(&mut self, wanted: &[(Digest, Option<u64>)]) -> Result<bool, StoreError> {
        let digests: Vec<Digest> = wanted.iter().map(|(digest, _)| *digest).collect();
        let places = self.reader.places(&digests).await;
        let Some(places) = self.keep(places)? else { return Ok(false) };
        let mut fine = true;
        for ((digest, size), place) in wanted.iter().zip(places) {
            let wrong = match place {
                None => Some((String::new(), "it is in no pack and no object")),
                Some(place) if size.is_some_and(|size| size != place.raw_len()) => {
                    Some((String::new(), "it has another length than its file"))
                }
                Some(Place::Stored(slot)) => self.objects.wrong(digest, &slot),
                Some(_) => None,
            };
            if let Some((object, detail)) = wrong {
                self.problems.add(&object, Some(*digest), detail, Some(&self.at));
                fine = false;
            }
        }
        Ok(fine)
    }

    async fn tree(&mut self, root: TreeId, leaves: Leaves) -> Result<bool, StoreError> {
        self.node(root.0, None, leaves).await
    }

    /// Looks at a node and everything below; tells whether nothing is wrong there.
    fn node(&mut self, id: Digest, level: Option<u8>, leaves: Leaves) -> Checked<'_> {
        Box::pin(async move {
            if id == empty_tree().0 || self.clean.contains(&id) {
                return Ok(true);
            }
            let read = match level {
                Some(level) => self.reader.node_at(id, level).await,
                None => self.reader.node(id).await,
            };
            let Some(node) = self.keep(read)? else { return Ok(false) };
            self.counts.nodes += 1;
            let mut fine = self.place(&[(id, None)]).await?;
            if node.level() == 0 {
                fine &= match leaves {
                    Leaves::View => self.view_leaf(&node).await?,
                    Leaves::Files => self.file_leaf(&node).await?,
                    Leaves::Datums => self.datum_leaf(&node).await?,
                    Leaves::Owners => true,
                };
            } else {
                let level = node.level() - 1;
                let children: Vec<Digest> = (0..node.len()).map(|at| node.child(at).id).collect();
                let unknown: Vec<Digest> =
                    children.iter().filter(|id| !self.clean.contains(id)).copied().collect();
                // Read together; what cannot be read is found again one by one.
                drop(self.reader.nodes_at(&unknown, level).await);
                for child in children {
                    fine &= self.node(child, Some(level), leaves).await?;
                }
            }
            if fine {
                self.clean.insert(id);
            }
            Ok(fine)
        })
    }

    async fn file_leaf(&mut self, node: &Node) -> Result<bool, StoreError> {
        let mut wanted = Vec::with_capacity(node.len());
        for at in 0..node.len() {
            let entry = FileEntry::decode(node.value(at));
            let path = std::str::from_utf8(node.key(at)).ok().and_then(|text| RepoPath::parse(text).ok());
            match (entry, path) {
                (Some(entry), Some(path)) => wanted.push((entry, path)),
                _ => {
                    self.problems.add("", None, "a tree has an entry that is no file", Some(&self.at));
                    return Ok(false);
                }
            }
        }
        self.counts.files += wanted.len() as u64;
        let blobs: Vec<(Digest, Option<u64>)> =
            wanted.iter().map(|(entry, _)| (entry.blob.0, Some(entry.size))).collect();
        let found = self.reader.places(&blobs.iter().map(|(digest, _)| *digest).collect::<Vec<_>>()).await;
        let all_fine = found.is_ok_and(|places| {
            places.iter().zip(&blobs).all(|(place, (digest, size))| match place {
                Some(place) if Some(place.raw_len()) != *size => false,
                Some(Place::Stored(slot)) => self.objects.wrong(digest, slot).is_none(),
                Some(_) => true,
                None => false,
            })
        });
        if all_fine {
            return Ok(true);
        }
        let whole = self.at.clone();
        for ((_, path), blob) in wanted.into_iter().zip(blobs) {
            if let Affected::Commit { repo, commit } = &whole {
                let datum = self.writer_of(repo, *commit, &path).await?;
                self.at = Affected::File { repo: repo.clone(), commit: *commit, path, datum };
            }
            self.place(&[blob]).await?;
        }
        self.at = whole;
        Ok(false)
    }

    /// The datum that wrote a file, if a job made the commit and what is known about the job can be read.
    async fn writer_of(
        &self,
        repo: &RepoName,
        commit: CommitId,
        path: &RepoPath,
    ) -> Result<Option<DatumId>, StoreError> {
        let find = async {
            let Some(job) = self.reader.stored::<Commit>(commit.0).await?.job else { return Ok(None) };
            let Ok(pipeline) = PipelineName::parse(repo.as_str()) else { return Ok(None) };
            let Some(state) = self.head.job(&pipeline, job).await? else { return Ok(None) };
            let manifest: JobManifest = self.reader.stored(state.manifest.0).await?;
            let owner = self.reader.tree(manifest.owners).get(path.as_str().as_bytes()).await?;
            Ok(owner.and_then(|id| id.try_into().ok()).map(|id| DatumId(Digest::from_bytes(id))))
        };
        match find.await {
            Err(error) if StoreError::is_damage(&error) => Ok(None),
            found => found,
        }
    }

    async fn datum_leaf(&mut self, node: &Node) -> Result<bool, StoreError> {
        let mut fine = true;
        for at in 0..node.len() {
            let Some(entry) = DatumEntry::decode(node.value(at)) else {
                self.problems.add("", None, "a job has an entry that is no datum", Some(&self.at));
                return Ok(false);
            };
            fine &= self.record(entry.record.0, entry.outcome == DatumOutcome::Success).await?;
            fine &= self.facts(entry.facts).await?;
        }
        Ok(fine)
    }

    /// A datum's record; only one of a result must exist.
    async fn record(&mut self, id: Digest, is_result: bool) -> Result<bool, StoreError> {
        if self.clean.contains(&id) || !is_result {
            return Ok(true);
        }
        let Some(record) = self.stored::<DatumRecord>(id).await? else { return Ok(false) };
        let outputs: Vec<_> =
            record.outputs.iter().map(|output| (output.file.blob.0, Some(output.file.size))).collect();
        let fine = self.place(&outputs).await?;
        if fine {
            self.clean.insert(id);
        }
        Ok(fine)
    }

    async fn facts(&mut self, id: Digest) -> Result<bool, StoreError> {
        if self.clean.contains(&id) {
            return Ok(true);
        }
        let Some(facts) = self.stored::<RunFacts>(id).await? else { return Ok(false) };
        let blob = |log: &LogRef| log.blob.map(|BlobId(digest)| (digest, None));
        let logs: Vec<_> = [blob(&facts.stdout), blob(&facts.stderr)].into_iter().flatten().collect();
        let fine = self.place(&logs).await?;
        if fine {
            self.clean.insert(id);
        }
        Ok(fine)
    }

    /// Keys of the view. Problems of what they lead to are noted there, so a leaf is fine if it can be read.
    async fn view_leaf(&mut self, node: &Node) -> Result<bool, StoreError> {
        let operation = self.at.clone();
        for at in 0..node.len() {
            let Some(key) = std::str::from_utf8(node.key(at)).ok().and_then(ViewKey::parse) else { continue };
            self.view_entry(&key, node.value(at)).await?;
            self.at = operation.clone();
        }
        Ok(true)
    }

    async fn view_entry(&mut self, key: &ViewKey, value: &[u8]) -> Result<(), StoreError> {
        match key {
            ViewKey::Branch(..) => {
                if let Some(branch) = self.value::<BranchState>(key, value)? {
                    self.waiting.push(branch.head);
                }
            }
            ViewKey::Pipeline(pipeline) => {
                if let Some(state) = self.value::<PipelineState>(key, value)? {
                    self.at = Affected::Pipeline { pipeline: pipeline.clone() };
                    self.version(state.version).await?;
                }
            }
            ViewKey::Job(pipeline, job) => {
                if let Some(state) = self.value::<JobState>(key, value)? {
                    self.at = Affected::Job { pipeline: pipeline.clone(), job: *job };
                    self.manifest(state.manifest).await?;
                }
            }
            ViewKey::Last(pipeline) => {
                if let Some(last) = self.value::<LastJob>(key, value)? {
                    self.at = Affected::Job { pipeline: pipeline.clone(), job: last.job };
                    self.manifest(last.manifest).await?;
                }
            }
            // A repo's state refers to nothing; runs are objects and checked as such.
            ViewKey::Repo(_) | ViewKey::Index(_) | ViewKey::Cache(_) => {}
        }
        Ok(())
    }

    fn value<T: DeserializeOwned>(&mut self, key: &ViewKey, value: &[u8]) -> Result<Option<T>, StoreError> {
        let decoded = snapshot::decode(key, value);
        self.keep(decoded)
    }

    async fn version(&mut self, id: VersionId) -> Result<(), StoreError> {
        if !self.versions.insert(id) {
            return Ok(());
        }
        if let Some(PipelineVersion { code_tree: Some(code), .. }) = self.stored(id.0).await? {
            self.tree(code, Leaves::Files).await?;
        }
        Ok(())
    }

    async fn manifest(&mut self, id: ManifestId) -> Result<(), StoreError> {
        if !self.manifests.insert(id) {
            return Ok(());
        }
        let Some(manifest) = self.stored::<JobManifest>(id.0).await? else { return Ok(()) };
        self.version(manifest.version).await?;
        self.tree(manifest.datums, Leaves::Datums).await?;
        self.tree(manifest.owners, Leaves::Owners).await?;
        self.waiting.extend(manifest.inputs.iter().map(|input| input.commit));
        self.waiting.extend(manifest.output);
        self.tree(manifest.output_tree, Leaves::Files).await?;
        Ok(())
    }

    async fn waiting_commits(&mut self) -> Result<(), StoreError> {
        let operation = self.at.clone();
        while let Some(id) = self.waiting.pop() {
            if !self.commits.insert(id) {
                continue;
            }
            self.at = operation.clone();
            let Some(commit) = self.stored::<Commit>(id.0).await? else { continue };
            self.counts.commits += 1;
            self.at = Affected::Commit { repo: commit.repo, commit: id };
            self.tree(commit.tree, Leaves::Files).await?;
            self.waiting.extend(commit.parents);
            self.waiting.extend(commit.provenance.iter().map(|source| source.commit));
        }
        self.at = operation;
        Ok(())
    }
}
