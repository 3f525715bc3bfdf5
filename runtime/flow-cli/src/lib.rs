//! The command line: arguments, settings, commands, views and exit codes.
//!
//! This crate reads the world once (arguments, environment, working directory, clock), calls the others, and prints.
//! It is the only one that prints, knows a terminal, or ends with an exit code:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done, or nothing to do |
//! | 1 | an error that the user can mend; nothing, or only what is said, was changed |
//! | 2 | changes are present (`--detailed-exitcode`) |
//! | 3 | a defect of flow |
//! | 4 | resources were applied, but a job failed |

mod args;
mod codes;
mod commands;
mod condition;
mod error;
mod find;
mod planning;
mod running;
mod session;
mod settings;
mod ui;
mod view;
mod workspace;

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
pub use session::MediaLayer;

use crate::{args::Arguments, error::CommandError, settings::Settings, ui::Ui};

/// How a command that did its work ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// There are changes, and the caller asked to be told by the exit code.
    Changes,
    /// Applied, but a job failed.
    JobFailed,
    /// It was said on the way what is wrong.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Changes => 2,
            Exit::JobFailed => 4,
        })
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    main_with(None)
}

/// As [`main`], with a layer between the store and what keeps its bytes: the crash tests put one there that dies at a
/// chosen operation.
#[must_use]
pub fn main_with(layer: Option<Arc<MediaLayer>>) -> ExitCode {
    // A slot's helper is this same program; it must not start a thread before it has its namespaces.
    if let Some(code) = flow_engine::process::helper_main() {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to do if the usage text cannot be printed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1).min(1));
        }
    };
    let settings = match Settings::read(&arguments.global, layer) {
        Ok(settings) => settings,
        Err(error) => return fail(&Ui::plain(), &error),
    };
    let ui = Ui::new(&settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(commands::run(arguments.command, &settings, &ui));
            // A read of standard input or of a file that hangs must not keep a finished command.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(CommandError::internal(format!("cannot start: {error}"))),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => fail(&ui, &error),
    }
}

fn fail(ui: &Ui, error: &CommandError) -> ExitCode {
    ui.error(error);
    ExitCode::from(error.exit_code())
}
