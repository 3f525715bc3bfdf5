//! Plans in colour.

use anstyle::Style as Paint;
use flow_plan::render::{Style, Text};

use crate::ui::style;

/// A plan's text with the terminal's colours.
pub(crate) fn painted(text: &Text) -> String {
    let mut out = String::new();
    for segment in text.segments() {
        let paint = match segment.style {
            Style::Add => style::GOOD,
            Style::Change => style::CHANGE,
            Style::Delete => style::BAD,
            Style::Drag => style::DRAG,
            Style::Strong => style::STRONG,
            Style::Dim => style::DIM,
            Style::Plain => Paint::new(),
        };
        out.push_str(&format!("{paint}{}{paint:#}", segment.text));
    }
    out
}
