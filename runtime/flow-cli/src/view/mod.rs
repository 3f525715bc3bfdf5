//! How things look: diagnostics, plans, tables, progress, summaries. Views decide nothing.

pub(crate) mod code;
pub(crate) mod details;
pub(crate) mod diagnostics;
pub(crate) mod listing;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod summary;
pub(crate) mod words;
