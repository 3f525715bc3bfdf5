//! What a slot is asked to run and what it reports, as types and as frames.
//!
//! Not here: running it (`run`) and the bytes of a frame (`wire`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::log::{CappedLog, LogLimits};
use super::wire::{Reader, WireError, Writer};
use super::{Sandbox, setup::SetupError};

/// One program to run in a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments. A program without a slash is looked up in the `PATH` of `env`; one with a slash is
    /// taken relative to the working directory.
    pub argv: Vec<String>,
    /// Text on standard input; `/dev/null` without.
    pub stdin: Option<Vec<u8>>,
    /// The complete environment; nothing is inherited. Only `FLOW_PFS`, `HOME` and `TMPDIR` are added where they
    /// are absent.
    pub env: BTreeMap<String, String>,
    /// Working directory as the program sees it; without one `/code` if the slot has code, else the slot's `/tmp`.
    pub working_dir: Option<String>,
    /// After this long everything the program started is killed.
    pub timeout: Option<Duration>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It was still running at [`Command::timeout`] and was killed.
    TimedOut,
    /// It never ran.
    NotStarted {
        /// A lowercase phrase that names what is missing or refused.
        reason: String,
    },
}

/// What a run did and cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// How the program itself ended.
    pub exit: Exit,
    /// From start to the end of the program.
    pub wall: Duration,
    /// Processor time in milliseconds, of the program and everything it started.
    pub cpu_ms: u64,
    /// Peak resident memory in KiB of the largest process of the run; never less than the helper's own few MiB.
    pub max_rss_kib: u64,
    /// Standard output.
    pub stdout: CappedLog,
    /// Standard error.
    pub stderr: CappedLog,
    /// Processes that were still there when the program had ended, and were killed.
    pub leftovers_killed: u32,
}

impl RunReport {
    /// A report of a program that did not start.
    pub(super) fn not_started(reason: String) -> Self {
        Self {
            exit: Exit::NotStarted { reason },
            wall: Duration::ZERO,
            cpu_ms: 0,
            max_rss_kib: 0,
            stdout: CappedLog::default(),
            stderr: CappedLog::default(),
            leftovers_killed: 0,
        }
    }
}

/// The first frame: what kind of slot the helper shall become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StartRequest {
    pub(super) sandbox: Sandbox,
    pub(super) root: PathBuf,
    pub(super) code: Option<PathBuf>,
}

impl StartRequest {
    pub(super) fn encode(sandbox: Sandbox, root: &Path, code: Option<&Path>) -> Result<Vec<u8>, WireError> {
        let mut out = Writer::new();
        out.u8(u8::from(sandbox == Sandbox::Namespaces));
        out.os(root);
        out.option(code, Writer::os);
        out.finish()
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(payload);
        let sandbox = if from.u8()? == 1 { Sandbox::Namespaces } else { Sandbox::Plain };
        let request = Self { sandbox, root: from.path()?, code: from.option(Reader::path)? };
        from.end()?;
        Ok(request)
    }
}

/// Every further frame to the helper: one program to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunRequest {
    pub(super) command: Command,
    pub(super) limits: LogLimits,
}

impl RunRequest {
    pub(super) fn encode(command: &Command, limits: LogLimits) -> Result<Vec<u8>, WireError> {
        let mut out = Writer::new();
        out.u64(command.argv.len() as u64);
        command.argv.iter().for_each(|argument| out.os(argument));
        out.option(command.stdin.as_deref(), Writer::bytes);
        out.u64(command.env.len() as u64);
        for (name, value) in &command.env {
            out.os(name);
            out.os(value);
        }
        out.option(command.working_dir.as_deref(), Writer::os);
        out.option(command.timeout, put_duration);
        out.u64(limits.head as u64);
        out.u64(limits.tail as u64);
        out.finish()
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(payload);
        let argv = (0..from.u64()?).map(|_| from.string()).collect::<Result<_, _>>()?;
        let stdin = from.option(|from| Ok(from.bytes()?.to_vec()))?;
        let env = (0..from.u64()?)
            .map(|_| Ok((from.string()?, from.string()?)))
            .collect::<Result<BTreeMap<_, _>, WireError>>()?;
        let working_dir = from.option(Reader::string)?;
        let timeout = from.option(get_duration)?;
        let limits = LogLimits { head: get_size(&mut from)?, tail: get_size(&mut from)? };
        from.end()?;
        Ok(Self { command: Command { argv, stdin, env, working_dir, timeout }, limits })
    }
}

/// Every frame from the helper.
#[derive(Debug)]
pub(super) enum Reply {
    /// The slot is set up; comes once, first.
    Ready,
    /// The slot could not be set up; comes once, instead of `Ready`.
    Failed(SetupError),
    /// The answer to one [`RunRequest`].
    Report(RunReport),
}

impl Reply {
    pub(super) fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut out = Writer::new();
        match self {
            Self::Ready => out.u8(0),
            Self::Failed(error) => {
                out.u8(1);
                out.os(&error.step);
                out.os(&error.reason);
            }
            Self::Report(report) => {
                out.u8(2);
                put_report(&mut out, report);
            }
        }
        out.finish()
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(payload);
        let reply = match from.u8()? {
            0 => Self::Ready,
            1 => Self::Failed(SetupError { step: from.string()?, reason: from.string()? }),
            2 => Self::Report(get_report(&mut from)?),
            _ => return Err(WireError),
        };
        from.end()?;
        Ok(reply)
    }
}

