//! One resource of a plan in full: what happens to it, why, and the chain of causes up to the line that was written.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    forecast::{DatumForecast, ForecastAction, ForecastGroup, WorkCause},
    name::{PipelineName, RepoName},
    plan::{Action, Change, ChangeReason, Plan},
    resource::ResourceAddr,
};

use super::{
    RenderOptions,
    human::{Columns, field_lines, phrase, push_folder, push_row},
    lines::{Style, Text},
    rows::{Row, cause_says, folder_says, reason_says, rows},
    words,
};
use crate::fields;

/// Causes that are listed; the rest is counted.
const CHAIN_LINES_MAX: usize = 40;
/// Longer chains are not indented further.
const CHAIN_INDENTS_MAX: usize = 12;

/// Explains what a plan does with one resource; `None` if the plan does not know it.
#[must_use]
pub fn why(plan: &Plan, addr: &ResourceAddr, options: &RenderOptions) -> Option<Text> {
    let options = RenderOptions { verbose: true, ..options.clone() };
    let change = change_of(plan, addr);
    let rows = rows(plan);
    let mut text = Text::default();
    match (rows.iter().find(|row| row.addr == *addr), change) {
        (Some(row), _) => explain_row(&mut text, plan, row, &options),
        (None, Some(change)) => {
            let line = format!("{} is as the files say, and its data is up to date", phrase(addr));
            text.line(Style::Plain, &line);
            location_line(&mut text, change);
        }
        (None, None) => return None,
    }
    Some(text)
}

fn change_of<'a>(plan: &'a Plan, addr: &ResourceAddr) -> Option<&'a Change> {
    let at = plan.changes.binary_search_by(|change| change.addr.cmp(addr)).ok()?;
    plan.changes.get(at)
}

fn explain_row(text: &mut Text, plan: &Plan, row: &Row<'_>, options: &RenderOptions) {
    push_row(text, row, &Columns::of(std::slice::from_ref(row)), options);
    if let Some(change) = row.change {
        text.blank().push(Style::Strong, "Why").line(Style::Plain, &format!(": {}", reason(change)));
        location_line(text, change);
        field_lines(text, change, options);
        effect_lines(text, change);
        folder_lines(text, change);
    }
    if let Some(forecast) = row.forecast {
        chain_lines(text, plan, forecast);
        group_lines(text, forecast, row.change);
    }
}

fn reason(change: &Change) -> &'static str {
    match change.reason {
        ChangeReason::Declared => "the files declare it, and it is not there yet",
        ChangeReason::Implied => "inputs name it, and no manifest declares it",
        ChangeReason::DefinitionChanged => "its definition differs from the applied one",
        ChangeReason::FolderChanged => "its source folder differs from its branch",
        ChangeReason::DefinitionAndFolderChanged => "its definition and its source folder changed",
        ChangeReason::NotInFiles => "it is not in the files any more",
        ChangeReason::Destroy => "everything is destroyed",
        ChangeReason::Unchanged => "its definition is as the files say",
    }
}

fn location_line(text: &mut Text, change: &Change) {
    if let Some(at) = &change.location {
        text.line(Style::Dim, &format!("      at {}:{}:{}", at.file, at.line, at.column));
    }
}

/// Which of the changed fields run nothing again: what else would make a reader wonder.
fn effect_lines(text: &mut Text, change: &Change) {
    let is_idle = |field: &&_| fields::effect(field) == fields::Effect::Nothing;
    let idle: Vec<_> = change.fields.iter().filter(is_idle).cloned().collect();
    let is_pipeline = matches!(change.addr, ResourceAddr::Pipeline(_));
    if is_pipeline && change.action == Action::Update && !idle.is_empty() {
        text.line(Style::Dim, &format!("      {} alone would run nothing again", fields::names(&idle)));
    }
}

fn folder_lines(text: &mut Text, change: &Change) {
    let Some(folder) = &change.folder else { return };
    text.blank().push(Style::Strong, "Data").line(Style::Plain, &format!(": {}", folder_says(folder)));
    push_folder(text, folder, folder.examples.len());
}

