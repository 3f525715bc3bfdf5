//! The index: digest -> location, kept as a few sorted runs that the view names.
//!
//! Each publish adds the entries of its packs. Runs have levels by size, one run per level: a publish merges its
//! entries with the smallest level and carries on while a level overflows, so that there are at most a handful of runs
//! and an entry is rewritten a logarithmic number of times. Runs above a million entries are left alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use flow_model::digest::Digest;

use crate::{
    error::StoreError,
    location::{Container, Kind, Slot},
    run::{self, Run, Shape},
    wire::Wire,
};

pub(crate) const SHAPE: Shape = Shape { kind: b'I', key: 32, value: VALUE };
const VALUE: usize = 4 + 1 + 1 + 4 + 4 + 8;
const LEVEL_FIRST: u64 = 512;
const LEVEL_FACTOR: u64 = 16;
/// Runs with more entries are never merged again: what a merge holds in memory stays bounded.
pub(crate) const SEALED: u64 = 1 << 20;

/// The level of a run with this many entries.
pub(crate) fn level(entries: u64) -> u32 {
    let mut level = 0;
    let mut limit = LEVEL_FIRST;
    while entries >= limit && limit < SEALED {
        level += 1;
        limit *= LEVEL_FACTOR;
    }
    level
}

/// Which of the runs (by entries) a new run with `added` entries swallows.
pub(crate) fn merge_with(existing: &[u64], added: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..existing.len()).filter(|at| existing[*at] < SEALED).collect();
    order.sort_by_key(|at| (existing[*at], *at));
    let (mut total, mut swallowed) = (added, Vec::new());
    for at in order {
        if level(existing[at]) > level(total) {
            break;
        }
        total += existing[at];
        swallowed.push(at);
    }
    swallowed.sort_unstable();
    swallowed
}

/// The runs of one state.
#[derive(Debug, Default)]
pub(crate) struct IndexSet {
    runs: Vec<Arc<Run>>,
}

impl IndexSet {
    pub(crate) fn new(runs: Vec<Arc<Run>>) -> Self {
        Self { runs }
    }

    /// Slots for digests that are given in ascending order, at the same positions.
    pub(crate) async fn lookup(&self, digests: &[Digest]) -> Result<Vec<Option<Slot>>, StoreError> {
        let mut found = vec![None; digests.len()];
        let mut open: Vec<usize> = (0..digests.len()).collect();
        for run in &self.runs {
            if open.is_empty() {
                break;
            }
            let keys: Vec<&[u8]> = open.iter().map(|at| &digests[*at].as_bytes()[..]).collect();
            let values = run.lookup(&keys).await?;
            if values.iter().all(Option::is_none) {
                continue;
            }
            let table = run.table().await?;
            for (at, value) in open.iter().zip(&values) {
                if let Some(value) = value {
                    found[*at] = Some(decode_value(value, &table, run)?);
                }
            }
            open.retain(|at| found[*at].is_none());
        }
        Ok(found)
    }
}

fn decode_value(value: &[u8], table: &[u8], run: &Run) -> Result<Slot, StoreError> {
    let read = || {
        let mut wire = Wire(value);
        let number = wire.u32()? as usize;
        let start = number.checked_mul(Container::ENCODED_LENGTH)?;
        let container = Container::decode(&mut Wire(table.get(start..)?))?;
        let kind = Kind::from_byte(wire.u8()?)?;
        let zstd = wire.u8()? == 1;
        Some(Slot { container, kind, zstd, offset: wire.u32()?, length: wire.u32()?, raw_len: wire.u64()? })
    };
    read().ok_or_else(|| StoreError::corrupt(run.name(), "an entry points to no object"))
}

/// All entries of a run, by digest.
pub(crate) async fn read_all(run: &Run, into: &mut BTreeMap<Digest, Slot>) -> Result<(), StoreError> {
    let table = run.table().await?;
    run.for_each_block(|block| {
        for entry in block.chunks_exact(SHAPE.key + SHAPE.value) {
            let (key, value) = entry.split_at(SHAPE.key);
            let mut digest = [0; 32];
            digest.copy_from_slice(key);
            into.insert(Digest::from_bytes(digest), decode_value(value, &table, run)?);
        }
        Ok(())
    })
    .await
}

