//! Merges the outputs of a job's datums into one tree, and finds every conflict.
//!
//! Each output path belongs to one datum. The tree of owners (path -> datum) of the last job is carried on: what was
//! run again, dropped or newly reused is taken out and put in, the rest is untouched, so the cost is that of the
//! changes.
//!
//! A conflict is a path of two datums, or a file of one where another has a folder. All of them are reported.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    digest::{DatumId, Digest, TreeId},
    job::{DatumOutput, OutputConflict},
    path::RepoPath,
    tree::FileEntry,
};
use flow_store::{Reader, Tree};

use crate::error::EngineError;

/// Edits of a tree: new values by key, `None` for what goes.
pub type Edits = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What a job's outputs change, compared with the last job's.
#[derive(Debug, Default)]
pub struct OutputEdits {
    gone: BTreeSet<RepoPath>,
    new: BTreeMap<RepoPath, (DatumId, FileEntry)>,
    conflicts: BTreeSet<(RepoPath, Option<RepoPath>, [DatumId; 2])>,
}

impl OutputEdits {
    /// A datum's earlier outputs go.
    pub fn remove(&mut self, outputs: &[DatumOutput]) {
        self.gone.extend(outputs.iter().map(|output| output.path.clone()));
    }

    /// A datum's outputs come.
    pub fn add(&mut self, datum: DatumId, outputs: &[DatumOutput]) {
        for output in outputs {
            if let Some((other, _)) = self.new.get(&output.path) {
                self.conflicts.insert((output.path.clone(), None, sorted(*other, datum)));
            }
            self.new.insert(output.path.clone(), (datum, output.file));
        }
    }

    /// Checks the new outputs against each other and against what stays of the last job's; returns all conflicts, their
    /// datums without names yet.
    ///
    /// # Errors
    /// If the tree of owners cannot be read.
    pub async fn conflicts(
        &mut self,
        reader: &Reader,
        owners: Option<TreeId>,
    ) -> Result<Vec<OutputConflict>, EngineError> {
        self.check_new_against_new();
        if let Some(owners) = owners {
            self.check_new_against_kept(&reader.tree(owners)).await?;
        }
        let conflict =
            |(path, other_path, datums): &(RepoPath, Option<RepoPath>, [DatumId; 2])| OutputConflict {
                path: path.clone(),
                other_path: other_path.clone(),
                datums: datums.map(|datum| (datum, String::new())),
            };
        Ok(self.conflicts.iter().map(conflict).collect())
    }

    fn check_new_against_new(&mut self) {
        for (path, (datum, _)) in &self.new {
            for ancestor in path.ancestors() {
                if let Some((file, (other, _))) = self.new.get_key_value(ancestor) {
                    self.conflicts.insert((file.clone(), Some(path.clone()), sorted(*other, *datum)));
                }
            }
        }
    }

    async fn check_new_against_kept(&mut self, owners: &Tree) -> Result<(), EngineError> {
        let mut found = Vec::new();
        for (path, (datum, _)) in &self.new {
            if let Some(other) = self.kept_owner(owners, path.as_str()).await? {
                found.push((path.clone(), None, sorted(other, *datum)));
            }
            for ancestor in path.ancestors() {
                if let Some(other) = self.kept_owner(owners, ancestor).await? {
                    let Ok(file) = RepoPath::parse(ancestor) else { continue };
                    found.push((file, Some(path.clone()), sorted(other, *datum)));
                }
            }
            found.extend(self.kept_below(owners, path, *datum).await?);
        }
        self.conflicts.extend(found);
        Ok(())
    }

    async fn kept_owner(&self, owners: &Tree, path: &str) -> Result<Option<DatumId>, EngineError> {
        if self.gone.contains(path) {
            return Ok(None);
        }
        Ok(owners.get(path.as_bytes()).await?.and_then(|value| datum_of(&value)))
    }

    async fn kept_below(
        &self,
        owners: &Tree,
        path: &RepoPath,
        datum: DatumId,
    ) -> Result<Vec<(RepoPath, Option<RepoPath>, [DatumId; 2])>, EngineError> {
        let mut found = Vec::new();
        let mut below = owners.scan_prefix(format!("{}/", path.as_str()).as_bytes());
        loop {
            let batch = below.next_batch().await?;
            if batch.is_empty() {
                break;
            }
            for (key, value) in batch {
                let kept = std::str::from_utf8(&key).ok().and_then(|key| RepoPath::parse(key).ok());
                let Some((kept, other)) = kept.zip(datum_of(&value)) else { continue };
                if !self.gone.contains(&kept) {
                    found.push((path.clone(), Some(kept), sorted(other, datum)));
                }
            }
        }
        Ok(found)
    }

    /// The edits of the tree of output files.
    #[must_use]
    pub fn file_edits(&self) -> Edits {
        self.edits(|(_, entry)| entry.encode().to_vec())
    }

    /// The edits of the tree of owners.
    #[must_use]
    pub fn owner_edits(&self) -> Edits {
        self.edits(|(datum, _)| datum.0.as_bytes().to_vec())
    }

    fn edits(&self, value: impl Fn(&(DatumId, FileEntry)) -> Vec<u8>) -> Edits {
        let gone = self.gone.iter().map(|path| (path.as_str().as_bytes().to_vec(), None));
        let new = self.new.iter().map(|(path, new)| (path.as_str().as_bytes().to_vec(), Some(value(new))));
        gone.chain(new).collect()
    }
}

/// The datum in a value of the tree of owners.
pub(crate) fn datum_of(value: &[u8]) -> Option<DatumId> {
    value.try_into().ok().map(|bytes| DatumId(Digest::from_bytes(bytes)))
}

fn sorted(a: DatumId, b: DatumId) -> [DatumId; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

#[cfg(test)]
mod tests {
    use flow_model::digest::BlobId;

    use super::*;

    fn output(path: &str) -> DatumOutput {
        let file = FileEntry { blob: BlobId::of(b"x"), size: 1, executable: false };
        DatumOutput { path: RepoPath::parse(path).unwrap(), file }
    }

    fn datum(name: &str) -> DatumId {
        DatumId(Digest::of(name.as_bytes()))
    }

    #[test]
    fn same_paths_and_files_against_folders_conflict_even_past_a_sibling_that_sorts_between() {
        let mut edits = OutputEdits::default();
        edits.add(datum("1"), &[output("/a"), output("/same")]);
        edits.add(datum("2"), &[output("/a-b"), output("/a/c"), output("/same")]);
        edits.check_new_against_new();
        let paths: Vec<String> = edits.conflicts.iter().map(|(path, _, _)| path.to_string()).collect();
        assert_eq!(paths, ["/a", "/same"]);
    }

    #[test]
    fn what_is_written_again_replaces_what_goes() {
        let mut edits = OutputEdits::default();
        edits.remove(&[output("/a"), output("/b")]);
        edits.add(datum("1"), &[output("/a")]);
        let edits = edits.file_edits();
        assert!(edits[&b"a".to_vec()].is_some() && edits[&b"b".to_vec()].is_none());
    }
}
