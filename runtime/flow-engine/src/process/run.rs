//! Runs one command inside a slot's helper: start, feed, listen, time, kill what is left, count.
//!
//! One thread, one `poll`: standard input is fed and both outputs are read as they come, so no order of reads and
//! writes by the program can block it for ever; a program that ignores its input or closes it early is no error.
//!
//! **Invariant:** when [`Runner::run`] returns, the program and every process that came from it are gone (in the
//! plain slot: every one that could be found and killed), and the pipes are read empty.
//!
//! Not here: the protocol around it (`helper`) and the sandbox (`namespace`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::command::{Command, Exit, RunReport, RunRequest};
use super::log::{Capture, LogLimits};
use super::sys::{Reap, Reaped, reap};
use super::{Sandbox, View, program};

/// Most bytes read from one pipe before the others get their turn.
const TURN: usize = 1 << 20;

/// How long the plain slot waits for a killed process to end before it gives up on it (it may be another user's).
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a helper stops serving.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("flow is gone")]
    FlowGone,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for RunError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<nix::errno::Errno> for RunError {
    fn from(error: nix::errno::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Runs commands, one after the other.
#[derive(Debug)]
pub(super) struct Runner {
    sandbox: Sandbox,
    view: View,
    children_ended: SignalFd,
    buffer: Vec<u8>,
}

/// What a running command has cost so far.
#[derive(Debug, Default)]
struct Cost {
    cpu_us: u64,
    max_rss_kib: u64,
    leftovers_killed: u32,
}

impl Cost {
    fn add(&mut self, child: &Reaped) {
        self.cpu_us += child.cpu_us;
        self.max_rss_kib = self.max_rss_kib.max(child.max_rss_kib);
    }
}

impl Runner {
    /// Prepares the calling process, which must have no other children, to run commands.
    pub(super) fn new(sandbox: Sandbox, view: View) -> Result<Self, RunError> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGCHLD);
        signals.thread_block()?; // started programs get an empty mask again from the standard library
        let children_ended = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { sandbox, view, children_ended, buffer: vec![0; 64 << 10] })
    }

    /// Runs one command to its end; an error means that the helper cannot go on.
    pub(super) fn run(
        &mut self,
        request: &RunRequest,
        control: BorrowedFd<'_>,
    ) -> Result<RunReport, RunError> {
        let command = &request.command;
        if self.sandbox == Sandbox::Namespaces {
            // An earlier program may have removed it; if it cannot be made, the program will say so.
            let _: io::Result<()> = std::fs::create_dir(&self.view.home);
        }
        let started = Instant::now();
        match self.spawn(command) {
            Ok(child) => {
                let mut active = Active::new(child, command, request.limits, started)?;
                let outcome = active.drive(self, control);
                active.kill_rest(self)?;
                let (exit, wall) = outcome?;
                active.drain(&mut self.buffer)?;
                Ok(active.report(exit, wall))
            }
            Err(reason) => Ok(RunReport::not_started(reason)),
        }
    }

    /// Starts the program through the standard library's fast path (no copy of the page tables).
    fn spawn(&self, command: &Command) -> Result<std::process::Child, String> {
        let working_dir = match &command.working_dir {
            Some(given) => self.view.default_dir().join(self.view.translate(given)),
            None => self.view.default_dir().to_owned(),
        };
        let name = command.argv.first().ok_or("the command is empty")?;
        let words = command.argv.iter().chain(command.env.keys()).chain(command.env.values());
        if let Some(bad) = words.into_iter().find(|word| program::has_nul(word)) {
            return Err(format!("`{}` contains a NUL character", bad.replace('\0', "\\0")));
        }
        let translated = self.view.translate(name).to_string_lossy().into_owned();
        let path = command.env.get("PATH").map(String::as_str);
        let file = program::find(&translated, path, &working_dir)?;

        let mut spawn = std::process::Command::new(&file);
        spawn.arg0(name).args(&command.argv[1..]).env_clear();
        spawn.env("FLOW_PFS", &self.view.pfs).env("HOME", &self.view.home);
        if self.sandbox == Sandbox::Plain {
            spawn.env("TMPDIR", &self.view.tmp);
        }
        let stdin = if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        spawn.envs(&command.env).current_dir(&working_dir).process_group(0);
        spawn.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        spawn.spawn().map_err(|error| program::explain(&file, &working_dir, &error))
    }
}

