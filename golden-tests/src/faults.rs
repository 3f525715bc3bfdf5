//! Faults of the binary under test, planned by its environment. `flow` itself knows nothing of them.
//!
//! | variable | does |
//! |---|---|
//! | `FLOW_TEST_CRASH=before:7` | kills the process before the seventh write to the store |
//! | `FLOW_TEST_CRASH=after:7` | kills it when the write is durable, before anybody learns of it |
//! | `FLOW_TEST_CRASH=torn:7` | kills it when half of the bytes are there under the name |
//! | `FLOW_TEST_WRITES=FILE` | leaves the writes, one a line, in FILE at the end |
//!
//! **Invariant:** the process dies by SIGKILL, as with `kill -9`: nothing of it runs any more, no destructor either.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs, io,
    process::ExitCode,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use flow_cli::MediaLayer;
use flow_store::{
    Media,
    fault::{Crash, FaultMedia},
};

/// The variable that plans a crash.
pub const CRASH: &str = "FLOW_TEST_CRASH";
/// The variable that asks for the writes.
pub const WRITES: &str = "FLOW_TEST_WRITES";

/// A crash at a write to the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrashPoint {
    /// Where in the write.
    pub how: Crash,
    /// Which write, counted from 1.
    pub write: usize,
}

impl FromStr for CrashPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{CRASH}={text}` is not `before:N`, `after:N` or `torn:N`");
        let (how, write) = text.split_once(':').ok_or_else(wrong)?;
        let how = match how {
            "before" => Crash::Before,
            "after" => Crash::After,
            "torn" => Crash::Torn,
            _ => return Err(wrong()),
        };
        Ok(Self { how, write: write.parse().map_err(|_| wrong())? })
    }
}

impl std::fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = match self.how {
            Crash::Before => "before",
            Crash::After => "after",
            Crash::Torn => "torn",
        };
        write!(f, "{how}:{}", self.write)
    }
}

/// Runs the command line of this process with the faults that its environment plans.
#[must_use]
pub fn main() -> ExitCode {
    let crash = match env::var(CRASH).ok().map(|text| text.parse::<CrashPoint>()).transpose() {
        Ok(crash) => crash,
        Err(error) => {
            complain(&error);
            return ExitCode::from(3);
        }
    };
    let wanted = env::var_os(WRITES);
    if crash.is_none() && wanted.is_none() {
        return flow_cli::main();
    }
    let media: Arc<Mutex<Vec<Arc<FaultMedia>>>> = Arc::default();
    let code = flow_cli::main_with(Some(layer(crash, Arc::clone(&media))));
    match wanted.map_or(Ok(()), |file| leave_writes(&media, &file)) {
        Ok(()) => code,
        Err(error) => {
            complain(&format!("cannot leave the writes: {error}"));
            ExitCode::from(3)
        }
    }
}

/// A layer that counts, and dies at the crash point. A command opens its store once, so that the count is the command's.
fn layer(crash: Option<CrashPoint>, opened: Arc<Mutex<Vec<Arc<FaultMedia>>>>) -> Arc<MediaLayer> {
    Arc::new(move |inner: Arc<dyn Media>| {
        let media = FaultMedia::new(inner);
        let media = match crash {
            Some(CrashPoint { how, write }) => media.crash_at(write, how).on_crash(die),
            None => media,
        };
        let media = Arc::new(media);
        opened.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&media));
        media
    })
}

fn die() {
    // If the signal cannot be sent, `abort` ends the process too.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}

/// Nothing was opened in a slot's helper, which is this program too: it has nothing to leave.
fn leave_writes(opened: &Mutex<Vec<Arc<FaultMedia>>>, file: &OsString) -> io::Result<()> {
    let opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
    if opened.is_empty() {
        return Ok(());
    }
    let mut lines = String::new();
    for write in opened.iter().flat_map(|media| media.writes()) {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{write}");
    }
    fs::write(file, lines)
}

#[expect(clippy::print_stderr, reason = "a mistake in a test's own settings is said to who runs it")]
fn complain(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crash_points_read_as_they_are_written() {
        for text in ["before:1", "after:20", "torn:3"] {
            assert_eq!(text.parse::<CrashPoint>().unwrap().to_string(), text);
        }
        for text in ["", "before", "before:", "during:1", "after:-1"] {
            assert!(text.parse::<CrashPoint>().is_err(), "{text}");
        }
    }
}
