//! Runs: immutable sorted tables of fixed-width entries, the files of the index and of the result cache.
//!
//! ```text
//! header    magic, kind, key and value length                 12 bytes
//! blocks    up to 256 entries each, sorted by key over the whole run
//! table     what the kind of run needs besides
//! filter    blocked Bloom filter over the keys, for large runs
//! fences    per block: first key, digest of the block (8 bytes)
//! trailer   offsets, counts, digest of header + table + filter + fences + trailer, magic
//! ```
//!
//! A small run is read whole; of a large one the end is read and then the blocks that are asked for, each checked
//! against its fence. **Invariant:** keys are unique and ascending.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::{
    error::StoreError,
    filter,
    media::Media,
    wire::{Wire, check64},
};

const MAGIC: &[u8; 8] = b"flowrun\x01";
const HEADER_LENGTH: usize = 12;
const TRAILER_LENGTH: usize = 5 * 8 + 32 + 8;
const BLOCK_ENTRIES: usize = 256;
/// Runs of at most this length are read whole; of longer ones this much of the end is read first.
const WHOLE_READ: u64 = 256 << 10;
/// Runs with more entries carry a filter.
const FILTER_FROM: usize = 8192;
/// Blocks that are kept per run.
const BLOCKS_KEPT: usize = 1024;
/// Blocks that are read in one go when they are close to each other.
const BLOCKS_READ: u64 = 256;

/// What a run holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) kind: u8,
    pub(crate) key: usize,
    pub(crate) value: usize,
}

impl Shape {
    const fn entry(self) -> usize {
        self.key + self.value
    }

    const fn block(self) -> usize {
        self.entry() * BLOCK_ENTRIES
    }

    fn header(self) -> [u8; HEADER_LENGTH] {
        let mut header = [0; HEADER_LENGTH];
        header[..8].copy_from_slice(MAGIC);
        header[8] = self.kind;
        header[9] = self.key as u8;
        header[10] = self.value as u8;
        header
    }
}

/// Encodes a run from entries (key and value back to back) that are sorted by key without duplicates.
pub(crate) fn encode<E: AsRef<[u8]>>(shape: Shape, entries: &[E], table: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(entries.len() * shape.entry() + table.len() + 4096);
    out.extend_from_slice(&shape.header());
    let mut fences = Vec::new();
    for block in entries.chunks(BLOCK_ENTRIES) {
        let start = out.len();
        for entry in block {
            out.extend_from_slice(entry.as_ref());
        }
        fences.extend_from_slice(&out[start..start + shape.key]);
        fences.extend_from_slice(&check64(&out[start..]));
    }
    let table_at = out.len();
    out.extend_from_slice(table);
    let filter_at = out.len();
    if entries.len() > FILTER_FROM {
        out.extend_from_slice(&filter::build(entries.iter().map(|entry| &entry.as_ref()[..shape.key])));
    }
    let fences_at = out.len();
    out.extend_from_slice(&fences);
    for number in [table_at, filter_at, fences_at, entries.len(), BLOCK_ENTRIES] {
        out.extend_from_slice(&(number as u64).to_le_bytes());
    }
    let check = {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&out[..HEADER_LENGTH]).update(&out[table_at..]);
        hasher.finalize()
    };
    out.extend_from_slice(check.as_bytes());
    out.extend_from_slice(MAGIC);
    out.into()
}

/// The parts of a run that every lookup needs.
#[derive(Debug)]
struct Guide {
    entries: usize,
    table: Bytes,
    filter: Bytes,
    fences: Bytes,
    /// The blocks, where the whole run was read at once.
    whole: Option<Bytes>,
}

/// A run in a store; nothing is read before the first lookup.
#[derive(Debug)]
pub(crate) struct Run {
    media: Arc<dyn Media>,
    name: String,
    size: u64,
    shape: Shape,
    guide: OnceCell<Guide>,
    blocks: Mutex<BTreeMap<usize, Bytes>>,
}

