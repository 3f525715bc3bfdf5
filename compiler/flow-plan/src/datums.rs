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

/// What a job does with its datums: station 15.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JobPlan {
    /// One decision per datum that was looked at, in id order.
    pub decisions: Vec<DatumDecision>,
    /// How many were not: all of them are reused, unchanged.
    pub untouched: u64,
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
    JobPlan { decisions, untouched: 0 }
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
    untouched: u64,
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

#[cfg(test)]
mod tests {
    use DatumOutcome::{Failed, Recovered, Success};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{datum_id, datum_key, known, result, wanted};

    /// One datum on both sides; the last job computed key 1 from inputs 1.
    #[test]
    fn the_table() {
        use DatumAction::{Process, Reuse};
        let cases = [
            // outcome, wanted key, wanted inputs, cached keys, transform changed; action, reason
            (Success, 1, 1, &[][..], false, Reuse(result(1)), DatumReason::Unchanged),
            (Success, 1, 1, &[2][..], false, Reuse(result(1)), DatumReason::Unchanged),
            (Success, 2, 2, &[2][..], false, Reuse(result(2)), DatumReason::KnownResult),
            (Failed, 1, 1, &[1][..], false, Reuse(result(1)), DatumReason::KnownResult),
            (Failed, 1, 1, &[][..], false, Process, DatumReason::FailedBefore),
            (Recovered, 1, 1, &[][..], false, Process, DatumReason::RecoveredBefore),
            (Failed, 2, 2, &[][..], false, Process, DatumReason::InputChanged),
            (Failed, 2, 1, &[][..], true, Process, DatumReason::TransformChanged),
            (Success, 2, 2, &[1][..], false, Process, DatumReason::InputChanged),
            (Success, 2, 1, &[][..], true, Process, DatumReason::TransformChanged),
            (Success, 2, 2, &[][..], true, Process, DatumReason::InputAndTransformChanged),
        ];
        for (outcome, key, inputs, cached, transform_changed, action, reason) in cases {
            let cached = cached.iter().map(|key| (datum_key(*key), result(*key))).collect();
            let plan =
                plan(&[known(7, 1, 1, outcome)], &[wanted(7, key, inputs)], &cached, transform_changed);
            let expected = DatumDecision { id: datum_id(7), action, reason, bytes: 10 };
            assert_eq!(plan.decisions, [expected], "{outcome:?} {key} {inputs} {cached:?}");
        }
    }

    #[test]
    fn datums_of_one_side_are_new_known_or_gone() {
        let cached = BTreeMap::from([(datum_key(3), result(3))]);
        let plan = plan(&[known(2, 1, 1, Success)], &[wanted(1, 2, 2), wanted(3, 3, 3)], &cached, false);
        let seen: Vec<_> = plan.decisions.iter().map(|d| (d.action, d.reason, d.bytes)).collect();
        let expected = [
            (DatumAction::Process, DatumReason::New, 10),
            (DatumAction::Drop, DatumReason::Gone, 0),
            (DatumAction::Reuse(result(3)), DatumReason::KnownResult, 10),
        ];
        assert_eq!(seen, expected);
        assert!(!plan.is_unchanged());
        assert_eq!(plan.to_process().collect::<Vec<_>>(), [datum_id(1)]);
    }

    fn outcome() -> impl Strategy<Value = DatumOutcome> {
        prop_oneof![Just(Success), Just(Failed), Just(Recovered)]
    }

    /// Keys follow from inputs and transform, as in life: `key = inputs + 100 * transform`.
    fn sides(
        transform: impl Strategy<Value = bool>,
    ) -> impl Strategy<Value = (Vec<KnownDatum>, Vec<WantedDatum>, BTreeMap<DatumKey, ResultRef>, bool)> {
        let known_side = prop::collection::btree_map(0..20_u8, (0..4_u8, outcome()), 0..12);
        let wanted_side = prop::collection::btree_map(0..20_u8, 0..4_u8, 0..12);
        let cached = prop::collection::btree_set(prop_oneof![0..4_u8, 100..104_u8], 0..4);
        (known_side, wanted_side, cached, transform).prop_map(|(knowns, wanteds, cached, transform)| {
            let salt = if transform { 100 } else { 0 };
            let known_side =
                knowns.into_iter().map(|(id, (inputs, outcome))| known(id, inputs, inputs, outcome));
            let wanted_side = wanteds.into_iter().map(|(id, inputs)| wanted(id, inputs + salt, inputs));
            let cached = cached.into_iter().map(|key| (datum_key(key), result(key))).collect();
            (known_side.collect(), wanted_side.collect(), cached, transform)
        })
    }

