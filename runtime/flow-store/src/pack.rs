//! Packs: many small things in one object that describes itself.
//!
//! ```text
//! header    magic, version                                   12 bytes
//! entries   stored bytes, back to back
//! footer    per entry: digest, kind, flags, offset, stored and raw length
//!           per large object that came with the pack: digest, ulid, size
//! trailer   footer offset, counts, nonce, digest of all before the footer, digest of footer and trailer, magic
//! ```
//!
//! **Invariant:** every byte of a pack is covered: an entry by its digest, all entries and the header by the body
//! digest, footer and trailer by the trailer's. The index of a store can be rebuilt from its footers.

use bytes::Bytes;
use flow_model::digest::Digest;
use ulid::Ulid;

use crate::{
    compress,
    error::StoreError,
    location::{Container, Kind, Slot},
    media::Media,
    wire::Wire,
};

const HEADER: &[u8; 12] = b"flowpack\x01\0\0\0";
const MAGIC: &[u8; 8] = b"flowpkE\x01";
const ENTRY_LENGTH: usize = 46;
const LARGE_LENGTH: usize = 56;
pub(crate) const TRAILER_LENGTH: usize = 8 + 4 + 4 + 16 + 32 + 32 + 8;
const FLAG_ZSTD: u8 = 1;
/// The most that one entry may hold: what a reader allocates for a damaged or hostile footer at most.
pub(crate) const RAW_MAX: u32 = 256 << 20;
/// Where a pack is closed.
pub(crate) const PACK_TARGET: usize = 16 << 20;
const TAIL_GUESS: u64 = 64 << 10;

/// An entry in the form in which it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) digest: Digest,
    pub(crate) kind: Kind,
    pub(crate) zstd: bool,
    pub(crate) raw_len: u32,
    pub(crate) bytes: Bytes,
}

impl Encoded {
    /// Compresses `raw` if that pays.
    pub(crate) fn new(digest: Digest, kind: Kind, raw: Bytes) -> Self {
        let raw_len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        match compress::compress(&raw) {
            Some(short) => Self { digest, kind, zstd: true, raw_len, bytes: short.into() },
            None => Self { digest, kind, zstd: false, raw_len, bytes: raw },
        }
    }
}

/// Checks the stored bytes of an entry and returns its content.
pub(crate) fn decode(stored: &Bytes, slot: &Slot, digest: &Digest) -> Result<Bytes, StoreError> {
    let damaged = |detail: &str| StoreError::corrupt_at(slot.container.name(digest), *digest, detail);
    let raw = if slot.zstd {
        let raw_len = usize::try_from(slot.raw_len).unwrap_or(usize::MAX).min(RAW_MAX as usize);
        compress::decompress(stored, raw_len)
            .ok_or_else(|| damaged("its compressed bytes do not decompress"))?
            .into()
    } else {
        stored.clone()
    };
    if Digest::of(&raw) == *digest { Ok(raw) } else { Err(damaged("its bytes have another hash")) }
}

/// A footer's line about an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    pub(crate) kind: Kind,
    pub(crate) zstd: bool,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) raw_len: u32,
}

impl Entry {
    pub(crate) fn slot(&self, container: Container) -> Slot {
        Slot {
            container,
            kind: self.kind,
            zstd: self.zstd,
            offset: self.offset,
            length: self.length,
            raw_len: u64::from(self.raw_len),
        }
    }
}

/// A footer's line about a large object that came with the pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Large {
    pub(crate) digest: Digest,
    pub(crate) ulid: Ulid,
    pub(crate) size: u64,
}

/// Puts a pack together in memory.
pub(crate) struct PackBuilder {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    large: Vec<Large>,
}

