//! Workers on this machine: slots for processes, started by the process that runs `flow apply`.
//!
//! All scratch lies in one folder beside the store, so that inputs can be linked and outputs moved:
//!
//! ```text
//! slots/<pid>-<n>/   a slot's folder, or code being written, with a lock file that its owner holds
//! code/<tree>/       files of `transform.code`, read-only, shared by all slots
//! jobs/<job>.lock    held by whoever runs the job; the kernel releases it when the holder dies
//! ```
//!
//! Nothing here is state: whatever a killed run left is removed when the next one starts.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flow_model::{
    datum::ExecutorIdentity,
    digest::{JobId, TreeId},
    spec::PipelineVersion,
};
use flow_store::Reader;
use tokio::sync::mpsc;

use crate::{
    environment::Environment,
    error::EngineError,
    job::WorkerPool,
    process::{Helper, Sandbox, SandboxSupport, Slot, SlotConfig, SlotDirs, probe},
    program::ProgramSearch,
    protocol::{FromWorker, JobSpec, ToWorker, WorkerId},
    recorder::Recorder,
    worker::Worker,
};

/// Slots of this machine.
pub struct LocalPool {
    scratch: PathBuf,
    environment: Environment,
    support: SandboxSupport,
    slots_max: usize,
    helper: Helper,
    next_slot: AtomicU64,
}

/// How slots are made.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The scratch folder, an absolute path on the store's file system.
    pub scratch: PathBuf,
    /// The machine's part of the environment.
    pub environment: Environment,
    /// Slots at a time, whatever a pipeline's parallelism; the number of processors is a good one.
    pub slots_max: usize,
    /// The program that becomes a slot's helper.
    pub helper: Helper,
    /// Do without a sandbox even where there could be one.
    pub plain: bool,
}

impl LocalPool {
    /// Cleans up after killed runs and finds out whether processes can be contained here.
    ///
    /// # Errors
    /// If the scratch folder cannot be made or read.
    pub async fn open(options: LocalOptions) -> Result<Self, EngineError> {
        let LocalOptions { scratch, environment, slots_max, helper, plain } = options;
        for folder in ["slots", "code", "jobs"] {
            let folder = scratch.join(folder);
            std::fs::create_dir_all(&folder)
                .map_err(EngineError::io(format!("cannot make the folder `{}`", folder.display())))?;
        }
        remove_abandoned_slots(&scratch.join("slots"))?;
        remove_abandoned_locks(&scratch.join("jobs"))?;
        let support = if plain {
            SandboxSupport::Unavailable { reason: "switched off by FLOW_SANDBOX=off".to_owned() }
        } else {
            probe_locked(&scratch.join("slots").join(format!("probe-{}", std::process::id())), &helper)
                .await?
        };
        Ok(Self { scratch, environment, support, slots_max, helper, next_slot: AtomicU64::new(0) })
    }

    /// Whether processes are contained, and if not, why not.
    #[must_use]
    pub fn support(&self) -> &SandboxSupport {
        &self.support
    }

    /// The program that would run `version`, whose code lies in the folder `code`.
    ///
    /// # Errors
    /// [`crate::program::ProgramError`] if there is none.
    pub fn identify_in(
        environment: &Environment,
        version: &PipelineVersion,
        code: Option<&Path>,
    ) -> Result<ExecutorIdentity, crate::program::ProgramError> {
        let transform = &version.spec.transform;
        let search = ProgramSearch {
            path: transform.env.get("PATH").unwrap_or(&environment.path),
            code,
            working_dir: transform.working_dir.as_deref(),
        };
        search.identify(transform.cmd.first().map_or("", String::as_str))
    }

    async fn code_folder(
        &self,
        reader: &Reader,
        tree: Option<TreeId>,
    ) -> Result<Option<PathBuf>, EngineError> {
        let Some(tree) = tree else { return Ok(None) };
        let folder = self.scratch.join("code").join(tree.to_string());
        if !folder.exists() {
            self.write_code(reader, tree, &folder).await?;
        }
        Ok(Some(folder))
    }

