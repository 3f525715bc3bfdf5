//! A plan for people: as text with marks for colours, and as Markdown.
//!
//! The text is not a contract; the JSON is. Nothing here prints or knows a terminal: the result is a list of segments
//! with neutral styles, which flow-cli paints. A symbol stands before each line in a fixed left gutter, so colour never
//! carries meaning alone.
//!
//! | symbol | meaning |
//! |---|---|
//! | `+` | created |
//! | `~` | changed in place |
//! | `-` | deleted, with its data |
//! | `>` | definition unchanged, but its data work follows from something else |

mod explain;
mod human;
mod lines;
mod markdown;
mod rows;
#[cfg(test)]
mod tests;
pub mod words;

pub use explain::why;
pub use human::human;
pub use lines::{Segment, Style, Text};
pub use markdown::{MARKDOWN_CHARS_MAX, markdown};

/// How a plan is to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenderOptions {
    /// Columns of the terminal; what is longer is broken or trimmed.
    pub width: usize,
    /// Everything in full: long values, whole diffs, examples, places.
    pub verbose: bool,
    /// Whether to end with the commands that could come next.
    pub next_commands: bool,
    /// How those commands name the workspace: empty for the current folder.
    pub folder: String,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { width: 100, verbose: false, next_commands: true, folder: String::new() }
    }
}
