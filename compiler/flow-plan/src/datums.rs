//! Decides what a job does with each datum. Pure: two sorted lists in, one decision per datum of either side out.
//!
//! A job compares the datums that it should have with those of the pipeline's last job, matched by id, and then with
//! the results of all jobs, matched by key:
//!
//! | in last job | wanted | key equal, has result | result known elsewhere | decision |
//! |---|---|---|---|---|
//! | yes | yes | yes | | reuse: unchanged |
//! | any | yes | no | yes | reuse: known result |
//! | failed, same key | yes | no | no | run: failed before |
//! | recovered, same key | yes | no | no | run: recovered before |
//! | yes, other key | yes | no | no | run: input changed, transform changed, or both |
//! | no | yes | | no | run: new |
//! | yes | no | | | drop: gone |
//!
//! **Invariant:** total, in id order, idempotent (a job over the outcome of a successful job reuses everything), and
//! the datums that run or are reused are exactly the wanted ones. Reasons explain; nothing branches on them.
//!
//! Not here: listing datums and looking keys up (flow-engine), which hands only those cached results over that are
//! still there.

use std::collections::BTreeMap;

use flow_model::{
    digest::{DatumId, DatumKey},
    forecast::{DatumAction, DatumDecision, DatumReason, KnownDatum, ResultRef, WantedDatum},
    job::DatumOutcome,
};
use itertools::{EitherOrBoth, Itertools};

/// Datums that a job takes over as they are, without looking at each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Untouched {
    /// How many.
    pub datums: u64,
    /// Bytes that they read.
    pub bytes: u64,
}

/// What a job does with its datums: station 15.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JobPlan {
    /// One decision per datum that was looked at, in id order.
    pub decisions: Vec<DatumDecision>,
    /// The datums that were not: all of them are reused, unchanged.
    pub untouched: Untouched,
}

impl JobPlan {
    /// The datums to run.
    pub fn to_process(&self) -> impl Iterator<Item = DatumId> + '_ {
        let runs = |decision: &&DatumDecision| decision.action == DatumAction::Process;
        self.decisions.iter().filter(runs).map(|decision| decision.id)
    }

    /// Whether the job would change nothing: no datum runs, none is dropped, and none is there that the last job did
    /// not have.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.decisions.iter().all(|decision| decision.reason == DatumReason::Unchanged)
    }
}

/// Decides for every datum of either side. Both lists are sorted by id, without repeats; `transform_changed` says
/// whether the last job ran another transform or program.
#[must_use]
pub fn plan(
    known: &[KnownDatum],
    wanted: &[WantedDatum],
    cached: &BTreeMap<DatumKey, ResultRef>,
    transform_changed: bool,
) -> JobPlan {
    debug_assert!(known.is_sorted_by(|a, b| a.id < b.id), "known datums are sorted by id");
    debug_assert!(wanted.is_sorted_by(|a, b| a.id < b.id), "wanted datums are sorted by id");
    let decisions = known
        .iter()
        .merge_join_by(wanted, |known, wanted| known.id.cmp(&wanted.id))
        .map(|pair| match pair {
            EitherOrBoth::Left(known) => gone(known),
            EitherOrBoth::Right(wanted) => elsewhere(wanted, cached, DatumReason::New),
            EitherOrBoth::Both(known, wanted) => again(known, wanted, cached, transform_changed),
        })
        .collect();
    JobPlan { decisions, untouched: Untouched::default() }
}

/// Decides for the datums that a change of the inputs touches, in O(changes).
///
/// `known` and `wanted` hold the datums with one of these ids: those whose inputs differ, are new or are gone, and those
/// that did not end in a result. `untouched` counts all others. Only for an unchanged transform: another one touches
/// every datum, and then [`plan`] decides.
#[must_use]
pub fn plan_changes(
    known: &[KnownDatum],
    wanted: &[WantedDatum],
    untouched: Untouched,
    cached: &BTreeMap<DatumKey, ResultRef>,
) -> JobPlan {
    JobPlan { untouched, ..plan(known, wanted, cached, false) }
}

fn gone(known: &KnownDatum) -> DatumDecision {
    DatumDecision { id: known.id, action: DatumAction::Drop, reason: DatumReason::Gone, bytes: 0 }
}

fn decide(wanted: &WantedDatum, action: DatumAction, reason: DatumReason) -> DatumDecision {
    DatumDecision { id: wanted.id, action, reason, bytes: wanted.bytes }
}

/// Takes a result that any job computed, or else runs the datum for `reason`.
fn elsewhere(
    wanted: &WantedDatum,
    cached: &BTreeMap<DatumKey, ResultRef>,
    reason: DatumReason,
) -> DatumDecision {
    match cached.get(&wanted.key) {
        Some(result) => decide(wanted, DatumAction::Reuse(*result), DatumReason::KnownResult),
        None => decide(wanted, DatumAction::Process, reason),
    }
}

fn again(
    known: &KnownDatum,
    wanted: &WantedDatum,
    cached: &BTreeMap<DatumKey, ResultRef>,
    transform_changed: bool,
) -> DatumDecision {
    if known.key == wanted.key && known.outcome == DatumOutcome::Success {
        return decide(wanted, DatumAction::Reuse(known.result), DatumReason::Unchanged);
    }
    elsewhere(wanted, cached, why_again(known, wanted, transform_changed))
}

fn why_again(known: &KnownDatum, wanted: &WantedDatum, transform_changed: bool) -> DatumReason {
    let same_key = known.key == wanted.key;
    match (known.outcome, known.inputs != wanted.inputs) {
        (DatumOutcome::Failed, _) if same_key => DatumReason::FailedBefore,
        (DatumOutcome::Recovered, _) if same_key => DatumReason::RecoveredBefore,
        (_, true) if transform_changed => DatumReason::InputAndTransformChanged,
        (_, true) => DatumReason::InputChanged,
        // Another key from the same inputs: only the transform or its program can differ.
        (_, false) => DatumReason::TransformChanged,
    }
}