    /// Writes the files of a code tree into a slot's folder and renames that: a folder that is there is whole, also
    /// after a loss of power.
    async fn write_code(&self, reader: &Reader, tree: TreeId, folder: &Path) -> Result<(), EngineError> {
        let fail = |path: &Path| EngineError::io(format!("cannot write the code file `{}`", path.display()));
        let serial = self.next_slot.fetch_add(1, Ordering::Relaxed);
        let building = self.scratch.join("slots").join(format!("{}-{serial}", std::process::id()));
        let lock = lock_slot(&building)?;
        std::fs::create_dir_all(&building).map_err(fail(&building))?;
        let mut files = reader.files(tree).files_with_prefix("");
        loop {
            let batch = files.next_batch().await?;
            if batch.is_empty() {
                break;
            }
            for (path, entry) in batch {
                let target = building.join(path.as_str());
                if let Some(parent) = target.parent() {
                    std::fs::create_dir_all(parent).map_err(fail(&target))?;
                }
                let mut file = File::create_new(&target).map_err(fail(&target))?;
                let content = reader.blob(entry.blob).await?;
                file.write_all(&content).and_then(|()| file.sync_data()).map_err(fail(&target))?;
                let mode = if entry.executable { 0o755 } else { 0o644 };
                std::fs::set_permissions(&target, PermissionsExt::from_mode(mode)).map_err(fail(&target))?;
            }
        }
        match std::fs::rename(&building, folder) {
            // Somebody else was faster; the content is the same.
            Err(_) if folder.exists() => std::fs::remove_dir_all(&building).map_err(fail(&building))?,
            outcome => outcome.map_err(fail(folder))?,
        }
        lock.remove();
        Ok(())
    }

    async fn start_slot(&self, code: Option<PathBuf>) -> Result<OwnedSlot, EngineError> {
        let serial = self.next_slot.fetch_add(1, Ordering::Relaxed);
        let root = self.scratch.join("slots").join(format!("{}-{serial}", std::process::id()));
        let lock = lock_slot(&root)?;
        let dirs = SlotDirs::at(&root);
        let sandbox = self.support.sandbox();
        let config = SlotConfig { dirs: dirs.clone(), code, sandbox, helper: self.helper.clone() };
        let slot = Slot::start(config).await?;
        Ok(OwnedSlot { slot, dirs, sandbox, lock })
    }
}

/// A started slot with what belongs to it.
pub(crate) struct OwnedSlot {
    pub(crate) slot: Slot,
    pub(crate) dirs: SlotDirs,
    pub(crate) sandbox: Sandbox,
    lock: FileLock,
}

impl OwnedSlot {
    /// Ends the slot and removes its folder. What cannot be removed is left for the next run to remove.
    pub(crate) async fn stop(self) {
        let Self { slot, dirs, lock, .. } = self;
        if slot.stop().await.is_ok() {
            let removed = tokio::task::spawn_blocking(move || dirs.remove()).await;
            if matches!(removed, Ok(Ok(()))) {
                lock.remove();
            }
        }
    }
}

/// Removes the folders of slots whose owner is gone: their lock can be taken.
fn remove_abandoned_slots(slots: &Path) -> Result<(), EngineError> {
    let fail = || EngineError::io(format!("cannot clean up `{}`", slots.display()));
    for entry in std::fs::read_dir(slots).map_err(fail())? {
        let path = entry.map_err(fail())?.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_ok() && is_same_file(&file, &path) {
                SlotDirs::at(path.with_extension("")).remove().map_err(fail())?;
                std::fs::remove_file(&path).map_err(fail())?;
            }
        }
    }
    Ok(())
}

