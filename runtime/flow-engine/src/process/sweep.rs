//! Deletes what user code left behind: any depth, any mode, any kind of file.
//!
//! A tree is deleted from the top: subfolders that are not empty are moved up into the folder that is being
//! emptied. So it takes two open folders whatever the depth, and a tree deeper than the longest path is no problem.
//!
//! **Invariant:** nothing outside the given folder is touched; symlinks are deleted, never followed.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::beneath::{is_other_kind, list, move_entry, open_folder, open_own, os};

/// Deletes `path` and everything in it; it need not exist.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let folder = match open_own(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if is_other_kind(&error) => return std::fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
            open_own(path)?
        }
        Err(error) => return Err(error),
    };
    empty(&folder)?;
    std::fs::remove_dir(path)
}

/// Deletes everything in `folder`.
pub(super) fn empty(folder: impl AsFd) -> io::Result<()> {
    let folder = folder.as_fd();
    let mut moved_up = 0_u64;
    loop {
        let entries = list(folder)?;
        if entries.is_empty() {
            return Ok(());
        }
        for (name, kind) in &entries {
            remove_at(folder, name, *kind, &mut moved_up)?;
        }
    }
}

/// Deletes the entry `name` of `folder`; parts of a deep tree may stay as further entries of `folder`.
fn remove_at(folder: BorrowedFd<'_>, name: &CString, kind: FileType, moved_up: &mut u64) -> io::Result<()> {
    if !remove_one(folder, name, kind)? {
        empty_by_moving_up(folder, name, moved_up)?;
        rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Deletes the entry `name` of `folder` and everything in it.
pub(super) fn remove(folder: BorrowedFd<'_>, name: &CString, kind: FileType) -> io::Result<()> {
    if !remove_one(folder, name, kind)? {
        empty(open_folder(folder, os(name))?)?;
        rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Deletes a file or an empty folder; false if it is a folder with something in it.
fn remove_one(folder: BorrowedFd<'_>, name: &CString, kind: FileType) -> io::Result<bool> {
    let as_file = if kind == FileType::Directory {
        Err(Errno::ISDIR)
    } else {
        rustix::fs::unlinkat(folder, name, AtFlags::empty())
    };
    let removed = match as_file {
        Err(Errno::ISDIR | Errno::PERM) => rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR),
        other => other,
    };
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Empties the subfolder `name`: its own subfolders become entries of `folder`.
fn empty_by_moving_up(folder: BorrowedFd<'_>, name: &CString, moved_up: &mut u64) -> io::Result<()> {
    let subfolder = open_folder(folder, os(name))?;
    for (inner, kind) in list(&subfolder)? {
        while !remove_one(subfolder.as_fd(), &inner, kind)? {
            let free_name = format!(".sweep-{moved_up}");
            *moved_up += 1;
            match move_entry(&subfolder, &inner, folder, OsStr::new(&free_name)) {
                Ok(()) => break,
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {} // taken: try the next name
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::Mode;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn trees_of_every_shape_go() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        std::fs::write(&outside, "stays").unwrap();
        let tree = scratch.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b/c/d")).unwrap();
        std::fs::create_dir_all(tree.join("a/.sweep-0/x")).unwrap();
        std::fs::create_dir_all(tree.join(".sweep-0/y/z")).unwrap();
        std::fs::write(tree.join(".sweep-1"), "in the way").unwrap();
        std::fs::write(tree.join("a/b/file"), "x").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        symlink(scratch.path(), tree.join("a/b/folder-link")).unwrap();
        for closed in ["a/b/c", "a/b", "a"] {
            std::fs::set_permissions(tree.join(closed), PermissionsExt::from_mode(0o0)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "stays");
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = scratch.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let mut folder = open_own(&tree).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&folder, "deeper", Mode::RWXU).unwrap();
            folder = open_folder(&folder, "deeper".as_ref()).unwrap();
        }
        drop(folder);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
