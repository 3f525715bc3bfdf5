//! Answers from the manifests: how something was made, and what was made from it.
//!
//! Upwards: commit -> job -> manifest; path -> owning datum -> record -> inputs, each of which is a path of an input
//! commit, and so on. Downwards: from a commit and path to the datums of jobs that read it, and to their outputs.
//!
//! Both walks are breadth-first and bounded by the jobs of the state; a job is read once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flow_model::{
    commit::{Commit, Origin},
    datum::DatumInput,
    digest::{CommitId, DatumId, JobId, VersionId},
    job::{DatumEntry, DatumOutcome, DatumRecord, JobManifest, RunFacts},
    name::{PipelineName, RepoName},
    path::RepoPath,
    time::{Millis, Timestamp},
};
use flow_store::{Reader, Snapshot};
use serde::Serialize;

use crate::{decide::decode_entry, error::EngineError, merge::datum_of};

/// A file, or all files, of a commit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The repo.
    pub repo: RepoName,
    /// The commit.
    pub commit: CommitId,
    /// The path, with a leading slash; `/` for all.
    pub path: String,
}

/// How one thing was made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What was made.
    pub place: Place,
    /// How.
    #[serde(flatten)]
    pub origin: Made,
}

/// How a commit or file came to be.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Made {
    /// Somebody put it there.
    Put {
        /// Who.
        author: String,
        /// When.
        time: Timestamp,
        /// What the author said.
        message: String,
        /// Whether `flow apply` took it from a source folder.
        from_source: bool,
    },
    /// A job made it.
    Job(Box<MadeByJob>),
}

/// A job, and the datums of it where a path was asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeByJob {
    /// The job that published it.
    pub job: JobId,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The version: spec and code.
    pub version: VersionId,
    /// Who set the job off.
    pub actor: String,
    /// When the job ended.
    pub finished: Timestamp,
    /// The version of flow.
    pub tool_version: String,
    /// What ran it.
    pub executor: flow_model::datum::ExecutorIdentity,
    /// What was read: by the datums where a path was asked for, else by the whole job. Sorted.
    pub reads: Vec<Place>,
    /// The datums that wrote the file, or the files of the folder, by id; none where a whole commit was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub datums: Vec<MadeByDatum>,
}

/// The datum that wrote a file.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeByDatum {
    /// The datum.
    pub id: DatumId,
    /// Its key.
    pub key: flow_model::digest::DatumKey,
    /// What it read.
    pub inputs: Vec<DatumInput>,
    /// The job in which it ran; another one than the publishing job if its result was reused.
    pub ran_in: JobId,
    /// When it ran.
    pub started: Timestamp,
    /// How long.
    pub wall: Millis,
    /// Tries.
    pub attempts: u32,
    /// Who ran it.
    pub runner: String,
}

/// What one job made from a place.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// What was read.
    pub read: Place,
    /// The job.
    pub job: JobId,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The datums that read it, with what they wrote.
    pub datums: Vec<UseByDatum>,
}

/// A datum that read a place, and what it wrote.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UseByDatum {
    /// The datum.
    pub id: DatumId,
    /// Its inputs as a human calls them.
    pub label: String,
    /// The files that it wrote, as places of the job's output commit.
    pub wrote: Vec<Place>,
}

/// Walks up from a place to the data that somebody put.
///
/// # Errors
/// If the store cannot be read, or the path does not exist.
pub async fn up(reader: &Reader, snapshot: &Snapshot, start: Place) -> Result<Vec<Step>, EngineError> {
    let jobs = manifests(reader, snapshot).await?;
    let mut steps = Vec::new();
    let mut seen = BTreeSet::from([start.clone()]);
    let mut open = VecDeque::from([start]);
    while let Some(place) = open.pop_front() {
        let (step, next) = step_up(reader, &jobs, place).await?;
        steps.push(step);
        open.extend(next.into_iter().filter(|place| seen.insert(place.clone())));
    }
    Ok(steps)
}

