//! Diagnostics with excerpts of their sources, through miette.

use std::fmt;

use flow_model::{
    diagnostic::{Diagnostic, Label, Severity},
    span::{SourceFile, SourceMap},
};
use miette::{
    Diagnostic as Shown, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, Severity as Level, SourceCode, SourceSpan, SpanContents,
};

use crate::ui::Ui;

/// Longer lines are not shown as excerpts.
const LINE_BYTES_MAX: usize = 400;

/// Prints diagnostics to standard error.
pub(crate) fn print(ui: &Ui, diagnostics: &[Diagnostic], sources: &SourceMap, width: usize) {
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode()).with_width(width).with_context_lines(1);
    for diagnostic in diagnostics {
        let mut text = String::new();
        if is_on_a_giant_line(diagnostic, sources) {
            ui.say(&flow_spec::render::concise(diagnostic, sources));
            continue;
        }
        // Writing to a string cannot fail; a place that is not in its source would leave the text empty.
        if handler.render_report(&mut text, &View { diagnostic, sources }).is_err() || text.is_empty() {
            text = flow_spec::render::concise(diagnostic, sources);
        }
        ui.say(text.trim_end_matches('\n'));
        ui.say("");
    }
}

/// Whether an excerpt would fill the screen with one line, as minified or hostile files have.
fn is_on_a_giant_line(diagnostic: &Diagnostic, sources: &SourceMap) -> bool {
    let Some(label) = &diagnostic.primary else { return false };
    let text = sources.file(label.span.file).text();
    let at = (label.span.start as usize).min(text.len());
    let before =
        text.as_bytes()[..at].iter().rev().take_while(|byte| **byte != b'\n').take(LINE_BYTES_MAX).count();
    let after = text.as_bytes()[at..].iter().take_while(|byte| **byte != b'\n').take(LINE_BYTES_MAX).count();
    before + after >= LINE_BYTES_MAX
}

struct View<'a> {
    diagnostic: &'a Diagnostic,
    sources: &'a SourceMap,
}

impl View<'_> {
    /// miette shows one file per report: labels in other files become lines of help.
    fn labels_here(&self) -> impl Iterator<Item = (&Label, bool)> {
        let primary = self.diagnostic.primary.as_ref();
        let file = primary.map(|label| label.span.file);
        let related = self.diagnostic.related.iter().filter(move |label| Some(label.span.file) == file);
        primary.into_iter().map(|label| (label, true)).chain(related.map(|label| (label, false)))
    }

    fn labels_elsewhere(&self) -> impl Iterator<Item = &Label> {
        let file = self.diagnostic.primary.as_ref().map(|label| label.span.file);
        self.diagnostic.related.iter().filter(move |label| Some(label.span.file) != file)
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for View<'_> {}

impl Shown for View<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("{} {}", self.diagnostic.code.id, self.diagnostic.code.slug)))
    }

    fn severity(&self) -> Option<Level> {
        Some(match self.diagnostic.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
            Severity::Info => Level::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let place = |label: &Label| {
            let at = self.sources.location(label.span);
            format!("{} at {}:{}:{}", label.text, at.file, at.line, at.column)
        };
        let lines: Vec<String> =
            self.labels_elsewhere().map(place).chain(self.diagnostic.help.iter().cloned()).collect();
        (!lines.is_empty()).then(|| Box::new(lines.join("\n")) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.diagnostic.primary.as_ref().map(|_| self as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.diagnostic.primary.as_ref()?;
        Some(Box::new(self.labels_here().map(|(label, primary)| {
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            let span = (label.span.start as usize, label.span.len());
            if primary {
                LabeledSpan::new_primary_with_span(text, span)
            } else {
                LabeledSpan::new_with_span(text, span)
            }
        })))
    }
}

impl SourceCode for View<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let label = self.diagnostic.primary.as_ref().ok_or(MietteError::OutOfBounds)?;
        let file: &SourceFile = self.sources.file(label.span.file);
        let contents = file.text().read_span(span, before, after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            file.name().to_owned(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}
