//! The worker loop: take a datum set, materialise inputs, run, collect outputs, record.
//!
//! The same loop serves every executor. What user code sees is Pachyderm's contract: `/pfs/<input>` with the matched
//! paths and nothing else, an empty `/pfs/out`, the environment of [`environment`].

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flow_model::{
    datum::{DatumInput, InputContent},
    digest::{BlobId, RecordId},
    job::{DatumFailure, DatumOutcome, DatumOutput, DatumRecord, FinishedDatum, LogRef, RunFacts},
    path::RepoPath,
    time::{Millis, Timestamp},
    tree::FileEntry,
};
use flow_store::Reader;
use tokio::sync::mpsc;

use crate::{
    environment::{Environment, datum_environment},
    error::EngineError,
    local::OwnedSlot,
    process::{
        CappedLog, Collected, Command, Exit, Input, LogLimits, OutputFile, OutputKind, RunReport, Source,
        Stage, collect, reset_out,
    },
    protocol::{DatumTask, FromWorker, JobSpec, ToWorker, WorkerId},
    recorder::Recorder,
};

/// Where `transform.code` is mounted.
pub const CODE_FOLDER: &str = "/code";
/// Files from this size on are kept as objects of their own, and put into the store without being read whole.
const LARGE_BYTES: u64 = 1 << 20;
/// The first wait before another try; doubled for each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest wait before another try.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Lines of a failed datum's log that its error shows.
const LOG_TAIL_LINES: usize = 10;

/// Runs datums of one job, one at a time.
pub(crate) struct Worker {
    /// Its number.
    id: WorkerId,
    /// The job.
    job: Arc<JobSpec>,
    /// The store.
    reader: Reader,
    /// Where results go.
    recorder: Recorder,
    /// Where user code runs.
    slot: OwnedSlot,
    /// The inputs of the slot.
    stage: Stage,
    /// The part of the environment that is the machine's.
    environment: Environment,
}

/// Files below `/pfs`, by path: what links in the output may point to.
type Staged = BTreeMap<String, FileEntry>;

/// What a file to be staged holds.
enum Content {
    Bytes(Bytes),
    Object(PathBuf),
}

/// How the tries of a datum ended.
struct Attempt {
    report: RunReport,
    outputs: Result<Vec<DatumOutput>, String>,
    started: Timestamp,
}

impl Worker {
    /// A worker for one job in one slot.
    pub(crate) fn new(
        id: WorkerId,
        job: Arc<JobSpec>,
        reader: Reader,
        recorder: Recorder,
        slot: OwnedSlot,
        environment: Environment,
    ) -> Result<Self, EngineError> {
        let stage = Stage::new(&slot.dirs, slot.sandbox)?;
        Ok(Self { id, job, reader, recorder, slot, stage, environment })
    }

    /// Serves the coordinator until it says that there is no more work. Whatever ends the loop is reported.
    pub(crate) async fn serve(
        mut self,
        mut orders: mpsc::UnboundedReceiver<ToWorker>,
        coordinator: mpsc::UnboundedSender<FromWorker>,
    ) {
        let worker = self.id;
        if let Err(error) = self.work(&mut orders, &coordinator).await {
            // A coordinator that is gone has given the job up.
            let _ = coordinator.send(FromWorker::Broken { worker, reason: error.to_string() });
        }
        self.slot.stop().await;
    }

    async fn work(
        &mut self,
        orders: &mut mpsc::UnboundedReceiver<ToWorker>,
        coordinator: &mpsc::UnboundedSender<FromWorker>,
    ) -> Result<(), EngineError> {
        loop {
            let _ = coordinator.send(FromWorker::Idle { worker: self.id });
            let Some(ToWorker::Run(set)) = orders.recv().await else { return Ok(()) };
            for task in &set.datums {
                let _ = coordinator.send(FromWorker::Started { worker: self.id, datum: task.id });
                let finished = self.run_datum(task).await?;
                self.recorder.finish(finished);
            }
            self.recorder.hurry();
        }
    }

