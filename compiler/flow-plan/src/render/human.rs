//! The plan as text: short first, one row per resource, what differs below it, then what it costs and what comes next.

use flow_model::{
    forecast::{DatumForecast, ForecastAction},
    name::PipelineName,
    plan::{Action, Change, FieldChange, FolderSync, Plan},
    resource::ResourceAddr,
};
use serde_json::Value;

use super::{
    RenderOptions,
    lines::{Style, Text, padded, trimmed, wrapped},
    rows::{Mark, Row, has, overwrites_says, rows},
    words,
};
use crate::{
    fields::CODE_FIELD,
    text::{DiffLine, diff_lines},
};

/// Columns before what belongs to a row.
const INDENT: usize = 6;
/// Names and flows longer than this do not push the columns of all others to the right.
const COLUMN_MAX: usize = 32;
/// Lines of a diff that are shown unless everything is asked for.
const DIFF_LINES_MAX: usize = 16;
/// Paths of a folder that are shown unless everything is asked for.
const FOLDER_EXAMPLES_MAX: usize = 3;

/// The plan for people. A plan without changes is one line.
#[must_use]
pub fn human(plan: &Plan, options: &RenderOptions) -> Text {
    let mut text = Text::default();
    let total = plan.changes.len() as u64;
    if plan.is_empty() {
        let what = match (plan.destroy, total) {
            (true, _) => "there is nothing to destroy".to_owned(),
            (false, 0) => "there are no resources".to_owned(),
            (false, 1) => "1 resource is as the files say, and its data is up to date".to_owned(),
            (false, n) => {
                format!("{} resources are as the files say, and all data is up to date", words::grouped(n))
            }
        };
        text.push(Style::Strong, "no changes").line(Style::Plain, &format!(": {what}"));
        return text;
    }
    header(&mut text, plan);
    let rows = rows(plan);
    let columns = Columns::of(&rows);
    for row in &rows {
        push_row(&mut text, row, &columns, options);
        details(&mut text, row, options);
    }
    text.blank();
    summary(&mut text, plan, options);
    if options.next_commands {
        next_commands(&mut text, plan, &rows, options);
    }
    text
}

fn header(text: &mut Text, plan: &Plan) {
    let operation = plan
        .basis
        .operation
        .map_or_else(|| "new store".to_owned(), |operation| format!("operation {}", operation.short()));
    let resources = words::count(plan.changes.len() as u64, "resource");
    text.line(Style::Dim, &format!("context {} · {operation} · {resources}", plan.context)).blank();
}

/// Widths of the columns of all rows.
pub(super) struct Columns {
    name: usize,
    flow: usize,
}

