//! Publishing: everything durable first, then one compare-and-swap of the project's ref.
//!
//! | the swap says | what follows |
//! |---|---|
//! | done | success |
//! | moved | is our operation among the ancestors of the head? success. Else conflict, or apply the edits anew |
//! | nothing, or an error | the same question; if the head does not answer it, *unknown* |
//!
//! Two attempts never both land: each expects the version of the ref that it was built on, and an attempt that is not
//! an ancestor of a moved head can never land later. **Invariant:** index and cache runs take no part in conflicts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use flow_model::{
    canonical,
    commit::Operation,
    digest::{Digest, OperationId, TreeId},
    state::{RunState, ViewKey},
};
use futures::future::try_join_all;

use crate::{
    cache,
    collector::{Collector, Keep},
    entropy::{new_nonce, new_ulid},
    error::{MediaError, PublishError, StoreError},
    index,
    jobs::JobPacks,
    location::{Container, Kind, Slot, pack_name},
    media::{RefVersion, Swap},
    overlay::Overlay,
    pack::{Encoded, Large, PackBuilder},
    project::Project,
    reader::Reader,
    snapshot::{Head, NamedRun, Snapshot, read_operation},
    state_ref::{Place, StateRef},
    store::Shared,
    transaction::OperationMeta,
    tree::{self, nodes_on_the_way},
};

/// Races that are lost before giving up.
const ATTEMPTS: u32 = 100;
/// Attempts without an answer before giving up.
const DOUBTS: u32 = 4;
/// Data that may share the operation's pack: its footer is read with every opening of the state.
const KEEP: Keep = Keep { bytes: 512 << 10, entries: 1000 };
/// The longest pause between attempts, in milliseconds.
const PAUSE_MAX: u64 = 200;

/// A transaction on its way into the store.
pub(crate) struct Publication {
    project: Project,
    base: Option<Snapshot>,
    meta: OperationMeta,
    collector: Collector,
    pub(crate) edits: BTreeMap<ViewKey, Option<Vec<u8>>>,
    pub(crate) expected: BTreeSet<ViewKey>,
    pub(crate) results: cache::Entries,
    /// Everything stored outside the operation's pack.
    stored: BTreeMap<Digest, Slot>,
    /// Data that goes into the operation's pack.
    inline: Vec<Encoded>,
    large: Vec<Large>,
    /// Operations of attempts whose outcome was not `Done`.
    made: Vec<(OperationId, u64)>,
}

/// An attempt whose data is durable.
struct Built {
    id: OperationId,
    number: u64,
    state: StateRef,
    tail: Bytes,
}

/// A run that an attempt adds to the view, and what it replaces.
struct NewRun {
    object: String,
    bytes: Bytes,
    key: ViewKey,
    state: RunState,
    replaced: Vec<ViewKey>,
}

impl Publication {
    pub(crate) fn new(
        project: Project,
        base: Option<Snapshot>,
        meta: OperationMeta,
        collector: Collector,
    ) -> Self {
        Self {
            project,
            base,
            meta,
            collector,
            edits: BTreeMap::new(),
            expected: BTreeSet::new(),
            results: cache::Entries::new(),
            stored: BTreeMap::new(),
            inline: Vec::new(),
            large: Vec::new(),
            made: Vec::new(),
        }
    }

    pub(crate) fn adopt(&mut self, packs: &[JobPacks]) {
        self.stored.extend(packs.iter().flat_map(JobPacks::slots).copied());
    }

    fn shared(&self) -> &Arc<Shared> {
        self.project.shared()
    }

    pub(crate) async fn run(mut self) -> Result<Snapshot, PublishError> {
        self.inline = self.collector.store_most(KEEP).await?;
        self.stored.extend(self.collector.stored());
        self.large = self.collector.take_large();
        let mut doubts = 0;
        for attempt in 0..ATTEMPTS {
            let head = self.load_head().await?;
            if let Some(own) = self.find_own(head.as_ref()).await? {
                return Ok(own);
            }
            self.check_conflicts(head.as_ref()).await?;
            let built = self.build(head.as_ref()).await?;
            let expected = head.map(|head| head.version);
            match self.swap(&built, expected).await {
                Ok(Swap::Done) => return self.opened(built).await,
                Ok(Swap::Moved) => {}
                Err(error @ (MediaError::Crashed | MediaError::NotDurable { .. })) => {
                    return Err(self.unknown(built.id, error.into()));
                }
                Err(error) => {
                    doubts += 1;
                    if doubts >= DOUBTS {
                        self.made.push((built.id, built.number));
                        return self.last_look(built.id, error).await;
                    }
                }
            }
            self.made.push((built.id, built.number));
            self.pause(attempt).await?;
        }
        Err(PublishError::Busy { attempts: ATTEMPTS })
    }

    fn unknown(&self, operation: OperationId, source: StoreError) -> PublishError {
        PublishError::Unknown { operation, source: Box::new(source) }
    }

    async fn swap(&self, built: &Built, expected: Option<RefVersion>) -> Result<Swap, MediaError> {
        self.shared().media().swap_ref(self.project.name(), expected, built.state.encode()).await
    }

