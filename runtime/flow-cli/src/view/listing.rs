//! Listings: a table for people, JSON or YAML for programs, from the same rows.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::{
    args::{Format, OutputArgs},
    error::CommandError,
    ui::Ui,
};

/// A row of a listing. Its serialised form is the machine's, its cells are the human's.
pub(crate) trait Row: Serialize {
    /// Column titles; those from [`Row::WIDE_FROM`] on are shown by `-o wide` alone.
    const COLUMNS: &'static [&'static str];
    /// The first column that only `-o wide` shows.
    const WIDE_FROM: usize;

    /// One text per column.
    fn cells(&self) -> Vec<String>;
}

/// Prints rows; `empty` is said instead of an empty table.
pub(crate) fn print<R: Row>(
    ui: &Ui,
    output: &OutputArgs,
    rows: &[R],
    empty: &str,
) -> Result<(), CommandError> {
    match output.format() {
        Some(Format::Json | Format::Yaml) => print_value(ui, output, &rows),
        format => {
            if rows.is_empty() {
                ui.say(empty);
                return Ok(());
            }
            let columns = if format == Some(Format::Wide) { R::COLUMNS.len() } else { R::WIDE_FROM };
            ui.data(&table(rows, columns))
        }
    }
}

/// Prints one value as JSON or YAML; JSON if no format was asked for.
pub(crate) fn print_value<T: Serialize>(ui: &Ui, output: &OutputArgs, value: &T) -> Result<(), CommandError> {
    let text = match output.format() {
        Some(Format::Yaml) => {
            serde_saphyr::to_string(value).map_err(|error| CommandError::internal(error.to_string()))?
        }
        _ => {
            let text = serde_json::to_string_pretty(value);
            text.map_err(|error| CommandError::internal(error.to_string()))? + "\n"
        }
    };
    ui.data(&text)
}

/// The table without the columns of `-o wide`: part of a longer text. Empty without rows.
pub(crate) fn short_table<R: Row>(rows: &[R]) -> String {
    if rows.is_empty() { String::new() } else { table(rows, R::WIDE_FROM) }
}

fn table<R: Row>(rows: &[R], columns: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(R::COLUMNS[..columns].iter().map(|title| title.to_uppercase()));
    for row in rows {
        let mut cells = row.cells();
        cells.truncate(columns);
        table.add_row(cells);
    }
    // Two spaces between columns, none before the first.
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
