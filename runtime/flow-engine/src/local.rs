//! Workers on this machine: slots for processes, started by the process that runs `flow apply`.
//!
//! All scratch lies in one folder beside the store, so that inputs can be linked and outputs moved:
//!
//! ```text
//! slots/<pid>-<n>/   a slot's folder, with a lock file that its owner holds
//! code/<tree>/       files of `transform.code`, read-only, shared by all slots
//! jobs/<job>.lock    held by whoever runs the job; the kernel releases it when the holder dies
//! ```
//!
//! Nothing here is state: whatever a killed run left is removed when the next one starts.

use std::{
    fs::File,
    io,
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
        let support = if plain {
            SandboxSupport::Unavailable { reason: "switched off by FLOW_SANDBOX=off".to_owned() }
        } else {
            probe(&scratch.join("slots").join(format!("probe-{}", std::process::id())), &helper).await
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

    /// Writes the files of a code tree beside its final place and renames: a folder that is there is whole.
    async fn write_code(&self, reader: &Reader, tree: TreeId, folder: &Path) -> Result<(), EngineError> {
        let fail = |path: &Path| EngineError::io(format!("cannot write the code file `{}`", path.display()));
        let serial = self.next_slot.fetch_add(1, Ordering::Relaxed);
        let building = self.scratch.join("code").join(format!(".{}-{serial}", std::process::id()));
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
                std::fs::write(&target, reader.blob(entry.blob).await?).map_err(fail(&target))?;
                let mode = if entry.executable { 0o755 } else { 0o644 };
                std::fs::set_permissions(&target, PermissionsExt::from_mode(mode)).map_err(fail(&target))?;
            }
        }
        match std::fs::rename(&building, folder) {
            // Somebody else was faster; the content is the same.
            Err(_) if folder.exists() => std::fs::remove_dir_all(&building).map_err(fail(&building)),
            outcome => outcome.map_err(fail(folder)),
        }
    }

    async fn start_slot(&self, code: Option<PathBuf>) -> Result<OwnedSlot, EngineError> {
        let serial = self.next_slot.fetch_add(1, Ordering::Relaxed);
        let root = self.scratch.join("slots").join(format!("{}-{serial}", std::process::id()));
        let lock = take_slot_lock(&root)
            .map_err(EngineError::io(format!("cannot lock the slot `{}`", root.display())))?;
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
    lock: SlotLock,
}

impl OwnedSlot {
    /// Ends the slot and removes its folder. What cannot be removed is left for the next run to remove.
    pub(crate) async fn stop(self) {
        let Self { slot, dirs, lock, .. } = self;
        if slot.stop().await.is_ok() {
            let _: Result<_, _> = tokio::task::spawn_blocking(move || dirs.remove()).await;
            lock.release();
        }
    }
}

/// Held as long as a slot's folder is in use.
struct SlotLock {
    path: PathBuf,
    _file: File,
}

impl SlotLock {
    fn release(self) {
        // A lock file that stays is removed by the next run.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn take_slot_lock(root: &Path) -> io::Result<SlotLock> {
    let path = root.with_extension("lock");
    let file = File::create(&path)?;
    file.lock()?;
    Ok(SlotLock { path, _file: file })
}

/// Removes the folders of slots whose owner is gone: their lock can be taken.
fn remove_abandoned_slots(slots: &Path) -> Result<(), EngineError> {
    let fail = || EngineError::io(format!("cannot clean up `{}`", slots.display()));
    for entry in std::fs::read_dir(slots).map_err(fail())? {
        let path = entry.map_err(fail())?.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_ok() {
                SlotDirs::at(path.with_extension("")).remove().map_err(fail())?;
                // The next run tries again.
                let _ = std::fs::remove_file(&path);
            }
        }
    }
    Ok(())
}

/// A job's lock; the kernel releases it when its holder dies.
struct JobLock {
    path: PathBuf,
    _file: File,
}

impl Drop for JobLock {
    fn drop(&mut self) {
        // Whoever waits for this file gets a lock on a name that is gone, notices, and takes the new one.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn lock_job(path: PathBuf) -> io::Result<JobLock> {
    loop {
        let file = File::options().create(true).append(true).open(&path)?;
        file.lock()?;
        if is_same_file(&file, &path) {
            return Ok(JobLock { path, _file: file });
        }
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
        let locked = tokio::task::spawn_blocking(move || lock_job(path)).await;
        let lock = locked.map_err(io::Error::other).flatten();
        Ok(Box::new(lock.map_err(EngineError::io(format!("cannot lock `{name}`")))?))
    }
}
