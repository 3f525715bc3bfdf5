//! Ends a job: merges outputs, writes commit, manifest and cache entries, publishes one operation.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    commit::{Commit, CommitRef, OperationKind, Origin},
    datum::Datum,
    digest::{CommitId, DatumId, DatumKey, ManifestId, RecordId, TreeId},
    forecast::{DatumAction, ResultRef},
    job::{
        DatumEntry, DatumOutcome, DatumOutput, DatumRecord, FinishedDatum, JobCounts, JobFailure,
        JobManifest, JobStatus, RunFacts,
    },
    name::BranchName,
    state::{BranchState, JobState, LastJob, ViewKey},
    time::{Millis, Timestamp},
    tree::FileEntry,
};
use flow_store::{JobPacks, OperationMeta, Reader, Snapshot, Stamp, Transaction};

use crate::{
    decide::Decided,
    error::EngineError,
    job::Surroundings,
    merge::{Edits, OutputEdits},
    protocol::JobSpec,
};

/// Failed datums that a manifest describes; the counts and the tree of datums have all.
const FAILURES_MAX: usize = 20;

/// A job whose datums are all finished.
pub(crate) struct Ended<'a> {
    pub(crate) spec: &'a JobSpec,
    pub(crate) decided: &'a Decided,
    pub(crate) finished: &'a BTreeMap<DatumId, FinishedDatum>,
    pub(crate) last: Option<&'a JobManifest>,
    pub(crate) started: Timestamp,
}

/// What the datums leave behind: their entries and outputs, as edits of `base`'s trees.
struct Results<'a> {
    /// The job whose trees are carried on: the last one, if it succeeded.
    base: Option<&'a JobManifest>,
    entries: Edits,
    outputs: OutputEdits,
    cache: Vec<(DatumKey, ResultRef)>,
}

/// Counts a job's datums.
pub(crate) fn counts(decided: &Decided, finished: &BTreeMap<DatumId, FinishedDatum>) -> JobCounts {
    let count = |outcome| finished.values().filter(|datum| datum.outcome == outcome).count() as u64;
    let is_reused = |action: &DatumAction| matches!(action, DatumAction::Reuse(_));
    let looked_at =
        decided.plan.decisions.iter().filter(|decision| is_reused(&decision.action)).count() as u64;
    JobCounts {
        total: decided.datums.len() as u64 + decided.plan.untouched,
        processed: count(DatumOutcome::Success),
        reused: looked_at + decided.plan.untouched,
        failed: count(DatumOutcome::Failed),
        recovered: count(DatumOutcome::Recovered),
    }
}

/// Publishes the end of a job.
pub(crate) async fn publish(
    around: &Surroundings<'_>,
    ended: &Ended<'_>,
    packs: JobPacks,
) -> Result<JobManifest, EngineError> {
    let snapshot =
        around.project.head().await?.ok_or_else(|| EngineError::Missing { what: "the state".to_owned() })?;
    let mut transaction = around.project.begin(Some(&snapshot));
    transaction.adopt(packs);
    let reader = transaction.reader();
    let mut results = results(&transaction, ended).await?;
    let failure = failure(&reader, ended, &mut results).await?;
    let manifest = write(around, ended, &snapshot, &mut transaction, results, failure).await?;
    let description = format!(
        "job {} of {}: {}, {} run, {} reused, {} failed",
        manifest.job.short(),
        manifest.pipeline,
        manifest.status.word(),
        manifest.counts.processed + manifest.counts.recovered,
        manifest.counts.reused,
        manifest.counts.failed
    );
    let stamp = Stamp { actor: around.actor.to_owned(), time: manifest.finished };
    transaction.publish(OperationMeta { kind: OperationKind::Jobs, description, stamp }).await?;
    Ok(manifest)
}

async fn results<'a>(transaction: &Transaction, ended: &Ended<'a>) -> Result<Results<'a>, EngineError> {
    let reader = &transaction.reader();
    let base = ended.last.filter(|last| last.status == JobStatus::Success);
    let mut results =
        Results { base, entries: Edits::new(), outputs: OutputEdits::default(), cache: Vec::new() };
    let wanted: BTreeMap<DatumId, &(Datum, DatumKey)> =
        ended.decided.datums.iter().map(|wanted| (wanted.0.id, wanted)).collect();
    for decision in &ended.decided.plan.decisions {
        let id = decision.id;
        let known = ended.decided.known.get(&id);
        let carried_on = |known: &DatumEntry| {
            decision.action == DatumAction::Reuse(ResultRef { record: known.record, facts: known.facts })
        };
        if base.is_some() && known.is_some_and(carried_on) {
            continue;
        }
        if let (Some(_), Some(known)) = (base, known.filter(|known| known.outcome == DatumOutcome::Success)) {
            results.outputs.remove(&record(reader, known.record).await?.outputs);
        }
        let entry = match decision.action {
            DatumAction::Drop => None,
            DatumAction::Reuse(result) => {
                let (entry, outputs) = reused(transaction, wanted.get(&id).copied(), result).await?;
                results.outputs.add(id, &outputs);
                Some(entry)
            }
            DatumAction::Process => {
                let entry = ended.finished.get(&id).map(|datum| finished_entry(ended.spec, datum));
                if let Some(entry) = entry.filter(|entry| entry.outcome == DatumOutcome::Success) {
                    results.outputs.add(id, &record(reader, entry.record).await?.outputs);
                    results.cache.push((entry.key, ResultRef { record: entry.record, facts: entry.facts }));
                }
                entry
            }
        };
        results.entries.insert(id.0.as_bytes().to_vec(), entry.map(|entry| entry.encode()));
    }
    Ok(results)
}

