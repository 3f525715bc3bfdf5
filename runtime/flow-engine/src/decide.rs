//! From a pipeline's inputs to a job plan: stations 14 and 15.
//!
//! The datums are listed, their keys looked up on two levels (the last job's tree of datums, then the cache runs), and
//! flow-plan's differ decides. A plan's forecast and the job itself go through here, so that they agree.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    datum::{Datum, ExecutorIdentity, datum_key, transform_digest},
    digest::{DatumId, DatumKey, Digest, TransformDigest, TreeId},
    forecast::{DatumAction, KnownDatum, ResultRef, WantedDatum},
    job::{DatumEntry, JobManifest, JobStatus},
    spec::PipelineVersion,
};
use flow_plan::datums::JobPlan;
use flow_store::{Reader, Snapshot};

use crate::{
    error::EngineError,
    incremental,
    inputs::{self, LeafTree},
};

/// All that a pipeline's job would do, before any of it is done.
#[derive(Debug)]
pub struct Decided {
    /// The transform's digest.
    pub transform: TransformDigest,
    /// The datums that were looked at, in input order, with their keys; the others are counted in the plan.
    pub datums: Vec<(Datum, DatumKey)>,
    /// One decision per datum that was looked at.
    pub plan: JobPlan,
    /// The last job's datums, as far as they were looked at.
    pub known: BTreeMap<DatumId, DatumEntry>,
}

/// What a pipeline's job would run, on what, compared with what.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Where trees and records are.
    pub reader: &'a Reader,
    /// The state whose cache knows results.
    pub cache: Option<&'a Snapshot>,
    /// The version.
    pub version: &'a PipelineVersion,
    /// What its `pfs` inputs read.
    pub trees: &'a [LeafTree],
    /// What runs it.
    pub executor: &'a ExecutorIdentity,
    /// The last job.
    pub last: Option<&'a JobManifest>,
}

/// Lists the datums and decides on each. Where only data changed since a successful job, only what the change touches
/// is listed.
///
/// # Errors
/// If the store cannot be read.
pub async fn decide(question: Question<'_>) -> Result<Decided, EngineError> {
    let transform = transform_digest(question.version);
    match comparable(&question, transform).await? {
        Some(last) => decide_touched(&question, transform, last).await,
        None => decide_all(&question, transform).await,
    }
}

/// The last job, if all its datums have results of the same transform over the same inputs.
async fn comparable<'a>(
    question: &Question<'a>,
    transform: TransformDigest,
) -> Result<Option<&'a JobManifest>, EngineError> {
    let same_work = |last: &&JobManifest| {
        last.status == JobStatus::Success
            && last.counts.recovered == 0
            && last.transform == transform
            && last.executor == *question.executor
    };
    let Some(last) = question.last.filter(same_work) else { return Ok(None) };
    let before: PipelineVersion = question.reader.stored(last.version.0).await?;
    Ok((before.spec.input == question.version.spec.input).then_some(last))
}

async fn decide_touched(
    question: &Question<'_>,
    transform: TransformDigest,
    last: &JobManifest,
) -> Result<Decided, EngineError> {
    let before: Vec<TreeId> = last.inputs.iter().map(|input| input.tree).collect();
    let input = &question.version.spec.input;
    let touched = incremental::touched(question.reader, input, &before, question.trees).await?;
    let tree = question.reader.tree(last.datums);
    let mut known = BTreeMap::new();
    for datum in touched.there.iter().chain(&touched.gone) {
        if let Some(value) = tree.get(datum.id.0.as_bytes()).await? {
            let (id, entry) = decode_entry(datum.id.0.as_bytes(), &value)?;
            known.insert(id, entry);
        }
    }
    let datums = with_keys(touched.there, transform, question.executor);
    let cached = look_up(question.cache, &datums, &known).await?;
    let untouched = last.counts.total.saturating_sub(known.len() as u64);
    let plan =
        flow_plan::datums::plan_changes(&known_list(&known), &wanted_list(&datums), untouched, &cached);
    Ok(Decided { transform, datums, plan, known })
}