fn put_report(out: &mut Writer, report: &RunReport) {
    match &report.exit {
        Exit::Code(code) => {
            out.u8(0);
            out.u64(u64::from(code.cast_unsigned()));
        }
        Exit::Signal(signal) => {
            out.u8(1);
            out.u64(u64::from(signal.cast_unsigned()));
        }
        Exit::TimedOut => out.u8(2),
        Exit::NotStarted { reason } => {
            out.u8(3);
            out.os(reason);
        }
    }
    put_duration(out, report.wall);
    out.u64(report.cpu_ms);
    out.u64(report.max_rss_kib);
    report.stdout.encode(out);
    report.stderr.encode(out);
    out.u64(u64::from(report.leftovers_killed));
}

fn get_report(from: &mut Reader<'_>) -> Result<RunReport, WireError> {
    let exit = match from.u8()? {
        0 => Exit::Code(get_u32(from)?.cast_signed()),
        1 => Exit::Signal(get_u32(from)?.cast_signed()),
        2 => Exit::TimedOut,
        3 => Exit::NotStarted { reason: from.string()? },
        _ => return Err(WireError),
    };
    Ok(RunReport {
        exit,
        wall: get_duration(from)?,
        cpu_ms: from.u64()?,
        max_rss_kib: from.u64()?,
        stdout: CappedLog::decode(from)?,
        stderr: CappedLog::decode(from)?,
        leftovers_killed: get_u32(from)?,
    })
}

/// Microseconds; a longer time than 584,000 years is cut.
fn put_duration(out: &mut Writer, time: Duration) {
    out.u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

fn get_duration(from: &mut Reader<'_>) -> Result<Duration, WireError> {
    Ok(Duration::from_micros(from.u64()?))
}

fn get_u32(from: &mut Reader<'_>) -> Result<u32, WireError> {
    u32::try_from(from.u64()?).map_err(|_| WireError)
}

fn get_size(from: &mut Reader<'_>) -> Result<usize, WireError> {
    usize::try_from(from.u64()?).map_err(|_| WireError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(frame: &[u8]) -> &[u8] {
        &frame[4..]
    }

    fn any_log() -> impl Strategy<Value = CappedLog> {
        (any::<Vec<u8>>(), any::<Vec<u8>>(), any::<u64>()).prop_map(|(head, tail, left_out)| CappedLog {
            head,
            tail,
            left_out,
        })
    }

    fn any_exit() -> impl Strategy<Value = Exit> {
        prop_oneof![
            any::<i32>().prop_map(Exit::Code),
            any::<i32>().prop_map(Exit::Signal),
            Just(Exit::TimedOut),
            any::<String>().prop_map(|reason| Exit::NotStarted { reason }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        #[test]
        fn a_request_comes_back(
            argv in any::<Vec<String>>(),
            stdin in any::<Option<Vec<u8>>>(),
            env in any::<BTreeMap<String, String>>(),
            working_dir in any::<Option<String>>(),
            timeout in any::<Option<u32>>(),
            sizes in any::<(usize, usize)>(),
        ) {
            let timeout = timeout.map(|us| Duration::from_micros(u64::from(us)));
            let command = Command { argv, stdin, env, working_dir, timeout };
            let limits = LogLimits { head: sizes.0, tail: sizes.1 };
            let frame = RunRequest::encode(&command, limits).unwrap();
            prop_assert_eq!(RunRequest::decode(payload(&frame)), Ok(RunRequest { command, limits }));
        }

        #[test]
        fn a_report_comes_back(
            exit in any_exit(),
            numbers in any::<(u32, u64, u64, u32)>(),
            stdout in any_log(),
            stderr in any_log(),
        ) {
            let report = RunReport {
                exit,
                wall: Duration::from_micros(u64::from(numbers.0)),
                cpu_ms: numbers.1,
                max_rss_kib: numbers.2,
                stdout,
                stderr,
                leftovers_killed: numbers.3,
            };
            let frame = Reply::Report(report.clone()).encode().unwrap();
            match Reply::decode(payload(&frame)) {
                Ok(Reply::Report(back)) => prop_assert_eq!(back, report),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn garbage_is_refused_or_read_but_never_panics(bytes in any::<Vec<u8>>()) {
            let _: Result<_, _> = RunRequest::decode(&bytes);
            let _: Result<_, _> = Reply::decode(&bytes);
            let _: Result<_, _> = StartRequest::decode(&bytes);
        }
    }

    #[test]
    fn a_start_request_comes_back() {
        for code in [None, Some(PathBuf::from("/b"))] {
            for sandbox in [Sandbox::Namespaces, Sandbox::Plain] {
                let frame = StartRequest::encode(sandbox, Path::new("/a"), code.as_deref()).unwrap();
                let back = StartRequest::decode(payload(&frame)).unwrap();
                assert_eq!(back, StartRequest { sandbox, root: "/a".into(), code: code.clone() });
            }
        }
    }
}
