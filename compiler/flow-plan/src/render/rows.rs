//! What is said about each resource: one row per change and per pipeline that is dragged along.
//!
//! Text and Markdown show the same rows with the same words; only layout differs.

use std::collections::BTreeMap;

use flow_model::{
    forecast::{DatumForecast, DatumReason, ForecastAction, ForecastGroup, WorkCause},
    name::PipelineName,
    plan::{Action, Change, ChangeReason, FolderSync, Plan},
    resource::ResourceAddr,
    state::RepoData,
};

use super::{lines::Style, words};
use crate::fields::{self, Effect};

/// What happens to a resource, as a symbol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Mark {
    Create,
    Update,
    Drag,
    Delete,
}

impl Mark {
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Create => "+",
            Self::Update => "~",
            Self::Drag => ">",
            Self::Delete => "-",
        }
    }

    pub(crate) const fn style(self) -> Style {
        match self {
            Self::Create => Style::Add,
            Self::Update => Style::Change,
            Self::Drag => Style::Drag,
            Self::Delete => Style::Delete,
        }
    }
}

/// What a reader learns of one resource.
pub(crate) struct Row<'a> {
    pub(crate) mark: Mark,
    pub(crate) addr: ResourceAddr,
    /// `images -> edges`, where the inputs are known.
    pub(crate) flow: Option<String>,
    /// What happens, in one phrase.
    pub(crate) says: String,
    pub(crate) change: Option<&'a Change>,
    pub(crate) forecast: Option<&'a DatumForecast>,
}

/// All rows: makes in the order in which they are carried out, then what is dragged along, then deletes.
pub(crate) fn rows(plan: &Plan) -> Vec<Row<'_>> {
    let changes: BTreeMap<&ResourceAddr, &Change> =
        plan.changes.iter().map(|change| (&change.addr, change)).collect();
    let forecasts: BTreeMap<&PipelineName, &DatumForecast> =
        plan.data.iter().map(|forecast| (&forecast.pipeline, forecast)).collect();
    let changed = plan.order.iter().filter_map(|addr| changes.get(addr).copied());
    let mut rows: Vec<Row<'_>> = changed.filter_map(|change| change_row(change, &forecasts)).collect();
    let is_dragged = |forecast: &&DatumForecast| {
        let change = changes.get(&ResourceAddr::Pipeline(forecast.pipeline.clone()));
        change.is_none_or(|change| change.action == Action::NoOp)
    };
    rows.extend(plan.data.iter().filter(is_dragged).map(dragged_row));
    // Stable: within makes, drags and deletes the order from above stays.
    rows.sort_by_key(|row| match row.mark {
        Mark::Create | Mark::Update => 0,
        Mark::Drag => 1,
        Mark::Delete => 2,
    });
    rows
}

fn change_row<'a>(
    change: &'a Change,
    forecasts: &BTreeMap<&PipelineName, &'a DatumForecast>,
) -> Option<Row<'a>> {
    let forecast = match &change.addr {
        ResourceAddr::Pipeline(name) if change.action != Action::Delete => forecasts.get(name).copied(),
        ResourceAddr::Pipeline(_) | ResourceAddr::Repo(_) => None,
    };
    let (mark, says) = match change.action {
        Action::NoOp => return None,
        Action::Create => (Mark::Create, create_says(change, forecast)),
        Action::Update => (Mark::Update, update_says(change, forecast)),
        Action::Delete => (Mark::Delete, delete_says(change)),
    };
    let addr = change.addr.clone();
    Some(Row { mark, addr, flow: forecast.map(flow), says, change: Some(change), forecast })
}

fn dragged_row(forecast: &DatumForecast) -> Row<'_> {
    Row {
        mark: Mark::Drag,
        addr: ResourceAddr::Pipeline(forecast.pipeline.clone()),
        flow: Some(flow(forecast)),
        says: dragged_says(forecast),
        change: None,
        forecast: Some(forecast),
    }
}

fn flow(forecast: &DatumForecast) -> String {
    format!("{} -> {}", forecast.inputs.join(", "), forecast.pipeline)
}

