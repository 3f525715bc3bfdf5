//! Puts the inputs of a datum in place: built in `next/`, shown in `current/` by renames.
//!
//! Programs see `current/` through a mount that stays, so its entries are exchanged, never the folder itself.
//! The next datum can be prepared, and the last one's inputs deleted, while a program runs.
//!
//! **Invariant:** user code cannot change a store object through its inputs: a whole object is hard-linked only
//! where the sandbox's read-only mount protects it, and copied (sharing blocks where the file system can) elsewhere.
//!
//! Not here: `/pfs/out` (`collect`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{ensure_folder, list, move_entry, open_own, os};
use super::{Sandbox, SlotDirs, sweep};

/// Where the content of an input comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// This content.
    Bytes(&'a [u8]),
    /// All of this file, which must not change.
    Object(&'a Path),
    /// No file but a folder, for inputs without files.
    Folder,
}

/// One file below `/pfs`.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Path below `/pfs`, such as `images/a.png`; `out` is not for inputs.
    pub path: &'a str,
    /// Its content.
    pub source: Source<'a>,
    /// Whether programs may execute it.
    pub executable: bool,
}

/// Why inputs cannot be put in place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// The path is not one an input can have.
    #[error("`{path}` cannot be the path of an input below /pfs: {why}")]
    BadPath {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The system refused.
    #[error("input `{path}` cannot be put in place")]
    Io {
        /// The input, or the slot's folder.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// The inputs of one slot.
#[derive(Debug)]
pub struct Stage {
    root: OwnedFd,
    folder: PathBuf,
    sandbox: Sandbox,
    /// Makes the names in `old/` differ.
    serial: u64,
}

impl Stage {
    /// The inputs of a slot that was started in `dirs`.
    pub fn new(dirs: &SlotDirs, sandbox: Sandbox) -> Result<Self, StageError> {
        let folder = dirs.root().to_owned();
        let root = open_own(&folder).map_err(|source| at_folder(&folder, source))?;
        Ok(Self { root, folder, sandbox, serial: 0 })
    }

    /// Builds the inputs of the next datum, out of programs' sight; replaces inputs that were prepared and not shown.
    ///
    /// Files get the modes 0644 or 0755, less the umask; a hard-linked object keeps its own.
    pub fn prepare(&mut self, inputs: &[Input<'_>]) -> Result<(), StageError> {
        let next = self.set_aside_next().map_err(|source| at_folder(&self.folder, source))?;
        let mut last_parent = "";
        for input in inputs {
            check_path(input.path)?;
            let failed = |source: io::Error| StageError::Io { path: input.path.to_owned(), source };
            let parent = match input.source {
                Source::Folder => input.path,
                _ => input.path.rsplit_once('/').map_or("", |(parent, _)| parent),
            };
            if parent != last_parent {
                make_folders(&next, parent).map_err(failed)?;
                last_parent = parent;
            }
            self.place(&next, input).map_err(failed)?;
        }
        Ok(())
    }

    /// Shows the prepared inputs in place of the present ones. No program may be running.
    pub fn show(&mut self) -> Result<(), StageError> {
        self.exchange().map_err(|source| at_folder(&self.folder, source))
    }

    /// Deletes the inputs of earlier datums; may be called at any time, such as while a program runs.
    pub fn sweep(&mut self) -> Result<(), StageError> {
        let swept = ensure_folder(&self.root, "old").and_then(sweep::empty);
        swept.map_err(|source| at_folder(&self.folder, source))
    }

    fn exchange(&mut self) -> io::Result<()> {
        let current = ensure_folder(&self.root, "current")?;
        let next = ensure_folder(&self.root, "next")?;
        let old = ensure_folder(&self.root, "old")?;
        for (name, _) in list(&current)? {
            if os(&name) != "out" {
                self.serial += 1;
                move_entry(&current, &name, &old, OsStr::new(&self.serial.to_string()))?;
            }
        }
        for (name, _) in list(&next)? {
            move_entry(&next, &name, &current, os(&name))?;
        }
        Ok(())
    }

    /// Opens `next/`, empty.
    fn set_aside_next(&mut self) -> io::Result<OwnedFd> {
        let next = ensure_folder(&self.root, "next")?;
        let left = list(&next)?;
        if !left.is_empty() {
            let old = ensure_folder(&self.root, "old")?;
            for (name, _) in left {
                self.serial += 1;
                move_entry(&next, &name, &old, OsStr::new(&self.serial.to_string()))?;
            }
        }
        Ok(next)
    }

    fn place(&self, next: &OwnedFd, input: &Input<'_>) -> io::Result<()> {
        match input.source {
            Source::Folder => Ok(()),
            Source::Bytes(content) => create(next, input)?.write_all(content),
            Source::Object(object) => {
                if self.sandbox == Sandbox::Namespaces && link(next, input, object)? {
                    return Ok(());
                }
                let mut from = File::open(object)?;
                let mut to = create(next, input)?;
                match rustix::fs::ioctl_ficlone(&to, &from) {
                    Ok(()) => Ok(()),
                    // Any refusal: the plain copy works everywhere, or says better what is wrong.
                    Err(_) => io::copy(&mut from, &mut to).map(drop),
                }
            }
        }
    }
}

/// Hard-links an object as an input; false if it cannot be or would have the wrong mode.
fn link(next: &OwnedFd, input: &Input<'_>, object: &Path) -> io::Result<bool> {
    let executable = std::fs::metadata(object)?.permissions().mode() & 0o111 != 0;
    if executable != input.executable {
        return Ok(false);
    }
    match rustix::fs::linkat(CWD, object, next, input.path, AtFlags::empty()) {
        Ok(()) => Ok(true),
        // Another file system, too many links, or not ours to link.
        Err(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::ACCESS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn create(next: &OwnedFd, input: &Input<'_>) -> io::Result<File> {
    let mode = Mode::from_raw_mode(if input.executable { 0o755 } else { 0o644 });
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(next, input.path, flags, mode)?.into())
}

/// Makes the folder `path` and those above it, where they are missing.
fn make_folders(next: &OwnedFd, path: &str) -> io::Result<()> {
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    for end in ends {
        match rustix::fs::mkdirat(next, &path[..end], Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(Errno::NOENT) if path.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), StageError> {
    let bad = |why| Err(StageError::BadPath { path: path.to_owned(), why });
    if path.is_empty() {
        return bad("it is empty");
    }
    if path.contains('\0') {
        return bad("it contains a NUL character");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return bad("it has an empty, `.` or `..` part");
    }
    if path.split('/').next() == Some("out") {
        return bad("`out` is where outputs go");
    }
    Ok(())
}

fn at_folder(folder: &Path, source: io::Error) -> StageError {
    StageError::Io { path: folder.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn slot(sandbox: Sandbox) -> (tempfile::TempDir, SlotDirs, Stage) {
        let scratch = tempfile::tempdir().unwrap();
        let dirs = SlotDirs::at(scratch.path().join("slot"));
        dirs.prepare().unwrap();
        let stage = Stage::new(&dirs, sandbox).unwrap();
        (scratch, dirs, stage)
    }

    fn bytes(path: &'static str, content: &'static str) -> Input<'static> {
        Input { path, source: Source::Bytes(content.as_bytes()), executable: false }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn each_datum_sees_its_own_inputs_only() {
        let (_scratch, dirs, mut stage) = slot(Sandbox::Namespaces);
        stage
            .prepare(&[bytes("a/x", "1"), bytes("a/sub/y", "2"), bytes("b/x", "3"), bytes(".env", "E=1")])
            .unwrap();
        assert_eq!(names(&dirs.current()), ["out"]);
        stage.show().unwrap();
        assert_eq!(names(&dirs.current()), [".env", "a", "b", "out"]);
        assert_eq!(std::fs::read_to_string(dirs.current().join("a/sub/y")).unwrap(), "2");

        stage.prepare(&[bytes("a/given-up", "9")]).unwrap();
        let folder = Input { path: "empty/one", source: Source::Folder, executable: false };
        stage.prepare(&[bytes("a/z", "4"), folder]).unwrap();
        stage.show().unwrap();
        assert_eq!(names(&dirs.current()), ["a", "empty", "out"]);
        assert_eq!(names(&dirs.current().join("a")), ["z"]);
        assert_eq!(names(&dirs.current().join("empty")), ["one"]);
        assert!(!names(&dirs.old()).is_empty());
        stage.sweep().unwrap();
        assert!(names(&dirs.old()).is_empty());
    }

    #[test]
    fn objects_are_linked_only_where_they_are_protected() {
        for (sandbox, executable, shared) in [
            (Sandbox::Namespaces, false, true),
            (Sandbox::Namespaces, true, false), // the object is not executable: a copy has to be
            (Sandbox::Plain, false, false),
            (Sandbox::Plain, true, false),
        ] {
            let (scratch, dirs, mut stage) = slot(sandbox);
            let object = scratch.path().join("object");
            std::fs::write(&object, "content").unwrap();
            std::fs::set_permissions(&object, PermissionsExt::from_mode(0o444)).unwrap();
            let input = Input { path: "in/o", source: Source::Object(&object), executable };
            stage.prepare(&[input]).unwrap();
            stage.show().unwrap();
            let shown = dirs.current().join("in/o");
            assert_eq!(std::fs::read_to_string(&shown).unwrap(), "content");
            let (one, two) = (std::fs::metadata(&object).unwrap(), std::fs::metadata(&shown).unwrap());
            assert_eq!(one.ino() == two.ino(), shared, "{sandbox:?} {executable}");
            assert_eq!(two.mode() & 0o100 != 0, executable);
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        let (_scratch, _dirs, mut stage) = slot(Sandbox::Plain);
        for path in ["", "/etc/x", "a//b", "../x", "a/..", "./a", "out", "out/x", "a\0b", "a/"] {
            let outcome = stage.prepare(&[bytes(path, "")]);
            assert!(matches!(outcome, Err(StageError::BadPath { .. })), "{path:?}");
        }
        assert!(stage.prepare(&[bytes("a", ""), bytes("a/b", "")]).is_err());
        assert!(stage.prepare(&[bytes("a/b", ""), bytes("a/b", "")]).is_err());
    }

    #[test]
    fn a_folder_replaced_by_a_symlink_is_not_followed() {
        let (scratch, dirs, mut stage) = slot(Sandbox::Plain);
        let victim = scratch.path().join("victim");
        std::fs::create_dir(&victim).unwrap();
        std::fs::write(victim.join("precious"), "x").unwrap();
        for name in ["current", "next", "old"] {
            let folder = dirs.root().join(name);
            std::fs::remove_dir_all(&folder).unwrap();
            std::os::unix::fs::symlink(&victim, &folder).unwrap();
        }
        stage.prepare(&[bytes("a/x", "1")]).unwrap();
        stage.show().unwrap();
        stage.sweep().unwrap();
        assert_eq!(names(&victim), ["precious"]);
        assert_eq!(names(&dirs.current()), ["a"]);
    }
}
