//! Opening and listing folders that user code has shaped, without ever being led out of them.
//!
//! **Invariant:** no function here follows a symlink, and all of them work on what is owned by us whatever mode
//! user code gave it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Owner may list, enter and change a folder.
const OPEN_TO_OWNER: Mode = Mode::RWXU;

fn resolve_beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS
}

/// Opens `path` below `dir`; an empty path is `dir` itself. No part of it may be a symlink.
pub(super) fn open(dir: impl AsFd, path: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { OsStr::new(".") } else { path };
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve_beneath())?)
}

/// Opens the folder `path` below `dir` for listing and changing, whatever its mode.
pub(super) fn open_folder(dir: impl AsFd, path: &OsStr) -> io::Result<OwnedFd> {
    let dir = dir.as_fd();
    let folder = match open(dir, path, FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_accessible(dir, path, OPEN_TO_OWNER)?;
            open(dir, path, FOLDER)?
        }
        other => other?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&folder)?.st_mode);
    if !mode.contains(OPEN_TO_OWNER) {
        rustix::fs::fchmod(&folder, (mode & Mode::from_raw_mode(0o777)) | OPEN_TO_OWNER)?;
    }
    Ok(folder)
}

/// Opens the folder `name` in `dir`; if there is something else in its place, that is replaced.
pub(super) fn ensure_folder(dir: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let dir = dir.as_fd();
    match open_folder(dir, OsStr::new(name)) {
        Err(error) if is_other_kind(&error) => {
            match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))?;
            open_folder(dir, OsStr::new(name))
        }
        other => other,
    }
}

/// Whether opening a folder failed because there is none of that name, but maybe something else.
pub(super) fn is_other_kind(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

/// Adds `rights` to the mode of a file or folder that may not even be openable.
pub(super) fn make_accessible(dir: impl AsFd, path: &OsStr, rights: Mode) -> io::Result<()> {
    let handle = open(dir, path, OFlags::PATH)?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode & 0o777);
    // A handle without rights cannot be changed itself, but its entry in /proc leads to exactly this file.
    Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", handle.as_raw_fd()), mode | rights)?)
}

/// Renames an entry, whatever its mode; like the system call otherwise.
pub(super) fn move_entry(
    from: impl AsFd,
    name: &CString,
    to: impl AsFd,
    new_name: &OsStr,
) -> rustix::io::Result<()> {
    match rustix::fs::renameat(&from, name, &to, new_name) {
        // Moving a folder changes its `..`, which takes rights over the folder itself.
        Err(Errno::ACCESS) if make_accessible(&from, os(name), OPEN_TO_OWNER).is_ok() => {
            rustix::fs::renameat(&from, name, &to, new_name)
        }
        other => other,
    }
}

/// Every entry of a folder but `.` and `..`, with its kind, in no particular order.
pub(super) fn list(folder: impl AsFd) -> io::Result<Vec<(CString, FileType)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            entries.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(entries)
}

/// A listed name as part of a path.
pub(super) fn os(name: &CString) -> &OsStr {
    OsStr::from_bytes(name.as_bytes())
}

/// Opens the folder `path` of ours (its last part must be no symlink).
pub(super) fn open_own(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, FOLDER, Mode::empty())?)
}