impl PackBuilder {
    pub(crate) fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + HEADER.len() + TRAILER_LENGTH);
        bytes.extend_from_slice(HEADER);
        Self { bytes, entries: Vec::new(), large: Vec::new() }
    }

    pub(crate) fn push(&mut self, entry: &Encoded) {
        self.entries.push(Entry {
            digest: entry.digest,
            kind: entry.kind,
            zstd: entry.zstd,
            offset: self.offset(),
            length: entry.bytes.len() as u32,
            raw_len: entry.raw_len,
        });
        self.bytes.extend_from_slice(&entry.bytes);
    }

    pub(crate) fn push_large(&mut self, large: Large) {
        self.large.push(large);
    }

    /// Where the next entry will lie.
    pub(crate) fn offset(&self) -> u32 {
        // Packs are closed at 16 MiB and one entry has at most `RAW_MAX` bytes.
        self.bytes.len() as u32
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn finish(mut self, nonce: [u8; 16]) -> (Bytes, Vec<Entry>) {
        let footer_at = self.bytes.len();
        let body = blake3::hash(&self.bytes);
        for entry in &self.entries {
            self.bytes.extend_from_slice(entry.digest.as_bytes());
            self.bytes.push(entry.kind.byte());
            self.bytes.push(if entry.zstd { FLAG_ZSTD } else { 0 });
            for number in [entry.offset, entry.length, entry.raw_len] {
                self.bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        for large in &self.large {
            self.bytes.extend_from_slice(large.digest.as_bytes());
            self.bytes.extend_from_slice(&large.ulid.to_bytes());
            self.bytes.extend_from_slice(&large.size.to_le_bytes());
        }
        self.bytes.extend_from_slice(&(footer_at as u64).to_le_bytes());
        self.bytes.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&(self.large.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&nonce);
        self.bytes.extend_from_slice(body.as_bytes());
        let check = blake3::hash(&self.bytes[footer_at..]);
        self.bytes.extend_from_slice(check.as_bytes());
        self.bytes.extend_from_slice(MAGIC);
        (self.bytes.into(), self.entries)
    }
}

/// What a pack says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    pub(crate) entries: Vec<Entry>,
    pub(crate) large: Vec<Large>,
    /// Where the footer begins and the entries end.
    pub(crate) offset: u64,
    body: [u8; 32],
}

/// The result of looking at the end of a pack.
pub(crate) enum Tail {
    /// The footer.
    Whole(Footer),
    /// More of the end is needed, from this offset on.
    From(u64),
    /// No footer: a write that never finished, or damage.
    Damaged(&'static str),
}

impl Footer {
    /// Reads the footer from the last bytes of a pack of `size` bytes.
    pub(crate) fn parse(tail: &[u8], size: u64) -> Tail {
        let Some(split) = tail.len().checked_sub(TRAILER_LENGTH) else {
            return Tail::Damaged("it is too short for a pack");
        };
        let mut wire = Wire(&tail[split..]);
        let Some((offset, entries, large)) = numbers(&mut wire) else {
            return Tail::Damaged("its trailer is cut off");
        };
        if !tail.ends_with(MAGIC) {
            return Tail::Damaged("it has no footer");
        }
        let length = entries * ENTRY_LENGTH as u64 + large * LARGE_LENGTH as u64 + TRAILER_LENGTH as u64;
        if offset.checked_add(length) != Some(size) || offset < HEADER.len() as u64 {
            return Tail::Damaged("its trailer does not fit its size");
        }
        let Some(start) = (tail.len() as u64).checked_sub(length) else { return Tail::From(offset) };
        Self::parse_whole(&tail[start as usize..], offset, entries as usize)
    }

    fn parse_whole(footer: &[u8], offset: u64, entries: usize) -> Tail {
        let checked = footer.len() - 32 - MAGIC.len();
        if blake3::hash(&footer[..checked]).as_bytes()[..] != footer[checked..checked + 32] {
            return Tail::Damaged("its footer has another hash");
        }
        let mut body = [0; 32];
        body.copy_from_slice(&footer[checked - 32..checked]);
        let (lines, rest) = footer[..footer.len() - TRAILER_LENGTH].split_at(entries * ENTRY_LENGTH);
        let entries: Option<Vec<Entry>> =
            lines.chunks_exact(ENTRY_LENGTH).map(|line| read_entry(&mut Wire(line))).collect();
        let large: Option<Vec<Large>> =
            rest.chunks_exact(LARGE_LENGTH).map(|line| read_large(&mut Wire(line))).collect();
        let (Some(entries), Some(large)) = (entries, large) else {
            return Tail::Damaged("its footer has an unknown kind of entry");
        };
        let mut end = HEADER.len() as u64;
        for entry in &entries {
            if u64::from(entry.offset) != end || entry.raw_len > RAW_MAX {
                return Tail::Damaged("its entries do not fit together");
            }
            end += u64::from(entry.length);
        }
        if end != offset {
            return Tail::Damaged("its entries do not fill it");
        }
        Tail::Whole(Self { entries, large, offset, body })
    }

    /// Whether the header and all entries of the whole pack are as they were written.
    pub(crate) fn body_is_intact(&self, pack: &[u8]) -> bool {
        let Some(body) = usize::try_from(self.offset).ok().and_then(|offset| pack.get(..offset)) else {
            return false;
        };
        body.starts_with(HEADER) && *blake3::hash(body).as_bytes() == self.body
    }
}

fn numbers(wire: &mut Wire<'_>) -> Option<(u64, u64, u64)> {
    Some((wire.u64()?, u64::from(wire.u32()?), u64::from(wire.u32()?)))
}

fn read_entry(wire: &mut Wire<'_>) -> Option<Entry> {
    let digest = Digest::from_bytes(wire.array()?);
    let kind = Kind::from_byte(wire.u8()?)?;
    let zstd = match wire.u8()? {
        0 => false,
        FLAG_ZSTD => true,
        _ => return None,
    };
    Some(Entry { digest, kind, zstd, offset: wire.u32()?, length: wire.u32()?, raw_len: wire.u32()? })
}

fn read_large(wire: &mut Wire<'_>) -> Option<Large> {
    let digest = Digest::from_bytes(wire.array()?);
    Some(Large { digest, ulid: Ulid::from_bytes(wire.array()?), size: wire.u64()? })
}

/// Reads the footer of the pack `name`, which has `size` bytes, with one or two range reads.
pub(crate) async fn read_footer(media: &dyn Media, name: &str, size: u64) -> Result<Footer, StoreError> {
    let mut from = size.saturating_sub(TAIL_GUESS);
    loop {
        let tail = media.get_range(name, from..size).await?;
        match Footer::parse(&tail, size) {
            Tail::Whole(footer) => return Ok(footer),
            Tail::From(offset) if offset < from => from = offset,
            Tail::From(_) => return Err(StoreError::corrupt(name, "it is shorter than its listing says")),
            Tail::Damaged(detail) => return Err(StoreError::corrupt(name, detail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Bytes, Vec<Entry>) {
        let mut pack = PackBuilder::new(0);
        for text in ["a", "", &"compressible ".repeat(50)] {
            let raw = Bytes::copy_from_slice(text.as_bytes());
            pack.push(&Encoded::new(Digest::of(&raw), Kind::Blob, raw));
        }
        pack.push_large(Large { digest: Digest::of(b"x"), ulid: Ulid::from_parts(1, 2), size: 3 });
        pack.finish([7; 16])
    }

    #[test]
    fn what_is_packed_is_read_back() {
        let (pack, entries) = sample();
        let Tail::Whole(footer) = Footer::parse(&pack, pack.len() as u64) else { panic!("no footer") };
        assert_eq!(footer.entries, entries);
        assert_eq!(footer.large.len(), 1);
        assert!(footer.body_is_intact(&pack));
        for entry in entries {
            let slot = entry.slot(Container::Pack(Ulid::from_parts(0, 0)));
            let (start, end) = (entry.offset as usize, (entry.offset + entry.length) as usize);
            let raw = decode(&pack.slice(start..end), &slot, &entry.digest).unwrap();
            assert_eq!(raw.len(), entry.raw_len as usize);
        }
    }

    #[test]
    fn a_flipped_byte_anywhere_is_found() {
        let (pack, _) = sample();
        for at in 0..pack.len() {
            let mut bad = pack.to_vec();
            bad[at] ^= 0x10;
            let intact = match Footer::parse(&bad, bad.len() as u64) {
                Tail::Whole(footer) => footer.body_is_intact(&bad),
                _ => false,
            };
            assert!(!intact, "byte {at}");
        }
    }

    #[test]
    fn a_cut_pack_has_no_footer() {
        let (pack, _) = sample();
        for length in 0..pack.len() {
            assert!(
                !matches!(Footer::parse(&pack[..length], length as u64), Tail::Whole(_)),
                "length {length}"
            );
        }
    }
}
