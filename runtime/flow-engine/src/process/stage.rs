//! Puts the inputs of a datum in place: built in `next/`, shown in `current/` by renames.
//!
//! Programs see `current/` through a mount that stays, so its entries are exchanged, never the folder itself.
//! What was shown before goes to `next/`, where its folders are used again: making and removing a folder costs
//! more than everything else here. The next datum can be prepared while a program runs.
//!
//! **Invariant:** user code cannot change a store object through its inputs: a whole object is hard-linked only
//! where the sandbox's read-only mount protects it, and copied (sharing blocks where the file system can) elsewhere.
//!
//! Not here: `/pfs/out` (`collect`).

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::beneath::{ensure_folder, list, move_entry, open_folder, open_own, os};
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

impl<'a> Input<'a> {
    /// Every folder it needs, the outermost first.
    fn folders(&self) -> impl Iterator<Item = &'a str> {
        let path = self.path;
        let own = matches!(self.source, Source::Folder).then_some(path);
        path.match_indices('/').map(|(end, _)| &path[..end]).chain(own)
    }
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
    /// `next/` holds inputs to be shown, not inputs that were.
    prepared: bool,
}

impl Stage {
    /// The inputs of a slot that was started in `dirs`.
    pub fn new(dirs: &SlotDirs, sandbox: Sandbox) -> Result<Self, StageError> {
        let folder = dirs.root().to_owned();
        let root = open_own(&folder).map_err(|source| at_folder(&folder, source))?;
        Ok(Self { root, folder, sandbox, prepared: false })
    }

    /// Builds the inputs of the next datum, out of programs' sight; replaces inputs that were prepared and not
    /// shown, and deletes those of the datum before the present one.
    ///
    /// Files get the modes 0644 or 0755, less the umask; a hard-linked object keeps its own.
    pub fn prepare(&mut self, inputs: &[Input<'_>]) -> Result<(), StageError> {
        inputs.iter().try_for_each(|input| check_path(input.path))?;
        self.prepared = false;
        let wanted: BTreeSet<&str> = inputs.iter().flat_map(Input::folders).collect();
        let next = self.clear_next(&wanted).map_err(|source| at_folder(&self.folder, source))?;
        for folder in wanted {
            match rustix::fs::mkdirat(&next, folder, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => {
                    return Err(StageError::Io { path: folder.to_owned(), source: error.into() });
                }
            }
        }
        for input in inputs {
            self.place(&next, input)
                .map_err(|source| StageError::Io { path: input.path.to_owned(), source })?;
        }
        self.prepared = true;
        Ok(())
    }

    /// Shows the prepared inputs (none, if none were prepared) in place of the present ones. No program may be
    /// running.
    pub fn show(&mut self) -> Result<(), StageError> {
        if !self.prepared {
            self.prepare(&[])?;
        }
        self.prepared = false;
        self.exchange().map_err(|source| at_folder(&self.folder, source))
    }

    /// Deletes inputs that are no longer shown now, not only when the next ones are prepared.
    pub fn sweep(&mut self) -> Result<(), StageError> {
        if !self.prepared {
            self.clear_next(&BTreeSet::new()).map_err(|source| at_folder(&self.folder, source))?;
        }
        Ok(())
    }

    fn exchange(&mut self) -> io::Result<()> {
        let current = ensure_folder(&self.root, "current")?;
        let next = ensure_folder(&self.root, "next")?;
        let mut to_show: BTreeSet<_> = list(&next)?.into_iter().map(|(name, _)| name).collect();
        for (name, _) in list(&current)? {
            if os(&name) == "out" {
                continue;
            }
            if to_show.remove(&name) {
                exchange_entries(&self.root, &current, &next, &name)?;
            } else {
                move_entry(&current, &name, &next, os(&name))?;
            }
        }
        for name in to_show {
            move_entry(&next, &name, &current, os(&name))?;
        }
        Ok(())
    }

    /// Opens `next/` with nothing in it but those of the `wanted` folders that can be used again.
    fn clear_next(&mut self, wanted: &BTreeSet<&str>) -> io::Result<OwnedFd> {
        let next = ensure_folder(&self.root, "next")?;
        match self.sandbox {
            Sandbox::Namespaces => clear(next.as_fd(), "", wanted)?,
            // Programs may have changed these folders themselves, not only what is in them.
            Sandbox::Plain => sweep::empty(&next)?,
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

/// Deletes everything below `folder` but `wanted` folders; `path` is where it lies.
fn clear(folder: BorrowedFd<'_>, path: &str, wanted: &BTreeSet<&str>) -> io::Result<()> {
    for (name, kind) in list(folder)? {
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let below = below + &os(&name).to_string_lossy();
        if kind == FileType::Directory && wanted.contains(below.as_str()) {
            clear(open_folder(folder, os(&name))?.as_fd(), &below, wanted)?;
        } else {
            sweep::remove(folder, &name, kind)?;
        }
    }
    Ok(())
}

/// Exchanges what two folders have under the same name.
fn exchange_entries(root: &OwnedFd, one: &OwnedFd, two: &OwnedFd, name: &CString) -> io::Result<()> {
    match rustix::fs::renameat_with(one, name, two, name, RenameFlags::EXCHANGE) {
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::ACCESS) => {
            move_entry(one, name, root, OsStr::new("swap"))?;
            move_entry(two, name, one, os(name))?;
            Ok(move_entry(root, &CString::from(c"swap"), two, os(name))?)
        }
        other => Ok(other?),
    }
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
        assert!(!names(&dirs.next()).is_empty());
        stage.sweep().unwrap();
        assert!(names(&dirs.next()).is_empty());
        stage.show().unwrap();
        assert_eq!(names(&dirs.current()), ["out"]);
    }

    /// Whatever was shown and prepared before, exactly the new inputs are shown.
    #[test]
    fn folders_are_used_again_and_nothing_shines_through() {
        let rounds: [&[&'static str]; 7] = [
            &["in/a/b/1", "in/a/2", "other/x"],
            &["in/a/b/3"],
            &["in/a"],
            &["in"],
            &["in/a/b/1/deep/er", "in/a/2"],
            &[],
            &["in/a/b/1", "in/z/y"],
        ];
        for sandbox in [Sandbox::Namespaces, Sandbox::Plain] {
            let (_scratch, dirs, mut stage) = slot(sandbox);
            for round in rounds.iter().chain(&rounds).chain(rounds.iter().rev()) {
                let inputs: Vec<_> = round.iter().map(|path| bytes(path, path)).collect();
                stage.prepare(&inputs).unwrap();
                stage.show().unwrap();
                let mut shown: Vec<String> = walkdir(&dirs.current());
                shown.retain(|path| path != "out");
                let mut wanted: BTreeSet<String> = round.iter().map(|&path| path.to_owned()).collect();
                wanted.extend(inputs.iter().flat_map(Input::folders).map(str::to_owned));
                assert_eq!(shown, wanted.into_iter().collect::<Vec<_>>(), "{round:?}");
                for path in *round {
                    assert_eq!(std::fs::read_to_string(dirs.current().join(path)).unwrap(), *path);
                }
            }
        }
    }

    fn walkdir(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                folders.extend(entry.file_type().unwrap().is_dir().then(|| entry.path()));
            }
        }
        found.sort();
        found
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
        for name in ["current", "next"] {
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
