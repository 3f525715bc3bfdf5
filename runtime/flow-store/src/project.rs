//! A project: its newest state, its history, and the way to change it.

use std::sync::Arc;

use flow_model::{
    commit::Operation,
    digest::{Digest, JobId, OperationId},
    name::ProjectName,
};

use crate::{
    error::StoreError,
    index::IndexSet,
    jobs::{JobPacks, JobWriter},
    reader::Reader,
    snapshot::{Head, Snapshot, read_operation},
    store::Shared,
    transaction::Transaction,
};

/// A project of a store.
#[derive(Clone, Debug)]
pub struct Project {
    shared: Arc<Shared>,
    name: ProjectName,
}

impl Project {
    pub(crate) const fn new(shared: Arc<Shared>, name: ProjectName) -> Self {
        Self { shared, name }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &ProjectName {
        &self.name
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The newest state; `None` before the first operation.
    ///
    /// # Errors
    /// As every read of a store: missing or damaged objects, storage that does not answer.
    pub async fn head(&self) -> Result<Option<Snapshot>, StoreError> {
        Ok(Head::load(&self.shared, &self.name).await?.map(|head| head.snapshot))
    }

    /// The state after an earlier operation.
    ///
    /// # Errors
    /// [`StoreError::NoSuchOperation`] if it is not in this project's history; else as [`Project::head`].
    pub async fn at(&self, operation: OperationId) -> Result<Snapshot, StoreError> {
        self.find(&operation.to_string()).await
    }

    /// The state after the one operation whose id starts with `prefix`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchOperation`], [`StoreError::Ambiguous`]; else as [`Project::head`].
    pub async fn find(&self, prefix: &str) -> Result<Snapshot, StoreError> {
        let none = || StoreError::NoSuchOperation { text: prefix.to_owned() };
        let head = self.head().await?.ok_or_else(none)?;
        let reader = head.reader();
        let mut found = None;
        let mut next = Some(head.operation_id());
        while let Some(id) = next {
            let operation = read_operation(&reader, id).await?;
            next = operation.parent;
            if id.to_string().starts_with(prefix) {
                if found.is_some() {
                    return Err(StoreError::Ambiguous { text: prefix.to_owned() });
                }
                found = Some(Snapshot::new(id, operation, reader.clone()));
                if prefix.len() == 64 {
                    break;
                }
            }
        }
        found.ok_or_else(none)
    }

    /// The newest operations, newest first.
    ///
    /// # Errors
    /// As [`Project::head`].
    pub async fn log(&self, limit: usize) -> Result<Vec<(OperationId, Operation)>, StoreError> {
        let Some(head) = self.head().await? else { return Ok(Vec::new()) };
        let reader = head.reader();
        let mut log = Vec::new();
        let mut next = Some(head.operation_id());
        while let Some(id) = next.filter(|_| log.len() < limit) {
            let operation = read_operation(&reader, id).await?;
            next = operation.parent;
            log.push((id, operation));
        }
        Ok(log)
    }

    /// A reader of nothing: the base of a project's first transaction.
    fn empty_reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared), Arc::new(IndexSet::default()), Vec::new())
    }

    fn reader_of(&self, base: Option<&Snapshot>) -> Reader {
        base.map_or_else(|| self.empty_reader(), Snapshot::reader)
    }

    /// Begins a change of the state `base` (`None`: of nothing). Nothing is visible before it is published.
    #[must_use]
    pub fn begin(&self, base: Option<&Snapshot>) -> Transaction {
        Transaction::new(self.clone(), base.cloned(), self.reader_of(base), false)
    }

    /// Begins a change that is never published and writes nothing: ids and trees are computed, contents are not kept.
    #[must_use]
    pub fn sketch(&self, base: Option<&Snapshot>) -> Transaction {
        Transaction::new(self.clone(), base.cloned(), self.reader_of(base), true)
    }

    /// What a job's workers have stored so far. The one place that lists.
    ///
    /// # Errors
    /// As [`Project::head`].
    pub async fn job_packs(&self, job: JobId) -> Result<JobPacks, StoreError> {
        JobPacks::load(&self.shared, job).await
    }

    /// A writer for the results of a job. What `base` or `known` have is not stored again.
    #[must_use]
    pub fn job_writer(&self, job: JobId, base: &Snapshot, known: &JobPacks) -> JobWriter {
        JobWriter::new(job, known.reader(&base.reader()))
    }

    /// Whether any operation of this project has this id; for tests of histories.
    ///
    /// # Errors
    /// As [`Project::head`].
    pub async fn is_in_history(&self, operation: OperationId) -> Result<bool, StoreError> {
        match self.at(operation).await {
            Ok(_) => Ok(true),
            Err(StoreError::NoSuchOperation { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether `text` could be the start of an id.
#[must_use]
pub fn is_id_prefix(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 2 * size_of::<Digest>()
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
