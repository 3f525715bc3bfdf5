//! The coordinator decides: which worker gets which datums, and when a job's work is done.
//!
//! A state machine without I/O: messages of workers in, messages to workers out. It holds nothing that cannot be
//! rebuilt from the store: what is finished is what is durable. Sets shrink as the work runs out (a quarter of an even
//! share, at least one datum), so that workers end together.
//!
//! **Invariant:** each datum is waiting, held by exactly one worker, or finished.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flow_model::{digest::DatumId, job::FinishedDatum};

use crate::protocol::{DatumSet, DatumTask, FromWorker, ToWorker, WorkerId};

/// Sets per worker that an even split would have; Pachyderm's default.
const SETS_PER_WORKER: usize = 4;
/// A set is never larger: a lost worker costs at most this many datums.
const SET_DATUMS_MAX: usize = 256;

/// Hands out a job's datums.
#[derive(Debug)]
pub struct Coordinator {
    waiting: VecDeque<DatumTask>,
    held: BTreeMap<DatumId, (WorkerId, DatumTask)>,
    finished: Vec<FinishedDatum>,
    workers: BTreeSet<WorkerId>,
    idle: BTreeSet<WorkerId>,
    stopping: bool,
    last_break: Option<String>,
}

/// What is to be said to whom.
pub type Orders = Vec<(WorkerId, ToWorker)>;

impl Coordinator {
    /// Starts with the datums of a job plan that are to be run, in input order.
    #[must_use]
    pub fn new(tasks: Vec<DatumTask>, workers: impl IntoIterator<Item = WorkerId>) -> Self {
        Self {
            waiting: tasks.into(),
            held: BTreeMap::new(),
            finished: Vec::new(),
            workers: workers.into_iter().collect(),
            idle: BTreeSet::new(),
            stopping: false,
            last_break: None,
        }
    }

    /// Takes a worker's message; returns what follows from it.
    pub fn hear(&mut self, message: FromWorker) -> Orders {
        match message {
            FromWorker::Idle { worker } => {
                self.idle.insert(worker);
            }
            FromWorker::Started { .. } => {}
            FromWorker::Finished { datums } => self.finish(datums),
            FromWorker::Broken { worker, reason } => self.lose(worker, reason),
        }
        self.orders()
    }

    /// Hands out nothing more; what runs is waited for.
    pub fn stop(&mut self) -> Orders {
        self.stopping = true;
        self.orders()
    }

    /// Whether nothing is left to wait for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.held.is_empty() && (self.waiting.is_empty() || self.stopping || self.workers.is_empty())
    }

    /// Why there is work left and nobody to do it, if that is so.
    #[must_use]
    pub fn stranded(&self) -> Option<&str> {
        let stranded = self.workers.is_empty() && !(self.waiting.is_empty() && self.held.is_empty());
        stranded.then(|| self.last_break.as_deref().unwrap_or("none was started"))
    }

    /// Whether every datum is finished.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.waiting.is_empty() && self.held.is_empty()
    }

    /// The datums that are finished, in the order in which they became so.
    #[must_use]
    pub fn into_finished(self) -> Vec<FinishedDatum> {
        self.finished
    }

    fn finish(&mut self, datums: Vec<FinishedDatum>) {
        for datum in datums {
            // A worker that was given up may still report; the first report counts.
            if self.held.remove(&datum.id).is_some() {
                self.finished.push(datum);
            }
        }
    }

    fn lose(&mut self, worker: WorkerId, reason: String) {
        self.workers.remove(&worker);
        self.idle.remove(&worker);
        self.last_break = Some(reason);
        let lost: Vec<DatumId> =
            self.held.iter().filter(|(_, (holder, _))| *holder == worker).map(|(id, _)| *id).collect();
        for id in lost.into_iter().rev() {
            if let Some((_, task)) = self.held.remove(&id) {
                self.waiting.push_front(task);
            }
        }
    }

    fn orders(&mut self) -> Orders {
        let mut orders = Vec::new();
        while let Some(worker) = self.idle.pop_first() {
            if self.stopping || self.waiting.is_empty() {
                // A worker that may yet be needed for a lost one's datums stays.
                if self.stopping || self.held.is_empty() {
                    orders.push((worker, ToWorker::Finish));
                    continue;
                }
                self.idle.insert(worker);
                break;
            }
            orders.push((worker, ToWorker::Run(self.next_set(worker))));
        }
        orders
    }

    fn next_set(&mut self, worker: WorkerId) -> DatumSet {
        let share = self.waiting.len().div_ceil(self.workers.len().max(1) * SETS_PER_WORKER);
        let size = share.clamp(1, SET_DATUMS_MAX).min(self.waiting.len());
        let datums: Vec<DatumTask> = self.waiting.drain(..size).collect();
        for task in &datums {
            self.held.insert(task.id, (worker, task.clone()));
        }
        DatumSet { datums }
    }
}

