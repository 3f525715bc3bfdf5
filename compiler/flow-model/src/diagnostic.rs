//! Diagnostics: what is wrong, where, and what to do about it.
//!
//! A diagnostic has a stable code. Rendering is flow-cli's work; this type knows no colours and no layout.

use crate::span::{Location, SourceMap, Span};

/// Identity of a kind of diagnostic. The id never changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code {
    /// For example `FLOW0101`.
    pub id: &'static str,
    /// For example `unknown-field`.
    pub slug: &'static str,
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Nothing is done until it is mended.
    Error,
    /// Works, but probably not as meant.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word that is shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// A marked place with a few words.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is there; may be empty.
    pub text: String,
}

/// A replacement that mends the problem without changing what else is meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Edit {
    /// What to replace.
    pub span: Span,
    /// What to put there.
    pub replacement: String,
}

/// One problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Which kind.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// A lower-case phrase, names in backticks.
    pub message: String,
    /// Where; `None` for what has no place in a file.
    pub primary: Option<Label>,
    /// Other places that belong to it: the first definition of a duplicate, the edges of a cycle.
    pub related: Vec<Label>,
    /// The next step.
    pub help: Option<String>,
    /// A fix that a machine may apply.
    pub edit: Option<Edit>,
}

impl Diagnostic {
    /// A problem without a place.
    pub fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, severity, message, primary: None, related: Vec::new(), help: None, edit: None }
    }

    /// An error without a place yet.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    /// A warning without a place yet.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label { span, text: text.into() });
        self
    }

    /// Adds another place that belongs to it.
    #[must_use]
    pub fn and_at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Offers a fix.
    #[must_use]
    pub fn fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.edit = Some(Edit { span, replacement: replacement.into() });
        self
    }

    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The primary place, for a message.
    #[must_use]
    pub fn location(&self, sources: &SourceMap) -> Option<Location> {
        self.primary.as_ref().map(|label| sources.location(label.span))
    }
}

/// Sorts by place, then code: the order in which a reader meets the problems. What has no place comes first.
pub fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by(|a, b| {
        let key = |d: &Diagnostic| (d.primary.as_ref().map(|label| label.span), d.code, d.message.clone());
        key(a).cmp(&key(b))
    });
}