async fn decide_all(question: &Question<'_>, transform: TransformDigest) -> Result<Decided, EngineError> {
    let listed = inputs::list(question.reader, &question.version.spec.input, question.trees).await?;
    let datums = with_keys(listed, transform, question.executor);
    let known = match question.last {
        Some(manifest) => known_datums(question.reader, manifest).await?,
        None => BTreeMap::new(),
    };
    let changed = |last: &JobManifest| last.transform != transform || last.executor != *question.executor;
    let transform_changed = question.last.is_some_and(changed);
    let cached = look_up(question.cache, &datums, &known).await?;
    let plan =
        flow_plan::datums::plan(&known_list(&known), &wanted_list(&datums), &cached, transform_changed);
    Ok(Decided { transform, datums, plan, known })
}

fn with_keys(
    datums: Vec<Datum>,
    transform: TransformDigest,
    executor: &ExecutorIdentity,
) -> Vec<(Datum, DatumKey)> {
    let with_key = |datum: Datum| {
        let key = datum_key(transform, executor, datum.inputs_digest());
        (datum, key)
    };
    datums.into_iter().map(with_key).collect()
}

async fn known_datums(
    reader: &Reader,
    manifest: &JobManifest,
) -> Result<BTreeMap<DatumId, DatumEntry>, EngineError> {
    let entries = reader.tree(manifest.datums).scan_prefix(b"").collect().await?;
    entries.iter().map(|(key, value)| decode_entry(key, value)).collect()
}

/// Reads an entry of a job's tree of datums.
pub(crate) fn decode_entry(key: &[u8], value: &[u8]) -> Result<(DatumId, DatumEntry), EngineError> {
    let id = key.try_into().ok().map(|bytes| DatumId(Digest::from_bytes(bytes)));
    id.zip(DatumEntry::decode(value))
        .ok_or_else(|| EngineError::Missing { what: "a datum whose entry does not decode".to_owned() })
}

/// Keys that the last job does not answer go to the cache runs.
async fn look_up(
    cache: Option<&Snapshot>,
    datums: &[(Datum, DatumKey)],
    known: &BTreeMap<DatumId, DatumEntry>,
) -> Result<BTreeMap<DatumKey, ResultRef>, EngineError> {
    let unanswered: BTreeSet<DatumKey> = datums
        .iter()
        .filter(|(datum, key)| known.get(&datum.id).is_none_or(|entry| entry.key != *key))
        .map(|(_, key)| *key)
        .collect();
    match cache {
        Some(snapshot) if !unanswered.is_empty() => {
            Ok(snapshot.cached(&unanswered.into_iter().collect::<Vec<_>>()).await?)
        }
        _ => Ok(BTreeMap::new()),
    }
}

fn known_list(known: &BTreeMap<DatumId, DatumEntry>) -> Vec<KnownDatum> {
    known
        .iter()
        .map(|(id, entry)| KnownDatum {
            id: *id,
            key: entry.key,
            inputs: entry.inputs,
            outcome: entry.outcome,
            result: ResultRef { record: entry.record, facts: entry.facts },
        })
        .collect()
}

fn wanted_list(datums: &[(Datum, DatumKey)]) -> Vec<WantedDatum> {
    let mut wanted: Vec<WantedDatum> = datums
        .iter()
        .map(|(datum, key)| WantedDatum {
            id: datum.id,
            key: *key,
            inputs: datum.inputs_digest(),
            bytes: datum.bytes(),
        })
        .collect();
    wanted.sort_unstable_by_key(|datum| datum.id);
    wanted
}

impl Decided {
    /// The decisions by datum.
    #[must_use]
    pub fn actions(&self) -> BTreeMap<DatumId, DatumAction> {
        self.plan.decisions.iter().map(|decision| (decision.id, decision.action)).collect()
    }
}
