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

#[cfg(test)]
mod tests {
    use flow_model::path::RepoPath;
    use proptest::prelude::*;

    use super::*;
    use crate::{basis, order, testing::*};

    fn only(world: &World, mode: Mode) -> Change {
        let changes = world.changes(mode);
        assert_eq!(changes.len(), 1);
        changes.into_iter().next().unwrap()
    }

    #[test]
    fn the_table() {
        let source = || json!({"source": {"path": "./d", "branch": "master"}});
        let cases = [
            // wanted spec, live spec, folder differs; action, reason
            (Some(json!({})), None, false, Action::Create, ChangeReason::Declared),
            (Some(source()), None, true, Action::Create, ChangeReason::Declared),
            (Some(json!({})), Some(json!({})), false, Action::NoOp, ChangeReason::Unchanged),
            (Some(source()), Some(json!({})), false, Action::Update, ChangeReason::DefinitionChanged),
            (Some(source()), Some(source()), true, Action::Update, ChangeReason::FolderChanged),
            (Some(source()), Some(json!({})), true, Action::Update, ChangeReason::DefinitionAndFolderChanged),
            (None, Some(json!({})), false, Action::Delete, ChangeReason::NotInFiles),
        ];
        for (wanted, live, differs, action, reason) in cases {
            let mut world = World::default();
            wanted.clone().into_iter().for_each(|spec| world.want_repo("d", spec));
            live.into_iter().for_each(|spec| world.have("repo.d", repo(spec), data(0, 0, 0), [].into()));
            if differs {
                world.folder("d", sync("./d", [1, 0, 0], 1, &[]));
            }
            let change = only(&world, Mode::Apply);
            assert_eq!((change.action, change.reason), (action, reason), "{wanted:?}");
            assert_eq!(change.folder.is_some(), differs);
            assert_eq!(change.location.is_some(), wanted.is_some());
        }
    }

    #[test]
    fn what_only_inputs_name_is_implied() {
        let mut world = World::default();
        world.want_repo("d", json!({}));
        world.desired.get_mut(&addr("repo.d")).unwrap().implied = true;
        assert_eq!(only(&world, Mode::Apply).reason, ChangeReason::Implied);
    }

    #[test]
    fn deletes_take_data_along_and_data_is_protected_by_the_state() {
        let cases = [
            // data, protected in the state; protected in the plan
            (data(1, 5, 1), true, true),
            (data(0, 0, 2), true, true),
            (data(0, 0, 0), true, false),
            (data(1, 5, 1), false, false),
        ];
        for (held, in_state, expected) in cases {
            let mut world = World::default();
            world.have("pipeline.p", pipeline("p", &["a"], json!({})), held, [].into());
            world.live.get_mut(&addr("pipeline.p")).unwrap().protected = in_state;
            for (mode, reason) in
                [(Mode::Apply, ChangeReason::NotInFiles), (Mode::Destroy, ChangeReason::Destroy)]
            {
                let change = only(&world, mode);
                assert_eq!((change.action, change.reason), (Action::Delete, reason));
                assert_eq!((change.data, change.protected), (Some(held), expected), "{held:?} {in_state}");
            }
        }
    }

    #[test]
    fn destroying_wants_nothing() {
        let mut world = World::default();
        world.want_repo("new", json!({}));
        world.want_repo("old", json!({}));
        world.applied("repo.old");
        let change = only(&world, Mode::Destroy);
        assert_eq!((change.addr.to_string().as_str(), change.action), ("repo.old", Action::Delete));
        assert!(change.location.is_some(), "a delete of what is still written points at it");
    }

    #[test]
    fn code_counts_by_its_files() {
        let change = |before: (&str, &str), after: (&str, &str)| {
            let code = |(folder, tree)| {
                version(spec("p", &["a"], json!({"transform": {"code": folder}})), Some(tree))
            };
            let mut world = World::default();
            world.want(code(after), &["repo.a"]);
            world.have("pipeline.p", code(before), data(0, 0, 0), [].into());
            let path = RepoPath::parse("main.py").unwrap();
            let file = CodeFile { path, diff: "-a\n+b\n".to_owned() };
            if before.1 != after.1 {
                world.code.insert("p".parse().unwrap(), CodeDiff { files: vec![file] });
            }
            only(&world, Mode::Apply).fields
        };
        let edited = change(("src", "1"), ("src", "2"));
        assert_eq!(edited[0].path, "transform.code");
        assert_eq!(edited[0].diff.as_deref(), Some("-a\n+b\n"));
        assert_eq!(edited[0].before.as_ref().unwrap()["folder"], "src");
        assert_eq!(fields::effect(&edited[0]), fields::Effect::Transform);
        let moved = change(("src", "1"), ("lib", "1"));
        assert_eq!(moved.len(), 1);
        assert_eq!(fields::effect(&moved[0]), fields::Effect::Nothing);
    }

