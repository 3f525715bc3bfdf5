//! `flow datum why`: why a datum was run or reused, from its entry in this job and in the one before.
//!
//! The decision itself is not recorded; it follows from the two entries, and what differs between the two jobs says
//! it in words.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use flow_model::{
    datum::{DatumInput, ExecutorIdentity, InputContent},
    digest::{DatumId, DatumKey, JobId},
    forecast::DatumReason,
    job::{DatumEntry, DatumOutcome, DatumStatus, JobManifest},
    name::PipelineName,
    plan::FieldChange,
    resource::{Desired, DesiredResource, Live, LiveResource, Resource, ResourceAddr},
    spec::PipelineVersion,
    state::RepoData,
};
use flow_plan::{
    fields::{Effect, effect},
    resources::{CodeDiff, Details as DiffDetails, Mode, diff},
};
use serde::Serialize;

use super::DatumArgs;
use crate::{
    Exit,
    args::OutputArgs,
    error::CommandError,
    find::{FoundDatum, FoundJob, JobDatum, label},
    session::Open,
    settings::Settings,
    ui::Ui,
    view::{
        self,
        details::{self, Details},
        words,
    },
};

/// Explain why a datum was run or reused
///
/// Compares the datum with itself in the job before: its files, the transform, the program.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow datum why 7f2d01              in the newest job that has it
  flow datum why 7f2d01 --job edges
  flow datum why 7f2d01 --json")]
