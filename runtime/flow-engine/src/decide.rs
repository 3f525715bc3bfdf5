//! From a pipeline's inputs to a job plan: stations 14 and 15.
//!
//! The datums are listed, their keys looked up on two levels (the last job's tree of datums, then the cache runs), and
//! flow-plan's differ decides. A plan's forecast and the job itself go through here, so that they agree.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    datum::{Datum, ExecutorIdentity, datum_key, transform_digest},
    digest::{DatumId, DatumKey, Digest, TransformDigest},
    forecast::{DatumAction, KnownDatum, ResultRef, WantedDatum},
    job::{DatumEntry, JobManifest},
    spec::PipelineVersion,
};
use flow_plan::datums::JobPlan;
use flow_store::{Reader, Snapshot};

use crate::{
    error::EngineError,
    inputs::{self, LeafTree},
};

/// All that a pipeline's job would do, before any of it is done.
#[derive(Debug)]
pub struct Decided {
    /// The transform's digest.
    pub transform: TransformDigest,
    /// The datums, in input order, with their keys.
    pub datums: Vec<(Datum, DatumKey)>,
    /// One decision per datum of this job or the last one.
    pub plan: JobPlan,
    /// The last job's datums.
    pub known: BTreeMap<DatumId, DatumEntry>,
    /// Whether the transform or its program differs from the last job's.
    pub transform_changed: bool,
}

/// Lists the datums of `version` over `trees` and decides on each, compared with the job `last` and with the results
/// that the state `cache` knows.
///
/// # Errors
/// If the store cannot be read.
pub async fn decide(
    reader: &Reader,
    cache: Option<&Snapshot>,
    version: &PipelineVersion,
    trees: &[LeafTree],
    executor: &ExecutorIdentity,
    last: Option<&JobManifest>,
) -> Result<Decided, EngineError> {
    let transform = transform_digest(version);
    let listed = inputs::list(reader, &version.spec.input, trees).await?;
    let datums: Vec<(Datum, DatumKey)> = listed
        .into_iter()
        .map(|datum| {
            let key = datum_key(transform, executor, datum.inputs_digest());
            (datum, key)
        })
        .collect();
    let known = match last {
        Some(manifest) => known_datums(reader, manifest).await?,
        None => BTreeMap::new(),
    };
    let transform_changed =
        last.is_some_and(|manifest| manifest.transform != transform || manifest.executor != *executor);
    let cached = look_up(cache, &datums, &known).await?;
    let plan =
        flow_plan::datums::plan(&known_list(&known), &wanted_list(&datums), &cached, transform_changed);
    Ok(Decided { transform, datums, plan, known, transform_changed })
}

async fn known_datums(
    reader: &Reader,
    manifest: &JobManifest,
) -> Result<BTreeMap<DatumId, DatumEntry>, EngineError> {
    let mut known = BTreeMap::new();
    let mut entries = reader.tree(manifest.datums).scan_prefix(b"");
    loop {
        let batch = entries.next_batch().await?;
        if batch.is_empty() {
            break;
        }
        for (key, value) in batch {
            let (id, entry) = decode_entry(&key, &value)?;
            known.insert(id, entry);
        }
    }
    Ok(known)
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
