//! The objects of a store one by one: whether packs, large objects, runs and refs are what they say.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use flow_model::digest::Digest;

use super::{FsckLevel, FsckReport, Problems};
use crate::{
    cache,
    error::StoreError,
    index,
    location::{Container, Slot, parse_large},
    media::Media,
    overlay::Place,
    pack::{self, Footer},
    project::Project,
    reader::Reader,
    run::Run,
    snapshot::Head,
    state_ref::StateRef,
    wire::Wire,
};

const PIECE: u64 = 8 << 20;

/// What is known about the objects after they were scanned.
pub(super) struct Objects {
    sizes: BTreeMap<String, u64>,
    /// Entries whose bytes are damaged, with the object they are in.
    damaged: HashMap<Digest, BTreeSet<String>>,
}

impl Objects {
    /// What is wrong with the place of a digest, if anything; only what a listing and the scan tell.
    pub(super) fn wrong(&self, digest: &Digest, slot: &Slot) -> Option<(String, &'static str)> {
        let name = slot.container.name(digest);
        let Some(size) = self.sizes.get(&name) else { return Some((name, "it does not exist")) };
        let fits = if slot.is_large() {
            *size == slot.raw_len
        } else {
            u64::from(slot.offset) + u64::from(slot.length) <= *size
        };
        if !fits {
            return Some((name, "it is too short"));
        }
        let damaged = self.damaged.get(digest).is_some_and(|objects| objects.contains(&name));
        damaged.then_some((name, "its bytes have another hash"))
    }
}

struct Scan<'a> {
    media: &'a Arc<dyn Media>,
    level: FsckLevel,
    reader: Option<Reader>,
    /// Packs that the newest state refers to.
    used: HashSet<Container>,
    /// Runs that the newest state names.
    named: HashSet<String>,
    problems: &'a mut Problems,
    leftovers: Vec<String>,
    damaged: HashMap<Digest, BTreeSet<String>>,
}

pub(super) async fn scan(
    project: &Project,
    head: Option<&Head>,
    level: FsckLevel,
    problems: &mut Problems,
    report: &mut FsckReport,
) -> Result<Objects, StoreError> {
    let media = project.shared().media();
    let listed = media.list("").await?;
    report.counts.objects = listed.len() as u64;
    report.counts.bytes = listed.iter().map(|object| object.size).sum();
    let sizes: BTreeMap<String, u64> = listed.into_iter().map(|object| (object.name, object.size)).collect();
    let reader = head.map(|head| head.snapshot.reader());
    let mut scan = Scan {
        media,
        level,
        reader,
        used: HashSet::new(),
        named: HashSet::new(),
        problems,
        leftovers: Vec::new(),
        damaged: HashMap::new(),
    };
    if let Some(head) = head {
        scan.named_runs(head, &sizes).await?;
    }
    for (name, size) in &sizes {
        scan.object(name, *size, &sizes).await?;
    }
    report.leftovers = scan.leftovers;
    Ok(Objects { sizes, damaged: scan.damaged })
}