/// A program that was started.
struct Active<'a> {
    pid: i32,
    /// The program itself was taken in; its process id may be another's by now.
    ended: bool,
    stdin: Option<(OwnedFd, &'a [u8])>,
    stdout: (Option<OwnedFd>, Capture),
    stderr: (Option<OwnedFd>, Capture),
    started: Instant,
    deadline: Option<Instant>,
    cost: Cost,
}

impl<'a> Active<'a> {
    fn new(
        mut child: std::process::Child,
        command: &'a Command,
        limits: LogLimits,
        started: Instant,
    ) -> Result<Self, RunError> {
        let pid = child.id().cast_signed();
        let stdin = child.stdin.take().map(OwnedFd::from).zip(command.stdin.as_deref());
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        for end in
            [stdin.as_ref().map(|(end, _)| end), stdout.as_ref(), stderr.as_ref()].into_iter().flatten()
        {
            // Only our end becomes non-blocking; the program's has its own flags.
            rustix::io::ioctl_fionbio(end, true)?;
        }
        Ok(Self {
            pid,
            ended: false,
            stdin,
            stdout: (stdout, Capture::new(limits)),
            stderr: (stderr, Capture::new(limits)),
            started,
            deadline: command.timeout.and_then(|timeout| started.checked_add(timeout)),
            cost: Cost::default(),
        })
    }

    /// Serves the program until it has ended or its time is up.
    fn drive(&mut self, runner: &mut Runner, control: BorrowedFd<'_>) -> Result<(Exit, Duration), RunError> {
        loop {
            let ready = self.wait(runner, control)?;
            if ready.control {
                return Err(RunError::FlowGone); // nothing is ever sent during a run: the pipe has closed
            }
            if ready.children
                && let Some(status) = self.reap_ended(&mut runner.children_ended)?
            {
                return Ok((exit_of(status), self.started.elapsed()));
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok((Exit::TimedOut, self.started.elapsed()));
            }
            read_some(&mut self.stdout, &mut runner.buffer)?;
            read_some(&mut self.stderr, &mut runner.buffer)?;
            feed(&mut self.stdin)?;
        }
    }

    /// Sleeps until something happens.
    fn wait(&self, runner: &Runner, control: BorrowedFd<'_>) -> Result<Ready, RunError> {
        let mut watched = vec![
            PollFd::from_borrowed_fd(control, PollFlags::IN),
            PollFd::from_borrowed_fd(runner.children_ended.as_fd(), PollFlags::IN),
        ];
        for output in [&self.stdout.0, &self.stderr.0].into_iter().flatten() {
            watched.push(PollFd::new(output, PollFlags::IN));
        }
        watched.extend(self.stdin.as_ref().map(|(input, _)| PollFd::new(input, PollFlags::OUT)));
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Ready { control: !watched[0].revents().is_empty(), children: !watched[1].revents().is_empty() })
    }

    /// Takes in every child that has ended; the program's own status if it is among them.
    ///
    /// Orphans are taken in while the program runs, so that none of its children stays as a zombie.
    fn reap_ended(&mut self, children_ended: &mut SignalFd) -> Result<Option<i32>, RunError> {
        while children_ended.read_signal()?.is_some() {}
        while let Reap::Ended(child) = reap(false)? {
            self.cost.add(&child);
            if child.pid == self.pid {
                self.ended = true;
                return Ok(Some(child.status));
            }
        }
        Ok(None)
    }

    /// Kills and takes in everything that is still there.
    fn kill_rest(&mut self, runner: &mut Runner) -> Result<(), RunError> {
        let mut killed = false;
        let mut patience = Instant::now() + PATIENCE;
        loop {
            match reap(false)? {
                Reap::NoChildren => return Ok(()),
                Reap::Ended(child) => {
                    self.take_in(&child, killed);
                    patience = Instant::now() + PATIENCE;
                    continue;
                }
                Reap::StillRunning => {}
            }
            killed = true;
            if runner.sandbox == Sandbox::Namespaces {
                // As pid 1: every process of the namespace but this one, and none can fork its way out of it.
                kill_quietly(|| kill(Pid::from_raw(-1), Signal::SIGKILL))?;
                if let Reap::Ended(child) = reap(true)? {
                    self.take_in(&child, killed);
                }
                continue;
            }
            if Instant::now() > patience {
                return Ok(());
            }
            self.kill_children()?;
            let mut ended = [PollFd::from_borrowed_fd(runner.children_ended.as_fd(), PollFlags::IN)];
            let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            match poll(&mut ended, Some(&moment)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            while runner.children_ended.read_signal()?.is_some() {}
        }
    }

    /// Counts a child that was taken in after the program had ended or its time was up.
    fn take_in(&mut self, child: &Reaped, killed: bool) {
        self.cost.add(child);
        if child.pid == self.pid {
            self.ended = true;
        } else if killed && ExitStatus::from_raw(child.status).signal() == Some(Signal::SIGKILL as i32) {
            self.cost.leftovers_killed += 1;
        }
    }

    /// In the plain slot: kills the program's group and this process's children. As it is their subreaper, the
    /// children of those become its own and are found on the next round.
    fn kill_children(&self) -> Result<(), RunError> {
        if !self.ended {
            kill_quietly(|| killpg(Pid::from_raw(self.pid), Signal::SIGKILL))?;
        }
        for child in own_children() {
            kill_quietly(|| kill(Pid::from_raw(child), Signal::SIGKILL))?;
        }
        Ok(())
    }

    /// Reads what the pipes still hold; their writers are gone.
    fn drain(&mut self, buffer: &mut [u8]) -> Result<(), RunError> {
        read_some(&mut self.stdout, buffer)?;
        read_some(&mut self.stderr, buffer)
    }

    fn report(self, exit: Exit, wall: Duration) -> RunReport {
        RunReport {
            exit,
            wall,
            cpu_ms: self.cost.cpu_us / 1000,
            max_rss_kib: self.cost.max_rss_kib,
            stdout: self.stdout.1.finish(),
            stderr: self.stderr.1.finish(),
            leftovers_killed: self.cost.leftovers_killed,
        }
    }
}

