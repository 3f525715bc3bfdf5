//! Which program a process would run: part of the datum key.
//!
//! The program is found as the worker will find it: an absolute path as it is, a relative one in the code folder or
//! working directory, a bare name along `PATH`. Its content is hashed; for a script, its `#!` interpreter too, and for
//! `#!/usr/bin/env NAME` the program that `env` will find. Libraries and modules that a program loads are no part of
//! it: ship them as `transform.code`, or use an image on a cluster.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use flow_model::{
    datum::ExecutorIdentity,
    digest::{Digest, FieldHasher},
};

/// Scripts may name scripts as interpreters; the kernel follows four.
const INTERPRETERS_MAX: usize = 4;

/// Why a program cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// No such program.
    #[error("command `{program}` does not exist")]
    NotFound {
        /// As written in `cmd`.
        program: String,
        /// A next step.
        help: String,
    },
    /// It is there and may not be executed.
    #[error("command `{program}` is not executable")]
    NotExecutable {
        /// As written in `cmd`.
        program: String,
        /// A next step.
        help: String,
    },
    /// It is there and cannot be read.
    #[error("command `{program}` cannot be read: {reason}")]
    Unreadable {
        /// As written in `cmd`.
        program: String,
        /// What the system said.
        reason: String,
    },
}

impl ProgramError {
    /// The next step, where one is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::NotFound { help, .. } | Self::NotExecutable { help, .. } => Some(help),
            Self::Unreadable { .. } => None,
        }
    }
}

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub struct ProgramSearch<'a> {
    /// The `PATH` that user code will have.
    pub path: &'a str,
    /// The code folder on this machine, if the pipeline ships code.
    pub code: Option<&'a Path>,
    /// `transform.workingDir`.
    pub working_dir: Option<&'a str>,
}

