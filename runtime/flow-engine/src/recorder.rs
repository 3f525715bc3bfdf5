//! Makes finished datums durable, in groups.
//!
//! Workers put output blobs, logs and records here and hand over what they finished; every 50 ms (while there is
//! anything) all of it goes into one pack below `jobs/<job>/`, with one synchronisation. Only then is a datum reported
//! as finished. After a crash at most the datums of that window run again.

use std::{sync::Arc, time::Duration};

use flow_model::digest::JobId;
use flow_model::job::{FinishedBatch, FinishedDatum};
use flow_store::JobWriter;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{error::EngineError, protocol::FromWorker};

/// How long finished datums may wait for company. On one machine a synchronisation costs about half a millisecond.
const WINDOW: Duration = Duration::from_millis(50);
/// More than this many finished datums do not wait for the window's end.
const BATCH_DATUMS_MAX: usize = 256;

/// Where workers hand over what they finished.
#[derive(Clone)]
pub struct Recorder {
    writer: Arc<JobWriter>,
    finished: mpsc::UnboundedSender<FinishedDatum>,
    hurry: Arc<Notify>,
}

impl Recorder {
    /// Starts the recorder of a job. What became durable is reported to `coordinator`; the receiver yields the outcome
    /// once the last clone of the recorder is gone and all is durable.
    #[must_use]
    pub fn start(
        job: JobId,
        writer: JobWriter,
        coordinator: mpsc::UnboundedSender<FromWorker>,
    ) -> (Self, oneshot::Receiver<Result<(), EngineError>>) {
        let (finished, inbox) = mpsc::unbounded_channel();
        let (done, outcome) = oneshot::channel();
        let writer = Arc::new(writer);
        let hurry = Arc::new(Notify::new());
        let flusher = Flusher { job, writer: Arc::clone(&writer), coordinator, hurry: Arc::clone(&hurry) };
        tokio::spawn(async move {
            // Nobody listens any more only if the job was given up.
            let _ = done.send(flusher.run(inbox).await);
        });
        (Self { writer, finished, hurry }, outcome)
    }

    /// Where blobs, logs and records are put.
    #[must_use]
    pub fn writer(&self) -> &JobWriter {
        &self.writer
    }

    /// Hands over a datum whose blobs and records were put.
    pub fn finish(&self, datum: FinishedDatum) {
        // The flusher ends before its senders only on an error, which the job reports.
        let _ = self.finished.send(datum);
    }

    /// Says that a worker has nothing to do before what it finished is durable: the window ends at once.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }
}

struct Flusher {
    job: JobId,
    writer: Arc<JobWriter>,
    coordinator: mpsc::UnboundedSender<FromWorker>,
    hurry: Arc<Notify>,
}

impl Flusher {
    async fn run(self, mut inbox: mpsc::UnboundedReceiver<FinishedDatum>) -> Result<(), EngineError> {
        while let Some(first) = inbox.recv().await {
            let mut datums = vec![first];
            let window = tokio::time::sleep(WINDOW);
            tokio::pin!(window);
            while datums.len() < BATCH_DATUMS_MAX {
                tokio::select! {
                    biased;
                    more = inbox.recv() => match more {
                        Some(datum) => datums.push(datum),
                        None => break,
                    },
                    () = self.hurry.notified() => break,
                    () = &mut window => break,
                }
            }
            let batch = FinishedBatch { job: self.job, datums };
            // The batch is found by its kind when the job resumes; its id is of no use.
            let _ = self.writer.put_stored(&batch);
            self.writer.flush().await?;
            // The coordinator is gone only if the job was given up; what is durable stays.
            let _ = self.coordinator.send(FromWorker::Finished { datums: batch.datums });
        }
        Ok(())
    }
}
