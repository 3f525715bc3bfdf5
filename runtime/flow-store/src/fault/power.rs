//! A disk that can lose power: what was not synced is gone, or worse.
//!
//! The model is the weakest that a file system may be: a name that was not synced may vanish or stay, content that was
//! not synced is cut in half under a name that stays, a replaced file may have its old content. Which of these happens
//! is drawn from a seed.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::media::{Disk, OsDisk, Staged};

/// A disk with a power switch.
#[derive(Debug)]
pub struct PowerDisk {
    inner: OsDisk,
    /// Whether a sync does anything; switched off, it is the negative control of a test.
    syncs: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    seed: u64,
    steps: u64,
    cut_at: Option<u64>,
    off: bool,
    /// Files whose content is safe.
    synced: BTreeSet<(u64, u64)>,
    /// All names that were given, in order.
    names: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    path: PathBuf,
    /// What had the name before.
    before: Before,
    safe: bool,
    is_folder: bool,
}

#[derive(Debug)]
enum Before {
    Nothing,
    File(Vec<u8>),
}

impl PowerDisk {
    /// A disk that keeps what is synced.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(seed, true)
    }

    /// A disk on which syncing does nothing.
    #[must_use]
    pub fn without_sync(seed: u64) -> Self {
        Self::with(seed, false)
    }

    fn with(seed: u64, syncs: bool) -> Self {
        let state =
            State { seed, steps: 0, cut_at: None, off: false, synced: BTreeSet::new(), names: Vec::new() };
        Self { inner: OsDisk::with_hidden_names(), syncs, state: Mutex::new(state) }
    }

    /// Cuts the power before the given step, counted from 1.
    #[must_use]
    pub fn cut_at(self, step: u64) -> Self {
        self.state().cut_at = Some(step);
        self
    }

    /// How many steps were taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Cuts the power now.
    ///
    /// # Errors
    /// The consequences could not be written to the real disk.
    pub fn cut(&self) -> io::Result<()> {
        self.state().cut()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a step; fails from the cut on.
    fn step(&self) -> io::Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.state();
        state.steps += 1;
        if state.cut_at == Some(state.steps) && !state.off {
            state.cut()?;
        }
        if state.off { Err(io::Error::other("the power is off")) } else { Ok(state) }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

impl State {
    fn coin(&mut self) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 63 == 1
    }

    fn cut(&mut self) -> io::Result<()> {
        self.off = true;
        // Newest first, so that a name that was given twice ends with what it had at first.
        while let Some(name) = self.names.pop() {
            let vanishes = !name.safe && self.coin();
            match (vanishes, name.is_folder) {
                (true, true) => match fs::remove_dir_all(&name.path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                },
                (true, false) => match &name.before {
                    Before::File(content) if name.path.exists() => fs::write(&name.path, content)?,
                    Before::File(_) => {}
                    Before::Nothing => drop(fs::remove_file(&name.path)),
                },
                (false, true) => {}
                (false, false) => self.tear(&name.path)?,
            }
        }
        Ok(())
    }

    /// Cuts a file whose content was not synced.
    fn tear(&self, path: &Path) -> io::Result<()> {
        if !path.exists() || self.synced.contains(&inode(path)?) {
            return Ok(());
        }
        let file = fs::OpenOptions::new().write(true).open(path)?;
        file.set_len(file.metadata()?.len() / 2)
    }
}

impl Disk for PowerDisk {
    fn stage(&self, folder: &Path) -> io::Result<Staged> {
        let _on = self.step()?;
        self.inner.stage(folder)
    }

    fn stage_at(&self, path: &Path) -> io::Result<Staged> {
        let _on = self.step()?;
        self.inner.stage_at(path)
    }

    fn sync(&self, staged: &Staged) -> io::Result<()> {
        let mut state = self.step()?;
        if self.syncs {
            let meta = staged.file.metadata()?;
            state.synced.insert((meta.dev(), meta.ino()));
        }
        Ok(())
    }

    fn publish_new(&self, staged: Staged, to: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        self.inner.publish_new(staged, to)?;
        let path = to.to_owned();
        state.names.push(Name { path, before: Before::Nothing, safe: false, is_folder: false });
        Ok(())
    }

    fn replace(&self, staged: Staged, to: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let before = fs::read(to).map_or(Before::Nothing, Before::File);
        self.inner.replace(staged, to)?;
        state.names.push(Name { path: to.to_owned(), before, safe: false, is_folder: false });
        Ok(())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let existed = path.exists();
        self.inner.create_folder(path)?;
        if !existed {
            let path = path.to_owned();
            state.names.push(Name { path, before: Before::Nothing, safe: false, is_folder: true });
        }
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        if self.syncs {
            for name in state.names.iter_mut().filter(|name| name.path.parent() == Some(path)) {
                name.safe = true;
            }
        }
        Ok(())
    }
}
