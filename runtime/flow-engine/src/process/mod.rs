//! The `process` executor's low level: the slot, in which programs of one pipeline version run one after the other.
//!
//! | step | who | file |
//! |---|---|---|
//! | put the inputs of the next datum into `next/`, swap them into `current/` | engine's process | `stage` |
//! | start the helper, hand it a command, get a report | engine's process | `slot` |
//! | build the sandbox, once per slot | helper | `namespace` |
//! | run the command, keep its output, kill what is left | helper | `helper`, `run` |
//! | read `/pfs/out`, empty it | engine's process | `collect`, `sweep` |
//!
//! **Two kinds of slot, one interface.** [`Sandbox::Namespaces`] contains what runs in it; [`Sandbox::Plain`] is
//! for systems that refuse namespaces: a folder, `FLOW_PFS` instead of `/pfs`, and no promise.
//!
//! **Per datum only renames**: mounts are made once per slot. A program's `/tmp` (with `HOME` in it) is private to
//! its slot and stays from datum to datum, as on a Pachyderm worker.
//!
//! Not here: which datum runs, what its environment is, where its results go (the engine's worker loop).

mod beneath;
mod collect;
mod command;
mod helper;
mod hint;
mod log;
mod namespace;
mod program;
mod resolve;
mod run;
mod setup;
mod slot;
mod stage;
mod sweep;
mod sys;
mod wire;

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use collect::{Collected, OutputFile, OutputKind, collect, reset_out};
pub use command::{Command, Exit, RunReport};
pub use helper::helper_main;
pub use hint::hint_for;
pub use log::{CappedLog, LogLimits};
pub use resolve::{OutputProblem, ProblemKind, SpecialFile};
pub use setup::SetupError;
pub use slot::{Helper, SandboxSupport, Slot, SlotConfig, SlotError, probe};
pub use stage::{Input, Source, Stage, StageError};

/// How far programs are kept from the rest of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Own namespaces and an own root: inputs and host are read-only, nothing outlives its datum.
    Namespaces,
    /// A folder and the user's goodwill: nothing is contained. Descendants are killed where they can be found.
    Plain,
}

/// The folder of one slot, on the store's file system so that files can be renamed between the two.
///
/// ```text
/// current/   what programs see at /pfs; in the plain slot current/out is /pfs/out
/// next/      inputs of the next datum, not visible yet, or of the last one, not needed any more
/// out/       /pfs/out, in the sandbox
/// tmp/       /tmp, with the home directory in it
/// mnt/       where the sandbox's root is put together; always empty from outside
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotDirs {
    root: PathBuf,
}

impl SlotDirs {
    /// The slot folder `root`, an absolute path; [`Slot::start`] makes it.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    fn next(&self) -> PathBuf {
        self.root.join("next")
    }

    fn out(&self) -> PathBuf {
        self.root.join("out")
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn mount_point(&self) -> PathBuf {
        self.root.join("mnt")
    }

    /// Makes the folder with everything in it, empty. Others on the machine cannot enter it.
    fn prepare(&self) -> io::Result<()> {
        self.remove()?;
        std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&self.root)?;
        let folders = [self.current(), self.next(), self.out(), self.mount_point()];
        for folder in folders.into_iter().chain([self.current().join("out"), self.tmp()]) {
            std::fs::create_dir(&folder)?;
            std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
        }
        // Programs of root may change to other users.
        for shared in [self.out(), self.current().join("out"), self.tmp()] {
            let sticky = if shared == self.tmp() { 0o1777 } else { 0o777 };
            std::fs::set_permissions(&shared, PermissionsExt::from_mode(sticky))?;
        }
        std::fs::create_dir(self.tmp().join("home"))
    }

    /// Deletes the folder and everything programs left in it. The slot must be stopped.
    pub fn remove(&self) -> io::Result<()> {
        sweep::remove_tree(&self.root)
    }
}

/// The paths of a slot as its programs see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The datum's inputs, and `out` in it: `/pfs` in the sandbox, also in the variable `FLOW_PFS`.
    pub pfs: PathBuf,
    /// Scratch space, kept from datum to datum.
    pub tmp: PathBuf,
    /// Home directory, inside `tmp`.
    pub home: PathBuf,
    /// Source files of the pipeline version, if the slot has any.
    pub code: Option<PathBuf>,
}

impl View {
    fn new(dirs: &SlotDirs, sandbox: Sandbox, code: Option<&Path>) -> Self {
        match sandbox {
            Sandbox::Namespaces => Self {
                pfs: "/pfs".into(),
                tmp: "/tmp".into(),
                home: "/tmp/home".into(),
                code: code.map(|_| "/code".into()),
            },
            Sandbox::Plain => Self {
                pfs: dirs.current(),
                tmp: dirs.tmp(),
                home: dirs.tmp().join("home"),
                code: code.map(Path::to_owned),
            },
        }
    }
}
