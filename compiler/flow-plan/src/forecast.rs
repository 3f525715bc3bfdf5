//! Sums the decisions of a job plan up for people: station 9.
//!
//! Decisions with one fate for one reason make a group; groups come in the order run, reuse, drop. The forecast and the
//! job are decided by the same function ([`crate::datums::plan`]), so a forecast whose inputs are known is the outcome.

use std::collections::BTreeMap;

use flow_model::{
    digest::DatumId,
    forecast::{
        DatumAction, DatumDecision, DatumForecast, DatumReason, ForecastAction, ForecastGroup, WorkCause,
    },
    name::PipelineName,
    time::Millis,
};
use itertools::Itertools;

use crate::datums::JobPlan;

/// How many datums of a group are named.
pub const EXAMPLES_MAX: usize = 3;

/// What the last jobs of a pipeline cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct History {
    /// Mean wall time of a datum that ran.
    pub mean_per_datum: Millis,
    /// How many datums will run at a time.
    pub parallelism: u32,
}

/// A pipeline that has work, without its datums.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Work {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The repos that it reads, in the spec's order.
    pub inputs: Vec<String>,
    /// Why it has work.
    pub cause: WorkCause,
    /// A few words more for a reason: the fields that changed, how it failed before.
    pub details: BTreeMap<DatumReason, String>,
    /// What earlier jobs cost, where there were any.
    pub history: Option<History>,
    /// Upstream pipelines whose outputs are not known before they have run.
    pub unknown_until: Vec<PipelineName>,
}

/// Groups the decisions of `plan`. `label` gives the name that people know a datum by.
#[must_use]
pub fn summarise(work: Work, plan: &JobPlan, label: &dyn Fn(DatumId) -> Option<String>) -> DatumForecast {
    let mut groups: BTreeMap<(ForecastAction, DatumReason), Group> = BTreeMap::new();
    for decision in &plan.decisions {
        groups.entry((action_of(decision), decision.reason)).or_default().count(decision);
    }
    if plan.untouched > 0 {
        groups.entry((ForecastAction::Reuse, DatumReason::Unchanged)).or_default().datums += plan.untouched;
    }
    let groups: Vec<ForecastGroup> = groups
        .into_iter()
        .map(|((action, reason), group)| group.finish(action, reason, &work.details, label))
        .collect();
    let runs = groups.iter().filter(|group| group.action == ForecastAction::Run).map(|group| group.datums);
    let runs: u64 = runs.sum();
    DatumForecast {
        pipeline: work.pipeline,
        inputs: work.inputs,
        cause: work.cause,
        estimate: work.history.map(|history| estimate(runs, history)),
        unknown_until: work.unknown_until.into_iter().sorted().dedup().collect(),
        groups,
    }
}

/// Datums run in waves of `parallelism`.
fn estimate(runs: u64, history: History) -> Millis {
    let waves = runs.div_ceil(u64::from(history.parallelism.max(1)));
    Millis(waves.saturating_mul(history.mean_per_datum.0))
}

const fn action_of(decision: &DatumDecision) -> ForecastAction {
    match decision.action {
        DatumAction::Process => ForecastAction::Run,
        DatumAction::Reuse(_) => ForecastAction::Reuse,
        DatumAction::Drop => ForecastAction::Drop,
    }
}

#[derive(Default)]
struct Group {
    datums: u64,
    bytes: u64,
    examples: Vec<DatumId>,
}

impl Group {
    fn count(&mut self, decision: &DatumDecision) {
        self.datums += 1;
        if decision.action == DatumAction::Process {
            self.bytes = self.bytes.saturating_add(decision.bytes);
        }
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(decision.id);
        }
    }

    fn finish(
        self,
        action: ForecastAction,
        reason: DatumReason,
        details: &BTreeMap<DatumReason, String>,
        label: &dyn Fn(DatumId) -> Option<String>,
    ) -> ForecastGroup {
        ForecastGroup {
            action,
            reason,
            detail: details.get(&reason).cloned(),
            datums: self.datums,
            bytes: self.bytes,
            examples: self.examples.into_iter().filter_map(label).sorted().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use flow_model::job::DatumOutcome;

    use super::*;
    use crate::{datums, testing::*};

    fn work(history: Option<History>) -> Work {
        Work {
            pipeline: "edges".parse().unwrap(),
            inputs: vec!["images".to_owned()],
            cause: WorkCause::Changed,
            details: BTreeMap::from([(DatumReason::FailedBefore, "exit 3".to_owned())]),
            history,
            unknown_until: vec!["b".parse().unwrap(), "a".parse().unwrap(), "b".parse().unwrap()],
        }
    }

    fn job_plan() -> JobPlan {
        let known = [
            known(1, 1, 1, DatumOutcome::Success),
            known(2, 2, 2, DatumOutcome::Failed),
            known(3, 3, 3, DatumOutcome::Success),
        ];
        let mut wanted: Vec<_> = (4..9).map(|id| wanted(id, id, id)).collect();
        wanted.splice(0..0, [crate::testing::wanted(1, 1, 1), crate::testing::wanted(2, 2, 2)]);
        datums::plan_changes(&known, &wanted, 50, &BTreeMap::new())
    }

    #[test]
    fn groups_are_sorted_counted_and_exemplified() {
        let label = |id: DatumId| Some(format!("/{}", 9 - id.0.as_bytes()[0]));
        let forecast = summarise(work(None), &job_plan(), &label);
        let group = |at: usize| &forecast.groups[at];
        let seen: Vec<_> = forecast.groups.iter().map(|g| (g.action, g.reason, g.datums, g.bytes)).collect();
        let expected = [
            (ForecastAction::Run, DatumReason::New, 5, 50),
            (ForecastAction::Run, DatumReason::FailedBefore, 1, 10),
            (ForecastAction::Reuse, DatumReason::Unchanged, 51, 0),
            (ForecastAction::Drop, DatumReason::Gone, 1, 0),
        ];
        assert_eq!(seen, expected);
        assert_eq!(group(0).examples, ["/3", "/4", "/5"], "the first three, by name");
        assert_eq!(group(1).detail.as_deref(), Some("exit 3"));
        assert_eq!(group(0).detail, None);
        assert_eq!(forecast.unknown_until.iter().map(PipelineName::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(forecast.estimate, None);
    }

    #[test]
    fn the_estimate_counts_waves() {
        let history = |parallelism| Some(History { mean_per_datum: Millis(1000), parallelism });
        let estimate = |parallelism| summarise(work(history(parallelism)), &job_plan(), &|_| None).estimate;
        assert_eq!(estimate(1), Some(Millis(6000)));
        assert_eq!(estimate(4), Some(Millis(2000)));
        assert_eq!(estimate(0), Some(Millis(6000)), "a parallelism of zero cannot divide");
    }
}
