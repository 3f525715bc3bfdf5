//! The few things that durable writing asks of a file system, so that a test can lose power between them.
//!
//! A new file is staged (no name yet, or a hidden one), written, synced, published under its name, and then its folder
//! is synced. Only after that it is durable.

use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, RenameFlags, renameat2},
    libc,
    unistd::linkat,
};

/// A file that is being written and cannot be seen under its final name yet.
#[derive(Debug)]
pub struct Staged {
    /// The open file.
    pub file: File,
    /// Its hidden name; `None` where the file system can do without one.
    pub path: Option<PathBuf>,
}

/// A file system, as far as durable writing needs one.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file without a final name in `folder`.
    ///
    /// # Errors
    /// As the operating system says.
    fn stage(&self, folder: &Path) -> io::Result<Staged>;

    /// Opens a file with the given hidden name, empty. Only for callers that hold a lock.
    ///
    /// # Errors
    /// As the operating system says.
    fn stage_at(&self, path: &Path) -> io::Result<Staged>;

    /// Makes the content durable.
    ///
    /// # Errors
    /// As the operating system says; the content must then be taken for lost.
    fn sync(&self, staged: &Staged) -> io::Result<()>;

    /// Gives a staged file its name, unless the name is taken ([`io::ErrorKind::AlreadyExists`]).
    ///
    /// # Errors
    /// As the operating system says.
    fn publish_new(&self, staged: Staged, to: &Path) -> io::Result<()>;

    /// Gives a file of [`Disk::stage_at`] its name in place of what had it before.
    ///
    /// # Errors
    /// As the operating system says.
    fn replace(&self, staged: Staged, to: &Path) -> io::Result<()>;

    /// Creates one folder; one that exists is no error.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The machine's file system.
///
/// Files are staged without any name (`O_TMPFILE`), so that a killed process leaves nothing behind; where the file
/// system cannot do that, under a hidden name that `flow fsck` reports.
#[derive(Debug)]
pub struct OsDisk {
    named: AtomicBool,
    next: AtomicU64,
}

impl Default for OsDisk {
    fn default() -> Self {
        // A file without a name gets one through this folder.
        let named = !Path::new("/proc/self/fd").exists();
        Self { named: AtomicBool::new(named), next: AtomicU64::new(0) }
    }
}

impl OsDisk {
    /// A disk that always stages under a hidden name, as on file systems without `O_TMPFILE`.
    #[must_use]
    pub fn with_hidden_names() -> Self {
        Self { named: AtomicBool::new(true), next: AtomicU64::new(0) }
    }

    fn stage_named(&self, folder: &Path) -> io::Result<Staged> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".new-{}-{number}", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Staged { file, path: Some(path) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Disk for OsDisk {
    fn stage(&self, folder: &Path) -> io::Result<Staged> {
        if !self.named.load(Ordering::Relaxed) {
            let nameless =
                OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).open(folder);
            match nameless {
                Ok(file) => return Ok(Staged { file, path: None }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
                Err(_) => self.named.store(true, Ordering::Relaxed),
            }
        }
        self.stage_named(folder)
    }

    fn stage_at(&self, path: &Path) -> io::Result<Staged> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        Ok(Staged { file, path: Some(path.to_owned()) })
    }

    fn sync(&self, staged: &Staged) -> io::Result<()> {
        staged.file.sync_data()
    }

    fn publish_new(&self, staged: Staged, to: &Path) -> io::Result<()> {
        let Some(path) = staged.path else {
            let from = format!("/proc/self/fd/{}", staged.file.as_raw_fd());
            return Ok(linkat(AT_FDCWD, from.as_str(), AT_FDCWD, to, AtFlags::AT_SYMLINK_FOLLOW)?);
        };
        let renamed = match renameat2(AT_FDCWD, &path, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                fs::hard_link(&path, to).and_then(|()| fs::remove_file(&path))
            }
            other => other.map_err(io::Error::from),
        };
        if renamed.is_err() {
            // The hidden name is of no use to anyone; if it stays, fsck reports it.
            drop(fs::remove_file(&path));
        }
        renamed
    }

    fn replace(&self, staged: Staged, to: &Path) -> io::Result<()> {
        match staged.path {
            Some(path) => fs::rename(path, to),
            None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
