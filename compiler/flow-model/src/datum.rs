//! Datums: which one, and what it computes.
//!
//! | type | answers | made of |
//! |---|---|---|
//! | [`DatumId`] | which datum? | for each input: name, repo, branch, path |
//! | [`InputsDigest`] | what does it read? | for each input: name, path as the program sees it, mode, content |
//! | [`TransformDigest`] | what runs? | argv, stdin, env, working dir, code, accepted codes, `err_cmd`, worker ABI |
//! | [`ExecutorIdentity`] | with which program? | image digest, or platform and hash of the program |
//! | [`DatumKey`] | is it done already? | the three above; no repo, branch, commit, job or time |
//!
//! The key does not contain where data came from, so a result is reused whatever job, branch or pipeline made it.

use serde::{Deserialize, Serialize};

use crate::{
    digest::{DatumId, DatumKey, Digest, FieldHasher, InputsDigest, TransformDigest, TreeId},
    name::{BranchName, InputName, RepoName},
    spec::PipelineVersion,
    tree::FileEntry,
};

/// Version of what a program sees: layout of `/pfs`, environment, working directory. Raising it runs everything again.
pub const WORKER_ABI: u64 = 1;

/// What one input of a datum holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InputContent {
    /// One file.
    File(FileEntry),
    /// A folder and all below it.
    Folder {
        /// Digest over the paths (relative to the folder), modes and contents.
        digest: Digest,
        /// Files below it.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
}

impl InputContent {
    /// Bytes that the input holds.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        match self {
            Self::File(entry) => entry.size,
            Self::Folder { bytes, .. } => *bytes,
        }
    }
}

/// One input of a datum: a file or folder that a glob matched.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatumInput {
    /// The input's name: the folder below `/pfs`.
    pub name: InputName,
    /// The repo.
    pub repo: RepoName,
    /// The branch.
    pub branch: BranchName,
    /// The matched path, with a leading slash and none at the end; `/` for the whole repo.
    pub path: String,
    /// What is there.
    pub content: InputContent,
}

/// The smallest unit of work: one run of the transform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datum {
    /// Which datum.
    pub id: DatumId,
    /// What it reads, in the spec's order.
    pub inputs: Vec<DatumInput>,
}

impl Datum {
    /// Puts a datum together.
    #[must_use]
    pub fn new(inputs: Vec<DatumInput>) -> Self {
        Self { id: datum_id(&inputs), inputs }
    }

    /// What it reads, as a digest.
    #[must_use]
    pub fn inputs_digest(&self) -> InputsDigest {
        inputs_digest(&self.inputs)
    }

    /// Bytes that it reads.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().map(|input| input.content.bytes()).sum()
    }

    /// What a human calls it: the matched paths.
    #[must_use]
    pub fn label(&self) -> String {
        let name = |input: &DatumInput| format!("{}:{}", input.name, input.path);
        self.inputs.iter().map(name).collect::<Vec<_>>().join(" ")
    }
}

fn datum_id(inputs: &[DatumInput]) -> DatumId {
    let mut hasher = FieldHasher::new("flow datum id v1");
    for input in inputs {
        hasher.push(&input.name);
        hasher.push(&input.repo);
        hasher.push(&input.branch);
        hasher.push(&input.path);
    }
    DatumId(hasher.finish())
}

fn inputs_digest(inputs: &[DatumInput]) -> InputsDigest {
    let mut order: Vec<&DatumInput> = inputs.iter().collect();
    order.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    let mut hasher = FieldHasher::new("flow datum inputs v1");
    for input in order {
        hasher.push(&input.name);
        hasher.push(&input.path);
        match &input.content {
            InputContent::File(entry) => {
                hasher.push(if entry.executable { "executable" } else { "file" });
                hasher.push(entry.blob.0.as_bytes());
            }
            InputContent::Folder { digest, .. } => {
                hasher.push("folder");
                hasher.push(digest.as_bytes());
            }
        }
    }
    InputsDigest(hasher.finish())
}

/// Builds the digest of an [`InputContent::Folder`] from its files in path order.
pub struct FolderHasher {
    hasher: FieldHasher,
    files: u64,
    bytes: u64,
}

impl Default for FolderHasher {
    fn default() -> Self {
        Self { hasher: FieldHasher::new("flow datum folder v1"), files: 0, bytes: 0 }
    }
}

