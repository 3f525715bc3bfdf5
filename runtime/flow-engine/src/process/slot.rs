//! flow's side of a worker slot: starts the helper, hands it commands, ends it.
//!
//! **Invariant:** when a [`Slot`] is stopped or dropped, or flow dies in any way, the helper and everything it
//! started end.
//!
//! Not here: the helper (`helper`, `run`), the inputs (`stage`) and the outputs (`collect`).

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::command::{Command, Reply, RunReport, RunRequest, StartRequest};
use super::helper::HELPER_ARGUMENT;
use super::log::LogLimits;
use super::setup::SetupError;
use super::wire::{WireError, frame_length};
use super::{Sandbox, SlotDirs, View};

/// How long a helper may take to end by itself when its slot is stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What a slot is made of.
#[derive(Debug, Clone)]
pub struct SlotConfig {
    /// The slot's folder.
    pub dirs: SlotDirs,
    /// Source files of the pipeline version this slot serves; programs see them at `/code`, read-only.
    pub code: Option<PathBuf>,
    /// Which kind of slot; [`super::probe`] says whether namespaces work here.
    pub sandbox: Sandbox,
    /// The program to start as helper; its `main` must begin with [`super::helper_main`].
    pub helper: Helper,
}

/// The program that becomes a slot's helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper(PathBuf);

impl Default for Helper {
    /// The running program itself, even if its file has been replaced meanwhile.
    fn default() -> Self {
        Self(PathBuf::from("/proc/self/exe"))
    }
}

impl Helper {
    /// Another program whose `main` begins with [`super::helper_main`], such as `flow` in a test.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self(program.into())
    }
}

