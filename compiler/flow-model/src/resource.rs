//! Resources: what a plan creates, changes and deletes, under addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    digest::{Digest, TreeId},
    name::{NameError, PipelineName, RepoName},
    span::Location,
    spec::{PipelineVersion, RepoSpec},
    state::RepoData,
};

/// The address of a resource: `repo.images`, `pipeline.edges`. Repos sort before pipelines.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ResourceAddr {
    /// A repo that no pipeline writes.
    Repo(RepoName),
    /// A pipeline and the repo that it writes.
    Pipeline(PipelineName),
}

/// Why a text is not a resource address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceAddrError {
    /// No kind, or an unknown one.
    #[error("`{0}` is not a resource address: write `pipeline.NAME` or `repo.NAME`")]
    Kind(String),
    /// The name does not parse.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl ResourceAddr {
    /// `repo` or `pipeline`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Repo(_) => "repo",
            Self::Pipeline(_) => "pipeline",
        }
    }

    /// The name without the kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Repo(name) => name.as_str(),
            Self::Pipeline(name) => name.as_str(),
        }
    }
}

impl fmt::Display for ResourceAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind(), self.name())
    }
}

impl FromStr for ResourceAddr {
    type Err = ResourceAddrError;

    fn from_str(text: &str) -> Result<Self, ResourceAddrError> {
        match text.split_once('.') {
            Some(("repo", name)) => Ok(Self::Repo(name.parse()?)),
            Some(("pipeline", name)) => Ok(Self::Pipeline(name.parse()?)),
            _ => Err(ResourceAddrError::Kind(text.to_owned())),
        }
    }
}

impl Serialize for ResourceAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ResourceAddr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ResourceAddr".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^(repo|pipeline)\\.[A-Za-z0-9_-]+$"})
    }
}

/// What flow owns in a resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Resource {
    /// A repo that no pipeline writes.
    Repo(RepoSpec),
    /// A pipeline; its output repo comes and goes with it.
    Pipeline(Box<PipelineVersion>),
}

impl Resource {
    /// The digest of what flow owns: equal digests mean that there is nothing to change.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Repo(spec) => Digest::of(&serde_json::to_vec(spec).unwrap_or_default()),
            Self::Pipeline(version) => version.id().0,
        }
    }
}

/// A resource as the workspace wants it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DesiredResource {
    /// What it is to be.
    pub resource: Resource,
    /// Named only by inputs, not declared.
    pub implied: bool,
    /// What must exist before it.
    pub depends_on: BTreeSet<ResourceAddr>,
    /// Where it is written.
    pub location: Option<Location>,
    /// For a repo with a source folder: the tree of that folder now.
    pub folder: Option<TreeId>,
}

/// All that the workspace wants.
pub type Desired = BTreeMap<ResourceAddr, DesiredResource>;

/// A resource as the state has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveResource {
    /// What it is.
    pub resource: Resource,
    /// What must outlive it, recorded so that deletes can be ordered when the spec is gone.
    pub depends_on: BTreeSet<ResourceAddr>,
    /// The data that would go with it.
    pub data: RepoData,
    /// Whether that data may go: recorded in the state, so that deleting the block does not lift a protection.
    pub protected: bool,
}

/// All that the state has.
pub type Live = BTreeMap<ResourceAddr, LiveResource>;