async fn record(reader: &Reader, id: RecordId) -> Result<DatumRecord, EngineError> {
    Ok(reader.stored(id.0).await?)
}

/// The entry and the outputs of a datum whose result was known. What made that result may have read the same content elsewhere: the
/// record of this datum says where this one reads, as if it had run.
async fn reused(
    transaction: &Transaction,
    wanted: Option<&(Datum, DatumKey)>,
    result: ResultRef,
) -> Result<(DatumEntry, Vec<DatumOutput>), EngineError> {
    let (datum, key) = wanted.ok_or_else(|| EngineError::Missing { what: "a reused datum".to_owned() })?;
    let reader = transaction.reader();
    let facts: RunFacts = reader.stored(result.facts).await?;
    let mut known = record(&reader, result.record).await?;
    let record = if known.inputs == datum.inputs {
        result.record
    } else {
        known.inputs.clone_from(&datum.inputs);
        RecordId(transaction.put_stored(&known))
    };
    let entry = DatumEntry {
        outcome: DatumOutcome::Success,
        key: *key,
        inputs: datum.inputs_digest(),
        record,
        facts: result.facts,
        ran_in: facts.job,
    };
    Ok((entry, known.outputs))
}

fn finished_entry(spec: &JobSpec, datum: &FinishedDatum) -> DatumEntry {
    DatumEntry {
        outcome: datum.outcome,
        key: datum.key,
        inputs: datum.inputs,
        record: datum.record,
        facts: datum.facts,
        ran_in: spec.job,
    }
}

async fn failure(
    reader: &Reader,
    ended: &Ended<'_>,
    results: &mut Results<'_>,
) -> Result<Option<JobFailure>, EngineError> {
    let finished = ended.decided.datums.iter().filter_map(|(datum, _)| ended.finished.get(&datum.id));
    let failed: Vec<_> = finished.filter_map(|datum| datum.failure.clone()).take(FAILURES_MAX).collect();
    if !failed.is_empty() {
        return Ok(Some(JobFailure::Datums { failed }));
    }
    let mut conflicts = results.outputs.conflicts(reader, results.base.map(|base| base.owners)).await?;
    if conflicts.is_empty() {
        return Ok(None);
    }
    let mut labels: BTreeMap<DatumId, String> =
        ended.decided.datums.iter().map(|(datum, _)| (datum.id, datum.label())).collect();
    for (id, label) in conflicts.iter_mut().flat_map(|conflict| &mut conflict.datums) {
        if !labels.contains_key(id) {
            labels.insert(*id, label_of_kept(reader, results.base, *id).await?);
        }
        label.clone_from(&labels[id]);
    }
    Ok(Some(JobFailure::OutputConflicts { conflicts }))
}

/// What a human calls a datum of the last job that this one carries on.
async fn label_of_kept(
    reader: &Reader,
    base: Option<&JobManifest>,
    id: DatumId,
) -> Result<String, EngineError> {
    let Some(base) = base else { return Ok(id.short()) };
    let entry = reader.tree(base.datums).get(id.0.as_bytes()).await?;
    match entry.and_then(|value| DatumEntry::decode(&value)) {
        Some(entry) => Ok(Datum::new(record(reader, entry.record).await?.inputs).label()),
        None => Ok(id.short()),
    }
}

async fn write(
    around: &Surroundings<'_>,
    ended: &Ended<'_>,
    snapshot: &Snapshot,
    transaction: &mut Transaction,
    results: Results<'_>,
    failure: Option<JobFailure>,
) -> Result<JobManifest, EngineError> {
    let spec = ended.spec;
    let trees = trees(transaction, &results, failure.is_none()).await?;
    transaction.cache(results.cache.clone());
    let finished = (around.now)();
    let output = match failure {
        None => Some(output_commit(around, ended, snapshot, transaction, &trees).await?),
        Some(_) => None,
    };
    let counts = counts(ended.decided, ended.finished);
    let manifest = JobManifest {
        job: spec.job,
        pipeline: spec.pipeline.clone(),
        version: spec.version_id,
        commit_set: spec.commit_set,
        run: spec.run,
        inputs: spec.inputs.clone(),
        transform: spec.transform,
        executor: spec.executor.clone(),
        status: if failure.is_none() { JobStatus::Success } else { JobStatus::Failure },
        counts,
        datum_wall: mean_wall(ended),
        datums: trees.datums,
        owners: trees.owners,
        output_tree: trees.files,
        output,
        failure,
        actor: spec.actor.clone(),
        tool_version: around.tool_version.to_owned(),
        started: ended.started,
        finished,
    };
    set_state(transaction, spec, &manifest);
    Ok(manifest)
}