/// Why a slot cannot be started or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The slot's folder cannot be prepared.
    #[error("the slot folder `{}` cannot be prepared", path.display())]
    Folder {
        /// The slot's folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The helper cannot be started at all.
    #[error("the slot's helper `{}` cannot be started", helper.display())]
    Spawn {
        /// The program that should have become the helper.
        helper: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refused a step of setting up the sandbox.
    #[error("the slot cannot be set up")]
    Setup(#[source] SetupError),
    /// The helper ended or was killed; the slot is of no use any more, and what it ran is unknown.
    #[error("the slot's helper ended unexpectedly: start another slot and run the datum again")]
    HelperGone,
    /// An earlier run was given up half-way; the slot must be replaced.
    #[error("the slot still has a run that was given up: start another slot")]
    Abandoned,
    /// The command, with its standard input, is larger than a slot takes (1 GiB).
    #[error("the command and its standard input are larger than 1 GiB")]
    CommandTooLarge,
    /// The helper sent something that is no answer.
    #[error("the slot's helper sent a malformed answer: start another slot")]
    Protocol,
}

/// One worker slot: runs one program at a time, for one pipeline version.
///
/// Dropping it ends everything in it, too, but does not wait: the helper sees its input close and kills.
#[derive(Debug)]
pub struct Slot {
    child: Child,
    to_helper: ChildStdin,
    from_helper: ChildStdout,
    view: View,
    running: bool,
}

impl Slot {
    /// Prepares the slot's folder (what was in it is removed), starts the helper and waits until it is set up.
    ///
    /// Must be called within a tokio runtime.
    pub async fn start(config: SlotConfig) -> Result<Self, SlotError> {
        let SlotConfig { dirs, code, sandbox, helper } = config;
        let folder = dirs.clone();
        let prepared = tokio::task::spawn_blocking(move || folder.prepare()).await;
        prepared
            .map_err(io::Error::other)
            .flatten()
            .map_err(|source| SlotError::Folder { path: dirs.root().to_owned(), source })?;

        let mut child = tokio::process::Command::new(&helper.0)
            .arg(HELPER_ARGUMENT)
            .arg(dirs.root()) // read by nobody but a person looking at the list of processes
            .arg0("flow")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| SlotError::Spawn { helper: helper.0.clone(), source })?;
        let (Some(to_helper), Some(from_helper)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(SlotError::HelperGone);
        };
        let view = View::new(&dirs, sandbox, code.as_deref());
        let mut slot = Self { child, to_helper, from_helper, view, running: false };
        let start = StartRequest::encode(sandbox, dirs.root(), code.as_deref());
        slot.send(&start.map_err(|WireError| SlotError::CommandTooLarge)?).await?;
        match slot.receive().await? {
            Reply::Ready => Ok(slot),
            Reply::Failed(error) => Err(SlotError::Setup(error)),
            Reply::Report(_) => Err(SlotError::Protocol),
        }
    }

    /// Where a program of this slot finds things; the engine builds environment variables from it.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Runs a program to its end. Whatever the program does is in the report; an error means that the slot is
    /// of no use any more.
    ///
    /// If the returned future is dropped before it is done, the slot must be dropped too: that ends the program.
    pub async fn run(&mut self, command: &Command, limits: LogLimits) -> Result<RunReport, SlotError> {
        if self.running {
            return Err(SlotError::Abandoned);
        }
        let frame = RunRequest::encode(command, limits).map_err(|WireError| SlotError::CommandTooLarge)?;
        self.running = true;
        self.send(&frame).await?;
        let reply = self.receive().await?;
        self.running = false;
        match reply {
            Reply::Report(report) => Ok(report),
            Reply::Ready | Reply::Failed(_) => Err(SlotError::Protocol),
        }
    }

    /// Ends the helper and everything in the slot, and waits until they are gone.
    pub async fn stop(self) -> Result<(), SlotError> {
        let Self { mut child, to_helper, .. } = self;
        drop(to_helper); // the helper ends when its input closes
        if tokio::time::timeout(STOP_PATIENCE, child.wait()).await.is_err() {
            child.kill().await.map_err(|_| SlotError::HelperGone)?;
        }
        Ok(())
    }

    /// Process id of the helper as the host sees it, while it lives.
    pub fn helper_id(&self) -> Option<u32> {
        self.child.id()
    }

    async fn send(&mut self, frame: &[u8]) -> Result<(), SlotError> {
        match self.to_helper.write_all(frame).await {
            // A helper that failed to set up has gone after saying why: the reply tells.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(SlotError::HelperGone),
            _ => Ok(()),
        }
    }

    async fn receive(&mut self) -> Result<Reply, SlotError> {
        let mut header = [0; 4];
        let gone = |_| SlotError::HelperGone;
        self.from_helper.read_exact(&mut header).await.map_err(gone)?;
        let length = frame_length(header).map_err(|WireError| SlotError::Protocol)?;
        let mut payload = vec![0; length];
        self.from_helper.read_exact(&mut payload).await.map_err(gone)?;
        Reply::decode(&payload).map_err(|WireError| SlotError::Protocol)
    }
}

/// Whether programs can be contained on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxSupport {
    /// Yes: use [`Sandbox::Namespaces`].
    Namespaces,
    /// No: use [`Sandbox::Plain`] and say so once.
    Unavailable {
        /// What failed, as a lowercase phrase.
        reason: String,
    },
}

impl SandboxSupport {
    /// The sandbox to use.
    pub fn sandbox(&self) -> Sandbox {
        match self {
            Self::Namespaces => Sandbox::Namespaces,
            Self::Unavailable { .. } => Sandbox::Plain,
        }
    }
}

/// Builds a complete sandbox in the folder `scratch` (made and removed here), tries it and takes it down.
///
/// `scratch` should lie where the slots will, because the file system decides too.
pub async fn probe(scratch: &Path, helper: &Helper) -> SandboxSupport {
    let dirs = SlotDirs::at(scratch.to_owned());
    let config =
        SlotConfig { dirs: dirs.clone(), code: None, sandbox: Sandbox::Namespaces, helper: helper.clone() };
    let outcome = match Slot::start(config).await {
        Ok(slot) => slot.stop().await,
        Err(error) => Err(error),
    };
    // A folder that cannot be removed harms nobody; the next probe empties it.
    let _: Result<_, _> = tokio::task::spawn_blocking(move || dirs.remove()).await;
    match outcome {
        Ok(()) => SandboxSupport::Namespaces,
        Err(error) => {
            let mut reason = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                reason = format!("{reason}: {cause}");
                source = cause.source();
            }
            SandboxSupport::Unavailable { reason }
        }
    }
}
