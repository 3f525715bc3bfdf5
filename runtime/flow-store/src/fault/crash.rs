//! Crashes at the Nth write, and writes whose reply is lost.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use flow_model::{digest::BlobId, name::ProjectName};

use crate::{
    error::MediaError,
    media::{Created, Media, ObjectInfo, RefVersion, Swap, ref_name},
};

/// Where in a write the process dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The write does not happen.
    Before,
    /// The write happens, and nobody learns of it.
    After,
    /// Half of the bytes arrive under the name. A swap of a ref is atomic on every storage: it does not happen.
    Torn,
}

/// What became of a write whose reply is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LostReply {
    /// It happened.
    Landed,
    /// It did not happen.
    Failed,
    /// It happened, and the client tried again by itself: a create finds the name taken, a swap the ref moved.
    Retried,
}

/// Passes everything on until a planned fault. Writes are numbered from 1.
pub struct FaultMedia {
    inner: Arc<dyn Media>,
    crash: Option<(usize, Crash)>,
    lost: BTreeMap<usize, LostReply>,
    on_crash: Option<Box<dyn Fn() + Send + Sync>>,
    crashed: AtomicBool,
    writes: Mutex<Vec<String>>,
}

impl fmt::Debug for FaultMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultMedia").field("crash", &self.crash).field("lost", &self.lost).finish()
    }
}

enum Fault {
    None,
    Crash(Crash),
    Lost(LostReply),
}

impl FaultMedia {
    /// Without any fault: only counts.
    #[must_use]
    pub fn new(inner: Arc<dyn Media>) -> Self {
        Self {
            inner,
            crash: None,
            lost: BTreeMap::new(),
            on_crash: None,
            crashed: AtomicBool::new(false),
            writes: Mutex::default(),
        }
    }

    /// Crashes at the given write: it and everything after fails with [`MediaError::Crashed`].
    #[must_use]
    pub fn crash_at(mut self, write: usize, how: Crash) -> Self {
        self.crash = Some((write, how));
        self
    }

    /// What to do at the crash, for example to abort the process.
    #[must_use]
    pub fn on_crash(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_crash = Some(Box::new(hook));
        self
    }

    /// Loses the reply to the given write.
    #[must_use]
    pub fn lose_reply_at(mut self, write: usize, what: LostReply) -> Self {
        self.lost.insert(write, what);
        self
    }

    /// All writes so far, in order: `create packs/…`, `swap refs/…`, `delete …`.
    #[must_use]
    pub fn writes(&self) -> Vec<String> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the planned crash has happened.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    fn alive(&self) -> Result<(), MediaError> {
        if self.has_crashed() { Err(MediaError::Crashed) } else { Ok(()) }
    }

    fn next(&self, action: &str, name: &str) -> Result<Fault, MediaError> {
        self.alive()?;
        let number = {
            let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
            writes.push(format!("{action} {name}"));
            writes.len()
        };
        Ok(match self.crash {
            Some((at, how)) if at == number => Fault::Crash(how),
            _ => self.lost.get(&number).map_or(Fault::None, |what| Fault::Lost(*what)),
        })
    }

    fn crash<T>(&self) -> Result<T, MediaError> {
        self.crashed.store(true, Ordering::SeqCst);
        if let Some(hook) = &self.on_crash {
            hook();
        }
        Err(MediaError::Crashed)
    }

    async fn torn<T>(&self, name: &str, bytes: Bytes) -> Result<T, MediaError> {
        self.inner.create(name, bytes.slice(..bytes.len() / 2)).await?;
        self.crash()
    }
}

fn lost<T>(name: &str) -> Result<T, MediaError> {
    Err(MediaError::NoReply { name: name.to_owned() })
}

#[async_trait]
impl Media for FaultMedia {
    async fn create(&self, name: &str, bytes: Bytes) -> Result<Created, MediaError> {
        match self.next("create", name)? {
            Fault::None => self.inner.create(name, bytes).await,
            Fault::Crash(Crash::Before) => self.crash(),
            Fault::Crash(Crash::Torn) => self.torn(name, bytes).await,
            Fault::Crash(Crash::After) => {
                self.inner.create(name, bytes).await?;
                self.crash()
            }
            Fault::Lost(LostReply::Failed) => lost(name),
            Fault::Lost(LostReply::Landed) => {
                self.inner.create(name, bytes).await?;
                lost(name)
            }
            Fault::Lost(LostReply::Retried) => {
                self.inner.create(name, bytes.clone()).await?;
                self.inner.create(name, bytes).await
            }
        }
    }

    async fn create_from_file(
        &self,
        name: &str,
        source: &Path,
        content: BlobId,
    ) -> Result<Created, MediaError> {
        let fault = self.next("create", name)?;
        match fault {
            Fault::Crash(Crash::Before) => return self.crash(),
            Fault::Crash(Crash::Torn) => {
                let bytes = std::fs::read(source).map_err(|error| MediaError::io("read", name, error))?;
                return self.torn(name, bytes.into()).await;
            }
            Fault::Lost(LostReply::Failed) => return lost(name),
            _ => {}
        }
        let created = self.inner.create_from_file(name, source, content).await?;
        match fault {
            Fault::Crash(_) => self.crash(),
            Fault::Lost(LostReply::Landed) => lost(name),
            Fault::Lost(_) => self.inner.create_from_file(name, source, content).await,
            Fault::None => Ok(created),
        }
    }

    async fn get(&self, name: &str) -> Result<Bytes, MediaError> {
        self.alive()?;
        self.inner.get(name).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, MediaError> {
        self.alive()?;
        self.inner.get_range(name, range).await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, MediaError> {
        self.alive()?;
        self.inner.size(name).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, MediaError> {
        self.alive()?;
        self.inner.list(folder).await
    }

    async fn delete(&self, name: &str) -> Result<(), MediaError> {
        match self.next("delete", name)? {
            Fault::Crash(Crash::Before | Crash::Torn) => self.crash(),
            Fault::Lost(LostReply::Failed) => lost(name),
            fault => {
                self.inner.delete(name).await?;
                match fault {
                    Fault::Crash(_) => self.crash(),
                    Fault::Lost(_) => lost(name),
                    Fault::None => Ok(()),
                }
            }
        }
    }

    async fn read_ref(&self, project: &ProjectName) -> Result<Option<(Bytes, RefVersion)>, MediaError> {
        self.alive()?;
        self.inner.read_ref(project).await
    }

    async fn swap_ref(
        &self,
        project: &ProjectName,
        expected: Option<RefVersion>,
        content: Bytes,
    ) -> Result<Swap, MediaError> {
        let name = ref_name(project);
        let fault = self.next("swap", &name)?;
        match fault {
            Fault::Crash(Crash::Before | Crash::Torn) => return self.crash(),
            Fault::Lost(LostReply::Failed) => return lost(&name),
            _ => {}
        }
        let swapped = self.inner.swap_ref(project, expected.clone(), content.clone()).await?;
        match fault {
            Fault::Crash(_) => self.crash(),
            Fault::Lost(LostReply::Landed) => lost(&name),
            Fault::Lost(_) => self.inner.swap_ref(project, expected, content).await,
            Fault::None => Ok(swapped),
        }
    }

    fn local_path(&self, name: &str) -> Option<PathBuf> {
        self.inner.local_path(name)
    }
}
