//! The resource differ: what happens to each resource, and why. Pure: two sorted maps in, one change per address out.
//!
//! | wanted | live | differs | action | reason |
//! |---|---|---|---|---|
//! | yes | no | | create | declared, or implied by an input |
//! | yes | yes | definition | update | definition changed |
//! | yes | yes | folder | update | folder changed |
//! | yes | yes | both | update | definition and folder changed |
//! | yes | yes | nothing | no-op | unchanged |
//! | no | yes | | delete | not in files |
//! | (destroy) | yes | | delete | destroy |
//!
//! Implied repos follow the same table: one that no input names any more is deleted like any other. What guards data
//! is not how a repo came to be but what it holds: a delete is marked protected when the state says that the data must
//! stay and there is data.
//!
//! **Invariant:** total (each address of either side exactly once), in address order, and idempotent: with the changes
//! applied to the live side, a second diff is all no-op. Destroying is the diff against a workspace that wants nothing.
//!
//! Not here: comparing folders with branches and code trees with each other, which needs the store ([`Details`]).

use std::collections::BTreeMap;

use flow_model::{
    name::{PipelineName, RepoName},
    plan::{Action, Change, ChangeReason, FieldChange, FolderSync},
    resource::{Desired, DesiredResource, Live, LiveResource, Resource, ResourceAddr},
    span::Location,
    spec::PipelineVersion,
    state::RepoData,
};
use itertools::{EitherOrBoth, Itertools};
use serde_json::{Value, json};

use crate::{fields, text::CodeFile};

/// What a plan is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Make what is live as the workspace wants it.
    Apply,
    /// Remove everything.
    Destroy,
}

/// How a pipeline's code differs from the code of its live version, file by file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CodeDiff {
    /// The files that differ, in path order.
    pub files: Vec<CodeFile>,
}

/// Where a field of a resource is written, by its path in the resolved spec; `None` if that exact field is not.
pub type LocateField<'a> = dyn Fn(&ResourceAddr, &str) -> Option<Location> + 'a;

/// What the differ cannot know by itself.
pub struct Details<'a> {
    /// The source folders that differ from their branch.
    pub folders: &'a BTreeMap<RepoName, FolderSync>,
    /// The pipelines whose code differs from the live version's.
    pub code: &'a BTreeMap<PipelineName, CodeDiff>,
    /// Where fields are written.
    pub locate: &'a LocateField<'a>,
}

/// Compares what is wanted with what is there: one [`Change`] per address, in address order.
#[must_use]
pub fn diff(desired: &Desired, live: &Live, mode: Mode, details: &Details<'_>) -> Vec<Change> {
    let nothing = Desired::new();
    let (wanted, reason) = match mode {
        Mode::Apply => (desired, ChangeReason::NotInFiles),
        Mode::Destroy => (&nothing, ChangeReason::Destroy),
    };
    wanted
        .iter()
        .merge_join_by(live, |(want, _), (have, _)| want.cmp(have))
        .map(|pair| match pair {
            EitherOrBoth::Left((addr, want)) => create(addr, want, details),
            EitherOrBoth::Right((addr, have)) => {
                let location = desired.get(addr).and_then(|resource| resource.location.clone());
                Change { location, ..delete(addr, have, reason) }
            }
            EitherOrBoth::Both((addr, want), (_, have)) => between(addr, want, have, details),
        })
        .collect()
}

fn bare(addr: &ResourceAddr, action: Action, reason: ChangeReason) -> Change {
    Change {
        addr: addr.clone(),
        action,
        reason,
        fields: Vec::new(),
        folder: None,
        data: None,
        protected: false,
        location: None,
    }
}

fn create(addr: &ResourceAddr, want: &DesiredResource, details: &Details<'_>) -> Change {
    let reason = if want.implied { ChangeReason::Implied } else { ChangeReason::Declared };
    Change {
        folder: folder_of(addr, details).cloned(),
        location: want.location.clone(),
        ..bare(addr, Action::Create, reason)
    }
}