    async fn run_datum(&mut self, task: &DatumTask) -> Result<FinishedDatum, EngineError> {
        let staged = self.stage(task).await?;
        let tries = self.job.version.spec.datum_tries.get();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let attempt = self.attempt(task, &staged).await?;
            if self.succeeded(&attempt) {
                return self.record(task, &attempt, attempts, DatumOutcome::Success);
            }
            if self.recovers(task).await? {
                return self.record(task, &attempt, attempts, DatumOutcome::Recovered);
            }
            if attempts >= tries || matches!(attempt.report.exit, Exit::NotStarted { .. }) {
                return self.record(task, &attempt, attempts, DatumOutcome::Failed);
            }
            tokio::time::sleep(backoff(attempts)).await;
            // The inputs are staged anew: a try must not see what an earlier one left.
            self.stage(task).await?;
        }
    }

    fn succeeded(&self, attempt: &Attempt) -> bool {
        let accepted = &self.job.version.spec.transform.accept_return_code;
        let good_exit =
            matches!(attempt.report.exit, Exit::Code(code) if code == 0 || accepted.contains(&code));
        good_exit && attempt.outputs.is_ok()
    }

    async fn attempt(&mut self, task: &DatumTask, staged: &Staged) -> Result<Attempt, EngineError> {
        let transform = &self.job.version.spec.transform;
        let command = self.command(task, &transform.cmd, &transform.stdin);
        let started = now();
        let report = self.slot.slot.run(&command, LogLimits::default()).await?;
        let outputs = self.collect(staged).await?;
        self.empty_out()?;
        Ok(Attempt { report, outputs, started })
    }

    /// Runs `err_cmd`, if there is one, as after any failed try; whether it succeeded. Its output is dropped.
    async fn recovers(&mut self, task: &DatumTask) -> Result<bool, EngineError> {
        let transform = &self.job.version.spec.transform;
        if transform.err_cmd.is_empty() {
            return Ok(false);
        }
        let command = self.command(task, &transform.err_cmd, &transform.err_stdin);
        let report = self.slot.slot.run(&command, LogLimits::default()).await?;
        self.empty_out()?;
        let accepted = &self.job.version.spec.transform.accept_return_code;
        Ok(matches!(report.exit, Exit::Code(code) if code == 0 || accepted.contains(&code)))
    }

    fn command(&self, task: &DatumTask, argv: &[String], stdin: &[String]) -> Command {
        let spec = &self.job.version.spec;
        let view = self.slot.slot.view();
        Command {
            argv: argv.to_vec(),
            stdin: (!stdin.is_empty())
                .then(|| stdin.iter().flat_map(|line| [line, "\n"]).collect::<String>().into()),
            env: datum_environment(&self.job, task, &self.environment, view),
            working_dir: Some(start_folder(spec.transform.working_dir.as_deref(), view.code.as_deref())),
            timeout: spec.datum_timeout.map(|Millis(ms)| Duration::from_millis(ms)),
        }
    }

    /// Puts the datum's files below `/pfs`.
    async fn stage(&mut self, task: &DatumTask) -> Result<Staged, EngineError> {
        let mut staged = Staged::new();
        for input in &task.inputs {
            self.stage_input(input, &mut staged).await?;
        }
        let mut contents = Vec::with_capacity(staged.len());
        for (path, entry) in &staged {
            contents.push((path.as_str(), self.content(entry).await?, entry.executable));
        }
        let folders = task.inputs.iter().map(|input| Input {
            path: input.name.as_str(),
            source: Source::Folder,
            executable: false,
        });
        let files = contents.iter().map(|(path, content, executable)| Input {
            path,
            source: match content {
                Content::Bytes(bytes) => Source::Bytes(bytes),
                Content::Object(path) => Source::Object(path),
            },
            executable: *executable,
        });
        let inputs: Vec<Input<'_>> = folders.chain(files).collect();
        let stage = &mut self.stage;
        tokio::task::block_in_place(|| {
            stage.prepare(&inputs)?;
            stage.show()?;
            stage.sweep()
        })?;
        Ok(staged)
    }

    async fn stage_input(&self, input: &DatumInput, staged: &mut Staged) -> Result<(), EngineError> {
        match &input.content {
            InputContent::File(entry) => {
                staged.insert(format!("{}{}", input.name, input.path), *entry);
            }
            InputContent::Folder { .. } => {
                let read = self.job.inputs.iter().find(|leaf| {
                    leaf.name == input.name && leaf.repo == input.repo && leaf.branch == input.branch
                });
                let leaf =
                    read.ok_or_else(|| EngineError::Missing { what: format!("input `{}`", input.name) })?;
                let folder = input.path.trim_matches('/');
                let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                let mut files = self.reader.files(leaf.tree).files_with_prefix(&prefix);
                loop {
                    let batch = files.next_batch().await?;
                    if batch.is_empty() {
                        break;
                    }
                    for (path, entry) in batch {
                        staged.insert(format!("{}/{}", input.name, path.as_str()), entry);
                    }
                }
            }
        }
        Ok(())
    }

    /// Small files are read; large ones are objects of their own, which the slot can link.
    async fn content(&self, entry: &FileEntry) -> Result<Content, EngineError> {
        if entry.size >= LARGE_BYTES
            && let Some(object) = self.reader.local_object(entry.blob).await?
        {
            return Ok(Content::Object(object));
        }
        Ok(Content::Bytes(self.reader.blob(entry.blob).await?))
    }

    fn empty_out(&self) -> Result<(), EngineError> {
        tokio::task::block_in_place(|| reset_out(&self.slot.dirs, self.slot.sandbox))
            .map_err(EngineError::io("cannot empty `/pfs/out`"))
    }

    /// Reads `/pfs/out` into the store; the inner error is the user's.
    async fn collect(&mut self, staged: &Staged) -> Result<Result<Vec<DatumOutput>, String>, EngineError> {
        let collected = tokio::task::block_in_place(|| collect(&self.slot.dirs, self.slot.sandbox))
            .map_err(EngineError::io("cannot read `/pfs/out`"))?;
        if let Some(problem) = collected.problems.first() {
            let more = collected.problems.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            return Ok(Err(format!("{problem}{more}")));
        }
        let mut outputs = Vec::with_capacity(collected.files.len());
        for file in &collected.files {
            let path = match RepoPath::parse(&file.path) {
                Ok(path) => path,
                Err(error) => return Ok(Err(format!("output {error}"))),
            };
            let entry = match &file.kind {
                OutputKind::InputLink { input_path } => match staged.get(input_path) {
                    Some(entry) => *entry,
                    None => {
                        return Ok(Err(format!(
                            "`/pfs/out{path}` links to `/pfs/{input_path}`, which is no input"
                        )));
                    }
                },
                OutputKind::File { size, executable, movable } => {
                    let blob = self.put_output(&collected, file, *size, *movable).await?;
                    FileEntry { blob, size: *size, executable: *executable }
                }
            };
            outputs.push(DatumOutput { path, file: entry });
        }
        outputs.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Ok(outputs))
    }

    async fn put_output(
        &self,
        collected: &Collected,
        file: &OutputFile,
        size: u64,
        movable: bool,
    ) -> Result<BlobId, EngineError> {
        let writer = self.recorder.writer();
        let fail = || EngineError::io(format!("cannot read the output `/{}`", file.path));
        if size >= LARGE_BYTES && movable {
            let taken = self.slot.dirs.root().join("taken");
            collected.take(file, &taken).map_err(fail())?;
            let blob = writer.put_file(taken.clone()).await?.0;
            std::fs::remove_file(&taken).map_err(fail())?;
            return Ok(blob);
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut open = collected.open(file).map_err(fail())?;
        tokio::task::block_in_place(|| open.read_to_end(&mut content)).map_err(fail())?;
        Ok(writer.put_blob(content.into()))
    }

    fn record(
        &self,
        task: &DatumTask,
        attempt: &Attempt,
        attempts: u32,
        outcome: DatumOutcome,
    ) -> Result<FinishedDatum, EngineError> {
        let writer = self.recorder.writer();
        let outputs = match (&attempt.outputs, outcome) {
            (Ok(outputs), DatumOutcome::Success) => outputs.clone(),
            _ => Vec::new(),
        };
        let record = DatumRecord {
            key: task.key,
            transform: self.job.transform,
            inputs: task.inputs.clone(),
            outputs,
        };
        let report = &attempt.report;
        let facts = RunFacts {
            datum: task.id,
            job: self.job.job,
            attempts,
            exit: exit_text(&report.exit),
            started: attempt.started,
            wall: Millis(report.wall.as_millis() as u64),
            cpu: Millis(report.cpu_ms),
            max_rss_kib: report.max_rss_kib,
            stdout: self.put_log(&report.stdout)?,
            stderr: self.put_log(&report.stderr)?,
            runner: self.job.actor.clone(),
            executor: self.job.executor.kind().to_owned(),
        };
        Ok(FinishedDatum {
            id: task.id,
            outcome,
            key: task.key,
            inputs: task.digest,
            record: RecordId(writer.put_stored(&record)),
            facts: writer.put_stored(&facts),
            wall: facts.wall,
            failure: (outcome == DatumOutcome::Failed).then(|| failure(task, attempt)),
        })
    }

    fn put_log(&self, log: &CappedLog) -> Result<LogRef, EngineError> {
        let written = log.total();
        let blob = match written {
            0 => None,
            _ => Some(self.recorder.writer().put_blob(log.to_bytes().into())),
        };
        Ok(LogRef { blob, written })
    }
}

