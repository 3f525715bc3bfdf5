//! What data work follows from a change, before anything is done: station 9.
//!
//! For every pipeline in DAG order: would it have a job once the plan is applied, and what would that job do? Where all
//! inputs are known, the answer comes from the very functions that the job will use. Where a pipeline upstream has
//! work, its output is not known yet; then the forecast holds for what is there today and says so.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    commit::Commit,
    dag::Dag,
    datum::{ExecutorIdentity, transform_digest, work_digest},
    digest::{CommitId, DatumId, FieldHasher, TreeId},
    forecast::{DatumAction, DatumForecast, DatumReason, ResultRef, WorkCause},
    job::{DatumOutcome, JobManifest, JobStatus, job_id},
    name::{BranchName, PipelineName, RepoName},
    spec::{PfsInput, PipelineVersion},
    state::LastJob,
};
use flow_plan::forecast::{History, Work};
use flow_store::{Project, Reader, Snapshot};

use crate::{
    decide::{self, Decided, Question},
    error::EngineError,
    inputs::LeafTree,
    job::last_manifest,
    work::next_run,
};

/// A branch as it will be.
#[derive(Clone, Copy, Debug)]
pub struct FutureBranch {
    /// Its files.
    pub tree: LeafTree,
    /// Its head, or `None` if the plan makes a new commit.
    pub head: Option<CommitId>,
}

/// A pipeline as it will be.
#[derive(Clone, Debug)]
pub struct FuturePipeline {
    /// Its version.
    pub version: PipelineVersion,
    /// What will run it.
    pub executor: ExecutorIdentity,
    /// Whether the plan creates or changes it; the names of the changed fields.
    pub change: FutureChange,
}

/// What the plan does to a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FutureChange {
    /// Nothing.
    None,
    /// It is made.
    Created,
    /// It is changed; the fields that differ.
    Changed(Vec<String>),
}

/// The state that a plan leads to, as far as it is known before any job runs.
pub struct Future<'a> {
    /// Sees the state and what the plan would add to it.
    pub reader: Reader,
    /// The state now; `None` before the first apply.
    pub snapshot: Option<&'a Snapshot>,
    /// The project, for what interrupted jobs have finished.
    pub project: Option<Project>,
    /// Branches that the plan moves.
    pub branches: BTreeMap<(RepoName, BranchName), FutureBranch>,
    /// All pipelines that there will be.
    pub pipelines: BTreeMap<PipelineName, FuturePipeline>,
}

/// Forecasts the data work of every pipeline that will have some, in the order in which they run.
///
/// # Errors
/// If the store cannot be read.
pub async fn forecast(future: &Future<'_>, dag: &Dag) -> Result<Vec<DatumForecast>, EngineError> {
    let mut forecasts = Vec::new();
    let mut busy: BTreeSet<PipelineName> = BTreeSet::new();
    for name in dag.pipelines() {
        let Some(pipeline) = future.pipelines.get(name) else { continue };
        let unknown: Vec<PipelineName> =
            dag.upstream(name).filter(|up| busy.contains(*up)).cloned().collect();
        if let Some(forecast) = future.of_pipeline(name, pipeline, unknown).await? {
            busy.insert(name.clone());
            forecasts.push(forecast);
        }
    }
    Ok(forecasts)
}

/// What a `pfs` input will read.
enum FutureLeaf {
    Known(FutureBranch),
    /// A pipeline that writes it has work: what is there today, if anything.
    Unknown(Option<FutureBranch>),
    /// No commit yet, and none planned.
    Missing,
}

