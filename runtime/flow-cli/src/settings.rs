//! What the world says, read once: environment, working directory, terminal, who runs this.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use flow_engine::environment::Environment;

use crate::{args::Global, error::CommandError, session::MediaLayer};

/// The width that is assumed where there is no terminal.
const WIDTH_DEFAULT: usize = 100;

/// Settings of this run.
pub(crate) struct Settings {
    /// Where the command was started.
    pub(crate) folder: PathBuf,
    /// The context that was asked for.
    pub(crate) context: Option<String>,
    /// `user@host`.
    pub(crate) actor: String,
    /// What user code gets of the environment.
    pub(crate) environment: Environment,
    /// Columns for tables and plans.
    pub(crate) width: usize,
    /// Whether questions can be asked.
    pub(crate) can_ask: bool,
    /// Whether progress can be drawn.
    pub(crate) can_draw: bool,
    /// Whether to do without a sandbox.
    pub(crate) plain_slots: bool,
    /// What lies between the store and its bytes, for tests.
    pub(crate) layer: Option<Arc<MediaLayer>>,
}

impl Settings {
    /// Reads them.
    pub(crate) fn read(global: &Global, layer: Option<Arc<MediaLayer>>) -> Result<Self, CommandError> {
        let start = current_folder()?;
        let folder = global.directory.as_ref().map_or_else(|| start.clone(), |folder| start.join(folder));
        if !folder.is_dir() {
            return Err(CommandError::user(format!("folder `{}` does not exist", folder.display())));
        }
        let tty = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Ok(Self {
            folder,
            context: global.context.clone(),
            actor: format!("{}@{}", user(), host()),
            environment: Environment {
                path: variable("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()),
                lang: variable("LANG").unwrap_or_else(|| "C.UTF-8".to_owned()),
            },
            width: width(),
            can_ask: tty,
            can_draw: std::io::stderr().is_terminal() && variable("TERM").is_none_or(|term| term != "dumb"),
            plain_slots: variable("FLOW_SANDBOX").is_some_and(|value| value == "off"),
            layer,
        })
    }

    /// A path as the user gave it, from the folder where the command was started.
    pub(crate) fn path(&self, given: &Path) -> PathBuf {
        // `.` in the middle is nothing to show to anybody.
        self.folder.join(given).components().collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place where the environment is read")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "this is the place where the working directory is read")]
fn current_folder() -> Result<PathBuf, CommandError> {
    std::env::current_dir()
        .map_err(|error| CommandError::user(format!("cannot read the working directory: {error}")))
}

fn user() -> String {
    let by_system =
        || nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
    variable("FLOW_USER")
        .or_else(by_system)
        .or_else(|| variable("USER"))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn host() -> String {
    let by_system = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    variable("FLOW_HOST").or_else(by_system).unwrap_or_else(|| "unknown".to_owned())
}

fn width() -> usize {
    let declared = variable("COLUMNS").and_then(|columns| columns.parse().ok());
    declared.filter(|columns| *columns >= 40).unwrap_or(WIDTH_DEFAULT)
}
