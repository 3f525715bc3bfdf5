//! The view: what the store records as applied.
//!
//! A view is a sorted map from text keys to small JSON values, kept as a Merkle search tree. These are the keys and
//! the values; the map itself is flow-store's.
//!
//! | key | value |
//! |---|---|
//! | `repo/NAME` | [`RepoState`] |
//! | `branch/REPO@BRANCH` | [`BranchState`] |
//! | `pipeline/NAME` | [`PipelineState`] |
//! | `job/PIPELINE/ID` | [`JobState`] |
//! | `last/PIPELINE` | [`LastJob`] |
//! | `index/ULID`, `cache/ULID` | [`RunState`] |

use serde::{Deserialize, Serialize};

use crate::{
    digest::{CommitId, CommitSetId, Digest, JobId, ManifestId, VersionId},
    job::{JobCounts, JobStatus},
    name::{BranchName, PipelineName, RepoName},
    spec::RepoSpec,
    time::Timestamp,
};

/// How much data a repo's head branches hold, and how much history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepoData {
    /// Files in the heads of all branches.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Commits on all branches.
    pub commits: u64,
}

/// What a repo is, in the view.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepoState {
    /// The spec that was applied; for an output repo the default one.
    pub spec: RepoSpec,
    /// The pipeline that alone may write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineName>,
    /// When it was made.
    pub created: Timestamp,
}

/// Where a branch points.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BranchState {
    /// Its newest commit.
    pub head: CommitId,
    /// Files in the head's tree.
    pub files: u64,
    /// Bytes in the head's tree.
    pub bytes: u64,
    /// Commits from the head to the first.
    pub commits: u64,
}

/// What a pipeline is, in the view.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineState {
    /// The version that runs.
    pub version: VersionId,
    /// How many versions there were, this one included.
    pub number: u64,
    /// When this version was applied.
    pub applied: Timestamp,
    /// The commit set that the version's apply started.
    pub commit_set: CommitSetId,
}

/// A job that has ended, in the view.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobState {
    /// Its manifest, which has all the rest.
    pub manifest: ManifestId,
    /// How it ended.
    pub status: JobStatus,
    /// Its datums.
    pub counts: JobCounts,
    /// What set it off.
    pub commit_set: CommitSetId,
    /// The version that ran.
    pub version: VersionId,
    /// The commit that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<CommitId>,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// The newest ended job of a pipeline: what a plan compares with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastJob {
    /// The job.
    pub job: JobId,
    /// Its manifest.
    pub manifest: ManifestId,
    /// How it ended.
    pub status: JobStatus,
    /// The version that ran.
    pub version: VersionId,
    /// What it ran on which inputs: [`crate::datum::work_digest`]. Fields that compute nothing are no part of it.
    pub work: Digest,
    /// The commits that it read, one per `pfs` input in the spec's order.
    pub inputs: Vec<CommitId>,
    /// How often this work was run on these commits before this job.
    pub run: u32,
}

/// A sorted run of the blob index or the result cache.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunState {
    /// Entries in the run.
    pub entries: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A key of the view.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ViewKey {
    /// A repo.
    Repo(RepoName),
    /// A branch.
    Branch(RepoName, BranchName),
    /// A pipeline.
    Pipeline(PipelineName),
    /// An ended job.
    Job(PipelineName, JobId),
    /// A pipeline's newest ended job.
    Last(PipelineName),
    /// A run of the blob index.
    Index(String),
    /// A run of the result cache.
    Cache(String),
}

impl ViewKey {
    /// The key as text; byte order of texts is the order of the view.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Repo(repo) => format!("repo/{repo}"),
            Self::Branch(repo, branch) => format!("branch/{repo}@{branch}"),
            Self::Pipeline(pipeline) => format!("pipeline/{pipeline}"),
            Self::Job(pipeline, job) => format!("job/{pipeline}/{job}"),
            Self::Last(pipeline) => format!("last/{pipeline}"),
            Self::Index(run) => format!("index/{run}"),
            Self::Cache(run) => format!("cache/{run}"),
        }
    }

    /// Reads a key's text; `None` for a text that is no key of this version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('/')?;
        Some(match kind {
            "repo" => Self::Repo(rest.parse().ok()?),
            "branch" => {
                let (repo, branch) = rest.split_once('@')?;
                Self::Branch(repo.parse().ok()?, branch.parse().ok()?)
            }
            "pipeline" => Self::Pipeline(rest.parse().ok()?),
            "job" => {
                let (pipeline, job) = rest.split_once('/')?;
                Self::Job(pipeline.parse().ok()?, job.parse().ok()?)
            }
            "last" => Self::Last(rest.parse().ok()?),
            "index" => Self::Index(rest.to_owned()),
            "cache" => Self::Cache(rest.to_owned()),
            _ => return None,
        })
    }
}

impl std::fmt::Display for ViewKey {
    /// What a conflict message calls it: `branch images@master`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Repo(repo) => write!(f, "repo `{repo}`"),
            Self::Branch(repo, branch) => write!(f, "branch `{repo}@{branch}`"),
            Self::Pipeline(pipeline) => write!(f, "pipeline `{pipeline}`"),
            Self::Job(pipeline, job) => write!(f, "job `{}` of `{pipeline}`", job.short()),
            Self::Last(pipeline) => write!(f, "the newest job of `{pipeline}`"),
            Self::Index(run) => write!(f, "index run `{run}`"),
            Self::Cache(run) => write!(f, "cache run `{run}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip() {
        let job = JobId(Digest::of(b"j"));
        let keys = [
            ViewKey::Repo("a".parse().unwrap()),
            ViewKey::Branch("a".parse().unwrap(), "b".parse().unwrap()),
            ViewKey::Pipeline("p".parse().unwrap()),
            ViewKey::Job("p".parse().unwrap(), job),
            ViewKey::Last("p".parse().unwrap()),
            ViewKey::Index("x".into()),
            ViewKey::Cache("x".into()),
        ];
        for key in keys {
            assert_eq!(ViewKey::parse(&key.text()), Some(key));
        }
        assert_eq!(ViewKey::parse("upload/x"), None);
    }
}