impl FolderHasher {
    /// Adds a file; `relative` is its path below the folder.
    pub fn add(&mut self, relative: &str, entry: &FileEntry) {
        self.hasher.push(relative);
        self.hasher.push(entry.encode());
        self.files += 1;
        self.bytes += entry.size;
    }

    /// The folder.
    #[must_use]
    pub fn finish(&self) -> InputContent {
        InputContent::Folder { digest: self.hasher.finish(), files: self.files, bytes: self.bytes }
    }
}

/// What runs the transform, apart from the transform itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecutorIdentity {
    /// A local process.
    Process {
        /// Operating system and architecture, for example `linux/x86_64`.
        platform: String,
        /// The program's resolved path; empty where it lies in the code folder.
        program: String,
        /// Digest of the program and, for a script, of its interpreter.
        digest: Digest,
    },
}

impl ExecutorIdentity {
    /// The word for it in records and messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Process { .. } => "process",
        }
    }

    /// What it contributes to a datum key.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Process { platform, digest, .. } => FieldHasher::new("flow executor v1")
                .field("process")
                .field(platform)
                .field(digest.as_bytes())
                .finish(),
        }
    }
}

/// Digest of what a pipeline version runs. `transform.image`, retries, timeouts and parallelism are no part of it.
#[must_use]
pub fn transform_digest(version: &PipelineVersion) -> TransformDigest {
    let transform = &version.spec.transform;
    let mut hasher = FieldHasher::new("flow transform v1");
    hasher.push_u64(WORKER_ABI);
    hasher.push_list(transform.cmd.iter());
    hasher.push_list(transform.stdin.iter());
    hasher.push_list(
        transform.env.iter().flat_map(|(name, value)| [name, value]).collect::<Vec<_>>().into_iter(),
    );
    hasher.push_list(transform.working_dir.iter());
    hasher.push_list(version.code_tree.iter().map(|TreeId(digest)| digest.as_bytes()));
    hasher.push_list(
        transform.accept_return_code.iter().map(|code| code.to_le_bytes()).collect::<Vec<_>>().into_iter(),
    );
    hasher.push_list(transform.err_cmd.iter());
    hasher.push_list(transform.err_stdin.iter());
    TransformDigest(hasher.finish())
}

/// The digest of all that decides what a pipeline makes of given commits: transform, program and inputs. A version
/// that differs in nothing of it (description, parallelism, tries, timeout, image) has nothing to do again.
#[must_use]
pub fn work_digest(version: &PipelineVersion, executor: &ExecutorIdentity) -> Digest {
    let input = serde_json::to_vec(&version.spec.input).unwrap_or_default();
    FieldHasher::new("flow work v1")
        .field(transform_digest(version).0.as_bytes())
        .field(executor.digest().as_bytes())
        .field(input)
        .finish()
}

/// The key of a datum.
#[must_use]
pub fn datum_key(transform: TransformDigest, executor: &ExecutorIdentity, inputs: InputsDigest) -> DatumKey {
    let hasher = FieldHasher::new("flow datum key v1")
        .field(transform.0.as_bytes())
        .field(executor.digest().as_bytes())
        .field(inputs.0.as_bytes());
    DatumKey(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::BlobId;

    fn input(name: &str, repo: &str, path: &str, text: &[u8]) -> DatumInput {
        let entry = FileEntry { blob: BlobId::of(text), size: text.len() as u64, executable: false };
        DatumInput {
            name: name.parse().unwrap(),
            repo: repo.parse().unwrap(),
            branch: BranchName::master(),
            path: path.to_owned(),
            content: InputContent::File(entry),
        }
    }

    #[test]
    fn the_id_has_names_and_the_digest_has_contents() {
        let a = Datum::new(vec![input("in", "r", "/a", b"1")]);
        let changed = Datum::new(vec![input("in", "r", "/a", b"2")]);
        let moved = Datum::new(vec![input("in", "other", "/a", b"1")]);
        assert_eq!(a.id, changed.id);
        assert_ne!(a.inputs_digest(), changed.inputs_digest());
        assert_ne!(a.id, moved.id);
        assert_eq!(a.inputs_digest(), moved.inputs_digest());
    }
}