#[cfg(test)]
mod tests {
    use flow_model::{
        digest::{DatumKey, Digest, InputsDigest, RecordId},
        job::DatumOutcome,
        time::Millis,
    };

    use super::*;

    fn tasks(count: u64) -> Vec<DatumTask> {
        let digest = |n: u64| Digest::of(&n.to_le_bytes());
        let task = |n| DatumTask {
            id: DatumId(digest(n)),
            key: DatumKey(digest(n)),
            digest: InputsDigest(digest(n)),
            inputs: Vec::new(),
        };
        (0..count).map(task).collect()
    }

    fn finished(task: &DatumTask) -> FinishedDatum {
        let zero = Digest::of(b"");
        FinishedDatum {
            id: task.id,
            outcome: DatumOutcome::Success,
            key: task.key,
            inputs: task.digest,
            record: RecordId(zero),
            facts: zero,
            wall: Millis(1),
            failure: None,
        }
    }

    /// Plays workers that finish what they get; `breaks` says after how many sets a worker breaks.
    fn play(count: u64, workers: u32, breaks: &[(u32, usize)]) -> Coordinator {
        let mut coordinator = Coordinator::new(tasks(count), (0..workers).map(WorkerId));
        let mut sets: BTreeMap<WorkerId, usize> = BTreeMap::new();
        let mut inbox: VecDeque<FromWorker> =
            (0..workers).map(|n| FromWorker::Idle { worker: WorkerId(n) }).collect();
        while let Some(message) = inbox.pop_front() {
            for (worker, order) in coordinator.hear(message) {
                let ToWorker::Run(set) = order else { continue };
                let done = sets.entry(worker).or_default();
                *done += 1;
                if breaks.contains(&(worker.0, *done)) {
                    inbox.push_back(FromWorker::Broken { worker, reason: "killed".into() });
                    continue;
                }
                inbox.push_back(FromWorker::Finished { datums: set.datums.iter().map(finished).collect() });
                inbox.push_back(FromWorker::Idle { worker });
            }
        }
        coordinator
    }

    #[test]
    fn every_datum_is_finished_once() {
        for (count, workers) in [(0, 1), (1, 4), (1000, 2), (7, 7)] {
            let coordinator = play(count, workers, &[]);
            assert!(coordinator.is_done() && coordinator.is_complete());
            let ids: BTreeSet<DatumId> = coordinator.into_finished().iter().map(|datum| datum.id).collect();
            assert_eq!(ids.len() as u64, count);
        }
    }

    #[test]
    fn a_lost_workers_datums_go_to_the_others() {
        let coordinator = play(100, 3, &[(0, 1), (2, 2)]);
        assert!(coordinator.is_complete());
        assert_eq!(coordinator.into_finished().len(), 100);
    }

    #[test]
    fn without_workers_the_job_is_stranded_and_says_why() {
        let coordinator = play(10, 1, &[(0, 2)]);
        assert!(coordinator.is_done() && !coordinator.is_complete());
        assert_eq!(coordinator.stranded(), Some("killed"));
    }

    #[test]
    fn a_stop_hands_out_nothing_more() {
        let mut coordinator = Coordinator::new(tasks(10), [WorkerId(0)]);
        let orders = coordinator.hear(FromWorker::Idle { worker: WorkerId(0) });
        let [(_, ToWorker::Run(set))] = orders.as_slice() else { panic!("no set") };
        assert!(coordinator.stop().is_empty());
        assert!(!coordinator.is_done());
        coordinator.hear(FromWorker::Finished { datums: set.datums.iter().map(finished).collect() });
        let orders = coordinator.hear(FromWorker::Idle { worker: WorkerId(0) });
        assert_eq!(orders, [(WorkerId(0), ToWorker::Finish)]);
        assert!(coordinator.is_done() && !coordinator.is_complete());
    }
}