impl ProgramSearch<'_> {
    /// Identity of the program that `argv0` names.
    ///
    /// # Errors
    /// [`ProgramError`] if there is none that can be run.
    pub fn identify(&self, argv0: &str) -> Result<ExecutorIdentity, ProgramError> {
        let program = self.find(argv0)?;
        let mut hasher = FieldHasher::new("flow program v1");
        self.push_chain(argv0, &program, &mut hasher)?;
        let in_code = self.code.is_some_and(|code| program.starts_with(code));
        Ok(ExecutorIdentity::Process {
            platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
            program: if in_code { String::new() } else { program.display().to_string() },
            digest: hasher.finish(),
        })
    }

    /// The file that `argv0` names.
    ///
    /// # Errors
    /// [`ProgramError::NotFound`] or [`ProgramError::NotExecutable`].
    pub fn find(&self, argv0: &str) -> Result<PathBuf, ProgramError> {
        if argv0.contains('/') {
            let path = self.start_folder().join(argv0);
            let help = format!("the path is taken from `{}`", self.start_folder_as_seen().display());
            return self.check(argv0, path, help);
        }
        let executable = |path: &PathBuf| {
            path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        };
        let found = self.path.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join(argv0));
        found.into_iter().find(executable).ok_or_else(|| ProgramError::NotFound {
            program: argv0.to_owned(),
            help: self.not_on_path_help(argv0),
        })
    }

    fn not_on_path_help(&self, argv0: &str) -> String {
        let in_code = self.code.is_some_and(|code| code.join(argv0).is_file());
        if in_code {
            return format!("it is in the code folder: write `./{argv0}`");
        }
        if argv0.contains(' ') {
            return "`cmd` is not split at spaces: write one list item per word, or `cmd: [sh, -c, ...]`"
                .to_owned();
        }
        "it was looked for along PATH; in the code folder, write `./NAME`".to_owned()
    }

    fn start_folder(&self) -> PathBuf {
        match (self.working_dir, self.code) {
            (Some(dir), _) => Path::new("/").join(dir),
            (None, Some(code)) => code.to_owned(),
            (None, None) => PathBuf::from("/"),
        }
    }

    fn start_folder_as_seen(&self) -> PathBuf {
        match (self.working_dir, self.code) {
            (Some(dir), _) => Path::new("/").join(dir),
            (None, Some(_)) => PathBuf::from(crate::worker::CODE_FOLDER),
            (None, None) => PathBuf::from("/"),
        }
    }

    fn check(&self, argv0: &str, path: PathBuf, help: String) -> Result<PathBuf, ProgramError> {
        // A path below the code folder as the program sees it stands for the same file here.
        let path = match (path.strip_prefix(crate::worker::CODE_FOLDER), self.code) {
            (Ok(rest), Some(code)) => code.join(rest),
            _ => path,
        };
        match path.metadata() {
            Ok(data) if data.is_file() && data.permissions().mode() & 0o111 != 0 => Ok(path),
            Ok(data) if data.is_file() => Err(ProgramError::NotExecutable {
                program: argv0.to_owned(),
                help: "make it executable (`chmod +x`), or name its interpreter first: `cmd: [sh, FILE]`"
                    .to_owned(),
            }),
            _ => Err(ProgramError::NotFound { program: argv0.to_owned(), help }),
        }
    }

    fn push_chain(&self, argv0: &str, program: &Path, hasher: &mut FieldHasher) -> Result<(), ProgramError> {
        let mut next = Some(program.to_owned());
        for _ in 0..INTERPRETERS_MAX {
            let Some(path) = next.take() else { return Ok(()) };
            let content = std::fs::read(&path).map_err(|error| ProgramError::Unreadable {
                program: argv0.to_owned(),
                reason: error.to_string(),
            })?;
            hasher.push(Digest::of(&content).as_bytes());
            next = self.interpreter(&content, hasher)?;
        }
        Ok(())
    }

    /// The interpreter that a script names, if it is one. `env`'s own content is pushed on the way.
    fn interpreter(&self, script: &[u8], hasher: &mut FieldHasher) -> Result<Option<PathBuf>, ProgramError> {
        let Some(rest) = script.strip_prefix(b"#!") else { return Ok(None) };
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(&line[..line.len().min(4096)]).into_owned();
        let mut words = line.split_whitespace();
        let Some(interpreter) = words.next() else { return Ok(None) };
        let by_env = Path::new(interpreter).file_name().is_some_and(|name| name == "env");
        match words.find(|word| !word.starts_with('-') && !word.contains('=')) {
            Some(name) if by_env => {
                hasher.push(interpreter);
                self.find(name).map(Some)
            }
            _ => self
                .check(interpreter, PathBuf::from(interpreter), "a script's `#!` line names it".to_owned())
                .map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(code: Option<&Path>) -> ProgramSearch<'_> {
        ProgramSearch { path: "/usr/local/bin:/usr/bin:/bin", code, working_dir: None }
    }

    fn script(dir: &Path, name: &str, text: &str, mode: u32) {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn programs_are_found_along_the_path_and_in_the_code_folder() {
        let code = tempfile::tempdir().unwrap();
        script(code.path(), "run", "#!/bin/sh\n", 0o755);
        script(code.path(), "data", "x", 0o644);
        assert!(search(None).identify("sh").is_ok());
        assert!(search(Some(code.path())).identify("./run").is_ok());
        assert!(search(Some(code.path())).identify("/code/run").is_ok());
        let not_found = search(Some(code.path())).identify("run").unwrap_err();
        assert_eq!(not_found.help(), Some("it is in the code folder: write `./run`"));
        assert!(matches!(
            search(Some(code.path())).identify("./data"),
            Err(ProgramError::NotExecutable { .. })
        ));
        assert!(matches!(search(None).identify("/no/such"), Err(ProgramError::NotFound { .. })));
    }

    #[test]
    fn a_script_is_identified_with_its_interpreter() {
        let code = tempfile::tempdir().unwrap();
        script(code.path(), "a", "#!/bin/sh\necho\n", 0o755);
        script(code.path(), "b", "#!/usr/bin/env sh\necho\n", 0o755);
        script(code.path(), "c", "#!/no/such/interpreter\n", 0o755);
        let search = search(Some(code.path()));
        assert_ne!(search.identify("./a").unwrap(), search.identify("./b").unwrap());
        assert!(matches!(search.identify("./c"), Err(ProgramError::NotFound { .. })));
    }
}
