//! One thing in full: labelled lines for people, the same value as JSON or YAML for programs.

use serde::Serialize;

use crate::{
    args::{Format, OutputArgs},
    error::CommandError,
    ui::Ui,
    view::listing,
};

/// Labelled lines, with sections of indented text below them.
#[derive(Default)]
pub(crate) struct Details {
    fields: Vec<(String, String)>,
    sections: Vec<(String, String)>,
}

impl Details {
    /// Adds a line; nothing for an empty value.
    #[must_use]
    pub(crate) fn field(mut self, label: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.fields.push((label.to_owned(), value));
        }
        self
    }

    /// Adds a section; nothing for an empty text.
    #[must_use]
    pub(crate) fn section(mut self, title: &str, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.sections.push((title.to_owned(), text));
        }
        self
    }

    /// The text: aligned labels, then the sections.
    pub(crate) fn render(&self) -> String {
        let width = self.fields.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (label, value) in &self.fields {
            let mut lines = value.lines();
            text.push_str(&format!("{label:width$}  {}\n", lines.next().unwrap_or_default()));
            lines.for_each(|line| text.push_str(&format!("{:width$}  {line}\n", "")));
        }
        for (title, body) in &self.sections {
            text.push_str(&format!("\n{title}:\n"));
            for line in body.lines() {
                text.push_str(format!("  {line}").trim_end());
                text.push('\n');
            }
        }
        text
    }
}

/// Prints one thing: as JSON or YAML if that was asked for, else as text.
pub(crate) fn print<T: Serialize>(
    ui: &Ui,
    output: &OutputArgs,
    value: &T,
    details: &Details,
) -> Result<(), CommandError> {
    match output.format() {
        Some(Format::Json | Format::Yaml) => listing::print_value(ui, output, value),
        Some(Format::Wide) | None => ui.data(&details.render()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_aligned_and_empty_values_left_out() {
        let details = Details::default()
            .field("job", "1")
            .field("empty", "")
            .field("pipeline", "two\nlines")
            .section("spec", "a: 1\n\nb: 2\n")
            .section("nothing", "");
        let text = "job       1\npipeline  two\n          lines\n\nspec:\n  a: 1\n\n  b: 2\n";
        assert_eq!(details.render(), text);
    }
}