    /// What the last job would be after this plan was carried out and every datum succeeded.
    fn applied(plan: &JobPlan, wanted: &[WantedDatum]) -> Vec<KnownDatum> {
        let after = |decision: &DatumDecision| {
            let want = wanted.iter().find(|want| want.id == decision.id);
            let (outcome, result) = match decision.action {
                DatumAction::Process => (Success, result(want?.key.0.as_bytes()[0])),
                DatumAction::Reuse(result) => (Success, result),
                DatumAction::Drop => return None,
            };
            let want = want?;
            Some(KnownDatum { id: want.id, key: want.key, inputs: want.inputs, outcome, result })
        };
        plan.decisions.iter().filter_map(after).collect()
    }

    /// The same decisions by looking for each id on its own, reasons left out.
    fn oracle(
        known: &[KnownDatum],
        wanted: &[WantedDatum],
        cached: &BTreeMap<DatumKey, ResultRef>,
    ) -> BTreeMap<DatumId, DatumAction> {
        let own = |want: &WantedDatum| {
            let same = |k: &&KnownDatum| k.id == want.id && k.key == want.key && k.outcome == Success;
            known.iter().find(same).map(|known| known.result)
        };
        let decide = |want: &WantedDatum| match own(want).or_else(|| cached.get(&want.key).copied()) {
            Some(result) => DatumAction::Reuse(result),
            None => DatumAction::Process,
        };
        let dropped = known.iter().map(|known| (known.id, DatumAction::Drop));
        dropped.chain(wanted.iter().map(|want| (want.id, decide(want)))).collect()
    }

    proptest! {
        #[test]
        fn decisions_are_total_ordered_and_those_of_the_oracle((known, wanted, cached, transform) in sides(any::<bool>())) {
            let plan = plan(&known, &wanted, &cached, transform);
            prop_assert!(plan.decisions.is_sorted_by(|a, b| a.id < b.id));
            let actions: BTreeMap<_, _> = plan.decisions.iter().map(|d| (d.id, d.action)).collect();
            prop_assert_eq!(actions, oracle(&known, &wanted, &cached));
        }

        #[test]
        fn carried_out_it_reaches_the_wanted_side_and_has_no_more_to_do((known, wanted, cached, transform) in sides(any::<bool>())) {
            let after = applied(&plan(&known, &wanted, &cached, transform), &wanted);
            let pairs = |d: &[KnownDatum]| d.iter().map(|d| (d.id, d.key)).collect::<Vec<_>>();
            prop_assert_eq!(pairs(&after), wanted.iter().map(|d| (d.id, d.key)).collect::<Vec<_>>());
            let again = plan(&after, &wanted, &cached, false);
            prop_assert!(again.is_unchanged());
        }

        #[test]
        fn looking_at_the_touched_alone_decides_the_same((known, wanted, cached, _) in sides(Just(false))) {
            let same = |k: &KnownDatum, w: &WantedDatum| k.id == w.id && k.key == w.key && k.outcome == Success;
            let left = |k: &&KnownDatum| !wanted.iter().any(|w| same(k, w));
            let right = |w: &&WantedDatum| !known.iter().any(|k| same(k, w));
            let touched_known: Vec<_> = known.iter().filter(left).copied().collect();
            let touched: Vec<_> = wanted.iter().filter(right).copied().collect();
            let count = (wanted.len() - touched.len()) as u64;
            let whole = plan(&known, &wanted, &cached, false);
            let part = plan_changes(&touched_known, &touched, count, &cached);
            let unchanged = |d: &&DatumDecision| d.reason == DatumReason::Unchanged;
            prop_assert_eq!(whole.decisions.iter().filter(unchanged).count() as u64, count);
            let rest: Vec<_> = whole.decisions.iter().filter(|d| !unchanged(d)).copied().collect();
            prop_assert_eq!(part.decisions, rest);
        }
    }
}
