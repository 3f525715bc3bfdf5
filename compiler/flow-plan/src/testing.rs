//! Fixtures of this crate's tests: small ways to say what is wanted, what is live and what a plan holds.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    digest::{CommitId, DatumId, DatumKey, Digest, InputsDigest, OperationId, RecordId, TreeId},
    forecast::{
        DatumForecast, DatumReason, ForecastAction, ForecastGroup, KnownDatum, ResultRef, WantedDatum,
        WorkCause,
    },
    job::DatumOutcome,
    plan::{Basis, Change, FolderSync, PLAN_FORMAT, Plan},
    resource::{Desired, DesiredResource, Live, LiveResource, Resource, ResourceAddr},
    span::Location,
    spec::{PipelineSpec, PipelineVersion, RepoSpec},
    state::RepoData,
    tree::FileCounts,
};
use serde_json::{Value, json};

use crate::{
    basis, order,
    resources::{self, CodeDiff, Details, Mode},
};

pub(crate) fn addr(text: &str) -> ResourceAddr {
    text.parse().unwrap()
}

pub(crate) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// The resolved spec of a pipeline that reads `repos`, with `patch` merged over it.
pub(crate) fn spec(name: &str, repos: &[&str], patch: Value) -> PipelineSpec {
    let leaf = |repo: &str| json!({"pfs": {"name": repo, "repo": repo, "branch": "master", "glob": "/*"}});
    let input = match repos {
        [repo] => leaf(repo),
        many => json!({"cross": many.iter().map(|repo| leaf(repo)).collect::<Vec<_>>()}),
    };
    let mut value = json!({
        "name": name, "transform": {"cmd": ["sh"]}, "input": input, "parallelism": 1, "datumTries": 3,
    });
    merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

/// Both sides and all that a diff needs, built up in words.
#[derive(Default, Debug)]
pub(crate) struct World {
    pub(crate) desired: Desired,
    pub(crate) live: Live,
    pub(crate) folders: BTreeMap<flow_model::name::RepoName, FolderSync>,
    pub(crate) code: BTreeMap<flow_model::name::PipelineName, CodeDiff>,
    pub(crate) data: Vec<DatumForecast>,
    pub(crate) notes: Vec<String>,
}

impl World {
    pub(crate) fn want(&mut self, resource: Resource, reads: &[&str]) {
        let name = match &resource {
            Resource::Repo(_) => unreachable!("use want_repo"),
            Resource::Pipeline(version) => addr(&format!("pipeline.{}", version.spec.name)),
        };
        self.want_as(name, resource, reads);
    }

    pub(crate) fn want_as(&mut self, name: ResourceAddr, resource: Resource, reads: &[&str]) {
        let line = 10 * (self.desired.len() as u32 + 1);
        let location = Some(Location { file: "flow.yaml".to_owned(), line, column: 3 });
        let depends_on: BTreeSet<ResourceAddr> = reads.iter().map(|text| addr(text)).collect();
        let resource = DesiredResource { resource, implied: false, depends_on, location, folder: None };
        self.desired.insert(name, resource);
    }

    pub(crate) fn want_repo(&mut self, name: &str, patch: Value) {
        self.want_as(addr(&format!("repo.{name}")), repo(patch), &[]);
    }

    /// Applied just as it is wanted now.
    pub(crate) fn applied(&mut self, name: &str) {
        let want = self.desired[&addr(name)].clone();
        self.have(name, want.resource, RepoData::default(), want.depends_on);
    }

    pub(crate) fn have(
        &mut self,
        name: &str,
        resource: Resource,
        data: RepoData,
        depends_on: BTreeSet<ResourceAddr>,
    ) {
        self.live.insert(addr(name), LiveResource { resource, depends_on, data, protected: true });
    }

    pub(crate) fn folder(&mut self, repo: &str, sync: FolderSync) {
        self.folders.insert(repo.parse().unwrap(), sync);
    }

    pub(crate) fn changes(&self, mode: Mode) -> Vec<Change> {
        let at = |name: &ResourceAddr, path: &str| {
            let is_written = matches!(path, "transform.stdin" | "transform.env.LANG" | "input");
            is_written.then(|| self.desired[name].location.clone()).flatten().map(|mut at| {
                at.line += 1;
                at
            })
        };
        let details = Details { folders: &self.folders, code: &self.code, locate: &at };
        resources::diff(&self.desired, &self.live, mode, &details)
    }

    pub(crate) fn plan(&self, mode: Mode) -> Plan {
        let changes = self.changes(mode);
        let order = order::order(&changes, &self.desired, &self.live);
        Plan {
            format_version: PLAN_FORMAT,
            tool_version: "0.1.0".to_owned(),
            context: "local".to_owned(),
            workspace: ".".to_owned(),
            destroy: mode == Mode::Destroy,
            basis: Basis {
                project: "montage".to_owned(),
                lineage: Some("01J0000000000000000000000".to_owned()),
                workspace: basis::workspace_digest(&self.desired),
                touched: basis::touched(&changes, &self.desired, &self.live),
                operation: Some(OperationId(digest("operation"))),
                heads: BTreeMap::from([("images@master".to_owned(), Some(CommitId(digest("head"))))]),
            },
            changes,
            data: self.data.clone(),
            order,
            notes: self.notes.clone(),
        }
    }
}

pub(crate) fn repo(patch: Value) -> Resource {
    Resource::Repo(serde_json::from_value::<RepoSpec>(patch).unwrap())
}

pub(crate) fn pipeline(name: &str, repos: &[&str], patch: Value) -> Resource {
    version(spec(name, repos, patch), None)
}

pub(crate) fn version(spec: PipelineSpec, code: Option<&str>) -> Resource {
    let code_tree = code.map(|text| TreeId(digest(text)));
    Resource::Pipeline(Box::new(PipelineVersion { spec, code_tree }))
}

pub(crate) fn data(files: u64, bytes: u64, commits: u64) -> RepoData {
    RepoData { files, bytes, commits }
}

pub(crate) fn sync(path: &str, counts: [u64; 3], bytes: u64, examples: &[&str]) -> FolderSync {
    let [added, changed, removed] = counts;
    FolderSync {
        path: path.to_owned(),
        branch: "master".to_owned(),
        tree: TreeId(digest(path)),
        counts: FileCounts { added, changed, removed, bytes },
        examples: examples.iter().map(|example| (*example).to_owned()).collect(),
        overwrites: None,
    }
}

pub(crate) fn forecast(
    name: &str,
    inputs: &[&str],
    cause: WorkCause,
    groups: Vec<ForecastGroup>,
) -> DatumForecast {
    DatumForecast {
        pipeline: name.parse().unwrap(),
        inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
        cause,
        groups,
        unknown_until: Vec::new(),
        estimate: None,
    }
}

pub(crate) fn group(action: ForecastAction, reason: DatumReason, datums: u64, bytes: u64) -> ForecastGroup {
    ForecastGroup { action, reason, detail: None, datums, bytes, examples: Vec::new() }
}

pub(crate) fn known(id: u8, key: u8, inputs: u8, outcome: DatumOutcome) -> KnownDatum {
    KnownDatum {
        id: datum_id(id),
        key: datum_key(key),
        inputs: inputs_digest(inputs),
        outcome,
        result: result(key),
    }
}

pub(crate) fn wanted(id: u8, key: u8, inputs: u8) -> WantedDatum {
    WantedDatum { id: datum_id(id), key: datum_key(key), inputs: inputs_digest(inputs), bytes: 10 }
}

/// Ids sort as their numbers do.
pub(crate) fn datum_id(number: u8) -> DatumId {
    DatumId(Digest::from_bytes([number; 32]))
}

pub(crate) fn datum_key(number: u8) -> DatumKey {
    DatumKey(Digest::from_bytes([number; 32]))
}

fn inputs_digest(number: u8) -> InputsDigest {
    InputsDigest(Digest::from_bytes([number; 32]))
}

pub(crate) fn result(number: u8) -> ResultRef {
    ResultRef { record: RecordId(Digest::from_bytes([number; 32])), facts: digest("facts") }
}
