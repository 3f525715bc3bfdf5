//! The result cache: datum key -> record, kept as sorted runs that the view names.
//!
//! A run has the first 16 bytes of a key and where its result is; whoever finds one reads the record and compares the
//! whole key. Entries are weak: a result whose record or outputs are gone is a miss, not an error.

use std::collections::BTreeMap;

use bytes::Bytes;
use flow_model::{
    digest::{DatumKey, Digest, RecordId},
    forecast::ResultRef,
    job::DatumRecord,
};

use crate::{
    error::StoreError,
    reader::Reader,
    run::{self, Run, Shape},
    snapshot::Snapshot,
};

const PREFIX: usize = 16;
const VALUE: usize = 64;
pub(crate) const SHAPE: Shape = Shape { kind: b'C', key: PREFIX, value: VALUE };

pub(crate) type Prefix = [u8; PREFIX];
pub(crate) type Entries = BTreeMap<Prefix, ResultRef>;

pub(crate) fn prefix(key: DatumKey) -> Prefix {
    let mut prefix = [0; PREFIX];
    prefix.copy_from_slice(&key.0.as_bytes()[..PREFIX]);
    prefix
}

fn decode_value(value: &[u8]) -> Option<ResultRef> {
    let (record, facts) = value.split_at_checked(32)?;
    Some(ResultRef {
        record: RecordId(Digest::from_bytes(record.try_into().ok()?)),
        facts: Digest::from_bytes(facts.try_into().ok()?),
    })
}

/// The bytes of a run with these entries.
pub(crate) fn encode(entries: &Entries) -> Bytes {
    let encoded: Vec<[u8; PREFIX + VALUE]> = entries
        .iter()
        .map(|(prefix, result)| {
            let mut entry = [0; PREFIX + VALUE];
            entry[..PREFIX].copy_from_slice(prefix);
            entry[PREFIX..PREFIX + 32].copy_from_slice(result.record.0.as_bytes());
            entry[PREFIX + 32..].copy_from_slice(result.facts.as_bytes());
            entry
        })
        .collect();
    run::encode(SHAPE, &encoded, &[])
}

/// All entries of a run; those that are there already stay.
pub(crate) async fn read_all(run: &Run, into: &mut Entries) -> Result<(), StoreError> {
    run.for_each_block(|block| {
        for entry in block.chunks_exact(PREFIX + VALUE) {
            let (key, value) = entry.split_at(PREFIX);
            let mut prefix = [0; PREFIX];
            prefix.copy_from_slice(key);
            if let Some(result) = decode_value(value) {
                into.entry(prefix).or_insert(result);
            }
        }
        Ok(())
    })
    .await
}

impl Snapshot {
    /// The results that are known for these keys and still there with all their outputs.
    ///
    /// Costs a few reads per cache run, not one per key; each hit's record is read and compared.
    ///
    /// # Errors
    /// The storage does not answer, or a run is damaged.
    pub async fn cached(&self, keys: &[DatumKey]) -> Result<BTreeMap<DatumKey, ResultRef>, StoreError> {
        let mut open: BTreeMap<Prefix, DatumKey> = keys.iter().map(|key| (prefix(*key), *key)).collect();
        let mut candidates: Vec<(DatumKey, ResultRef)> = Vec::new();
        for named in self.cache_runs().await? {
            let wanted: Vec<Prefix> = open.keys().copied().collect();
            let slices: Vec<&[u8]> = wanted.iter().map(<[u8; PREFIX]>::as_slice).collect();
            let found = named.run.lookup(&slices).await?;
            for (prefix, value) in wanted.iter().zip(found) {
                if let Some(result) = value.and_then(|value| decode_value(&value))
                    && let Some(key) = open.remove(prefix)
                {
                    candidates.push((key, result));
                }
            }
        }
        still_there(&self.reader(), candidates).await
    }
}

/// Keeps the candidates whose record is there, is of that key, and whose outputs and facts are there.
async fn still_there(
    reader: &Reader,
    candidates: Vec<(DatumKey, ResultRef)>,
) -> Result<BTreeMap<DatumKey, ResultRef>, StoreError> {
    let digests: Vec<Digest> = candidates.iter().map(|(_, result)| result.record.0).collect();
    let records = read_records(reader, &digests).await?;
    let mut needed = Vec::new();
    for ((key, result), record) in candidates.iter().zip(&records) {
        if let Some(record) = record.as_ref().filter(|record| record.key == *key) {
            needed.push(result.facts);
            needed.extend(record.outputs.iter().map(|output| output.file.blob.0));
        }
    }
    needed.sort_unstable();
    needed.dedup();
    let gone = reader.missing(&needed).await?;
    let there = |digest: &Digest| gone.binary_search(digest).is_err();
    Ok(candidates
        .into_iter()
        .zip(records)
        .filter_map(|((key, result), record)| {
            let record = record.filter(|record| record.key == key)?;
            let complete = there(&result.facts) && record.outputs.iter().all(|o| there(&o.file.blob.0));
            complete.then_some((key, result))
        })
        .collect())
}

/// Records at the positions of their digests; one that is gone or damaged is `None`.
async fn read_records(reader: &Reader, digests: &[Digest]) -> Result<Vec<Option<DatumRecord>>, StoreError> {
    match reader.stored_many(digests).await {
        Ok(records) => return Ok(records.into_iter().map(Some).collect()),
        Err(error) if error.is_damage() => {}
        Err(error) => return Err(error),
    }
    let mut records = Vec::with_capacity(digests.len());
    for digest in digests {
        records.push(match reader.stored(*digest).await {
            Ok(record) => Some(record),
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        });
    }
    Ok(records)
}