fn group_lines(text: &mut Text, forecast: &DatumForecast, change: Option<&Change>) {
    text.blank().push(Style::Strong, "Datums").line(Style::Plain, ":");
    for group in &forecast.groups {
        text.line(Style::Plain, &format!("      {}", group_says(group, change)));
        for example in &group.examples {
            text.line(Style::Dim, &format!("        {example}"));
        }
        let more = group.datums.saturating_sub(group.examples.len() as u64);
        if more > 0 && !group.examples.is_empty() {
            text.line(Style::Dim, &format!("        ... {} more", words::grouped(more)));
        }
    }
    if forecast.groups.is_empty() {
        text.line(Style::Plain, "      none by today's data");
    }
    for pipeline in &forecast.unknown_until {
        text.line(Style::Plain, &format!("      more or fewer after {pipeline} has run"));
    }
    if let Some(time) = forecast.estimate.filter(|_| forecast.count(ForecastAction::Run) > 0) {
        text.line(Style::Plain, &format!("      about {} by its last jobs", words::duration(time)));
    }
}

pub(super) fn group_says(group: &ForecastGroup, change: Option<&Change>) -> String {
    let what = match group.action {
        ForecastAction::Run => words::datums_run(group.datums),
        ForecastAction::Reuse => format!("{} reused", words::grouped(group.datums)),
        ForecastAction::Drop => format!("{} dropped", words::grouped(group.datums)),
    };
    let reason = reason_says(group, change);
    if group.bytes == 0 {
        return format!("{what}: {reason}");
    }
    format!("{what}: {reason}, {}", words::bytes(group.bytes))
}

/// Something that a pipeline's work follows from.
enum Cause<'a> {
    Repo(&'a str),
    Pipeline(&'a PipelineName),
    Other(String),
}

fn causes(forecast: &DatumForecast) -> Vec<Cause<'_>> {
    match &forecast.cause {
        WorkCause::InputChanged { repos } => repos.iter().map(|repo| Cause::Repo(repo)).collect(),
        WorkCause::Upstream { pipelines } => pipelines.iter().map(Cause::Pipeline).collect(),
        cause => cause_says(cause).map(Cause::Other).into_iter().collect(),
    }
}

/// The causes of a pipeline's work, upstream until something that was written or brought: each pipeline once.
fn chain_lines(text: &mut Text, plan: &Plan, forecast: &DatumForecast) {
    let forecasts: BTreeMap<&PipelineName, &DatumForecast> =
        plan.data.iter().map(|forecast| (&forecast.pipeline, forecast)).collect();
    let mut seen = BTreeSet::from([&forecast.pipeline]);
    let mut open: Vec<(usize, Cause<'_>)> =
        causes(forecast).into_iter().rev().map(|cause| (0, cause)).collect();
    let mut lines = Vec::new();
    while let Some((depth, cause)) = open.pop() {
        lines.push(match &cause {
            Cause::Repo(repo) => (depth, repo_cause(plan, repo)),
            Cause::Pipeline(pipeline) => (depth, pipeline_cause(plan, pipeline)),
            Cause::Other(says) => (depth, says.clone()),
        });
        if let Cause::Pipeline(pipeline) = cause
            && seen.insert(pipeline)
            && let Some(upstream) = forecasts.get(pipeline)
        {
            open.extend(causes(upstream).into_iter().rev().map(|cause| (depth + 1, cause)));
        }
    }
    if lines.is_empty() {
        return;
    }
    text.blank().push(Style::Strong, "Because").line(Style::Plain, ":");
    for (depth, line) in lines.iter().take(CHAIN_LINES_MAX) {
        text.line(Style::Plain, &format!("      {}{line}", "  ".repeat(*depth.min(&CHAIN_INDENTS_MAX))));
    }
    let more = lines.len().saturating_sub(CHAIN_LINES_MAX) as u64;
    if more > 0 {
        text.line(Style::Dim, &format!("      ... {}", words::count(more, "more cause")));
    }
}

fn repo_cause(plan: &Plan, repo: &str) -> String {
    let addr = repo.parse::<RepoName>().ok().map(ResourceAddr::Repo);
    let change = addr.as_ref().and_then(|addr| change_of(plan, addr));
    match change.and_then(|change| change.folder.as_ref()) {
        Some(folder) => format!("repo {repo}: {}", folder_says(folder)),
        None => format!("repo {repo} has data that the last job has not seen"),
    }
}

fn pipeline_cause(plan: &Plan, pipeline: &PipelineName) -> String {
    let addr = ResourceAddr::Pipeline(pipeline.clone());
    match change_of(plan, &addr) {
        Some(change) if change.action == Action::Create => format!("pipeline {pipeline} is new"),
        Some(change) if change.action == Action::Update => {
            let place = change.fields.iter().find_map(|field| field.location.as_ref());
            let place = place.map(|at| format!(" at {}:{}", at.file, at.line)).unwrap_or_default();
            format!("pipeline {pipeline}: {} changed{place}", fields::names(&change.fields))
        }
        _ => format!("pipeline {pipeline} runs, its definition unchanged"),
    }
}