    /// The state that was just published, from what is still in memory.
    async fn opened(&self, built: Built) -> Result<Snapshot, PublishError> {
        let version = RefVersion { e_tag: None, version: None };
        let head = Head::open(self.shared(), &built.state, version, &built.tail).await?;
        Ok(head.snapshot)
    }

    /// The newest state. While an attempt is in doubt, not being able to read it leaves the outcome unknown.
    async fn load_head(&self) -> Result<Option<Head>, PublishError> {
        let mut tries = 0;
        loop {
            match Head::load(self.shared(), self.project.name()).await {
                Ok(head) => return Ok(head),
                Err(error) => {
                    let Some((doubtful, _)) = self.made.last() else { return Err(error.into()) };
                    tries += 1;
                    if tries >= DOUBTS || matches!(error, StoreError::Media(MediaError::Crashed)) {
                        return Err(self.unknown(*doubtful, error));
                    }
                    self.pause(tries).await?;
                }
            }
        }
    }

    /// Looks for an operation of an earlier attempt among the head and its ancestors.
    async fn find_own(&self, head: Option<&Head>) -> Result<Option<Snapshot>, PublishError> {
        let (Some(head), Some(oldest)) = (head, self.made.iter().map(|(_, number)| *number).min()) else {
            return Ok(None);
        };
        let reader = head.snapshot.reader();
        let (mut id, mut operation) = (head.snapshot.operation_id(), head.snapshot.operation().clone());
        loop {
            if self.made.iter().any(|(own, _)| *own == id) {
                return Ok(Some(Snapshot::new(id, operation, reader)));
            }
            let Some(parent) = operation.parent.filter(|_| operation.number > oldest) else {
                return Ok(None);
            };
            id = parent;
            let read = read_operation(&reader, id).await;
            operation = read.map_err(|error| match self.made.last() {
                Some((doubtful, _)) => self.unknown(*doubtful, error),
                None => error.into(),
            })?;
        }
    }

    /// After the last attempt without an answer: it may still land, unless the head has moved on without it.
    async fn last_look(&self, id: OperationId, error: MediaError) -> Result<Snapshot, PublishError> {
        let head = self.load_head().await?;
        match self.find_own(head.as_ref()).await? {
            Some(own) => Ok(own),
            None => Err(self.unknown(id, error.into())),
        }
    }

    /// Compares the keys that this change relies on, in the state it started from and in the newest.
    async fn check_conflicts(&self, head: Option<&Head>) -> Result<(), PublishError> {
        let base = self.base.as_ref();
        let view = |snapshot: &Snapshot| snapshot.view_root();
        if base.map(view) == head.map(|head| view(&head.snapshot)) {
            return Ok(());
        }
        let mut keys = Vec::new();
        for key in self.edits.keys().chain(&self.expected) {
            let before = match base {
                Some(base) => base.raw(key).await?,
                None => None,
            };
            let now = match head {
                Some(head) => head.snapshot.raw(key).await?,
                None => None,
            };
            if before != now {
                keys.push(key.clone());
            }
        }
        keys.sort();
        keys.dedup();
        if keys.is_empty() { Ok(()) } else { Err(PublishError::Conflict { keys }) }
    }

    /// Makes the operation that follows `head`, and everything that it needs, durable.
    async fn build(&self, head: Option<&Head>) -> Result<Built, PublishError> {
        let ulid = new_ulid(self.shared().entropy())?;
        let container = Container::Pack(ulid);
        let mut pack = PackBuilder::new(KEEP.bytes);
        self.inline.iter().for_each(|entry| pack.push(entry));
        self.large.iter().for_each(|large| pack.push_large(*large));
        let mut slots: BTreeMap<Digest, Slot> =
            pack.entries().iter().map(|entry| (entry.digest, entry.slot(container))).collect();
        slots.extend(&self.stored);
        slots.extend(head.iter().flat_map(|head| head.tail.iter().copied()));
        let runs: Vec<NewRun> =
            [self.index_run(head, slots).await?, self.cache_run(head).await?].into_iter().flatten().collect();

        let (view, nodes) = self.new_view(head, &runs).await?;
        let operation = self.operation(head, view)?;
        let tail = pack.offset();
        for (digest, raw) in nodes {
            pack.push(&Encoded::new(digest, Kind::Node, raw));
        }
        let encoded = canonical::encode(&operation);
        let id = OperationId(Digest::of(&encoded));
        let (offset, entry) = (pack.offset(), Encoded::new(id.0, Kind::Operation, encoded.into()));
        pack.push(&entry);
        let mut nonce = [0; 16];
        self.shared().entropy().fill(&mut nonce)?;
        let (bytes, _) = pack.finish(nonce);

        let place = Place { offset, length: entry.bytes.len() as u32, tail, size: bytes.len() as u64 };
        let state = StateRef::new(id, &pack_name(ulid), place);
        let tail = bytes.slice(tail as usize..);
        let mut objects = vec![(pack_name(ulid), bytes)];
        objects.extend(runs.into_iter().map(|run| (run.object, run.bytes)));
        try_join_all(
            objects.into_iter().map(|(name, bytes)| async move { self.shared().create(&name, bytes).await }),
        )
        .await?;
        Ok(Built { id, number: operation.number, state, tail })
    }

