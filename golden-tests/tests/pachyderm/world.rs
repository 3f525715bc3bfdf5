//! A workspace in which what was done to Pachyderm is done to flow, with the real binary; and what its store says then.
//!
//! Specs are written as files and carried out by `flow apply`, data goes in by `flow put` and `flow rm`. What became of
//! it is read from the store itself, not from what the commands print.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use flow_engine::inputs::{self, LeafTree};
use flow_model::{
    commit::Commit,
    datum::{Datum, InputContent},
    digest::{CommitId, DatumId, Digest, TreeId},
    job::{DatumEntry, JobCounts, JobManifest, LogRef, RunFacts},
    name::{PipelineName, RepoName},
    spec::PipelineVersion,
    state::{JobState, ViewKey},
    tree::FileEntry,
};
use flow_store::{Reader, Snapshot, Store, StoreUrl, SystemEntropy};
use golden_tests::workspace::{Output, Workspace};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::recorded::text;

/// The project of every world: Pachyderm's own project of this name is where everything was recorded.
const PROJECT: &str = "default";

/// Files that a command puts: text by path.
pub(crate) type Files<'a> = Vec<(&'a str, &'a str)>;

/// A workspace with a store.
pub(crate) struct World {
    workspace: Workspace,
    runtime: Runtime,
    /// Folders to put from, made so far.
    folders: usize,
}