impl Run {
    pub(crate) fn new(media: Arc<dyn Media>, name: String, size: u64, shape: Shape) -> Self {
        Self { media, name, size, shape, guide: OnceCell::new(), blocks: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn damaged(&self, detail: &str) -> StoreError {
        StoreError::corrupt(&self.name, detail)
    }

    async fn guide(&self) -> Result<&Guide, StoreError> {
        self.guide.get_or_try_init(|| self.open()).await
    }

    async fn open(&self) -> Result<Guide, StoreError> {
        let mut from = self.size.saturating_sub(WHOLE_READ);
        let mut tail = self.media.get_range(&self.name, from..self.size).await?;
        let header = if from == 0 {
            tail.slice(..tail.len().min(HEADER_LENGTH))
        } else {
            self.media.get_range(&self.name, 0..HEADER_LENGTH as u64).await?
        };
        let sections = self.sections(&tail)?;
        if sections.table < from {
            from = sections.table;
            tail = self.media.get_range(&self.name, from..self.size).await?;
        }
        if tail.len() as u64 != self.size - from {
            return Err(self.damaged("it is shorter than the view says"));
        }
        let cut = |range: Range<u64>| tail.slice((range.start - from) as usize..(range.end - from) as usize);
        let checked = self.size - 32 - MAGIC.len() as u64;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header).update(&cut(sections.table..checked));
        if hasher.finalize().as_bytes()[..] != cut(checked..checked + 32)[..] {
            return Err(self.damaged("its guide has another hash"));
        }
        if header[..] != self.shape.header() {
            return Err(self.damaged("it is another kind of run"));
        }
        Ok(Guide {
            entries: sections.entries,
            table: cut(sections.table..sections.filter),
            filter: cut(sections.filter..sections.fences),
            fences: cut(sections.fences..self.size - TRAILER_LENGTH as u64),
            whole: (from == 0).then(|| cut(HEADER_LENGTH as u64..sections.table)),
        })
    }

    fn sections(&self, tail: &[u8]) -> Result<Sections, StoreError> {
        let fits = || {
            let trailer = tail.len().checked_sub(TRAILER_LENGTH)?;
            let mut wire = Wire(&tail[trailer..]);
            let (table, filter, fences) = (wire.u64()?, wire.u64()?, wire.u64()?);
            let (entries, block) = (usize::try_from(wire.u64()?).ok()?, wire.u64()?);
            let blocks = entries.div_ceil(BLOCK_ENTRIES) as u64;
            let ordered = (HEADER_LENGTH as u64)
                .checked_add((entries as u64).checked_mul(self.shape.entry() as u64)?)?
                == table
                && table <= filter
                && filter <= fences
                && fences.checked_add(blocks * (self.shape.key as u64 + 8) + TRAILER_LENGTH as u64)?
                    == self.size
                && block == BLOCK_ENTRIES as u64
                && tail.ends_with(MAGIC);
            ordered.then_some(Sections { table, filter, fences, entries })
        };
        fits().ok_or_else(|| self.damaged("its trailer does not fit its size"))
    }

    /// The table that was given to [`encode`].
    pub(crate) async fn table(&self) -> Result<Bytes, StoreError> {
        Ok(self.guide().await?.table.clone())
    }

    /// Values for keys that are given in ascending order, at the same positions.
    pub(crate) async fn lookup(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let guide = self.guide().await?;
        let mut found = vec![None; keys.len()];
        let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (position, key) in keys.iter().enumerate() {
            if !guide.filter.is_empty() && !filter::may_contain(&guide.filter, key) {
                continue;
            }
            if let Some(block) = self.block_of(guide, key) {
                wanted.entry(block).or_default().push(position);
            }
        }
        let numbers: Vec<usize> = wanted.keys().copied().collect();
        for (number, block) in self.blocks(guide, &numbers).await? {
            for &position in wanted.get(&number).map_or(&[][..], Vec::as_slice) {
                found[position] = self.search(&block, keys[position]);
            }
        }
        Ok(found)
    }

    fn block_of(&self, guide: &Guide, key: &[u8]) -> Option<usize> {
        let width = self.shape.key + 8;
        let (mut low, mut high) = (0, guide.fences.len() / width);
        while low < high {
            let middle = usize::midpoint(low, high);
            let first = &guide.fences[middle * width..middle * width + self.shape.key];
            if first <= key { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
    }

    fn search(&self, block: &Bytes, key: &[u8]) -> Option<Bytes> {
        let width = self.shape.entry();
        let (mut low, mut high) = (0, block.len() / width);
        while low < high {
            let middle = usize::midpoint(low, high);
            let at = middle * width;
            match block[at..at + self.shape.key].cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(block.slice(at + self.shape.key..at + width)),
            }
        }
        None
    }

    /// Blocks by ascending number, checked; neighbours are read together.
    async fn blocks(&self, guide: &Guide, numbers: &[usize]) -> Result<Vec<(usize, Bytes)>, StoreError> {
        let mut result = Vec::with_capacity(numbers.len());
        let mut missing = Vec::new();
        {
            let kept = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            for &number in numbers {
                match kept.get(&number) {
                    Some(block) => result.push((number, block.clone())),
                    None => missing.push(number),
                }
            }
        }
        for group in missing.chunk_by(|a, b| b - a <= 4) {
            for group in group.chunks(BLOCKS_READ as usize) {
                self.read_blocks(guide, group, &mut result).await?;
            }
        }
        result.sort_by_key(|(number, _)| *number);
        Ok(result)
    }

    async fn read_blocks(
        &self,
        guide: &Guide,
        group: &[usize],
        result: &mut Vec<(usize, Bytes)>,
    ) -> Result<(), StoreError> {
        let (Some(&first), Some(&last)) = (group.first(), group.last()) else { return Ok(()) };
        let block = self.shape.block();
        let end = (guide.entries * self.shape.entry()).min((last + 1) * block);
        let span = first * block..end;
        let bytes = match &guide.whole {
            Some(whole) => whole.slice(span.clone()),
            None => {
                let offset = HEADER_LENGTH as u64;
                let range = span.start as u64 + offset..span.end as u64 + offset;
                self.media.get_range(&self.name, range).await?
            }
        };
        if bytes.len() != span.len() {
            return Err(self.damaged("it is shorter than the view says"));
        }
        for &number in group {
            let start = number * block - span.start;
            let piece = bytes.slice(start..(start + block).min(bytes.len()));
            let fence = (number + 1) * (self.shape.key + 8);
            if check64(&piece)[..] != guide.fences[fence - 8..fence] {
                return Err(self.damaged(&format!("its block {number} has another hash")));
            }
            result.push((number, piece));
        }
        if guide.whole.is_none() {
            let mut kept = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() + group.len() > BLOCKS_KEPT {
                kept.clear();
            }
            kept.extend(result.iter().rev().take(group.len()).cloned());
        }
        Ok(())
    }

    /// Calls `each` with every block's entries in order; checks the whole run on the way.
    pub(crate) async fn for_each_block(
        &self,
        mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let guide = self.guide().await?;
        let blocks = guide.entries.div_ceil(BLOCK_ENTRIES);
        let numbers: Vec<usize> = (0..blocks).collect();
        for group in numbers.chunks(BLOCKS_READ as usize) {
            let mut read = Vec::with_capacity(group.len());
            self.read_blocks(guide, group, &mut read).await?;
            for (_, block) in read {
                each(&block)?;
            }
        }
        Ok(())
    }
}

struct Sections {
    table: u64,
    filter: u64,
    fences: u64,
    entries: usize,
}
