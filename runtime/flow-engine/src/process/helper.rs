//! The helper process of a slot: flow's own binary, started again with a hidden argument.
//!
//! A process with threads cannot enter a user namespace, and starting programs from a small single-threaded
//! process is cheap; hence a process of its own, which sets itself up once and then serves commands over its
//! standard input and output until the input closes.
//!
//! **Invariant:** the helper has one thread and ends when flow does.
//!
//! Not here: flow's side of the pipes (`slot`).

use std::ffi::OsStr;
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};

use super::command::{Reply, RunRequest, StartRequest};
use super::namespace::{Role, enter};
use super::run::{RunError, Runner};
use super::setup::{SetupError, Step};
use super::wire::frame_length;
use super::{Sandbox, SlotDirs, View};

/// First argument of a process that is to be a slot's helper.
pub(super) const HELPER_ARGUMENT: &str = "__flow-slot";

/// Becomes a slot's helper if the arguments say so; `None` means that this is an ordinary start of the program.
///
/// Must be the first thing in `main`: the helper needs a process with a single thread. `main` returns the code.
#[must_use]
pub fn helper_main() -> Option<ExitCode> {
    let argument = std::env::args_os().nth(1)?;
    (argument == OsStr::new(HELPER_ARGUMENT)).then(serve)
}

fn serve() -> ExitCode {
    let runner = match set_up() {
        Ok(Ok(runner)) => runner,
        Ok(Err(code)) => return code,
        Err(error) => {
            // If flow cannot be told, nobody is left to tell.
            let _: Result<(), RunError> = send(&Reply::Failed(error));
            return ExitCode::FAILURE;
        }
    };
    match serve_commands(runner) {
        Ok(()) | Err(RunError::FlowGone) => ExitCode::SUCCESS,
        Err(RunError::Io(_)) => ExitCode::FAILURE,
    }
}

/// A runner in a finished slot, or the code to end with.
fn set_up() -> Result<Result<Runner, ExitCode>, SetupError> {
    super::sys::close_all_on_exec().step("shield open files")?;
    let payload = match receive() {
        Ok(Some(payload)) => payload,
        Ok(None) => return Ok(Err(ExitCode::SUCCESS)),
        Err(error) => return Err(error).step("read the slot's settings"),
    };
    let request = StartRequest::decode(&payload).step("read the slot's settings")?;
    let dirs = SlotDirs::at(request.root);
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let view = View::new(&dirs, request.sandbox, request.code.as_deref());
    match request.sandbox {
        Sandbox::Namespaces => {
            if let Role::Supervisor(code) = enter(&dirs, request.code.as_deref())? {
                return Ok(Err(code));
            }
        }
        Sandbox::Plain => {
            // A session of its own: the terminal's Ctrl-C is flow's to handle.
            rustix::process::setsid().step("start a session")?;
            let own = Some(rustix::process::getpid());
            rustix::process::set_child_subreaper(own).step("adopt what programs leave behind")?;
        }
    }
    Runner::new(request.sandbox, view).map(Ok).step("listen to child processes")
}

fn serve_commands(mut runner: Runner) -> Result<(), RunError> {
    send(&Reply::Ready)?;
    while let Some(payload) = receive()? {
        let request = RunRequest::decode(&payload).map_err(std::io::Error::other)?;
        let report = runner.run(&request, stdin())?;
        send(&Reply::Report(report))?;
    }
    Ok(())
}

/// The next frame from flow; `None` when flow has closed the pipe.
fn receive() -> Result<Option<Vec<u8>>, RunError> {
    let mut header = [0; 4];
    if !fill(&mut header)? {
        return Ok(None);
    }
    let length = frame_length(header).map_err(std::io::Error::other)?;
    let mut payload = vec![0; length];
    Ok(fill(&mut payload)?.then_some(payload))
}

/// Reads exactly `buffer`, no byte more (what follows may be for another process); false at the end of input.
fn fill(mut buffer: &mut [u8]) -> Result<bool, RunError> {
    while !buffer.is_empty() {
        match rustix::io::read(stdin(), &mut *buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => buffer = &mut buffer[length..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

fn send(reply: &Reply) -> Result<(), RunError> {
    let frame = reply.encode().map_err(std::io::Error::other)?;
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        match rustix::io::write(stdout(), rest) {
            Ok(length) => rest = &rest[length..],
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => return Err(RunError::FlowGone),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