fn set_state(transaction: &mut Transaction, spec: &JobSpec, manifest: &JobManifest) {
    let id = ManifestId(transaction.put_stored(manifest));
    // A pipeline that was changed or removed meanwhile is a conflict: its job's end must not be published over it.
    transaction.expect_unchanged(&ViewKey::Pipeline(manifest.pipeline.clone()));
    transaction.set(
        &ViewKey::Job(manifest.pipeline.clone(), manifest.job),
        &JobState {
            manifest: id,
            status: manifest.status,
            counts: manifest.counts,
            commit_set: manifest.commit_set,
            version: manifest.version,
            output: manifest.output,
            started: manifest.started,
            finished: manifest.finished,
        },
    );
    transaction.set(
        &ViewKey::Last(manifest.pipeline.clone()),
        &LastJob {
            job: manifest.job,
            manifest: id,
            status: manifest.status,
            version: manifest.version,
            work: spec.work,
            inputs: manifest.inputs.iter().map(|input| input.commit).collect(),
            run: manifest.run,
        },
    );
}

struct Trees {
    datums: TreeId,
    owners: TreeId,
    files: TreeId,
    /// Change of the number of output files and of their bytes.
    delta: (i64, i64),
}

async fn trees(
    transaction: &mut Transaction,
    results: &Results<'_>,
    merged: bool,
) -> Result<Trees, EngineError> {
    let base = results.base;
    let datums = transaction.edit_tree(base.map(|base| base.datums), results.entries.clone()).await?;
    if !merged {
        let empty = transaction.edit_tree(None, Edits::new()).await?;
        return Ok(Trees { datums, owners: empty, files: empty, delta: (0, 0) });
    }
    let edits = results.outputs.file_edits();
    let delta = size_delta(&transaction.reader(), base.map(|base| base.output_tree), &edits).await?;
    let owners = transaction.edit_tree(base.map(|base| base.owners), results.outputs.owner_edits()).await?;
    let files = transaction.edit_tree(base.map(|base| base.output_tree), edits).await?;
    Ok(Trees { datums, owners, files, delta })
}

/// By how many files and bytes the edits change the tree.
pub(crate) async fn size_delta(
    reader: &Reader,
    base: Option<TreeId>,
    edits: &Edits,
) -> Result<(i64, i64), EngineError> {
    let (mut files, mut bytes) = (0, 0);
    for (path, after) in edits {
        let before = match base {
            Some(base) => reader.tree(base).get(path).await?.and_then(|value| FileEntry::decode(&value)),
            None => None,
        };
        let after = after.as_deref().and_then(FileEntry::decode);
        files += i64::from(after.is_some()) - i64::from(before.is_some());
        bytes += after.map_or(0, |entry| entry.size as i64) - before.map_or(0, |entry| entry.size as i64);
    }
    Ok((files, bytes))
}

async fn output_commit(
    around: &Surroundings<'_>,
    ended: &Ended<'_>,
    snapshot: &Snapshot,
    transaction: &mut Transaction,
    trees: &Trees,
) -> Result<CommitId, EngineError> {
    let spec = ended.spec;
    let (repo, branch) = (spec.pipeline.output_repo(), BranchName::master());
    let before = snapshot.branch(&repo, &branch).await?;
    let reads: BTreeSet<CommitRef> = spec
        .inputs
        .iter()
        .map(|input| CommitRef {
            repo: input.repo.clone(),
            branch: input.branch.clone(),
            commit: input.commit,
        })
        .collect();
    let commit = Commit {
        repo: repo.clone(),
        tree: trees.files,
        parents: before.iter().map(|state| state.head).collect(),
        origin: Origin::Job,
        provenance: reads.into_iter().collect(),
        job: Some(spec.job),
        commit_set: spec.commit_set,
        author: spec.actor.clone(),
        time: (around.now)(),
        message: String::new(),
        nonce: transaction.nonce()?,
    };
    let id = CommitId(transaction.put_stored(&commit));
    let (files, bytes) = match (&before, ended.last.filter(|last| last.status == JobStatus::Success)) {
        (Some(state), Some(_)) => (state.files, state.bytes),
        _ => (0, 0),
    };
    transaction.set(
        &ViewKey::Branch(repo, branch),
        &BranchState {
            head: id,
            files: files.saturating_add_signed(trees.delta.0),
            bytes: bytes.saturating_add_signed(trees.delta.1),
            commits: before.map_or(0, |state| state.commits) + 1,
        },
    );
    Ok(id)
}

fn mean_wall(ended: &Ended<'_>) -> Option<Millis> {
    let ran: Vec<u64> = ended.finished.values().map(|datum| datum.wall.0).collect();
    match ran.len() as u64 {
        0 => ended.last.and_then(|last| last.datum_wall),
        count => Some(Millis((ran.iter().sum::<u64>()).div_ceil(count))),
    }
}