/// What a failed datum's error shows.
fn failure(task: &DatumTask, attempt: &Attempt) -> DatumFailure {
    let report = &attempt.report;
    let good_exit = matches!(report.exit, Exit::Code(0));
    let reason = match &attempt.outputs {
        Err(problem) if good_exit => problem.clone(),
        _ => exit_text(&report.exit),
    };
    let label = |input: &DatumInput| format!("{}:{}", input.name, input.path);
    let mut log_tail = report.stderr.last_lines(LOG_TAIL_LINES);
    if log_tail.is_empty() {
        log_tail = report.stdout.last_lines(LOG_TAIL_LINES);
    }
    DatumFailure {
        datum: task.id,
        label: task.inputs.iter().map(label).collect::<Vec<_>>().join(" "),
        reason,
        help: crate::process::hint_for(report).map(str::to_owned),
        log_tail,
    }
}

fn exit_text(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
        Exit::TimedOut => "took longer than datumTimeout".to_owned(),
        Exit::NotStarted { reason } => format!("did not start: {reason}"),
    }
}

fn backoff(attempts: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(BACKOFF_MAX)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

/// Where the program starts, as Pachyderm has it: a relative folder is taken from `/`; without one, it is that of the
/// code, else `/`. [`crate::program`] looks for the program from there, too.
fn start_folder(working_dir: Option<&str>, code: Option<&Path>) -> String {
    let root = Path::new("/");
    let folder = working_dir.map(|dir| root.join(dir)).or_else(|| code.map(Path::to_owned));
    folder.unwrap_or_else(|| root.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_start_in_the_given_folder_or_that_of_the_code_or_the_root() {
        let code = Some(Path::new(CODE_FOLDER));
        let cases = [
            (None, None, "/"),
            (None, code, CODE_FOLDER),
            (Some("/tmp"), code, "/tmp"),
            (Some("tmp"), None, "/tmp"),
            (Some("tmp"), code, "/tmp"),
        ];
        for (working_dir, code, expected) in cases {
            assert_eq!(start_folder(working_dir, code), expected, "{working_dir:?} {code:?}");
        }
    }

    #[test]
    fn retries_back_off_and_stay_bounded() {
        assert_eq!(backoff(1), Duration::from_millis(100));
        assert_eq!(backoff(2), Duration::from_millis(200));
        assert_eq!(backoff(40), BACKOFF_MAX);
    }
}