/// The bytes of a run with these entries.
pub(crate) fn encode(entries: &BTreeMap<Digest, Slot>) -> Bytes {
    let containers: BTreeSet<Container> = entries.values().map(|slot| slot.container).collect();
    let numbers: BTreeMap<Container, u32> = containers.iter().copied().zip(0..).collect();
    let mut table = Vec::with_capacity(containers.len() * Container::ENCODED_LENGTH);
    for container in &containers {
        container.encode(&mut table);
    }
    let encoded: Vec<[u8; SHAPE.key + VALUE]> = entries
        .iter()
        .map(|(digest, slot)| {
            let mut entry = [0; SHAPE.key + VALUE];
            entry[..32].copy_from_slice(digest.as_bytes());
            entry[32..36].copy_from_slice(&numbers[&slot.container].to_le_bytes());
            entry[36] = slot.kind.byte();
            entry[37] = u8::from(slot.zstd);
            entry[38..42].copy_from_slice(&slot.offset.to_le_bytes());
            entry[42..46].copy_from_slice(&slot.length.to_le_bytes());
            entry[46..].copy_from_slice(&slot.raw_len.to_le_bytes());
            entry
        })
        .collect();
    run::encode(SHAPE, &encoded, &table)
}

#[cfg(test)]
mod tests {
    use flow_model::digest::JobId;
    use ulid::Ulid;

    use super::*;
    use crate::media::{Media, ObjectMedia};

    fn entries(count: u32) -> BTreeMap<Digest, Slot> {
        (0..count)
            .map(|number| {
                let ulid = Ulid::from_parts(u64::from(number % 7), 1);
                let container = match number % 3 {
                    0 => Container::Pack(ulid),
                    1 => Container::Large(ulid),
                    _ => Container::Job(JobId(Digest::of(b"job")), ulid),
                };
                let kind = Kind::Record;
                let slot =
                    Slot { container, kind, zstd: number % 2 == 0, offset: number, length: 7, raw_len: 9 };
                (Digest::of(&number.to_le_bytes()), slot)
            })
            .collect()
    }

    #[tokio::test]
    async fn lookups_find_what_is_there_and_nothing_else() {
        for count in [1, 255, 256, 257, 20_000] {
            let all = entries(count);
            let media: Arc<dyn Media> = Arc::new(ObjectMedia::memory());
            let bytes = encode(&all);
            let size = bytes.len() as u64;
            media.create("index/x", bytes).await.unwrap();
            let run = Arc::new(Run::new(Arc::clone(&media), "index/x".to_owned(), size, SHAPE));
            let set = IndexSet::new(vec![Arc::clone(&run)]);
            let mut wanted: Vec<Digest> =
                (0..count + 300).map(|number| Digest::of(&number.to_le_bytes())).collect();
            wanted.sort();
            let found = set.lookup(&wanted).await.unwrap();
            for (digest, slot) in wanted.iter().zip(found) {
                assert_eq!(slot, all.get(digest).copied());
            }
            let mut back = BTreeMap::new();
            read_all(&run, &mut back).await.unwrap();
            assert_eq!(back, all);
        }
    }

    #[test]
    fn levels_keep_the_number_of_runs_small() {
        let mut runs: Vec<u64> = Vec::new();
        let mut rewritten = 0;
        for _ in 0..20_000 {
            let swallowed = merge_with(&runs, 12);
            let total = 12 + swallowed.iter().map(|at| runs[*at]).sum::<u64>();
            for at in swallowed.into_iter().rev() {
                runs.remove(at);
            }
            runs.push(total);
            rewritten += total;
            assert!(runs.len() <= 4, "{runs:?}");
        }
        assert!(rewritten / (20_000 * 12) < 60, "{rewritten}");
    }
}
