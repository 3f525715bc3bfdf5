//! Finds the program a command names, and says why one did not start.
//!
//! The kernel answers "no such file" for a missing program, a missing interpreter, a missing loader and a missing
//! working directory alike; this file tells them apart.
//!
//! Not here: starting it (`run`).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

/// Where programs are looked up when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The absolute path of `program`; the error is the reason for a report.
pub(super) fn find(program: &str, path: Option<&str>, working_dir: &Path) -> Result<PathBuf, String> {
    if program.is_empty() {
        return Err("the program's name is empty".to_owned());
    }
    if program.contains('/') {
        return Ok(working_dir.join(program)); // the spawn finds out what is wrong with it
    }
    let path = path.unwrap_or(DEFAULT_PATH);
    let mut refused = None;
    for directory in path.split(':') {
        let candidate = working_dir.join(directory).join(program);
        match candidate.metadata() {
            Ok(data) if data.is_file() => {}
            _ => continue,
        }
        if rustix::fs::access(&candidate, Access::EXEC_OK).is_ok() {
            return Ok(candidate);
        }
        refused = refused.or(Some(candidate));
    }
    match refused {
        Some(file) => Err(not_executable(&file)),
        None => Err(format!("program `{program}` not found in PATH (`{path}`)")),
    }
}

/// Why starting `program` (as found) in `working_dir` failed with `error`.
pub(super) fn explain(program: &Path, working_dir: &Path, error: &io::Error) -> String {
    match working_dir.metadata() {
        Err(problem) => {
            return format!("working directory `{}`: {}", working_dir.display(), phrase(&problem));
        }
        Ok(data) if !data.is_dir() => {
            return format!("working directory `{}` is not a directory", working_dir.display());
        }
        Ok(_) if rustix::fs::access(working_dir, Access::EXEC_OK).is_err() => {
            return format!("working directory `{}`: permission denied", working_dir.display());
        }
        Ok(_) => {}
    }
    let shown = program.display();
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT) => missing_part(program),
        Some(rustix::io::Errno::ACCESS) if program.is_dir() => format!("program `{shown}` is a directory"),
        Some(rustix::io::Errno::ACCESS) => not_executable(program),
        Some(rustix::io::Errno::NOEXEC) => {
            format!(
                "program `{shown}` is neither a binary for this machine nor a script with a `#!` first line"
            )
        }
        Some(rustix::io::Errno::TOOBIG) => {
            "the arguments and the environment are too long together".to_owned()
        }
        _ => format!("program `{shown}`: {}", phrase(error)),
    }
}

/// Which part of a program is missing when the kernel finds "no such file".
fn missing_part(program: &Path) -> String {
    let shown = program.display();
    match program.metadata() {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => {
            return format!("program `{shown}` not found");
        }
        Err(problem) => return format!("program `{shown}`: {}", phrase(&problem)),
        Ok(_) => {}
    }
    match interpreter(program) {
        Some(name) if name.ends_with(b"\r") => format!(
            "program `{shown}` has Windows line ends: its first line asks for an interpreter whose name ends in a \
             carriage return"
        ),
        Some(name) => format!(
            "program `{shown}` asks for the interpreter `{}` in its first line, and there is none",
            String::from_utf8_lossy(&name)
        ),
        None => format!("program `{shown}` needs a loader that this machine does not have"),
    }
}

/// The interpreter named in a script's `#!` line; a carriage return stays visible.
fn interpreter(program: &Path) -> Option<Vec<u8>> {
    let mut start = [0; 256];
    let length = File::open(program).and_then(|mut file| file.read(&mut start)).ok()?;
    let line = start[..length].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| *byte == b' ' || *byte == b'\t').filter(|word| !word.is_empty());
    words.next().map(<[u8]>::to_vec)
}

fn not_executable(program: &Path) -> String {
    format!(
        "program `{}` is not executable: make it so with `chmod +x`, or name its interpreter before it",
        program.display()
    )
}

/// The system's words for an error without its number, in lower case.
fn phrase(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Whether `value` can be passed to a program at all.
pub(super) fn has_nul(value: &str) -> bool {
    std::ffi::OsStr::new(value).as_bytes().contains(&0)
}