    fn operation(&self, head: Option<&Head>, view: TreeId) -> Result<Operation, StoreError> {
        Ok(Operation {
            parent: head.map(|head| head.snapshot.operation_id()),
            number: head.map_or(0, |head| head.snapshot.operation().number + 1),
            view,
            kind: self.meta.kind,
            description: self.meta.description.clone(),
            actor: self.meta.stamp.actor.clone(),
            time: self.meta.stamp.time,
            nonce: new_nonce(self.shared().entropy())?,
        })
    }

    /// An index run for everything that no run has yet, merged with the runs of its level.
    async fn index_run(
        &self,
        head: Option<&Head>,
        slots: BTreeMap<Digest, Slot>,
    ) -> Result<Option<NewRun>, StoreError> {
        if slots.is_empty() {
            return Ok(None);
        }
        let existing: &[NamedRun] = head.map_or(&[], |head| &head.index);
        let swallowed = swallow(existing, slots.len());
        let mut all = BTreeMap::new();
        for named in &swallowed {
            index::read_all(&named.run, &mut all).await?;
        }
        all.extend(slots);
        let (entries, bytes) = (all.len() as u64, index::encode(&all));
        self.new_run("index", ViewKey::Index, entries, bytes, &swallowed).map(Some)
    }

    /// A cache run for the new results, merged likewise.
    async fn cache_run(&self, head: Option<&Head>) -> Result<Option<NewRun>, StoreError> {
        if self.results.is_empty() {
            return Ok(None);
        }
        let existing = match head {
            Some(head) => head.snapshot.cache_runs().await?,
            None => Vec::new(),
        };
        let swallowed = swallow(&existing, self.results.len());
        let mut all = self.results.clone();
        for named in &swallowed {
            cache::read_all(&named.run, &mut all).await?;
        }
        let (entries, bytes) = (all.len() as u64, cache::encode(&all));
        self.new_run("cache", ViewKey::Cache, entries, bytes, &swallowed).map(Some)
    }

    fn new_run(
        &self,
        folder: &str,
        key: impl Fn(String) -> ViewKey,
        entries: u64,
        bytes: Bytes,
        swallowed: &[&NamedRun],
    ) -> Result<NewRun, StoreError> {
        let name = new_ulid(self.shared().entropy())?.to_string();
        Ok(NewRun {
            object: format!("{folder}/{name}"),
            state: RunState { entries, bytes: bytes.len() as u64 },
            bytes,
            key: key(name),
            replaced: swallowed.iter().map(|named| key(named.name.clone())).collect(),
        })
    }

    /// Applies the edits to the head's view. Returns its root, the new nodes, and those that opening the state needs.
    async fn new_view(
        &self,
        head: Option<&Head>,
        runs: &[NewRun],
    ) -> Result<(TreeId, BTreeMap<Digest, Bytes>), StoreError> {
        let mut edits: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            self.edits.iter().map(|(key, value)| (key.text().into_bytes(), value.clone())).collect();
        for run in runs {
            let replaced = run.replaced.iter().map(|key| (key.text().into_bytes(), None));
            edits.extend(replaced);
            let state = serde_json::to_vec(&run.state).expect("a run's state has string keys");
            edits.insert(run.key.text().into_bytes(), Some(state));
        }
        let overlay = Arc::new(Overlay::default());
        let made = std::sync::Mutex::new(BTreeMap::new());
        let reader = match head {
            Some(head) => head.snapshot.reader(),
            None => Reader::new(Arc::clone(self.shared()), Arc::default(), Vec::new()),
        }
        .over(Arc::clone(&overlay));
        let sink = |id: Digest, bytes: Bytes| {
            overlay.hold(id, Kind::Node, bytes.clone());
            made.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id, bytes);
        };
        let base = head.map(|head| head.snapshot.view_root());
        let view = tree::edit(&reader, base, edits, &sink).await?;
        let mut nodes = made.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let way = nodes_on_the_way(&reader, view, b"index/").await?;
        let absent: Vec<Digest> = way.into_iter().filter(|id| !nodes.contains_key(id)).collect();
        nodes.extend(absent.iter().copied().zip(reader.contents(&absent).await?));
        Ok((view, nodes))
    }

    /// Waits a little, longer after each attempt, so that racing writers come apart.
    async fn pause(&self, attempt: u32) -> Result<(), StoreError> {
        let mut random = [0; 8];
        self.shared().entropy().fill(&mut random)?;
        let most = (2 << attempt.min(16)).min(PAUSE_MAX);
        tokio::time::sleep(Duration::from_millis(u64::from_le_bytes(random) % (most + 1))).await;
        Ok(())
    }
}

fn swallow(existing: &[NamedRun], added: usize) -> Vec<&NamedRun> {
    let entries: Vec<u64> = existing.iter().map(|named| named.state.entries).collect();
    index::merge_with(&entries, added as u64).into_iter().map(|at| &existing[at]).collect()
}