impl Future<'_> {
    async fn of_pipeline(
        &self,
        name: &PipelineName,
        pipeline: &FuturePipeline,
        unknown: Vec<PipelineName>,
    ) -> Result<Option<DatumForecast>, EngineError> {
        let last = match self.snapshot {
            Some(snapshot) => snapshot.last_job(name).await?,
            None => None,
        };
        let mut leaves = Vec::new();
        for leaf in pipeline.version.spec.input.leaves() {
            leaves.push(self.leaf(leaf, &unknown).await?);
        }
        if leaves.iter().any(|leaf| matches!(leaf, FutureLeaf::Missing)) {
            return Ok(None);
        }
        let Some(cause) = cause(pipeline, last.as_ref(), &leaves, &unknown) else { return Ok(None) };
        let manifest = match (self.snapshot, &last) {
            (Some(snapshot), Some(_)) => last_manifest(snapshot, last.as_ref()).await?,
            _ => None,
        };
        let decided = self.decide(pipeline, &leaves, manifest.as_ref()).await?;
        let decided = match decided {
            Some(decided) => Some(self.with_resumed(pipeline, &leaves, last.as_ref(), decided).await?),
            None => None,
        };
        self.summarise(name, pipeline, cause, decided, manifest.as_ref(), unknown).await.map(Some)
    }

    async fn leaf(&self, leaf: &PfsInput, unknown: &[PipelineName]) -> Result<FutureLeaf, EngineError> {
        let planned = self.branches.get(&(leaf.repo.clone(), leaf.branch.clone())).copied();
        let branch = match (planned, self.snapshot) {
            (Some(branch), _) => Some(branch),
            (None, Some(snapshot)) => live_branch(snapshot, &leaf.repo, &leaf.branch).await?,
            (None, None) => None,
        };
        let written_by_busy = unknown.iter().any(|pipeline| pipeline.output_repo() == leaf.repo);
        Ok(match branch {
            branch if written_by_busy => FutureLeaf::Unknown(branch),
            Some(branch) => FutureLeaf::Known(branch),
            None => FutureLeaf::Missing,
        })
    }

    /// The job plan over what is known; `None` if an unknown input has no data yet.
    async fn decide(
        &self,
        pipeline: &FuturePipeline,
        leaves: &[FutureLeaf],
        last: Option<&JobManifest>,
    ) -> Result<Option<Decided>, EngineError> {
        let specs = pipeline.version.spec.input.leaves();
        let tree = |(leaf, spec): (&FutureLeaf, &&PfsInput)| match leaf {
            FutureLeaf::Known(branch) => Some(branch.tree),
            // The glob `/` has one datum whatever is written; only its content is not known yet.
            FutureLeaf::Unknown(_) if spec.glob == "/" => {
                Some(LeafTree { tree: not_made_yet(), files: 1, bytes: 0 })
            }
            FutureLeaf::Unknown(branch) => branch.map(|branch| branch.tree),
            FutureLeaf::Missing => None,
        };
        let trees: Option<Vec<LeafTree>> = leaves.iter().zip(&specs).map(tree).collect();
        let Some(trees) = trees else { return Ok(None) };
        let question = Question {
            reader: &self.reader,
            cache: self.snapshot,
            version: &pipeline.version,
            trees: &trees,
            executor: &pipeline.executor,
            last,
        };
        decide::decide(question).await.map(Some)
    }

    /// Counts what an interrupted attempt at this very job has finished as known.
    async fn with_resumed(
        &self,
        pipeline: &FuturePipeline,
        leaves: &[FutureLeaf],
        last: Option<&LastJob>,
        mut decided: Decided,
    ) -> Result<Decided, EngineError> {
        let heads: Option<Vec<CommitId>> = leaves
            .iter()
            .map(|leaf| match leaf {
                FutureLeaf::Known(branch) => branch.head,
                _ => None,
            })
            .collect();
        let (Some(heads), Some(project), Some(snapshot), FutureChange::None) =
            (heads, &self.project, self.snapshot, &pipeline.change)
        else {
            return Ok(decided);
        };
        let work = work_digest(&pipeline.version, &pipeline.executor);
        let version = &pipeline.version;
        let Some(run) = next_run(snapshot, version, last, work, &heads).await? else { return Ok(decided) };
        let job = job_id(version.id(), &heads, run);
        let packs = project.job_packs(job).await?;
        let finished = crate::job::resumed(&self.reader, &packs, &decided).await?;
        for decision in &mut decided.plan.decisions {
            let done = finished.get(&decision.id).filter(|datum| datum.outcome == DatumOutcome::Success);
            if let (DatumAction::Process, Some(datum)) = (decision.action, done) {
                let result = ResultRef { record: datum.record, facts: datum.facts };
                decision.action = DatumAction::Reuse(result);
                decision.reason = DatumReason::KnownResult;
            }
        }
        Ok(decided)
    }

    async fn summarise(
        &self,
        name: &PipelineName,
        pipeline: &FuturePipeline,
        cause: WorkCause,
        decided: Option<Decided>,
        last: Option<&JobManifest>,
        unknown_until: Vec<PipelineName>,
    ) -> Result<DatumForecast, EngineError> {
        let leaves = pipeline.version.spec.input.leaves();
        let mut inputs: Vec<String> = leaves.iter().map(|leaf| leaf.repo.to_string()).collect();
        inputs.dedup();
        let parallelism = pipeline.version.spec.parallelism.get();
        let work = Work {
            pipeline: name.clone(),
            inputs,
            cause,
            details: self.details(pipeline, last),
            history: last
                .and_then(|last| last.datum_wall)
                .map(|mean_per_datum| History { mean_per_datum, parallelism }),
            unknown_until,
        };
        let labels: BTreeMap<DatumId, String> = decided
            .iter()
            .flat_map(|decided| decided.datums.iter().map(|(datum, _)| (datum.id, datum.label())))
            .collect();
        let plan = decided.map(|decided| decided.plan).unwrap_or_default();
        Ok(flow_plan::forecast::summarise(work, &plan, &|id| labels.get(&id).cloned()))
    }

    /// A few words more for reasons: what changed, and how it failed before.
    fn details(
        &self,
        pipeline: &FuturePipeline,
        last: Option<&JobManifest>,
    ) -> BTreeMap<DatumReason, String> {
        let mut details = BTreeMap::new();
        if let Some(changed) = changed(pipeline, last) {
            details.insert(DatumReason::TransformChanged, changed.clone());
            details.insert(DatumReason::InputAndTransformChanged, changed);
        }
        if let Some(failure) = last.and_then(|last| last.failure.as_ref()) {
            details.insert(DatumReason::FailedBefore, crate::job::failure_line(failure));
        }
        details
    }
}

