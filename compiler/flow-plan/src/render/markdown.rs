//! The plan as Markdown for a pull request: a table that fits on a screen, details that unfold.
//!
//! Code hosts refuse comments above 65,536 characters, so the text is bounded: rows and details that do not fit are
//! counted, never silently missing. Whatever comes from files is fenced or escaped.

use flow_model::{
    forecast::DatumForecast,
    plan::{FieldChange, Plan},
};

use super::{
    explain::group_says,
    human::{data_work, totals, value_says},
    lines::{escaped, trimmed},
    rows::{Row, overwrites_says, rows},
    words,
};

/// The result is shorter than this many characters.
pub const MARKDOWN_CHARS_MAX: usize = 60_000;
/// What the table may take, so that details have room too.
const TABLE_BYTES_MAX: usize = 30_000;
/// What stands after the details, at most, and a reserve for counted cuts.
const RESERVE_BYTES: usize = 1_000;
/// What one resource's details may take.
const DETAIL_BYTES_MAX: usize = 16_000;

/// The plan as Markdown, in less than [`MARKDOWN_CHARS_MAX`] characters.
#[must_use]
pub fn markdown(plan: &Plan) -> String {
    let mut text = String::new();
    if plan.is_empty() {
        text.push_str("### flow plan: no changes\n");
        return text;
    }
    text.push_str(&format!("### flow plan: {}\n\n", totals(plan)));
    let rows = rows(plan);
    warnings(&mut text, plan);
    table(&mut text, &rows);
    if let Some(work) = data_work(&plan.data) {
        text.push_str(&format!("\n**Data work:** {}\n", inline(&work)));
    }
    notes(&mut text, plan);
    details(&mut text, &rows);
    text
}

fn warnings(text: &mut String, plan: &Plan) {
    let refused = plan.refused().count() as u64;
    let overwrites =
        plan.changes.iter().filter_map(|change| change.folder.as_ref()?.overwrites).count() as u64;
    let mut lines = Vec::new();
    if refused > 0 {
        let what = words::count(refused, "delete");
        lines.push(format!("{what} would lose data: refused without `--allow-destroy`"));
    }
    if overwrites > 0 {
        let what = words::count(overwrites, "source folder");
        lines.push(format!("{what} would overwrite data that did not come from there"));
    }
    if !lines.is_empty() {
        text.push_str(&format!("> [!WARNING]\n> {}\n\n", lines.join("  \n> ")));
    }
}

fn table(text: &mut String, rows: &[Row<'_>]) {
    text.push_str("| | resource | what |\n|---|---|---|\n");
    let start = text.len();
    for (at, row) in rows.iter().enumerate() {
        let flow = row.flow.as_ref().map(|flow| format!("{flow}: ")).unwrap_or_default();
        let says = cell(&format!("{flow}{}", row.says));
        let line = format!("| `{}` | `{}` | {says} |\n", row.mark.symbol(), row.addr);
        if text.len() - start + line.len() > TABLE_BYTES_MAX {
            let left = words::count((rows.len() - at) as u64, "more resource");
            text.push_str(&format!("| | | ... {left}: `flow plan` lists all |\n"));
            return;
        }
        text.push_str(&line);
    }
}

fn notes(text: &mut String, plan: &Plan) {
    const NOTES_BYTES_MAX: usize = 6_000;
    let start = text.len();
    for (at, note) in plan.notes.iter().enumerate() {
        let line = format!("\n> note: {}\n", inline(note));
        if text.len() - start + line.len() > NOTES_BYTES_MAX {
            let left = words::count((plan.notes.len() - at) as u64, "more note");
            text.push_str(&format!("\n> ... {left}\n"));
            return;
        }
        text.push_str(&line);
    }
}

fn details(text: &mut String, rows: &[Row<'_>]) {
    let mut cut = 0;
    for row in rows {
        let Some(detail) = detail(row) else { continue };
        if text.len() + detail.len() + RESERVE_BYTES > MARKDOWN_CHARS_MAX {
            cut += 1;
        } else {
            text.push_str(&detail);
        }
    }
    if cut > 0 {
        let what = words::count(cut, "resource");
        text.push_str(&format!("\nDetails of {what} do not fit here: `flow plan --verbose` shows all.\n"));
    }
}

/// Fields, files and datums of a row, folded; `None` if there is nothing more than the table says.
fn detail(row: &Row<'_>) -> Option<String> {
    let mut body = String::new();
    if let Some(change) = row.change {
        change.fields.iter().for_each(|field| push_field(&mut body, field));
        if let Some(folder) = &change.folder {
            body.extend(overwrites_says(folder).map(|says| format!("! {says}\n")));
            body.extend(folder.examples.iter().map(|example| format!("{example}\n")));
        }
    }
    let has_examples =
        |forecast: &&DatumForecast| forecast.groups.iter().any(|group| !group.examples.is_empty());
    for group in row.forecast.filter(has_examples).iter().flat_map(|forecast| &forecast.groups) {
        body.push_str(&format!("# {}\n", group_says(group, row.change)));
        body.extend(group.examples.iter().map(|example| format!("  {example}\n")));
    }
    if body.is_empty() {
        return None;
    }
    let body = bounded(&escaped(&body));
    let fence = "`".repeat(longest_backticks(&body).max(2) + 1);
    let summary = format!("<details><summary><code>{}</code></summary>", row.addr);
    Some(format!("\n{summary}\n\n{fence}diff\n{body}{fence}\n\n</details>\n"))
}

fn push_field(body: &mut String, field: &FieldChange) {
    let place = field.location.as_ref().map(|at| format!(" ({}:{})", at.file, at.line)).unwrap_or_default();
    body.push_str(&format!("# {}{place}\n", field.path));
    if let Some(diff) = &field.diff {
        body.push_str(diff);
    } else {
        for (sign, value) in [("-", &field.before), ("+", &field.after)] {
            body.extend(value.iter().map(|value| format!("{sign} {}\n", value_says(field, value))));
        }
    }
    if !body.ends_with('\n') {
        body.push('\n');
    }
}

/// Cuts at a line end and counts what is missing.
fn bounded(body: &str) -> String {
    if body.len() <= DETAIL_BYTES_MAX {
        return body.to_owned();
    }
    let mut end = DETAIL_BYTES_MAX;
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let end = body[..end].rfind('\n').map_or(0, |at| at + 1);
    let left = words::count(body[end..].lines().count() as u64, "more line");
    format!("{}... {left}\n", &body[..end])
}

/// A fence must be longer than any run of backticks inside.
fn longest_backticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Text of ours that may hold words from files: what stands in backticks stays code, nothing else is interpreted.
fn inline(text: &str) -> String {
    let text = escaped(text).replace(['\n', '\t'], " ");
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return literal(&text);
    }
    let part = |(at, part): (usize, &&str)| match at % 2 {
        0 => literal(part),
        _ => format!("`{part}`"),
    };
    parts.iter().enumerate().map(part).collect()
}

/// Text that Markdown must not interpret.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            // Calls nobody: a mention starts a word.
            '@' if !before.is_alphanumeric() => out.push_str("@\u{200b}"),
            '*' | '_' | '[' | ']' | '\\' | '|' | '#' | '~' | '`' => out.extend(['\\', character]),
            other => out.push(other),
        }
        before = character;
    }
    out
}

fn cell(text: &str) -> String {
    const CELL_CHARS_MAX: usize = 400;
    literal(&escaped(&trimmed(text, CELL_CHARS_MAX)).replace(['\n', '\t'], " "))
}
