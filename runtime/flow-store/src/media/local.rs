//! A store in a folder.
//!
//! Objects are files. A create stages, syncs, publishes and syncs the folder; the ref is replaced under an OS file
//! lock, which the kernel releases whatever happens to its holder.
//!
//! **Invariant:** an object's name appears only with all of its content, and never changes afterwards.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use flow_model::{
    digest::{BlobId, Digest},
    name::ProjectName,
};

use super::{Created, Disk, Media, ObjectInfo, OsDisk, RefVersion, Staged, Swap, ref_name};
use crate::error::MediaError;

const COPY_BUFFER: usize = 1 << 20;

/// A store in a folder of this machine.
#[derive(Debug, Clone)]
pub struct LocalMedia(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// Folders whose own name is known to be durable.
    folders: Mutex<BTreeSet<PathBuf>>,
}

impl LocalMedia {
    /// The store in the folder `root`, which need not exist yet.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self::with_disk(root, Arc::new(OsDisk::default()))
    }

    /// The same on another file system: for tests that lose power.
    #[must_use]
    pub fn with_disk(root: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self(Arc::new(Inner { root, disk, folders: Mutex::default() }))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, MediaError> + Send + 'static,
    ) -> Result<T, MediaError> {
        let inner = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(done) => done,
            Err(error) => Err(MediaError::io("use", "the thread pool", io::Error::other(error))),
        }
    }
}

impl Inner {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Creates the folder and those above it, and makes their names durable, once per process.
    fn ensure_folder(&self, folder: &Path) -> io::Result<()> {
        if self.folders.lock().unwrap_or_else(PoisonError::into_inner).contains(folder) {
            return Ok(());
        }
        match folder.parent() {
            Some(above) if folder != self.root => self.ensure_folder(above)?,
            Some(above) if !above.exists() => fs::create_dir_all(above)?,
            _ => {}
        }
        self.disk.create_folder(folder)?;
        if let Some(above) = folder.parent() {
            self.disk.sync_folder(above)?;
        }
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        Ok(())
    }

    fn create(
        &self,
        name: &str,
        write: impl FnOnce(&mut Staged) -> Result<(), MediaError>,
    ) -> Result<Created, MediaError> {
        let path = self.path(name);
        let failed = |source| MediaError::io("write", name, source);
        let folder = path.parent().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        self.ensure_folder(folder).map_err(failed)?;
        let mut staged = self.disk.stage(folder).map_err(failed)?;
        let hidden = staged.path.clone();
        let written = write(&mut staged).and_then(|()| self.disk.sync(&staged).map_err(failed));
        if let Err(error) = written {
            if let Some(hidden) = hidden {
                drop(fs::remove_file(hidden));
            }
            return Err(error);
        }
        match self.disk.publish_new(staged, &path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Created::Existed),
            Err(error) => return Err(failed(error)),
        }
        self.disk.sync_folder(folder).map_err(|source| not_durable(name, source))?;
        Ok(Created::New)
    }

    fn read_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, MediaError> {
        let file = File::open(self.path(name)).map_err(|source| reading(name, source))?;
        let size = file.metadata().map_err(|source| reading(name, source))?.len();
        let end = range.end.min(size);
        let length = usize::try_from(end.saturating_sub(range.start)).unwrap_or(0);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, range.start).map_err(|source| reading(name, source))?;
        Ok(bytes.into())
    }

    fn read_ref(&self, project: &ProjectName) -> Result<Option<(Bytes, RefVersion)>, MediaError> {
        let name = ref_name(project);
        match fs::read(self.path(&name)) {
            Ok(bytes) => {
                let version = RefVersion { e_tag: Some(Digest::of(&bytes).to_string()), version: None };
                Ok(Some((bytes.into(), version)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(reading(&name, source)),
        }
    }

    fn swap_ref(
        &self,
        project: &ProjectName,
        expected: Option<&RefVersion>,
        content: &[u8],
    ) -> Result<Swap, MediaError> {
        let name = ref_name(project);
        let failed = |source| MediaError::io("write", &name, source);
        let folder = self.path("refs");
        self.ensure_folder(&folder).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(format!(".{project}.lock")))
            .map_err(failed)?;
        lock.lock().map_err(failed)?;
        let current = self.read_ref(project)?.map(|(_, version)| version);
        if current.as_ref() != expected {
            return Ok(Swap::Moved);
        }
        let mut staged = self.disk.stage_at(&folder.join(format!(".{project}.new"))).map_err(failed)?;
        staged.file.write_all(content).map_err(failed)?;
        self.disk.sync(&staged).map_err(failed)?;
        self.disk.replace(staged, &self.path(&name)).map_err(failed)?;
        self.disk.sync_folder(&folder).map_err(|source| not_durable(&name, source))?;
        Ok(Swap::Done)
    }

    fn list(&self, folder: &Path, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.list(&path, found)?;
            } else if kind.is_file()
                && let Ok(relative) = path.strip_prefix(&self.root)
            {
                let name = relative.to_string_lossy().into_owned();
                found.push(ObjectInfo { name, size: entry.metadata()?.len() });
            }
        }
        Ok(())
    }
}

