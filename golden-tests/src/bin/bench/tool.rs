//! Other programs, and flow: started, timed, and not to fail.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use golden_tests::failure::Failure;

/// Where programs are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program with nothing on standard input, in a fixed environment.
pub(crate) fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.env_clear().envs([("PATH", PATH), ("LANG", "C.UTF-8"), ("NO_COLOR", "1")]);
    command.env("HOME", folder).current_dir(folder).stdin(Stdio::null());
    command
}

/// `flow` with these arguments in a folder.
pub(crate) fn flow(folder: &Path, args: &[&str]) -> Result<Command, Failure> {
    let own = env::current_exe().map_err(Failure::io("find", Path::new("/proc/self/exe")))?;
    let mut command = program(&own.to_string_lossy(), folder);
    command.env(super::AS_FLOW, "1").args(args);
    Ok(command)
}

/// How long a program takes, which must succeed.
pub(crate) fn time(mut command: Command) -> Result<Duration, Failure> {
    let line = format!("{command:?}");
    let started = Instant::now();
    let output = command.output().map_err(Failure::io("start", Path::new(&line)))?;
    let took = started.elapsed();
    if output.status.success() {
        return Ok(took);
    }
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    Err(Failure::Differs(format!("`{line}` failed, {}:\n{said}", output.status)))
}

/// Whether there is such a program.
pub(crate) fn exists(name: &str) -> bool {
    PATH.split(':').any(|folder| Path::new(folder).join(name).is_file())
}