    #[test]
    fn fields_point_at_the_nearest_thing_that_is_written() {
        let mut world = World::default();
        let patch =
            json!({"transform": {"env": {"LANG": "C", "TZ": "UTC"}}, "input": {"pfs": {"glob": "/"}}});
        world.want(pipeline("p", &["a"], patch), &["repo.a"]);
        world.have("pipeline.p", pipeline("p", &["a"], json!({})), data(0, 0, 0), [].into());
        let lines = only(&world, Mode::Apply)
            .fields
            .into_iter()
            .map(|field| (field.path, field.location.map(|location| location.line)));
        let expected = [
            ("input.pfs.glob", 11),     // no place of its own: that of `input`
            ("transform.env.LANG", 11), // its own place
            ("transform.env.TZ", 10),   // nothing around it is known: the resource
        ];
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines, expected.map(|(path, line)| (path.to_owned(), Some(line))));
    }

    /// Up to six names, each a repo, a pipeline or nothing on either side, in a few variants; later names may read
    /// earlier ones.
    fn world() -> impl Strategy<Value = World> {
        let side =
            || prop::option::of((any::<bool>(), 0..3_u8, prop::collection::btree_set(0..6_usize, 0..3)));
        prop::collection::vec((side(), side(), any::<bool>()), 0..6).prop_map(|names| {
            let mut world = World::default();
            let desired: Vec<_> = names.iter().map(|(want, ..)| want.clone()).collect();
            let live: Vec<_> = names.iter().map(|(_, have, _)| have.clone()).collect();
            for (address, resource, reads) in side_of(&desired) {
                world.want_as(address, resource, &reads.iter().map(String::as_str).collect::<Vec<_>>());
            }
            for (address, resource, reads) in side_of(&live) {
                let reads = reads.iter().map(|text| addr(text)).collect();
                world.have(&address.to_string(), resource, data(1, 2, 3), reads);
            }
            for (at, (want, _, differs)) in names.iter().enumerate() {
                if *differs && matches!(want, Some((true, ..))) {
                    world.folder(&format!("n{at}"), sync("./d", [1, 0, 0], 1, &[]));
                }
            }
            world
        })
    }

    type Name = Option<(bool, u8, std::collections::BTreeSet<usize>)>;

    fn side_of(names: &[Name]) -> Vec<(ResourceAddr, Resource, Vec<String>)> {
        let address = |at: usize| {
            let (is_repo, ..) = names.get(at)?.as_ref()?;
            Some(format!("{}.n{at}", if *is_repo { "repo" } else { "pipeline" }))
        };
        let one = |(at, name): (usize, &Name)| {
            let (is_repo, variant, reads) = name.as_ref()?;
            let patch = json!({"description": variant.to_string()});
            if *is_repo {
                return Some((addr(&address(at)?), repo(patch), Vec::new()));
            }
            let reads: Vec<String> =
                reads.iter().filter(|read| **read < at).filter_map(|read| address(*read)).collect();
            Some((addr(&address(at)?), pipeline(&format!("n{at}"), &["a"], patch), reads))
        };
        names.iter().enumerate().filter_map(one).collect()
    }

    /// A tiny apply: one change at a time, in the plan's order.
    fn apply(world: &mut World, mode: Mode) {
        let changes = world.changes(mode);
        for address in order::order(&changes, &world.desired, &world.live) {
            let change = changes.iter().find(|change| change.addr == address).unwrap();
            if change.action == Action::Delete {
                world.live.remove(&address);
            } else {
                world.applied(&address.to_string());
            }
        }
        world.folders.clear();
    }

    proptest! {
        #[test]
        fn each_address_of_either_side_has_one_change_in_order(world in world()) {
            let changes = world.changes(Mode::Apply);
            let addresses: Vec<_> = changes.iter().map(|change| change.addr.clone()).collect();
            let mut expected: Vec<_> = world.desired.keys().chain(world.live.keys()).cloned().collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(addresses, expected);
        }

        #[test]
        fn the_plan_of_an_apply_is_empty(mut world in world()) {
            apply(&mut world, Mode::Apply);
            let changes = world.changes(Mode::Apply);
            prop_assert!(changes.iter().all(|change| change.action == Action::NoOp), "{:?}", changes);
            prop_assert!(basis::touched(&changes, &world.desired, &world.live).is_empty());
        }

        #[test]
        fn destroying_leaves_nothing(mut world in world()) {
            apply(&mut world, Mode::Destroy);
            prop_assert!(world.live.is_empty());
        }

        #[test]
        fn an_update_names_a_field_or_a_folder(world in world()) {
            for change in world.changes(Mode::Apply).iter().filter(|change| change.action == Action::Update) {
                prop_assert!(!change.fields.is_empty() || change.folder.is_some());
            }
        }

        #[test]
        fn order_has_each_change_once_and_keeps_the_constraints(world in world()) {
            let changes = world.changes(Mode::Apply);
            let order = order::order(&changes, &world.desired, &world.live);
            let mut sorted = order.clone();
            sorted.sort();
            let changed = changes.iter().filter(|change| change.action != Action::NoOp);
            prop_assert_eq!(sorted, changed.map(|change| change.addr.clone()).collect::<Vec<_>>());
            let place = |addr: &ResourceAddr| order.iter().position(|other| other == addr);
            let is_before = |a: &ResourceAddr, b: &ResourceAddr| match (place(a), place(b)) {
                (Some(a), Some(b)) => a < b,
                _ => true,
            };
            let same_name = |a: &ResourceAddr, b: &ResourceAddr| a.name() == b.name() && a != b;
            let hands_change = order.iter().any(|a| order.iter().any(|b| same_name(a, b)));
            for (addr, want) in &world.desired {
                prop_assert!(want.depends_on.iter().all(|source| is_before(source, addr)), "{addr} {order:?}");
            }
            for (addr, have) in &world.live {
                let is_gone = |addr: &ResourceAddr| !world.desired.contains_key(addr);
                let gone = have.depends_on.iter().filter(|source| is_gone(source));
                for source in gone.filter(|_| is_gone(addr) || !hands_change) {
                    prop_assert!(is_before(addr, source), "{addr} {source} {order:?}");
                }
                let taken = world.desired.keys().find(|other| same_name(other, addr));
                prop_assert!(taken.is_none_or(|other| !is_gone(addr) || is_before(addr, other)), "{order:?}");
            }
        }
    }
}