/// How a pipeline stands, as a test compares it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Standing {
    /// Jobs of the newest version, newest first: `success: 2 processed, 1 reused`.
    pub(crate) jobs: Vec<String>,
    /// Datums of the newest job, as `repo:/path repo:/path`, with their states.
    pub(crate) datums: BTreeMap<String, String>,
    /// Text by path; folders have a slash at the end, and a datum's id is replaced by what it reads.
    pub(crate) output: BTreeMap<String, String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let empty = tempfile::tempdir().unwrap();
        let project = empty.path().join(PROJECT);
        fs::create_dir(&project).unwrap();
        let flow = Path::new(env!("CARGO_BIN_EXE_flow-under-test"));
        let workspace = Workspace::copy_of(&project, &[], flow).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { workspace, runtime, folders: 0 }
    }

    /// Declares a repo, to be made by the next apply.
    pub(crate) fn declare_repo(&self, name: &str) {
        let manifest = serde_json::json!({
            "apiVersion": "flow.dev/v1", "kind": "Repo", "metadata": {"name": name},
        });
        self.write_spec(&format!("repo {}.json", file_name(name)), &manifest);
    }

    /// Writes a pipeline's spec as Pachyderm's users have it, in place of an earlier one.
    pub(crate) fn write_pipeline(&self, spec: &Value) {
        let name = spec["pipeline"]["name"].as_str().unwrap_or_default();
        self.write_spec(&format!("pipeline {}.json", file_name(name)), spec);
    }

    fn write_spec(&self, file: &str, document: &Value) {
        fs::write(self.workspace.path().join(file), document.to_string()).unwrap();
    }

    /// Runs flow in the workspace.
    pub(crate) fn flow(&self, args: &[&str]) -> Output {
        self.workspace.flow(args).unwrap()
    }

    pub(crate) fn flow_with_input(&self, args: &[&str], input: &str) -> Output {
        self.workspace.flow_with_input(args, input).unwrap()
    }

    pub(crate) fn apply(&self) -> Output {
        self.flow(&["apply", "--auto-approve"])
    }

    /// Puts files with one commit and runs what follows.
    pub(crate) fn put(&mut self, repo: &str, branch: &str, files: &Files<'_>) -> Output {
        self.folders += 1;
        let folder = self.workspace.root().join(format!("put-{}", self.folders));
        for (path, content) in files {
            let file: PathBuf = folder.join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        let address = format!("{repo}@{branch}:/");
        self.flow(&["put", &address, "-r", "-f", &folder.display().to_string(), "--run"])
    }

    /// The state as it is now; `None` before the first apply.
    fn head(&self) -> Option<Snapshot> {
        self.runtime.block_on(async {
            let place = StoreUrl::File(self.workspace.path().join(".flow/store"));
            let store = Store::open(place.media(), Arc::new(SystemEntropy)).await.unwrap()?;
            store.project(&PROJECT.parse().unwrap()).head().await.unwrap()
        })
    }

    /// Whether the state has this repo.
    pub(crate) fn has_repo(&self, name: &str) -> bool {
        let Some(head) = self.head() else { return false };
        let Ok(name) = name.parse::<RepoName>() else { return false };
        self.runtime.block_on(head.repo(&name)).unwrap().is_some()
    }

    /// The files of a branch, with folders; `None` if it has no commit.
    pub(crate) fn files(&self, repo: &str, branch: &str) -> Option<BTreeMap<String, String>> {
        let head = self.head()?;
        self.runtime.block_on(async {
            let branch = head.branch(&repo.parse().ok()?, &branch.parse().ok()?).await.unwrap()?;
            let commit: Commit = head.reader().stored(branch.head.0).await.unwrap();
            Some(listing(&head.reader(), commit.tree).await)
        })
    }

    /// The first commit of a branch's history.
    pub(crate) fn oldest_commit(&self, repo: &str, branch: &str) -> CommitId {
        let head = self.head().unwrap();
        self.runtime.block_on(async {
            let key = ViewKey::Branch(repo.parse().unwrap(), branch.parse().unwrap());
            let state: flow_model::state::BranchState = head.get(&key).await.unwrap().unwrap();
            let mut id = state.head;
            loop {
                let commit: Commit = head.reader().stored(id.0).await.unwrap();
                match commit.parents.first() {
                    Some(parent) => id = *parent,
                    None => return id,
                }
            }
        })
    }

    /// How a pipeline stands.
    pub(crate) fn standing(&self, pipeline: &str) -> Standing {
        let Some(head) = self.head() else { return Standing::default() };
        let pipeline: PipelineName = pipeline.parse().unwrap();
        let mut output = self.files(pipeline.as_str(), "master").unwrap_or_default();
        self.runtime.block_on(async {
            let jobs = jobs(&head, &pipeline).await;
            let mut datums = BTreeMap::new();
            if let Some(job) = jobs.first() {
                let labels = labels(&head.reader(), job).await;
                for (id, label) in &labels {
                    let id = id.to_string();
                    output =
                        output.into_iter().map(|(path, text)| (path.replace(&id, label), text)).collect();
                }
                let entries = datum_entries(&head.reader(), job).await.into_iter();
                let state = |entry: DatumEntry| entry.status(job.job).word().to_owned();
                datums = entries.map(|(id, entry)| (labels[&id].clone(), state(entry))).collect();
            }
            Standing { jobs: jobs.iter().map(job_line).collect(), datums, output }
        })
    }

    /// The lines that the datums of the newest job wrote, by stream, sorted.
    pub(crate) fn log_lines(&self, pipeline: &str) -> Vec<String> {
        let Some(head) = self.head() else { return Vec::new() };
        let reader = head.reader();
        let mut lines = self.runtime.block_on(async {
            let mut lines = Vec::new();
            let jobs = jobs(&head, &pipeline.parse().unwrap()).await;
            for (_, entry) in datum_entries(&reader, &jobs[0]).await {
                let facts: RunFacts = reader.stored(entry.facts).await.unwrap();
                for stream in [facts.stdout, facts.stderr] {
                    lines.extend(stream_lines(&reader, &stream).await);
                }
            }
            lines
        });
        lines.sort();
        lines
    }
}

/// A file name for a name that may be anything.
fn file_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