/// Copies `source` into `target` in pieces and returns the digest of what was copied.
fn copy_hashed(source: &Path, target: &mut File) -> io::Result<Digest> {
    let mut from = File::open(source)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; COPY_BUFFER];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(Digest::from_bytes(*hasher.finalize().as_bytes()));
        }
        hasher.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
    }
}

fn reading(name: &str, source: io::Error) -> MediaError {
    match source.kind() {
        io::ErrorKind::NotFound => MediaError::NotFound { name: name.to_owned() },
        _ => MediaError::io("read", name, source),
    }
}

fn not_durable(name: &str, source: io::Error) -> MediaError {
    MediaError::NotDurable { name: name.to_owned(), source }
}

#[async_trait]
impl Media for LocalMedia {
    async fn create(&self, name: &str, bytes: Bytes) -> Result<Created, MediaError> {
        let name = name.to_owned();
        self.blocking(move |inner| {
            inner.create(&name, |staged| {
                staged.file.write_all(&bytes).map_err(|source| MediaError::io("write", &name, source))
            })
        })
        .await
    }

    async fn create_from_file(
        &self,
        name: &str,
        source: &Path,
        content: BlobId,
    ) -> Result<Created, MediaError> {
        let (name, source) = (name.to_owned(), source.to_owned());
        self.blocking(move |inner| {
            inner.create(&name, |staged| {
                let copied = copy_hashed(&source, &mut staged.file)
                    .map_err(|error| MediaError::io("copy", source.display().to_string(), error))?;
                if copied == content.0 { Ok(()) } else { Err(MediaError::SourceChanged { path: source }) }
            })
        })
        .await
    }

    async fn get(&self, name: &str) -> Result<Bytes, MediaError> {
        let name = name.to_owned();
        self.blocking(move |inner| {
            fs::read(inner.path(&name)).map(Bytes::from).map_err(|source| reading(&name, source))
        })
        .await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, MediaError> {
        let name = name.to_owned();
        self.blocking(move |inner| inner.read_range(&name, range)).await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, MediaError> {
        let name = name.to_owned();
        self.blocking(move |inner| match fs::metadata(inner.path(&name)) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(reading(&name, source)),
        })
        .await
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, MediaError> {
        let folder = folder.to_owned();
        self.blocking(move |inner| {
            let mut found = Vec::new();
            inner
                .list(&inner.path(&folder), &mut found)
                .map_err(|source| MediaError::io("list", &folder, source))?;
            found.sort();
            Ok(found)
        })
        .await
    }

    async fn delete(&self, name: &str) -> Result<(), MediaError> {
        let name = name.to_owned();
        self.blocking(move |inner| match fs::remove_file(inner.path(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(MediaError::io("delete", &name, error))
            }
            _ => Ok(()),
        })
        .await
    }

    async fn read_ref(&self, project: &ProjectName) -> Result<Option<(Bytes, RefVersion)>, MediaError> {
        let project = project.clone();
        self.blocking(move |inner| inner.read_ref(&project)).await
    }

    async fn swap_ref(
        &self,
        project: &ProjectName,
        expected: Option<RefVersion>,
        content: Bytes,
    ) -> Result<Swap, MediaError> {
        let project = project.clone();
        self.blocking(move |inner| inner.swap_ref(&project, expected.as_ref(), &content)).await
    }

    fn local_path(&self, name: &str) -> Option<PathBuf> {
        Some(self.0.path(name))
    }
}
