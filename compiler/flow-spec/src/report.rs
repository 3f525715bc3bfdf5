//! Collects diagnostics, and keeps a flood of them from hiding the rest.
//!
//! Of one code in one file the first [`LIMIT`] are kept; a last one says how many more there are. **Invariant:** memory
//! is bounded whatever the input, and the result does not depend on anything but the input.

use std::collections::BTreeMap;

use flow_model::{
    diagnostic::{Code, Diagnostic, Severity, sort},
    span::{FileId, Span},
};

use crate::codes::syntax;

/// How many diagnostics of one code are shown for one file.
pub(crate) const LIMIT: usize = 50;

#[derive(Debug)]
struct Count {
    total: usize,
    severity: Severity,
    last: Option<Span>,
}

/// The diagnostics of a run, as they come.
#[derive(Debug, Default)]
pub(crate) struct Report {
    diagnostics: Vec<Diagnostic>,
    counts: BTreeMap<(Option<FileId>, Code), Count>,
    errors: usize,
}

impl Report {
    /// Adds one.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.is_error());
        let span = diagnostic.primary.as_ref().map(|label| label.span);
        let fresh = Count { total: 0, severity: diagnostic.severity, last: None };
        let count = self.counts.entry((span.map(|span| span.file), diagnostic.code)).or_insert(fresh);
        count.total += 1;
        if count.total <= LIMIT {
            count.last = count.last.max(span);
            self.diagnostics.push(diagnostic);
        }
    }

    /// Adds one that takes work to make; it is made only if it is to be kept.
    pub(crate) fn push_with(&mut self, code: Code, at: Span, make: impl FnOnce() -> Diagnostic) {
        match self.counts.get_mut(&(Some(at.file), code)).filter(|count| count.total >= LIMIT) {
            None => self.push(make()),
            Some(count) => {
                count.total += 1;
                self.errors += usize::from(count.severity == Severity::Error);
            }
        }
    }

    /// How many errors there were so far, those beyond the limit included.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether there is anything that must be mended.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// All of them, in the order of the files.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        for ((_, code), count) in &self.counts {
            if let Some(more) = count.total.checked_sub(LIMIT).filter(|more| *more > 0) {
                self.diagnostics.push(syntax::more_of_the_same(*code, more, count.severity, count.last));
            }
        }
        sort(&mut self.diagnostics);
        self.diagnostics.dedup();
        self.diagnostics
    }
}