/// Walks down from a place to everything that was made from it, in the newest and all earlier jobs of the state.
///
/// # Errors
/// If the store cannot be read.
pub async fn down(reader: &Reader, snapshot: &Snapshot, start: Place) -> Result<Vec<Use>, EngineError> {
    let jobs = manifests(reader, snapshot).await?;
    let mut uses = Vec::new();
    let mut seen = BTreeSet::from([start.clone()]);
    let mut open = VecDeque::from([start]);
    while let Some(place) = open.pop_front() {
        for manifest in jobs.values() {
            let Some(found) = use_in(reader, manifest, &place).await? else { continue };
            let wrote = found.datums.iter().flat_map(|datum| datum.wrote.clone());
            open.extend(wrote.filter(|place| seen.insert(place.clone())));
            uses.push(found);
        }
    }
    Ok(uses)
}

/// All manifests of the state, oldest first.
async fn manifests(
    reader: &Reader,
    snapshot: &Snapshot,
) -> Result<BTreeMap<(Timestamp, JobId), JobManifest>, EngineError> {
    let mut found = BTreeMap::new();
    for ((_, job), state) in snapshot.all_jobs().await? {
        found.insert((state.finished, job), reader.stored(state.manifest.0).await?);
    }
    Ok(found)
}

async fn step_up(
    reader: &Reader,
    jobs: &BTreeMap<(Timestamp, JobId), JobManifest>,
    place: Place,
) -> Result<(Step, Vec<Place>), EngineError> {
    let commit: Commit = reader.stored(place.commit.0).await?;
    let Some(job) = commit.job else {
        let from_source = commit.origin == Origin::Source;
        let origin =
            Made::Put { author: commit.author, time: commit.time, message: commit.message, from_source };
        return Ok((Step { place, origin }, Vec::new()));
    };
    let manifest = jobs.values().find(|manifest| manifest.job == job);
    let manifest = manifest.ok_or_else(|| EngineError::Missing { what: format!("job `{}`", job.short()) })?;
    let datums = match RepoPath::parse(&place.path) {
        Ok(path) => owners(reader, manifest, &path).await?,
        Err(_) => Vec::new(),
    };
    let reads: BTreeSet<Place> = match datums.as_slice() {
        [] => manifest.inputs.iter().map(|input| whole(&input.repo, input.commit)).collect(),
        datums => {
            let inputs = datums.iter().flat_map(|datum| &datum.inputs);
            inputs.filter_map(|input| read_place(manifest, input)).collect()
        }
    };
    let reads: Vec<Place> = reads.into_iter().collect();
    let origin = Made::Job(Box::new(MadeByJob {
        job,
        pipeline: manifest.pipeline.clone(),
        version: manifest.version,
        actor: manifest.actor.clone(),
        finished: manifest.finished,
        tool_version: manifest.tool_version.clone(),
        executor: manifest.executor.clone(),
        reads: reads.clone(),
        datums,
    }));
    Ok((Step { place, origin }, reads))
}

fn whole(repo: &RepoName, commit: CommitId) -> Place {
    Place { repo: repo.clone(), commit, path: "/".to_owned() }
}

/// Where a datum's input lies: a path of the commit that the job read.
fn read_place(manifest: &JobManifest, input: &DatumInput) -> Option<Place> {
    let read = manifest
        .inputs
        .iter()
        .find(|read| (&read.name, &read.repo, &read.branch) == (&input.name, &input.repo, &input.branch))?;
    Some(Place { repo: read.repo.clone(), commit: read.commit, path: input.path.clone() })
}

/// The datums that wrote a file, or the files of a folder, by id.
async fn owners(
    reader: &Reader,
    manifest: &JobManifest,
    path: &RepoPath,
) -> Result<Vec<MadeByDatum>, EngineError> {
    let missing = || EngineError::Missing { what: format!("the datum that wrote `{path}`") };
    let tree = reader.tree(manifest.owners);
    let mut ids: BTreeSet<DatumId> = BTreeSet::new();
    if let Some(value) = tree.get(path.as_str().as_bytes()).await? {
        ids.insert(datum_of(&value).ok_or_else(missing)?);
    } else {
        let mut below = tree.scan_prefix(format!("{}/", path.as_str()).as_bytes());
        loop {
            let batch = below.next_batch().await?;
            if batch.is_empty() {
                break;
            }
            ids.extend(batch.iter().filter_map(|(_, value)| datum_of(value)));
        }
    }
    if ids.is_empty() {
        return Err(missing());
    }
    let mut owners = Vec::with_capacity(ids.len());
    for id in ids {
        owners.push(owner(reader, manifest, id).await?);
    }
    Ok(owners)
}