/// Removes the lock files of jobs whose holder was killed: they lock nothing, but a job that has ended would keep its
/// own for ever.
fn remove_abandoned_locks(jobs: &Path) -> Result<(), EngineError> {
    let fail = || EngineError::io(format!("cannot clean up `{}`", jobs.display()));
    for entry in std::fs::read_dir(jobs).map_err(fail())? {
        let path = entry.map_err(fail())?.path();
        let Ok(file) = File::open(&path) else { continue };
        // As when a holder lets go: whoever opened it meanwhile notices that the name is gone.
        if file.try_lock().is_ok() && is_same_file(&file, &path) {
            std::fs::remove_file(&path).map_err(fail())?;
        }
    }
    Ok(())
}

/// Finds out whether processes can be contained; what a kill leaves of it is removed as that of any slot.
async fn probe_locked(root: &Path, helper: &Helper) -> Result<SandboxSupport, EngineError> {
    let lock = lock_slot(root)?;
    let support = probe(root, helper).await;
    if !root.exists() {
        lock.remove();
    }
    Ok(support)
}

/// Held as long as a slot's folder is in use, and left behind if the folder is: the next run removes both.
fn lock_slot(root: &Path) -> Result<FileLock, EngineError> {
    FileLock::wait_for(root.with_extension("lock"))
        .map_err(EngineError::io(format!("cannot lock the slot `{}`", root.display())))
}

/// A locked file. The kernel releases the lock when its holder dies; a file that stays then locks nothing.
struct FileLock {
    path: PathBuf,
    _file: File,
}

impl FileLock {
    fn wait_for(path: PathBuf) -> io::Result<Self> {
        loop {
            let file = File::options().create(true).append(true).open(&path)?;
            file.lock()?;
            if is_same_file(&file, &path) {
                return Ok(Self { path, _file: file });
            }
        }
    }

    /// Whoever waits for this file gets a lock on a name that is gone, notices, and takes the new one.
    fn remove(&self) {
        // A file that stays is removed by a later run.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A job's lock: its file goes with it.
struct JobLock(FileLock);

impl Drop for JobLock {
    fn drop(&mut self) {
        self.0.remove();
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[async_trait::async_trait]
impl WorkerPool for LocalPool {
    async fn identify(
        &self,
        reader: &Reader,
        version: &PipelineVersion,
    ) -> Result<ExecutorIdentity, EngineError> {
        let code = self.code_folder(reader, version.code_tree).await?;
        Ok(Self::identify_in(&self.environment, version, code.as_deref())?)
    }

    async fn start(
        &self,
        job: &Arc<JobSpec>,
        reader: &Reader,
        recorder: &Recorder,
        coordinator: &mpsc::UnboundedSender<FromWorker>,
        most: usize,
    ) -> Result<Vec<mpsc::UnboundedSender<ToWorker>>, EngineError> {
        let code = self.code_folder(reader, job.version.code_tree).await?;
        let mut orders = Vec::new();
        for number in 0..most.min(self.slots_max).max(1) as u32 {
            let slot = self.start_slot(code.clone()).await?;
            let (order, inbox) = mpsc::unbounded_channel();
            let worker = Worker::new(
                WorkerId(number),
                Arc::clone(job),
                reader.clone(),
                recorder.clone(),
                slot,
                self.environment.clone(),
            )?;
            tokio::spawn(worker.serve(inbox, coordinator.clone()));
            orders.push(order);
        }
        Ok(orders)
    }

    async fn lock(&self, job: JobId) -> Result<Box<dyn Send>, EngineError> {
        let path = self.scratch.join("jobs").join(format!("{job}.lock"));
        let name = path.display().to_string();
        let locked = tokio::task::spawn_blocking(move || FileLock::wait_for(path).map(JobLock)).await;
        let lock = locked.map_err(io::Error::other).flatten();
        Ok(Box::new(lock.map_err(EngineError::io(format!("cannot lock `{name}`")))?))
    }
}