fn delete(addr: &ResourceAddr, have: &LiveResource, reason: ChangeReason) -> Change {
    Change {
        data: Some(have.data),
        protected: have.protected && holds_data(&have.data),
        ..bare(addr, Action::Delete, reason)
    }
}

/// A repo whose heads are empty may still hold history.
fn holds_data(data: &RepoData) -> bool {
    data.files > 0 || data.commits > 0
}

fn between(
    addr: &ResourceAddr,
    want: &DesiredResource,
    have: &LiveResource,
    details: &Details<'_>,
) -> Change {
    let folder = folder_of(addr, details);
    let differs = want.resource != have.resource;
    let (action, reason) = match (differs, folder.is_some()) {
        (false, false) => (Action::NoOp, ChangeReason::Unchanged),
        (true, false) => (Action::Update, ChangeReason::DefinitionChanged),
        (false, true) => (Action::Update, ChangeReason::FolderChanged),
        (true, true) => (Action::Update, ChangeReason::DefinitionAndFolderChanged),
    };
    let fields = if differs { changed_fields(addr, &have.resource, want, details) } else { Vec::new() };
    Change { fields, folder: folder.cloned(), location: want.location.clone(), ..bare(addr, action, reason) }
}

fn folder_of<'a>(addr: &ResourceAddr, details: &Details<'a>) -> Option<&'a FolderSync> {
    match addr {
        ResourceAddr::Repo(name) => details.folders.get(name),
        ResourceAddr::Pipeline(_) => None,
    }
}

fn changed_fields(
    addr: &ResourceAddr,
    before: &Resource,
    want: &DesiredResource,
    details: &Details<'_>,
) -> Vec<FieldChange> {
    let mut changed = match (before, &want.resource) {
        (Resource::Repo(before), Resource::Repo(after)) => fields::between(before, after),
        (Resource::Pipeline(before), Resource::Pipeline(after)) => {
            pipeline_fields(before, after, details.code)
        }
        // An address holds one kind only; should a state ever disagree, the whole resource is the difference.
        (before, after) => fields::between(before, after),
    };
    for field in &mut changed {
        field.location = locate(addr, &field.path, details).or_else(|| want.location.clone());
    }
    changed
}

fn pipeline_fields(
    before: &PipelineVersion,
    after: &PipelineVersion,
    code: &BTreeMap<PipelineName, CodeDiff>,
) -> Vec<FieldChange> {
    let mut changed = fields::between(&before.spec, &after.spec);
    changed.retain(|field| field.path != fields::CODE_FIELD);
    let (old, new) = (code_value(before), code_value(after));
    if old != new {
        let diff = code.get(&after.spec.name).map(joined).filter(|diff| !diff.is_empty());
        let path = fields::CODE_FIELD.to_owned();
        let at = changed.partition_point(|field| field.path < path);
        changed.insert(at, FieldChange { path, before: old, after: new, location: None, diff });
    }
    changed
}

/// Code as a plan shows it: the folder and the tree of its files, which decides alone whether anything runs again.
fn code_value(version: &PipelineVersion) -> Option<Value> {
    let folder = version.spec.transform.code.as_ref();
    (folder.is_some() || version.code_tree.is_some()).then(|| {
        let tree = version.code_tree.as_ref().map(ToString::to_string);
        json!({"folder": folder, "tree": tree})
    })
}

fn joined(code: &CodeDiff) -> String {
    code.files.iter().map(|file| file.diff.as_str()).collect()
}

/// Where a field is written, or else the nearest thing around it that is.
fn locate(addr: &ResourceAddr, path: &str, details: &Details<'_>) -> Option<Location> {
    let mut path = path;
    loop {
        if let Some(location) = (details.locate)(addr, path) {
            return Some(location);
        }
        path = &path[..path.rfind(['.', '['])?];
    }
}