pub(crate) struct DatumWhyArgs {
    #[command(flatten)]
    datum: DatumArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Why a datum was run or reused.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WhyView {
    datum: DatumId,
    label: String,
    job: JobId,
    pipeline: PipelineName,
    status: DatumStatus,
    reason: DatumReason,
    explanation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    previous_job: Option<JobId>,
    ran_in: JobId,
    key: Sides<DatumKey>,
    inputs: Vec<InputChange>,
    /// Fields of the pipeline's spec that changed and that every result depends on.
    fields: Vec<FieldChange>,
    program: ProgramChange,
}

#[derive(Serialize)]
struct Sides<T> {
    before: Option<T>,
    after: T,
}

#[derive(Serialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase")]
struct InputChange {
    name: String,
    path: String,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<InputContent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<InputContent>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgramChange {
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<ExecutorIdentity>,
    after: ExecutorIdentity,
}

/// The job before, and the datum in it if it had it.
struct Previous {
    job: FoundJob,
    manifest: JobManifest,
    datum: Option<JobDatum>,
}

/// Explains.
pub(super) async fn why(args: &DatumWhyArgs, settings: &Settings, ui: &Ui) -> Result<Exit, CommandError> {
    let open = Open::around(settings).await?;
    let found = open.datum(&args.datum.datum, args.datum.job.as_deref()).await?;
    let view = explain(&open, &found, args.datum.job.is_none()).await?;
    details::print(ui, &args.output, &view, &describe(&view))?;
    Ok(Exit::Done)
}

async fn explain(open: &Open, found: &FoundDatum, newest: bool) -> Result<WhyView, CommandError> {
    let FoundDatum { job, manifest, id, entry } = found;
    let datum = open.details(*id, *entry).await?;
    let jobs = open.jobs(Some(&job.pipeline)).await?;
    let previous = previous(open, &jobs, job, *id).await?;
    let before = previous.as_ref().and_then(|previous| previous.datum.as_ref());
    let program_changed = previous.as_ref().is_some_and(|last| last.manifest.executor != manifest.executor);
    let transform_changed =
        previous.as_ref().is_some_and(|last| last.manifest.transform != manifest.transform);
    let status = entry.status(job.id);
    let reason =
        reason(entry, status, before.map(|datum| &datum.entry), transform_changed || program_changed);
    let fields = match &previous {
        Some(last) if transform_changed => fields_between(open, &last.manifest, manifest).await?,
        _ => Vec::new(),
    };
    let made_by = open.pipeline_of(entry.ran_in).await?;
    let gone = newest && jobs.first().is_some_and(|first| first.id != job.id);
    let note = gone.then(|| {
        format!("the newest job of `{}` has no such datum any more: its files are gone", job.pipeline)
    });
    Ok(WhyView {
        datum: *id,
        label: label(&datum.record.inputs),
        job: job.id,
        pipeline: job.pipeline.clone(),
        status,
        reason,
        explanation: explanation(reason, status, previous.as_ref(), entry.ran_in, made_by.as_ref()),
        note,
        previous_job: previous.as_ref().map(|last| last.job.id),
        ran_in: entry.ran_in,
        key: Sides { before: before.map(|datum| datum.entry.key), after: entry.key },
        inputs: input_changes(before.map(|datum| datum.record.inputs.as_slice()), &datum.record.inputs),
        fields,
        program: ProgramChange {
            changed: program_changed,
            before: previous.filter(|_| program_changed).map(|last| last.manifest.executor),
            after: manifest.executor.clone(),
        },
    })
}

/// The job that ended before `job`, among its pipeline's jobs, newest first.
async fn previous(
    open: &Open,
    jobs: &[FoundJob],
    job: &FoundJob,
    id: DatumId,
) -> Result<Option<Previous>, CommandError> {
    let Some(before) = jobs.iter().skip_while(|other| other.id != job.id).nth(1) else { return Ok(None) };
    let manifest = open.manifest(before).await?;
    let entry = open.snapshot.reader().tree(manifest.datums).get(id.0.as_bytes()).await?;
    let datum = match entry.and_then(|value| DatumEntry::decode(&value)) {
        Some(entry) => Some(open.details(id, entry).await?),
        None => None,
    };
    Ok(Some(Previous { job: before.clone(), manifest, datum }))
}

/// The reason that the job plan had, as it follows from the two entries.
fn reason(
    entry: &DatumEntry,
    status: DatumStatus,
    before: Option<&DatumEntry>,
    transform_changed: bool,
) -> DatumReason {
    let same_key = before.is_some_and(|before| before.key == entry.key);
    match (status, before) {
        (DatumStatus::Reused, Some(before)) if same_key && before.outcome == DatumOutcome::Success => {
            DatumReason::Unchanged
        }
        (DatumStatus::Reused, _) => DatumReason::KnownResult,
        (_, None) => DatumReason::New,
        (_, Some(before)) if same_key => match before.outcome {
            DatumOutcome::Failed => DatumReason::FailedBefore,
            DatumOutcome::Recovered => DatumReason::RecoveredBefore,
            DatumOutcome::Success => DatumReason::Unchanged,
        },
        (_, Some(before)) => match (before.inputs != entry.inputs, transform_changed) {
            (true, true) => DatumReason::InputAndTransformChanged,
            (true, false) => DatumReason::InputChanged,
            (false, _) => DatumReason::TransformChanged,
        },
    }
}

fn explanation(
    reason: DatumReason,
    status: DatumStatus,
    previous: Option<&Previous>,
    ran_in: JobId,
    made_by: Option<&PipelineName>,
) -> String {
    let maker = made_by.map(|name| format!(" of `{name}`")).unwrap_or_default();
    let exit = previous.and_then(|last| last.datum.as_ref()).map(|datum| datum.facts.exit.clone());
    match reason {
        DatumReason::New if previous.is_none() => {
            "ran: it is the pipeline's first job, and no known result has its key".to_owned()
        }
        DatumReason::New => {
            "ran: the job before had no such datum, and no known result has its key".to_owned()
        }
        DatumReason::InputChanged => "ran: its files changed".to_owned(),
        DatumReason::TransformChanged => "ran: the transform changed, its files did not".to_owned(),
        DatumReason::InputAndTransformChanged => "ran: its files and the transform changed".to_owned(),
        DatumReason::FailedBefore => {
            format!("ran again: it failed in the job before ({})", exit.unwrap_or_default())
        }
        DatumReason::RecoveredBefore => {
            "ran again: `err_cmd` recovered it in the job before, which is no result".to_owned()
        }
        DatumReason::Unchanged if status == DatumStatus::Reused => {
            format!("reused: nothing changed since the job before; the result is of job {}", ran_in.short())
        }
        DatumReason::Unchanged => "ran, although nothing changed: its result was not at hand".to_owned(),
        DatumReason::KnownResult => {
            format!("reused: job {}{maker} has computed the same", ran_in.short())
        }
        DatumReason::Gone => "dropped: its files are gone".to_owned(),
    }
}

/// Input by input, what differs from the job before; all new without one.
fn input_changes(before: Option<&[DatumInput]>, after: &[DatumInput]) -> Vec<InputChange> {
    let known: BTreeMap<(&str, &str), &InputContent> = before
        .unwrap_or_default()
        .iter()
        .map(|input| ((input.name.as_str(), input.path.as_str()), &input.content))
        .collect();
    let change = |input: &DatumInput| {
        let old = known.get(&(input.name.as_str(), input.path.as_str())).copied();
        let change = match old {
            None => "new",
            Some(old) if *old == input.content => "same",
            Some(_) => "changed",
        };
        InputChange {
            name: input.name.to_string(),
            path: input.path.clone(),
            change,
            before: old.cloned(),
            after: Some(input.content.clone()),
        }
    };
    after.iter().map(change).collect()
}

/// The fields that differ between the versions of two jobs and that results depend on.
async fn fields_between(
    open: &Open,
    before: &JobManifest,
    after: &JobManifest,
) -> Result<Vec<FieldChange>, CommandError> {
    let reader = open.snapshot.reader();
    let old: PipelineVersion = reader.stored(before.version.0).await?;
    let new: PipelineVersion = reader.stored(after.version.0).await?;
    let code = match (old.code_tree, new.code_tree) {
        (before, Some(after)) if before != Some(after) => {
            view::code::diff_stored(&reader, before, after).await?
        }
        _ => CodeDiff::default(),
    };
    Ok(differences(&after.pipeline, old, new, code))
}

fn differences(
    pipeline: &PipelineName,
    old: PipelineVersion,
    new: PipelineVersion,
    code: CodeDiff,
) -> Vec<FieldChange> {
    let addr = ResourceAddr::Pipeline(pipeline.clone());
    let wanted = DesiredResource {
        resource: Resource::Pipeline(Box::new(new)),
        implied: false,
        depends_on: BTreeSet::new(),
        location: None,
        folder: None,
    };
    let live = LiveResource {
        resource: Resource::Pipeline(Box::new(old)),
        depends_on: BTreeSet::new(),
        data: RepoData::default(),
        protected: false,
    };
    let nowhere = |_: &ResourceAddr, _: &str| None;
    let code = BTreeMap::from([(pipeline.clone(), code)]);
    let details = DiffDetails { folders: &BTreeMap::new(), code: &code, locate: &nowhere };
    let (desired, live) = (Desired::from([(addr.clone(), wanted)]), Live::from([(addr, live)]));
    let changes = diff(&desired, &live, Mode::Apply, &details);
    let fields = changes.into_iter().flat_map(|change| change.fields);
    fields.filter(|field| effect(field) == Effect::Transform).collect()
}

fn describe(view: &WhyView) -> Details {
    let key = match view.key.before {
        Some(before) if before != view.key.after => {
            format!("{} -> {}", before.short(), view.key.after.short())
        }
        Some(_) => format!("{}, as before", view.key.after.short()),
        None => view.key.after.short(),
    };
    let files: Vec<String> = view.inputs.iter().map(input_line).collect();
    let program = match &view.program.before {
        Some(before) if before.digest() != view.program.after.digest() => {
            format!("changed: {} -> {}", words::executor(before), words::executor(&view.program.after))
        }
        _ => words::executor(&view.program.after),
    };
    let transform = match (view.previous_job, view.fields.as_slice()) {
        (None, _) => String::new(),
        (Some(_), []) => "as before".to_owned(),
        (Some(_), fields) => format!("changed: {}", flow_plan::fields::names(fields)),
    };
    Details::default()
        .field("datum", format!("{} ({})", view.label, view.datum.short()))
        .field("why", view.explanation.clone())
        .field("note", view.note.clone().unwrap_or_default())
        .field("job", format!("{} of {}", view.job.short(), view.pipeline))
        .field("before", view.previous_job.map(|job| format!("job {}", job.short())).unwrap_or_default())
        .field("key", key)
        .field("files", files.join("\n"))
        .field("transform", transform)
        .field("program", program)
        .section("what changed", fields_text(&view.fields))
}

fn fields_text(fields: &[FieldChange]) -> String {
    let mut text = String::new();
    for field in fields {
        let value = |value: &Option<serde_json::Value>| value.as_ref().map_or("none".to_owned(), short_value);
        match &field.diff {
            Some(diff) => text.push_str(&format!("{}\n{diff}", field.path)),
            None => text.push_str(&format!(
                "{}: {} -> {}\n",
                field.path,
                value(&field.before),
                value(&field.after)
            )),
        }
    }
    text
}

/// A value in a line; long ones are cut.
fn short_value(value: &serde_json::Value) -> String {
    const LONGEST: usize = 120;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("...".chars()).collect()
}

fn input_line(input: &InputChange) -> String {
    let size = |content: &InputContent| words::bytes(content.bytes());
    let content = |content: &InputContent| match content {
        InputContent::File(entry) => entry.blob.short(),
        InputContent::Folder { digest, .. } => digest.short(),
    };
    let name = format!("{}:{}", input.name, input.path);
    match (input.change, &input.before, &input.after) {
        ("changed", Some(before), Some(after)) => format!(
            "{name}  changed: {} -> {}, content {} -> {}",
            size(before),
            size(after),
            content(before),
            content(after)
        ),
        ("same", _, Some(after)) => format!("{name}  as before, {}", size(after)),
        (_, _, Some(after)) => format!("{name}  {}", size(after)),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use flow_model::{
        digest::{Digest, InputsDigest, RecordId},
        name::BranchName,
        tree::FileEntry,
    };

    use super::*;

    fn entry(key: u8, inputs: u8, outcome: DatumOutcome, ran_in: &str) -> DatumEntry {
        DatumEntry {
            outcome,
            key: DatumKey(Digest::of(&[key])),
            inputs: InputsDigest(Digest::of(&[inputs])),
            record: RecordId(Digest::of(b"record")),
            facts: Digest::of(b"facts"),
            ran_in: JobId(Digest::of(ran_in.as_bytes())),
        }
    }

    #[test]
    fn the_reason_follows_from_the_two_entries() {
        use DatumOutcome::{Failed, Recovered, Success};
        let now = JobId(Digest::of(b"now"));
        let ran = |key, inputs| entry(key, inputs, Success, "now");
        let old = |key, inputs, outcome| Some(entry(key, inputs, outcome, "old"));
        let cases = [
            (ran(1, 1), None, false, DatumReason::New),
            (ran(2, 2), old(1, 1, Success), false, DatumReason::InputChanged),
            (ran(2, 2), old(1, 1, Success), true, DatumReason::InputAndTransformChanged),
            (ran(2, 1), old(1, 1, Success), true, DatumReason::TransformChanged),
            (ran(1, 1), old(1, 1, Failed), false, DatumReason::FailedBefore),
            (ran(1, 1), old(1, 1, Recovered), false, DatumReason::RecoveredBefore),
            (entry(1, 1, Failed, "now"), old(1, 1, Failed), false, DatumReason::FailedBefore),
            (entry(1, 1, Success, "old"), old(1, 1, Success), false, DatumReason::Unchanged),
            (entry(2, 2, Success, "other"), old(1, 1, Success), false, DatumReason::KnownResult),
            (entry(1, 1, Success, "other"), old(1, 1, Failed), false, DatumReason::KnownResult),
            (entry(1, 1, Success, "other"), None, false, DatumReason::KnownResult),
        ];
        for (entry, before, transform_changed, expected) in cases {
            let actual = reason(&entry, entry.status(now), before.as_ref(), transform_changed);
            assert_eq!(actual, expected, "{entry:?} after {before:?}");
        }
    }

    #[test]
    fn inputs_are_compared_by_name_path_and_content() {
        let input = |name: &str, path: &str, text: &[u8]| DatumInput {
            name: name.parse().unwrap(),
            repo: "r".parse().unwrap(),
            branch: BranchName::master(),
            path: path.to_owned(),
            content: InputContent::File(FileEntry {
                blob: flow_model::digest::BlobId::of(text),
                size: text.len() as u64,
                executable: false,
            }),
        };
        let before = [input("a", "/x", b"1"), input("b", "/y", b"2")];
        let after = [input("a", "/x", b"1"), input("b", "/y", b"33"), input("c", "/z", b"4")];
        let changes: Vec<&str> =
            input_changes(Some(&before), &after).iter().map(|change| change.change).collect();
        assert_eq!(changes, ["same", "changed", "new"]);
        let line = input_line(&input_changes(Some(&before), &after)[1]);
        assert!(line.starts_with("b:/y  changed: 1 byte -> 2 bytes, content "), "{line}");
    }
}
