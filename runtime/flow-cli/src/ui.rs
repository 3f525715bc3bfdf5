//! Standard output for data, standard error for talk; colours where they are wanted.
//!
//! `NO_COLOR`, `CLICOLOR_FORCE` and the kind of terminal are anstream's business: text is written with styles, and
//! they are taken out where they are not wanted.

use std::io::{self, BufRead, Write};

use anstyle::{AnsiColor, Style};

use crate::{error::CommandError, settings::Settings};

/// Colours of words that carry meaning; the words themselves say it too.
pub(crate) mod style {
    use super::{AnsiColor, Style};

    /// Errors and what is removed.
    pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
    /// What is made.
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    /// What is changed, and warnings.
    pub(crate) const CHANGE: Style = AnsiColor::Yellow.on_default();
    /// What is dragged along.
    pub(crate) const DRAG: Style = AnsiColor::Cyan.on_default();
    /// Names that matter.
    pub(crate) const STRONG: Style = Style::new().bold();
    /// What matters less.
    pub(crate) const DIM: Style = Style::new().dimmed();
}

/// Where a command talks.
#[derive(Clone, Copy)]
pub(crate) struct Ui {
    can_ask: bool,
}

impl Ui {
    /// For a run with these settings.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { can_ask: settings.can_ask }
    }

    /// Before there are settings.
    pub(crate) fn plain() -> Self {
        Self { can_ask: false }
    }

    /// Data: what can be piped into another program. A reader that has gone ends the command in peace.
    pub(crate) fn data(&self, text: &str) -> Result<(), CommandError> {
        self.data_bytes(text.as_bytes(), true)
    }

    /// Data that is no text: written as it is, never without a colour or a byte of its own.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), CommandError> {
        self.data_bytes(bytes, false)
    }

    fn data_bytes(&self, bytes: &[u8], styled: bool) -> Result<(), CommandError> {
        let written = if styled {
            let mut out = anstream::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        } else {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        };
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CommandError::user(format!("cannot write to standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Talk: a line for whoever watches.
    pub(crate) fn say(&self, line: &str) {
        // Whoever does not listen misses nothing that the exit code does not say.
        let _ = writeln!(anstream::stderr(), "{line}");
    }

    /// A warning.
    pub(crate) fn warn(&self, message: &str) {
        let change = style::CHANGE;
        self.say(&format!("{change}warning{change:#}: {message}"));
    }

    /// An error with its next steps.
    pub(crate) fn error(&self, error: &CommandError) {
        let bad = style::BAD;
        self.say(&format!("{bad}error{bad:#}: {}", error.message()));
        for help in error.helps() {
            self.say(&format!("  help: {help}"));
        }
    }

    /// Asks for a yes. `None` if nobody can be asked.
    pub(crate) fn confirm(&self, question: &str) -> Option<bool> {
        if !self.can_ask {
            return None;
        }
        let mut err = anstream::stderr();
        // A question that cannot be shown is answered with no.
        write!(err, "{question} Only `yes` is taken as yes: ").and_then(|()| err.flush()).ok()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok()?;
        Some(answer.trim() == "yes")
    }
}
