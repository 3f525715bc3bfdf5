//! Resolved specs: every reference found, every default filled in, no room for a mistake of an earlier stage.
//!
//! These types are also what the store keeps as a pipeline version, hence their serde form: camelCase, defaults left
//! out, so that a later field with a default does not change the bytes of an earlier version.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    canonical::Stored,
    digest::{TreeId, VersionId},
    name::{BranchName, InputName, PipelineName, RepoName},
    time::Millis,
};

/// What a pipeline is, after resolution.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineSpec {
    /// Its name; its output repo has the same.
    pub name: PipelineName,
    /// For humans; changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What runs.
    pub transform: Transform,
    /// On what it runs.
    pub input: Input,
    /// How many datums run at a time, at most.
    pub parallelism: NonZeroU32,
    /// How often a datum is tried, the first try included.
    pub datum_tries: NonZeroU32,
    /// How long one try may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datum_timeout: Option<Millis>,
    /// Whether removing it may remove its output data too.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
}

/// What runs for each datum.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transform {
    /// Container image; processes do not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Program and arguments; no shell.
    pub cmd: Vec<String>,
    /// Lines for standard input, each followed by a newline; empty means `/dev/null`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stdin: Vec<String>,
    /// Environment, declared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Folder of source files that ship with the version, relative to the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Where the program starts; absent means the code folder, else `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Exit codes other than 0 that count as success.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_return_code: BTreeSet<i32>,
    /// Runs after a failed try; if it succeeds, the datum is recovered: no output, no failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub err_cmd: Vec<String>,
    /// Lines for `err_cmd`'s standard input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub err_stdin: Vec<String>,
}

/// Where datums come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Input {
    /// Files of a repo, one datum per match of a glob.
    Pfs(PfsInput),
    /// Every combination of the parts' datums.
    Cross(Vec<Input>),
    /// The datums of every part.
    Union(Vec<Input>),
}

/// Files of a repo's branch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PfsInput {
    /// The folder below `/pfs`.
    pub name: InputName,
    /// Whether the author wrote the name: named inputs come after unnamed ones and by name, as Pachyderm sorts them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
    /// The repo.
    pub repo: RepoName,
    /// The branch.
    pub branch: BranchName,
    /// Pachyderm's glob, cleaned, always with a leading slash.
    pub glob: String,
}

impl Input {
    /// The `pfs` inputs, in order.
    #[must_use]
    pub fn leaves(&self) -> Vec<&PfsInput> {
        let mut leaves = Vec::new();
        let mut open = vec![self];
        while let Some(input) = open.pop() {
            match input {
                Self::Pfs(leaf) => leaves.push(leaf),
                Self::Cross(parts) | Self::Union(parts) => open.extend(parts.iter().rev()),
            }
        }
        leaves
    }
}

/// What becomes of data when what made it is removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeletionPolicy {
    /// Data is protected: removal is refused without `--allow-destroy`.
    #[default]
    Retain,
    /// Data goes with it.
    Delete,
}

impl DeletionPolicy {
    /// Whether data is protected.
    #[must_use]
    pub fn is_retain(&self) -> bool {
        *self == Self::Retain
    }
}

/// What a repo is, after resolution.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepoSpec {
    /// For humans; changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A folder that `flow apply` keeps in step with a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RepoSource>,
    /// Whether removing it may remove its data too.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
}

/// A folder that `flow apply` keeps in step with a branch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepoSource {
    /// The folder, relative to the file that declares it.
    pub path: String,
    /// The branch.
    pub branch: BranchName,
}

/// A pipeline as it is run and recorded: the resolved spec with the code it ships.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineVersion {
    /// The spec.
    pub spec: PipelineSpec,
    /// The files of `transform.code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_tree: Option<TreeId>,
}

impl Stored for PipelineVersion {
    const TYPE: &'static str = "flow.pipeline-version.v1";
}

impl PipelineVersion {
    /// The version's id: the digest of its canonical bytes.
    #[must_use]
    pub fn id(&self) -> VersionId {
        VersionId(crate::canonical::digest(self))
    }
}