async fn owner(reader: &Reader, manifest: &JobManifest, id: DatumId) -> Result<MadeByDatum, EngineError> {
    let missing = || EngineError::Missing { what: format!("datum `{}`", id.short()) };
    let entry = reader.tree(manifest.datums).get(id.0.as_bytes()).await?;
    let entry = entry.and_then(|value| DatumEntry::decode(&value)).ok_or_else(missing)?;
    let (record, facts) = details(reader, &entry).await?;
    Ok(MadeByDatum {
        id,
        key: record.key,
        inputs: record.inputs,
        ran_in: entry.ran_in,
        started: facts.started,
        wall: facts.wall,
        attempts: facts.attempts,
        runner: facts.runner,
    })
}

async fn use_in(reader: &Reader, manifest: &JobManifest, place: &Place) -> Result<Option<Use>, EngineError> {
    let Some(output) = manifest.output else { return Ok(None) };
    if !manifest.inputs.iter().any(|input| input.commit == place.commit) {
        return Ok(None);
    }
    let mut datums = Vec::new();
    let mut entries = reader.tree(manifest.datums).scan_prefix(b"");
    loop {
        let batch = entries.next_batch().await?;
        if batch.is_empty() {
            break;
        }
        for (key, value) in batch {
            let (id, entry) = decode_entry(&key, &value)?;
            if entry.outcome != DatumOutcome::Success {
                continue;
            }
            let record: DatumRecord = reader.stored(entry.record.0).await?;
            if record.inputs.iter().any(|input| reads(manifest, input, place)) {
                datums.push(use_by(manifest, output, id, record));
            }
        }
    }
    let (job, pipeline) = (manifest.job, manifest.pipeline.clone());
    Ok((!datums.is_empty()).then(|| Use { read: place.clone(), job, pipeline, datums }))
}

/// Whether an input covers a place: the same path, or a folder around it or below it.
fn reads(manifest: &JobManifest, input: &DatumInput, place: &Place) -> bool {
    let Some(read) = read_place(manifest, input).filter(|read| read.commit == place.commit) else {
        return false;
    };
    let covers = |outer: &str, inner: &str| {
        outer == "/" || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    covers(&read.path, &place.path) || covers(&place.path, &read.path)
}

fn use_by(manifest: &JobManifest, output: CommitId, id: DatumId, record: DatumRecord) -> UseByDatum {
    let repo = manifest.pipeline.output_repo();
    let label = record
        .inputs
        .iter()
        .map(|input| format!("{}:{}", input.name, input.path))
        .collect::<Vec<_>>()
        .join(" ");
    let wrote = record
        .outputs
        .into_iter()
        .map(|written| Place { repo: repo.clone(), commit: output, path: written.path.to_string() })
        .collect();
    UseByDatum { id, label, wrote }
}

/// Looks a job up by its id or the start of it, or by a pipeline's name (its newest ended job).
///
/// # Errors
/// If the state cannot be read.
pub async fn find_jobs(snapshot: &Snapshot, text: &str) -> Result<Vec<(PipelineName, JobId)>, EngineError> {
    if let Ok(pipeline) = PipelineName::parse(text)
        && let Some(last) = snapshot.last_job(&pipeline).await?
    {
        return Ok(vec![(pipeline, last.job)]);
    }
    let starts = |id: &JobId| text.len() >= 4 && id.to_string().starts_with(text);
    Ok(snapshot.all_jobs().await?.into_keys().filter(|(_, id)| starts(id)).collect())
}

/// The facts and record behind an entry.
///
/// # Errors
/// If the store cannot be read.
pub async fn details(reader: &Reader, entry: &DatumEntry) -> Result<(DatumRecord, RunFacts), EngineError> {
    Ok((reader.stored(entry.record.0).await?, reader.stored(entry.facts).await?))
}

/// The datums of a job, by id.
///
/// # Errors
/// If the store cannot be read.
pub async fn datums_of(
    reader: &Reader,
    manifest: &JobManifest,
) -> Result<Vec<(DatumId, DatumEntry)>, EngineError> {
    let mut found = Vec::new();
    for (key, value) in reader.tree(manifest.datums).scan_prefix(b"").collect().await? {
        found.push(decode_entry(&key, &value)?);
    }
    Ok(found)
}