fn create_says(change: &Change, forecast: Option<&DatumForecast>) -> String {
    match (&change.addr, &change.folder, forecast) {
        (ResourceAddr::Repo(_), Some(folder), _) => folder_says(folder),
        (ResourceAddr::Repo(_), None, _) if change.reason == ChangeReason::Implied => {
            "empty; implied: inputs name it, no manifest declares it".to_owned()
        }
        (ResourceAddr::Repo(_), None, _) => "empty".to_owned(),
        (ResourceAddr::Pipeline(_), _, Some(forecast)) => work(forecast, Some(change)),
        (ResourceAddr::Pipeline(_), _, None) => "no datums yet".to_owned(),
    }
}

fn update_says(change: &Change, forecast: Option<&DatumForecast>) -> String {
    let definition = (!change.fields.is_empty()).then(|| definition_says(change, forecast));
    let folder = change.folder.as_ref().map(folder_says);
    let parts: Vec<String> = definition.into_iter().chain(folder).collect();
    if parts.is_empty() { "changed".to_owned() } else { parts.join("; ") }
}

fn definition_says(change: &Change, forecast: Option<&DatumForecast>) -> String {
    let names = fields::names(&change.fields);
    match (&change.addr, forecast) {
        (ResourceAddr::Repo(_), _) => format!("{names} changed"),
        (_, Some(forecast)) => work(forecast, Some(change)),
        (_, None) if fields::effect_of_all(&change.fields) == Effect::Nothing => {
            format!("{names} changed: runs nothing again")
        }
        (_, None) => format!("{names} changed: no datum runs"),
    }
}

fn delete_says(change: &Change) -> String {
    let data = change.data.unwrap_or_default();
    let is_pipeline = matches!(change.addr, ResourceAddr::Pipeline(_));
    let what = match (data == RepoData::default(), is_pipeline) {
        (true, true) => "deletes its repo, which is empty".to_owned(),
        (true, false) => "empty".to_owned(),
        (false, true) => format!("deletes its repo: {}", data_says(&data)),
        (false, false) => format!("deletes {}", data_says(&data)),
    };
    if change.protected { format!("{what} (protected: needs --allow-destroy)") } else { what }
}

pub(crate) fn data_says(data: &RepoData) -> String {
    let (files, commits) = (words::count(data.files, "file"), words::count(data.commits, "commit"));
    format!("{files}, {}, {commits}", words::bytes(data.bytes))
}

pub(crate) fn folder_says(folder: &FolderSync) -> String {
    let counts = folder.counts;
    let only_new = counts.changed == 0 && counts.removed == 0;
    let mut parts = Vec::new();
    if only_new && folder.overwrites.is_none() {
        parts.push(words::count(counts.added, "file"));
    } else {
        let amounts = [(counts.added, "added"), (counts.changed, "changed"), (counts.removed, "removed")];
        for (number, verb) in amounts.into_iter().filter(|(number, _)| *number > 0) {
            let first = parts.is_empty();
            let what = if first { words::count(number, "file") } else { words::grouped(number) };
            parts.push(format!("{what} {verb}"));
        }
    }
    if counts.bytes > 0 {
        parts.push(words::bytes(counts.bytes));
    }
    let files = if parts.is_empty() { "no file differs".to_owned() } else { parts.join(", ") };
    format!("kept in step with {}: {files}", folder.path)
}

/// Data that a folder would overwrite, though it did not come from the folder.
pub(crate) fn overwrites_says(folder: &FolderSync) -> Option<String> {
    let commit = folder.overwrites?.short();
    Some(format!(
        "overwrites commit {commit} on branch {}, which did not come from this folder",
        folder.branch
    ))
}

fn dragged_says(forecast: &DatumForecast) -> String {
    let work = work(forecast, None);
    match cause_says(&forecast.cause) {
        Some(cause) => format!("not changed; {cause}: {work}"),
        None => format!("not changed; {work}"),
    }
}

/// What set the work off, unless the groups' reasons say it already.
pub(crate) fn cause_says(cause: &WorkCause) -> Option<String> {
    match cause {
        WorkCause::Created | WorkCause::Changed | WorkCause::FailedBefore => None,
        WorkCause::InputChanged { repos } => {
            let verb = if repos.len() == 1 { "has" } else { "have" };
            Some(format!("{} {verb} new data", words::list(repos)))
        }
        WorkCause::Upstream { pipelines } => {
            let names: Vec<&str> = pipelines.iter().map(PipelineName::as_str).collect();
            Some(format!("follows {}", words::list(&names)))
        }
        WorkCause::Unfinished => Some("its last job was not finished".to_owned()),
    }
}

