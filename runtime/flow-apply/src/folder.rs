//! Reads folders of the workspace: source data of repos and code of pipelines.
//!
//! A folder becomes a list of files with their hashes, in path order. Links are followed; what is neither a file nor a
//! folder is an error, never left out in silence. `.git` and `.flow` are no data; `__pycache__` is no code.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use flow_model::{
    digest::{BlobId, Digest},
    path::{PathError, RepoPath},
    tree::FileEntry,
};
use walkdir::{DirEntry, WalkDir};

/// What a folder is read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FolderKind {
    /// A repo's source data.
    Source,
    /// A pipeline's code.
    Code,
}

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// It does not exist.
    #[error("folder `{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// It is no folder.
    #[error("`{}` is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Something in it cannot be read.
    #[error("cannot read `{}`: {reason}", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A name that is not UTF-8, or too long.
    #[error("`{}` cannot be stored: {reason}", path.display())]
    BadName {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A pipe, socket or device.
    #[error("`{}` is neither a file nor a folder", .0.display())]
    Special(PathBuf),
}

/// A file of a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderFile {
    /// Its path in the repo.
    pub path: RepoPath,
    /// Where it lies.
    pub file: PathBuf,
    /// Hash, size and mode as read.
    pub entry: FileEntry,
}

/// A folder as it was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Folder {
    /// Its files in path order.
    pub files: Vec<FolderFile>,
}

impl Folder {
    /// Reads a folder and hashes its files on all processors.
    ///
    /// # Errors
    /// [`FolderError`] names the first thing that cannot be stored.
    pub fn read(path: &Path, kind: FolderKind) -> Result<Self, FolderError> {
        match path.metadata() {
            Ok(data) if data.is_dir() => {}
            Ok(_) => return Err(FolderError::NotAFolder(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(FolderError::Missing(path.to_owned()));
            }
            Err(error) => return Err(unreadable(path, &error)),
        }
        let found = list(path, kind)?;
        let mut files = hash_all(&found)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// Files and bytes.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        (self.files.len() as u64, self.files.iter().map(|file| file.entry.size).sum())
    }
}

fn list(folder: &Path, kind: FolderKind) -> Result<Vec<(RepoPath, PathBuf)>, FolderError> {
    let mut found = Vec::new();
    let wanted = |entry: &DirEntry| entry.depth() == 0 || !is_ignored(entry, kind);
    for entry in WalkDir::new(folder).follow_links(true).into_iter().filter_entry(wanted) {
        let entry = entry.map_err(|error| FolderError::Unreadable {
            path: error.path().unwrap_or(folder).to_owned(),
            reason: error.to_string(),
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        let path = entry.into_path();
        if !path.metadata().map_err(|error| unreadable(&path, &error))?.is_file() {
            return Err(FolderError::Special(path));
        }
        found.push((repo_path(folder, &path)?, path));
    }
    Ok(found)
}

fn is_ignored(entry: &DirEntry, kind: FolderKind) -> bool {
    let name = entry.file_name();
    entry.file_type().is_dir()
        && (name == ".git" || name == ".flow" || (kind == FolderKind::Code && name == "__pycache__"))
}

fn repo_path(folder: &Path, path: &Path) -> Result<RepoPath, FolderError> {
    let bad = |reason: String| FolderError::BadName { path: path.to_owned(), reason };
    let relative = path.strip_prefix(folder).unwrap_or(path);
    let text = relative.to_str().ok_or_else(|| bad("its name is not UTF-8".to_owned()))?;
    RepoPath::parse(text).map_err(|error: PathError| bad(error.to_string()))
}

fn hash_all(found: &[(RepoPath, PathBuf)]) -> Result<Vec<FolderFile>, FolderError> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(found.len().max(1));
    let work = || {
        let mut done = Vec::new();
        while let Some((path, file)) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
            let entry = hash_file(file).map_err(|error| unreadable(file, &error))?;
            done.push(FolderFile { path: path.clone(), file: file.clone(), entry });
        }
        Ok(done)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut files = Vec::with_capacity(found.len());
        for worker in workers {
            files.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(files)
    })
}

/// Hash, size and mode of a file, in bounded memory.
fn hash_file(path: &Path) -> io::Result<FileEntry> {
    let mut file = File::open(path)?;
    let executable = file.metadata()?.permissions().mode() & 0o111 != 0;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let blob = BlobId(Digest::from_bytes(*hasher.finalize().as_bytes()));
    Ok(FileEntry { blob, size, executable })
}

fn unreadable(path: &Path, error: &io::Error) -> FolderError {
    FolderError::Unreadable { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_path_order_with_hash_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["b", ".git", "__pycache__"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for (path, text) in [("b/x", "1"), ("a", "22"), (".git/HEAD", ""), ("__pycache__/m.pyc", "")] {
            std::fs::write(dir.path().join(path), text).unwrap();
        }
        std::fs::set_permissions(dir.path().join("a"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let folder = Folder::read(dir.path(), FolderKind::Code).unwrap();
        let paths: Vec<String> = folder.files.iter().map(|file| file.path.to_string()).collect();
        assert_eq!(paths, ["/a", "/b/x"]);
        assert_eq!(folder.files[0].entry, FileEntry { blob: BlobId::of(b"22"), size: 2, executable: true });
        assert_eq!(Folder::read(dir.path(), FolderKind::Source).unwrap().files.len(), 3);
    }

    #[test]
    fn what_cannot_be_stored_is_named() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert!(matches!(Folder::read(&missing, FolderKind::Source), Err(FolderError::Missing(_))));
        let name = std::ffi::OsStr::from_bytes(b"\xff");
        std::fs::write(dir.path().join(name), "").unwrap();
        assert!(matches!(Folder::read(dir.path(), FolderKind::Source), Err(FolderError::BadName { .. })));
    }
}