/// Which of the descriptors that matter to the flow of control have something to say.
struct Ready {
    control: bool,
    children: bool,
}

/// Kills, and takes "there is none any more" for an answer.
fn kill_quietly(kill: impl FnOnce() -> nix::Result<()>) -> Result<(), RunError> {
    match kill() {
        Ok(()) | Err(nix::errno::Errno::ESRCH | nix::errno::Errno::EPERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Process ids of this process's children; none where the kernel does not list them.
fn own_children() -> Vec<i32> {
    let list = format!("/proc/self/task/{}/children", std::process::id());
    let text = std::fs::read_to_string(list).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Reads until the pipe is empty, closed, or has had its turn.
fn read_some((pipe, capture): &mut (Option<OwnedFd>, Capture), buffer: &mut [u8]) -> Result<(), RunError> {
    let mut taken = 0;
    while let Some(end) = pipe {
        match rustix::io::read(&*end, &mut *buffer) {
            Ok(0) => *pipe = None,
            Ok(length) => {
                capture.push(&buffer[..length]);
                taken += length;
                if taken >= TURN {
                    break;
                }
            }
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes until the pipe is full or everything is written; a reader that has gone away is no error.
fn feed(stdin: &mut Option<(OwnedFd, &[u8])>) -> Result<(), RunError> {
    while let Some((end, rest)) = stdin {
        if rest.is_empty() {
            *stdin = None;
            break;
        }
        match rustix::io::write(&*end, rest) {
            Ok(length) => *rest = &rest[length..],
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => *stdin = None,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn exit_of(status: i32) -> Exit {
    let status = ExitStatus::from_raw(status);
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// The paths of a slot as its programs see them.
impl View {
    /// Where a program starts if its command does not say.
    fn default_dir(&self) -> &Path {
        self.code.as_deref().unwrap_or(&self.tmp)
    }

    /// A path of the command, from the sandbox's names (`/pfs`, `/code`) to this slot's.
    fn translate(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        let below = |name: &str, here: &Path| path.strip_prefix(name).ok().map(|rest| here.join(rest));
        below("/pfs", &self.pfs)
            .or_else(|| self.code.as_deref().and_then(|code| below("/code", code)))
            .unwrap_or_else(|| path.to_owned())
    }
}