/// What is different about how a datum is computed: fields of the spec, or the program itself.
fn changed(pipeline: &FuturePipeline, last: Option<&JobManifest>) -> Option<String> {
    if let FutureChange::Changed(fields) = &pipeline.change {
        return (!fields.is_empty()).then(|| fields.join(", "));
    }
    let last = last?;
    let same_transform = last.transform == transform_digest(&pipeline.version);
    let ExecutorIdentity::Process { program, .. } = &pipeline.executor;
    (same_transform && last.executor != pipeline.executor).then(|| format!("program {program}"))
}

/// Stands for the tree of an output that no job has made yet: equal to no tree there is.
fn not_made_yet() -> TreeId {
    TreeId(FieldHasher::new("flow output that is not made yet").finish())
}

async fn live_branch(
    snapshot: &Snapshot,
    repo: &RepoName,
    branch: &BranchName,
) -> Result<Option<FutureBranch>, EngineError> {
    let Some(state) = snapshot.branch(repo, branch).await? else { return Ok(None) };
    let commit: Commit = snapshot.reader().stored(state.head.0).await?;
    let tree: TreeId = commit.tree;
    let tree = LeafTree { tree, files: state.files, bytes: state.bytes };
    Ok(Some(FutureBranch { tree, head: Some(state.head) }))
}

fn cause(
    pipeline: &FuturePipeline,
    last: Option<&LastJob>,
    leaves: &[FutureLeaf],
    unknown: &[PipelineName],
) -> Option<WorkCause> {
    if pipeline.change == FutureChange::Created {
        return Some(WorkCause::Created);
    }
    let Some(last) = last else { return Some(WorkCause::Unfinished) };
    if last.work != work_digest(&pipeline.version, &pipeline.executor) {
        return Some(WorkCause::Changed);
    }
    let leaf_specs = pipeline.version.spec.input.leaves();
    let moved = leaves.iter().zip(&last.inputs).zip(leaf_specs).filter(|((leaf, before), _)| match leaf {
        FutureLeaf::Known(branch) => branch.head != Some(**before),
        _ => false,
    });
    let repos: BTreeSet<String> = moved.map(|(_, leaf)| leaf.repo.to_string()).collect();
    if !repos.is_empty() {
        return Some(WorkCause::InputChanged { repos: repos.into_iter().collect() });
    }
    if !unknown.is_empty() {
        return Some(WorkCause::Upstream { pipelines: unknown.to_vec() });
    }
    (last.status != JobStatus::Success).then_some(WorkCause::FailedBefore)
}