/// The data work of a pipeline: `3 datums run: 2 new, 1 input changed; 54 reused`.
pub(crate) fn work(forecast: &DatumForecast, change: Option<&Change>) -> String {
    let until: Vec<&str> = forecast.unknown_until.iter().map(PipelineName::as_str).collect();
    let known = known_work(forecast, change);
    match (known, until.as_slice()) {
        (None, []) => "no datums".to_owned(),
        (None, until) => format!("datums are known after {} {} run", words::list(until), has(until.len())),
        (Some(known), []) => known,
        (Some(known), until) => {
            format!("{known}; more or fewer after {} {} run", words::list(until), has(until.len()))
        }
    }
}

pub(crate) const fn has(number: usize) -> &'static str {
    if number == 1 { "has" } else { "have" }
}

fn known_work(forecast: &DatumForecast, change: Option<&Change>) -> Option<String> {
    let count = |action| forecast.count(action);
    let (run, reuse, drop) =
        (count(ForecastAction::Run), count(ForecastAction::Reuse), count(ForecastAction::Drop));
    if run + reuse + drop == 0 {
        return None;
    }
    let reasons = run_reasons(forecast, change);
    let runs = if run == 0 { "no datum runs".to_owned() } else { words::datums_run(run) };
    let separator = if reasons.is_empty() { ", " } else { "; " };
    let runs = if reasons.is_empty() { runs } else { format!("{runs}: {reasons}") };
    let reuse = (reuse > 0).then(|| format!("{} reused", words::grouped(reuse)));
    let drop = (drop > 0).then(|| format!("{} dropped", words::grouped(drop)));
    Some([Some(runs), reuse, drop].into_iter().flatten().collect::<Vec<_>>().join(separator))
}

fn run_reasons(forecast: &DatumForecast, change: Option<&Change>) -> String {
    let groups: Vec<&ForecastGroup> =
        forecast.groups.iter().filter(|group| group.action == ForecastAction::Run).collect();
    if groups.iter().all(|group| is_obvious(&forecast.cause, group.reason)) {
        return String::new();
    }
    match groups.as_slice() {
        [one] => reason_says(one, change),
        many => {
            let each = |group: &&ForecastGroup| {
                format!("{} {}", words::grouped(group.datums), reason_says(group, change))
            };
            many.iter().map(each).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Whether the line has said it already: a new pipeline's datums are new, new data makes new and changed datums.
const fn is_obvious(cause: &WorkCause, reason: DatumReason) -> bool {
    match cause {
        WorkCause::Created => matches!(reason, DatumReason::New),
        WorkCause::InputChanged { .. } | WorkCause::Upstream { .. } | WorkCause::Unfinished => {
            matches!(reason, DatumReason::New | DatumReason::InputChanged)
        }
        WorkCause::Changed | WorkCause::FailedBefore => false,
    }
}

/// Why the datums of a group meet their fate; `change` names the fields where the group does not.
pub(crate) fn reason_says(group: &ForecastGroup, change: Option<&Change>) -> String {
    let detail = group.detail.as_deref();
    let fields = || {
        let transform = |field: &&_| fields::effect(field) == Effect::Transform;
        let changed: Vec<_> = change?.fields.iter().filter(transform).cloned().collect();
        (!changed.is_empty()).then(|| fields::names(&changed))
    };
    let transform = detail.map(str::to_owned).or_else(fields);
    let with_detail = |text: &str| detail.map_or(text.to_owned(), |detail| format!("{text} ({detail})"));
    match group.reason {
        DatumReason::New => with_detail("new"),
        DatumReason::InputChanged => with_detail("input changed"),
        DatumReason::TransformChanged => {
            format!("{} changed", transform.unwrap_or_else(|| "transform".to_owned()))
        }
        DatumReason::InputAndTransformChanged => match transform {
            Some(fields) => format!("input and transform changed ({fields})"),
            None => "input and transform changed".to_owned(),
        },
        DatumReason::FailedBefore => with_detail("failed before"),
        DatumReason::RecoveredBefore => with_detail("recovered by errCmd before, which is no result"),
        DatumReason::Unchanged => with_detail("unchanged"),
        DatumReason::KnownResult => with_detail("same work done before"),
        DatumReason::Gone => with_detail("input gone"),
    }
}