impl Scan<'_> {
    /// The runs that the newest state names: they must be there, in the right size.
    async fn named_runs(&mut self, head: &Head, sizes: &BTreeMap<String, u64>) -> Result<(), StoreError> {
        self.used.extend(head.tail.iter().map(|(_, slot)| slot.container));
        let cache = match head.snapshot.cache_runs().await {
            Ok(cache) => cache,
            Err(error) => {
                self.problems.add_error(error, None)?;
                Vec::new()
            }
        };
        for named in head.index.iter().chain(&cache) {
            self.named.insert(named.run.name().to_owned());
            match sizes.get(named.run.name()) {
                None => self.problems.add(named.run.name(), None, "it does not exist", None),
                Some(size) if *size != named.state.bytes => {
                    self.problems.add(named.run.name(), None, "it has another size than the view says", None);
                }
                Some(_) => {}
            }
        }
        for named in &head.index {
            // Damage to the table is found when the run itself is checked.
            let Ok(table) = named.run.table().await else { continue };
            let mut wire = Wire(&table);
            while let Some(container) = Container::decode(&mut wire) {
                self.used.insert(container);
            }
        }
        Ok(())
    }

    async fn object(
        &mut self,
        name: &str,
        size: u64,
        sizes: &BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        let file_name = name.rsplit('/').next().unwrap_or(name);
        if let Some(container) = Container::parse_pack(name) {
            self.pack(name, size, container).await
        } else if name.starts_with("index/") && !file_name.starts_with('.') {
            self.index_run(name, size, sizes).await
        } else if name.starts_with("cache/") && !file_name.starts_with('.') {
            let run = Run::new(Arc::clone(self.media), name.to_owned(), size, cache::SHAPE);
            let checked = run.for_each_block(|_| Ok(())).await;
            checked.or_else(|error| self.bad_run(name, error))
        } else if let Some((digest, _)) = parse_large(name) {
            self.large(name, size, digest).await
        } else if file_name.starts_with(".new-") {
            self.leftovers.push(name.to_owned());
            Ok(())
        } else if name.starts_with("refs/") && !file_name.starts_with('.') {
            let bytes = self.media.get(name).await?;
            let decoded = StateRef::decode(name, &bytes).map(drop);
            decoded.or_else(|error| self.problems.add_error(error, None))
        } else {
            // `flow.json` was checked when the store was opened; locks and foreign files are not ours to judge.
            Ok(())
        }
    }

    async fn pack(&mut self, name: &str, size: u64, container: Container) -> Result<(), StoreError> {
        let footer = match pack::read_footer(&**self.media, name, size).await {
            Ok(footer) => footer,
            Err(StoreError::Corrupt { detail, .. }) => {
                if self.used.contains(&container) {
                    self.problems.add(name, None, &detail, None);
                } else {
                    self.leftovers.push(name.to_owned());
                }
                return Ok(());
            }
            Err(error) => return self.problems.add_error(error, None),
        };
        if self.level == FsckLevel::Structure {
            return Ok(());
        }
        let bytes = self.media.get(name).await?;
        let (footer, damaged) = tokio::task::spawn_blocking(move || {
            let damaged = check_pack(&footer, &bytes, container);
            (footer, damaged)
        })
        .await?;
        if let Some(damaged) = damaged {
            if damaged.is_empty() {
                self.problems.add(name, None, "a byte outside of what it holds was changed", None);
            }
            for digest in damaged {
                self.note_damaged(name, digest);
            }
        }
        self.compare_with_index(name, container, &footer).await
    }

    fn note_damaged(&mut self, name: &str, digest: Digest) {
        self.problems.add(name, Some(digest), "its bytes have another hash", None);
        self.damaged.entry(digest).or_default().insert(name.to_owned());
    }

    /// The index may have another copy of an entry, but about this one it must say the same as the footer.
    async fn compare_with_index(
        &mut self,
        name: &str,
        container: Container,
        footer: &Footer,
    ) -> Result<(), StoreError> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let digests: Vec<Digest> = footer.entries.iter().map(|entry| entry.digest).collect();
        let places = match reader.places(&digests).await {
            Ok(places) => places,
            Err(error) => return self.problems.add_error(error, None),
        };
        for (entry, place) in footer.entries.iter().zip(places) {
            if let Some(Place::Stored(slot)) = place
                && slot.container == container
                && slot != entry.slot(container)
            {
                let detail = "the index has another place for it than the pack's footer";
                self.problems.add(name, Some(entry.digest), detail, None);
            }
        }
        Ok(())
    }

    async fn index_run(
        &mut self,
        name: &str,
        size: u64,
        sizes: &BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        let run = Run::new(Arc::clone(self.media), name.to_owned(), size, index::SHAPE);
        let mut entries = BTreeMap::new();
        if let Err(error) = index::read_all(&run, &mut entries).await {
            return self.bad_run(name, error);
        }
        for (digest, slot) in entries {
            let object = slot.container.name(&digest);
            let end = u64::from(slot.offset) + u64::from(slot.length);
            if sizes.get(&object).is_none_or(|size| !slot.is_large() && end > *size) {
                if !self.named.contains(name) {
                    // Run and pack are written side by side: a crash may leave the one without the other.
                    self.leftovers.push(name.to_owned());
                    return Ok(());
                }
                self.problems.add(
                    name,
                    Some(digest),
                    &format!("it points into `{object}`, where nothing is"),
                    None,
                );
            }
        }
        Ok(())
    }

    /// A run that nothing names is a write that never finished, or was replaced.
    fn bad_run(&mut self, name: &str, error: StoreError) -> Result<(), StoreError> {
        if self.named.contains(name) || !error.is_damage() {
            return self.problems.add_error(error, None);
        }
        self.leftovers.push(name.to_owned());
        Ok(())
    }

    async fn large(&mut self, name: &str, size: u64, digest: Digest) -> Result<(), StoreError> {
        if self.level == FsckLevel::Structure {
            return Ok(());
        }
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < size {
            let piece: Bytes = self.media.get_range(name, at..size.min(at + PIECE)).await?;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            hasher = tokio::task::spawn_blocking(move || {
                hasher.update(&piece);
                hasher
            })
            .await?;
        }
        if hasher.finalize().as_bytes() == digest.as_bytes() {
            return Ok(());
        }
        let used = match &self.reader {
            Some(reader) => self.is_used(reader, name, digest).await?,
            None => false,
        };
        if used {
            self.note_damaged(name, digest);
        } else {
            self.leftovers.push(name.to_owned());
        }
        Ok(())
    }

    async fn is_used(&self, reader: &Reader, name: &str, digest: Digest) -> Result<bool, StoreError> {
        match reader.places(&[digest]).await {
            Ok(places) => Ok(places.iter().flatten().any(|place| match place {
                Place::Stored(slot) => slot.container.name(&digest) == name,
                Place::Held(_) | Place::File { .. } => false,
            })),
            Err(error) if error.is_damage() => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Digests of damaged entries; `None` if every byte is as it was written.
fn check_pack(footer: &Footer, bytes: &Bytes, container: Container) -> Option<Vec<Digest>> {
    if footer.body_is_intact(bytes) {
        return None;
    }
    let broken = footer.entries.iter().filter(|entry| {
        let (start, end) = (entry.offset as usize, entry.offset as usize + entry.length as usize);
        bytes.len() < end
            || pack::decode(&bytes.slice(start..end), &entry.slot(container), &entry.digest).is_err()
    });
    Some(broken.map(|entry| entry.digest).collect())
}