async fn listing(reader: &Reader, tree: TreeId) -> BTreeMap<String, String> {
    let mut listing = BTreeMap::new();
    for (path, entry) in reader.files(tree).files(None).collect().await.unwrap() {
        for folder in path.ancestors() {
            listing.insert(format!("/{folder}/"), "<folder>".to_owned());
        }
        listing.insert(path.absolute(), blob_text(reader, &entry).await);
    }
    listing
}

async fn blob_text(reader: &Reader, entry: &FileEntry) -> String {
    String::from_utf8_lossy(&reader.blob(entry.blob).await.unwrap()).into_owned()
}

async fn stream_lines(reader: &Reader, stream: &LogRef) -> Vec<String> {
    match stream.blob {
        Some(blob) => {
            let text = reader.blob(blob).await.unwrap();
            String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
        }
        None => Vec::new(),
    }
}

/// The jobs of a pipeline's newest version, newest first.
async fn jobs(head: &Snapshot, pipeline: &PipelineName) -> Vec<JobManifest> {
    let Some(state) = head.pipeline(pipeline).await.unwrap() else { return Vec::new() };
    let jobs = head.jobs(pipeline).await.unwrap();
    let mut jobs: Vec<JobState> = jobs.into_values().filter(|job| job.version == state.version).collect();
    jobs.sort_by_key(|job| std::cmp::Reverse((job.started, job.finished)));
    let manifests: Vec<Digest> = jobs.iter().map(|job| job.manifest.0).collect();
    head.reader().stored_many(&manifests).await.unwrap()
}

/// `success: 2 processed, 1 reused`, without what is zero.
fn job_line(job: &JobManifest) -> String {
    let JobCounts { total, processed, reused, failed, recovered } = job.counts;
    assert_eq!(processed + reused + failed + recovered, total, "every datum is counted once");
    format!("{}: {}", job.status.word(), counts_line([processed, reused, failed, recovered]))
}

/// Counts of processed, reused, failed and recovered datums in words.
pub(crate) fn counts_line(counts: [u64; 4]) -> String {
    let words = ["processed", "reused", "failed", "recovered"];
    let parts = counts.iter().zip(words).filter(|(count, _)| **count > 0);
    let parts: Vec<String> = parts.map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { "no datums".to_owned() } else { parts.join(", ") }
}

async fn datum_entries(reader: &Reader, job: &JobManifest) -> Vec<(DatumId, DatumEntry)> {
    let entries = reader.tree(job.datums).scan_prefix(b"").collect().await.unwrap();
    let decode = |(key, value): (Vec<u8>, Vec<u8>)| {
        let id = DatumId(Digest::from_bytes(key.try_into().unwrap()));
        (id, DatumEntry::decode(&value).unwrap())
    };
    entries.into_iter().map(decode).collect()
}

/// What a job's datums read, by id.
async fn labels(reader: &Reader, job: &JobManifest) -> BTreeMap<DatumId, String> {
    let version: PipelineVersion = reader.stored(job.version.0).await.unwrap();
    let mut trees = Vec::new();
    for input in &job.inputs {
        let files = reader.tree(input.tree).len().await.unwrap();
        trees.push(LeafTree { tree: input.tree, files, bytes: 0 });
    }
    let listed = inputs::list(reader, &version.spec.input, &trees).await.unwrap();
    listed.iter().map(|datum| (datum.id, label(datum))).collect()
}

/// `repo:/path repo:/path`.
fn label(datum: &Datum) -> String {
    let input = |input: &flow_model::datum::DatumInput| match input.content {
        InputContent::Folder { .. } if input.path != "/" => format!("{}:{}/", input.repo, input.path),
        _ => format!("{}:{}", input.repo, input.path),
    };
    datum.inputs.iter().map(input).collect::<Vec<_>>().join(" ")
}

/// A recorded object of texts.
pub(crate) fn texts(object: &Value) -> BTreeMap<String, String> {
    crate::recorded::entries(object).map(|(key, value)| (key.to_owned(), text(value).to_owned())).collect()
}
