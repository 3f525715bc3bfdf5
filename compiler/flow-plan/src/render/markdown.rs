//! The plan as Markdown for a pull request: a table that fits on a screen, details that unfold.
//!
//! Code hosts refuse comments above 65,536 characters, so the text is bounded: rows and details that do not fit are
//! counted, never silently missing. Whatever comes from files is fenced or escaped.

use flow_model::plan::{Change, Plan};

use super::{
    human::{data_work, totals, value_says},
    lines::escaped,
    rows::{Row, rows},
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
    if refused > 0 {
        let what = words::count(refused, "delete");
        let line = format!("{what} would lose data: refused without `--allow-destroy`");
        text.push_str(&format!("> [!WARNING]\n> {line}\n\n"));
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
    for change in rows.iter().filter_map(|row| row.change) {
        let Some(detail) = detail(change) else { continue };
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

/// The fields of a change, folded; `None` if there is nothing more than the table says.
fn detail(change: &Change) -> Option<String> {
    let mut body = String::new();
    for field in &change.fields {
        let place = field.location.as_ref();
        let place = place.map(|at| format!(" ({}:{})", at.file, at.line)).unwrap_or_default();
        body.push_str(&format!("# {}{place}\n", field.path));
        match &field.diff {
            Some(diff) => body.push_str(diff),
            None => {
                let sides = [("-", &field.before), ("+", &field.after)];
                for (sign, value) in sides {
                    let Some(value) = value else { continue };
                    body.push_str(&format!("{sign} {}\n", value_says(field, value)));
                }
            }
        }
        if !body.ends_with('\n') {
            body.push('\n');
        }
    }
    for example in change.folder.iter().flat_map(|folder| &folder.examples) {
        body.push_str(&format!("{example}\n"));
    }
    if body.is_empty() {
        return None;
    }
    let body = bounded(&escaped(&body));
    let fence = "`".repeat(longest_backticks(&body).max(2) + 1);
    let summary = format!("<details><summary><code>{}</code></summary>", change.addr);
    Some(format!("\n{summary}\n\n{fence}diff\n{body}{fence}\n\n</details>\n"))
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

/// Text that Markdown must not interpret.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in escaped(text).chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '*' | '_' | '[' | ']' | '\\' | '|' | '#' | '~' | '@' => out.extend(['\\', character]),
            '\n' | '\t' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

fn cell(text: &str) -> String {
    const CELL_CHARS_MAX: usize = 400;
    inline(&super::lines::trimmed(text, CELL_CHARS_MAX)).replace('`', "\\`")
}