impl Columns {
    pub(super) fn of(rows: &[Row<'_>]) -> Self {
        let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.filter(|n| *n <= COLUMN_MAX).max();
        let name = widest(&mut rows.iter().map(|row| row.addr.name().chars().count()));
        let flow = widest(&mut rows.iter().filter_map(|row| Some(row.flow.as_ref()?.chars().count())));
        Self { name: name.unwrap_or(0), flow: flow.unwrap_or(0) }
    }
}

/// One line, or more if what it says does not fit.
pub(super) fn push_row(text: &mut Text, row: &Row<'_>, columns: &Columns, options: &RenderOptions) {
    let kind = padded(row.addr.kind(), "pipeline".len());
    let name = padded(row.addr.name(), columns.name);
    let flow = row.flow.as_ref().map(|flow| format!("{}  ", padded(flow, columns.flow))).unwrap_or_default();
    text.plain("  ").push(row.mark.style(), row.mark.symbol()).plain(&format!(" {kind}  "));
    text.push(Style::Strong, &name);
    let used = 4 + kind.len() + 2 + name.chars().count() + 2 + flow.chars().count();
    if used + row.says.chars().count() <= options.width {
        text.line(Style::Plain, &format!("  {flow}{}", row.says));
        return;
    }
    text.line(Style::Plain, format!("  {flow}").trim_end());
    for line in wrapped(&row.says, room(options)) {
        indented(text, Style::Plain, &line);
    }
}

/// Columns for what belongs to a row.
fn room(options: &RenderOptions) -> usize {
    options.width.saturating_sub(INDENT).max(20)
}

fn indented(text: &mut Text, style: Style, line: &str) {
    text.plain(&" ".repeat(INDENT)).line(style, line);
}

fn details(text: &mut Text, row: &Row<'_>, options: &RenderOptions) {
    let Some(change) = row.change else { return };
    if let Some(location) = change.location.as_ref().filter(|_| options.verbose) {
        indented(text, Style::Dim, &format!("at {}:{}:{}", location.file, location.line, location.column));
    }
    field_lines(text, change, options);
    if let Some(folder) = &change.folder {
        folder_lines(text, change.action, folder, options);
    }
}

/// The fields of a change: short values side by side in columns, texts as diffs.
pub(super) fn field_lines(text: &mut Text, change: &Change, options: &RenderOptions) {
    let short = change.fields.iter().filter(|field| field.diff.is_none());
    let width = short.map(|field| field.path.chars().count()).filter(|n| *n <= COLUMN_MAX).max().unwrap_or(0);
    for field in &change.fields {
        let place = place_of(field, options);
        match &field.diff {
            Some(diff) => {
                indented(text, Style::Plain, &format!("{}{place}", field.path));
                push_diff(text, diff, change, options);
            }
            None => value_lines(text, field, width, options),
        }
    }
}

fn place_of(field: &FieldChange, options: &RenderOptions) -> String {
    match &field.location {
        Some(at) if options.verbose => format!("  ({}:{}:{})", at.file, at.line, at.column),
        _ => String::new(),
    }
}

fn value_lines(text: &mut Text, field: &FieldChange, width: usize, options: &RenderOptions) {
    let show = |value: &Option<Value>| value.as_ref().map_or("(none)".to_owned(), |v| value_says(field, v));
    let (before, after) = (show(&field.before), show(&field.after));
    let place = place_of(field, options);
    let path = padded(&field.path, width);
    let line = format!("{path}  {before} -> {after}{place}");
    let room = room(options);
    if line.chars().count() <= room {
        text.plain(&" ".repeat(INDENT)).plain(&format!("{path}  "));
        text.push(Style::Delete, &before).plain(" -> ").push(Style::Add, &after).line(Style::Dim, &place);
        return;
    }
    indented(text, Style::Plain, &format!("{}{place}", field.path));
    let fit = |value: &str| if options.verbose { value.to_owned() } else { trimmed(value, room - 2) };
    if field.before.is_some() {
        indented(text, Style::Delete, &format!("- {}", fit(&before)));
    }
    if field.after.is_some() {
        indented(text, Style::Add, &format!("+ {}", fit(&after)));
    }
}

/// A value as JSON; code as its folder and the beginning of its digest.
pub(super) fn value_says(field: &FieldChange, value: &Value) -> String {
    if field.path != CODE_FIELD {
        return value.to_string();
    }
    let part = |name: &str| value.get(name).and_then(Value::as_str);
    match (part("folder"), part("tree")) {
        (Some(folder), Some(tree)) => format!("{folder} ({})", trimmed(tree, 13)),
        (Some(folder), None) => folder.to_owned(),
        _ => value.to_string(),
    }
}

/// A diff: only what changes, and not too much of it, unless everything is asked for.
fn push_diff(text: &mut Text, diff: &str, change: &Change, options: &RenderOptions) {
    let room = room(options);
    let (lines, limit) = if options.verbose {
        let lines = diff_lines(diff).into_iter().map(|(kind, line)| (kind, spaced(kind, line)));
        (lines.collect(), usize::MAX)
    } else {
        (short_diff(diff), DIFF_LINES_MAX)
    };
    // One line more costs no more room than saying that one is missing.
    let limit = if lines.len() == limit.saturating_add(1) { lines.len() } else { limit };
    for (kind, line) in lines.iter().take(limit) {
        let style = match kind {
            DiffLine::Added => Style::Add,
            DiffLine::Removed => Style::Delete,
            DiffLine::File | DiffLine::Hunk | DiffLine::Context | DiffLine::Note => Style::Dim,
        };
        let line = if options.verbose { line.clone() } else { trimmed(line, room) };
        indented(text, style, line.trim_end());
    }
    if lines.len() > limit {
        let more = words::count((lines.len() - limit) as u64, "more line");
        let hint = format!("... {more}: `flow plan --why {}`", change.addr.name());
        indented(text, Style::Dim, &hint);
    }
}

/// The changed lines, below the names of their files: enough to tell what changes.
fn short_diff(diff: &str) -> Vec<(DiffLine, String)> {
    let mut before = None;
    let mut lines = Vec::new();
    for (kind, line) in diff_lines(diff) {
        match kind {
            DiffLine::Added | DiffLine::Removed | DiffLine::Note => lines.push((kind, spaced(kind, line))),
            DiffLine::Context | DiffLine::Hunk => {}
            DiffLine::File if line.starts_with("--- ") => before = line.strip_prefix("--- a/"),
            DiffLine::File => lines.push((
                kind,
                match (before, line.strip_prefix("+++ b/")) {
                    (Some(name), None) => format!("{name} (removed)"),
                    (None, Some(name)) => format!("{name} (new)"),
                    (_, Some(name)) => name.to_owned(),
                    (None, None) => line.to_owned(),
                },
            )),
        }
    }
    lines
}

/// `-text` as `- text`: room to read.
fn spaced(kind: DiffLine, line: &str) -> String {
    match (kind, line.split_at_checked(1)) {
        (DiffLine::Added | DiffLine::Removed | DiffLine::Context, Some((sign, rest))) => {
            format!("{sign} {rest}")
        }
        _ => line.to_owned(),
    }
}

fn folder_lines(text: &mut Text, action: Action, folder: &FolderSync, options: &RenderOptions) {
    let limit = match (options.verbose, action) {
        (true, _) => folder.examples.len(),
        // That everything in a new repo is new needs no example.
        (false, Action::Create) => 0,
        (false, _) => FOLDER_EXAMPLES_MAX,
    };
    push_folder(text, folder, limit);
}

/// What a folder overwrites, and its first few files.
pub(super) fn push_folder(text: &mut Text, folder: &FolderSync, examples: usize) {
    if let Some(says) = overwrites_says(folder) {
        indented(text, Style::Delete, &says);
    }
    for example in folder.examples.iter().take(examples) {
        let style = match example.as_bytes().first() {
            Some(b'+') => Style::Add,
            Some(b'-') => Style::Delete,
            _ => Style::Change,
        };
        indented(text, style, example);
    }
    let counts = folder.counts;
    let total = counts.added + counts.changed + counts.removed;
    let shown = folder.examples.len().min(examples) as u64;
    if shown > 0 && total > shown {
        indented(text, Style::Dim, &format!("... {}", words::count(total - shown, "more file")));
    }
}

fn summary(text: &mut Text, plan: &Plan, options: &RenderOptions) {
    if let Some(work) = data_work(&plan.data) {
        labelled(text, Style::Strong, "Data work", &work, options);
    }
    labelled(text, Style::Strong, "Plan", &totals(plan), options);
    let refused = plan.refused().count() as u64;
    if refused > 0 {
        let (what, verb) = (words::count(refused, "delete"), if refused == 1 { "is" } else { "are" });
        let line = format!("{what} {verb} refused, because data would be lost: `--allow-destroy` allows it");
        text.line(Style::Delete, &line);
    }
    for note in &plan.notes {
        labelled(text, Style::Dim, "note", note, options);
    }
}

/// A label and what it says, broken at the width.
fn labelled(text: &mut Text, style: Style, label: &str, says: &str, options: &RenderOptions) {
    let lines = wrapped(&format!("{label}: {says}"), options.width.max(20));
    for (at, line) in lines.iter().enumerate() {
        match line.strip_prefix(label).filter(|_| at == 0) {
            Some(rest) => text.push(style, label).line(Style::Plain, rest),
            None => text.line(Style::Plain, &format!("  {line}")),
        };
    }
}

/// What all pipelines together have to do; `None` without data work.
pub(super) fn data_work(data: &[DatumForecast]) -> Option<String> {
    if data.is_empty() {
        return None;
    }
    let count = |action| data.iter().map(|forecast| forecast.count(action)).sum::<u64>();
    let run = count(ForecastAction::Run);
    let mut parts = vec![if run == 0 { "no datum runs".to_owned() } else { words::datums_run(run) }];
    for (number, verb) in [(count(ForecastAction::Reuse), "reused"), (count(ForecastAction::Drop), "dropped")]
    {
        if number > 0 {
            parts.push(format!("{} {verb}", words::grouped(number)));
        }
    }
    if run > 0 {
        let bytes: u64 = data.iter().map(DatumForecast::bytes_read).fold(0, u64::saturating_add);
        parts.push(format!("reads {}", words::bytes(bytes)));
        parts.extend(estimate(data));
    }
    let mut until: Vec<&str> =
        data.iter().flat_map(|forecast| &forecast.unknown_until).map(PipelineName::as_str).collect();
    until.sort_unstable();
    until.dedup();
    let mut work = parts.join(", ");
    if !until.is_empty() {
        work.push_str(&format!("; more or fewer after {} {} run", words::list(&until), has(until.len())));
    }
    Some(work)
}

fn estimate(data: &[DatumForecast]) -> Option<String> {
    let running: Vec<&DatumForecast> =
        data.iter().filter(|forecast| forecast.count(ForecastAction::Run) > 0).collect();
    let known: Vec<u64> = running.iter().filter_map(|forecast| Some(forecast.estimate?.0)).collect();
    let total = known.iter().copied().fold(0, u64::saturating_add);
    let time = words::duration(flow_model::time::Millis(total));
    match known.len() {
        0 => None,
        n if n == running.len() => Some(format!("about {time}")),
        n => Some(format!("about {time} for {n} of {}", words::count(running.len() as u64, "pipeline"))),
    }
}

/// `2 to create, 1 to change, 1 to delete, 1 unchanged · 1 dragged along`.
pub(super) fn totals(plan: &Plan) -> String {
    let amounts = [
        (Action::Create, "to create"),
        (Action::Update, "to change"),
        (Action::Delete, "to delete"),
        (Action::NoOp, "unchanged"),
    ];
    let changes_nothing = plan.changes.iter().all(|change| change.action == Action::NoOp);
    let nothing = changes_nothing.then(|| "no resource changes".to_owned());
    let counts = amounts.into_iter().filter_map(|(action, words)| {
        let number = plan.count(action) as u64;
        (number > 0).then(|| format!("{} {words}", words::grouped(number)))
    });
    let mut text = nothing.into_iter().chain(counts).collect::<Vec<_>>().join(", ");
    let dragged = rows(plan).iter().filter(|row| row.mark == Mark::Drag).count() as u64;
    if dragged > 0 {
        text.push_str(&format!(" · {} dragged along", words::grouped(dragged)));
    }
    text
}

fn next_commands(text: &mut Text, plan: &Plan, rows: &[Row<'_>], options: &RenderOptions) {
    let folder = match options.folder.as_str() {
        "" | "." => String::new(),
        path => format!(" {}", quoted(path)),
    };
    let allow = if plan.refused().next().is_some() { " --allow-destroy" } else { "" };
    let verb = if plan.destroy { "destroy" } else { "apply" };
    let mut commands = vec![format!("`flow {verb}{folder}{allow}` carries it out")];
    if !plan.destroy {
        commands.push(format!("`flow plan{folder} --out plan.json` keeps it"));
        let telling = rows.iter().find(|row| matches!(row.mark, Mark::Update | Mark::Drag));
        if let Some(row) = telling.or(rows.first()) {
            commands.push(format!("`flow plan{folder} --why {}` explains", row.addr.name()));
        }
    }
    let line = commands.join(" · ");
    if line.chars().count() <= options.width {
        text.line(Style::Dim, &line);
    } else {
        commands.iter().for_each(|command| {
            text.line(Style::Dim, command);
        });
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The address of a resource as a phrase: `pipeline edges`.
pub(super) fn phrase(addr: &ResourceAddr) -> String {
    format!("{} {}", addr.kind(), addr.name())
}
