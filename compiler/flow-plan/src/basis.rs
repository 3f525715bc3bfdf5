//! What a plan was made from, and whether that has moved since.
//!
//! | part | what | moved |
//! |---|---|---|
//! | 1 | project, store, workspace, each touched resource | the plan is refused |
//! | 2 | the branches that pipelines read | the forecast is computed again |
//! | | the newest operation | recorded only: an unrelated change never invalidates a plan |
//!
//! A touched resource is known by a digest: of its definition where it is made or changed; of its definition and the
//! amount of its data where it is deleted, so that nothing is deleted that the plan did not show; of its address alone
//! where it is only read by a changed one, so that it counts whether it is still there.

use std::collections::BTreeMap;

use flow_model::{
    digest::{Digest, FieldHasher, TreeId},
    plan::{Action, Basis, Change},
    resource::{Desired, Live, LiveResource, ResourceAddr},
};

/// Something that moved between plan and apply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moved {
    /// What: `pipeline.edges`, `images@master`, `the workspace's files`.
    pub what: String,
    /// As the plan knew it, for people.
    pub before: String,
    /// As it is now, for people.
    pub after: String,
}

/// How a plan's basis compares with now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Staleness {
    /// Moves that refuse the plan.
    pub refused: Vec<Moved>,
    /// Moves of data: the forecast is out of date, the changes are not.
    pub data_moved: Vec<Moved>,
}

impl Staleness {
    /// Whether nothing moved.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.refused.is_empty() && self.data_moved.is_empty()
    }
}

/// Digest of the desired resources and source folders: of what is wanted, not of how it is written.
#[must_use]
pub fn workspace_digest(desired: &Desired) -> Digest {
    let mut hasher = FieldHasher::new("flow workspace v1");
    for (addr, resource) in desired {
        hasher.push(addr.to_string());
        hasher.push(resource.resource.digest().as_bytes());
        hasher.push(if resource.implied { "implied" } else { "declared" });
        hasher.push_list(resource.folder.iter().map(|TreeId(digest)| digest.as_bytes()));
    }
    hasher.finish()
}

/// What [`Basis::touched`] is to hold for a plan with these changes. To check a saved plan, pass its own changes with
/// what is live now.
#[must_use]
pub fn touched(changes: &[Change], desired: &Desired, live: &Live) -> BTreeMap<ResourceAddr, Option<Digest>> {
    let changed = || changes.iter().filter(|change| change.action != Action::NoOp);
    let read = changed()
        .filter(|change| change.action != Action::Delete)
        .filter_map(|change| desired.get(&change.addr))
        .flat_map(|want| &want.depends_on)
        .map(|addr| (addr.clone(), live.get(addr).map(|_| Digest::of(addr.to_string().as_bytes()))));
    let touched = changed().map(|change| {
        let have = live.get(&change.addr);
        (change.addr.clone(), have.map(|have| touched_digest(change.action, have)))
    });
    // What is both read and changed counts as changed.
    read.chain(touched).collect()
}

fn touched_digest(action: Action, have: &LiveResource) -> Digest {
    let definition = have.resource.digest();
    if action != Action::Delete {
        return definition;
    }
    let mut hasher = FieldHasher::new("flow touched v1").field(definition.as_bytes());
    hasher.push_u64(have.data.files);
    hasher.push_u64(have.data.bytes);
    hasher.push_u64(have.data.commits);
    hasher.finish()
}

/// Compares the basis of a saved plan with the basis of now; `now.touched` is made by [`touched`] from the saved plan's
/// changes.
#[must_use]
pub fn stale(saved: &Basis, now: &Basis) -> Staleness {
    Staleness { refused: refused(saved, now), data_moved: moved_heads(saved, now) }
}

fn refused(saved: &Basis, now: &Basis) -> Vec<Moved> {
    let mut moves = Vec::new();
    let mut check = |what: String, before: String, after: String| {
        if before != after {
            moves.push(Moved { what, before, after });
        }
    };
    check("the project".to_owned(), saved.project.clone(), now.project.clone());
    // A store that was made after the plan may still be the right one: the touched resources tell.
    if let Some(before) = &saved.lineage {
        let gone = || "not there any more".to_owned();
        check("the store".to_owned(), before.clone(), now.lineage.clone().unwrap_or_else(gone));
    }
    if saved.workspace != now.workspace {
        let (before, after) = (saved.workspace.short(), now.workspace.short());
        check("the workspace's files".to_owned(), before, after);
    }
    for (addr, before) in &saved.touched {
        let after = now.touched.get(addr).copied().flatten();
        if *before != after {
            check(addr.to_string(), definition(*before), definition(after));
        }
    }
    moves
}

fn definition(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "not there".to_owned(), |digest| digest.short())
}

fn moved_heads(saved: &Basis, now: &Basis) -> Vec<Moved> {
    let head = |basis: &Basis, branch: &String| {
        let head = basis.heads.get(branch).copied().flatten();
        head.map_or_else(|| "no data".to_owned(), |commit| commit.short())
    };
    let branches: std::collections::BTreeSet<&String> = saved.heads.keys().chain(now.heads.keys()).collect();
    let differs = |branch: &&&String| {
        saved.heads.get(**branch).copied().flatten() != now.heads.get(**branch).copied().flatten()
    };
    let moved = |branch: &String| Moved {
        what: branch.clone(),
        before: head(saved, branch),
        after: head(now, branch),
    };
    branches.iter().filter(differs).map(|branch| moved(branch)).collect()
}

#[cfg(test)]
mod tests {
    use flow_model::digest::CommitId;
    use serde_json::json;

    use super::*;
    use crate::{resources::Mode, testing::*};

    /// Creates `edges` over `images`, which is there, changes `montage`, deletes `old` and leaves `other` alone.
    fn world() -> World {
        let mut world = World::default();
        for name in ["images", "other"] {
            world.want_repo(name, json!({}));
            world.applied(&format!("repo.{name}"));
        }
        world.want(pipeline("edges", &["images"], json!({})), &["repo.images"]);
        world.want(pipeline("montage", &["edges"], json!({"parallelism": 2})), &["pipeline.edges"]);
        world.have("pipeline.montage", pipeline("montage", &["edges"], json!({})), data(1, 1, 1), [].into());
        world.have("repo.old", repo(json!({})), data(1, 1, 1), [].into());
        world
    }

    /// What has moved for the saved plan of [`world`] once `moves` happened.
    fn moved(moves: impl FnOnce(&mut World)) -> (Vec<String>, Vec<String>) {
        let saved = world().plan(Mode::Apply);
        let mut now = world();
        moves(&mut now);
        let mut basis = now.plan(Mode::Apply).basis;
        basis.touched = touched(&saved.changes, &now.desired, &now.live);
        names(stale(&saved.basis, &basis))
    }

    fn names(staleness: Staleness) -> (Vec<String>, Vec<String>) {
        let names = |moves: Vec<Moved>| moves.into_iter().map(|moved| moved.what).collect();
        (names(staleness.refused), names(staleness.data_moved))
    }

    #[test]
    fn nothing_moved_is_fresh() {
        let basis = world().plan(Mode::Apply).basis;
        assert!(stale(&basis, &basis).is_fresh());
        assert_eq!(moved(|_| {}), (vec![], vec![]));
    }

    #[test]
    fn what_a_plan_touches_refuses_it_and_is_named() {
        let changed = || pipeline("montage", &["edges"], json!({"datumTries": 9}));
        type Move = Box<dyn FnOnce(&mut World)>;
        let cases: [(Move, &str); 6] = [
            (
                Box::new(move |now| now.have("pipeline.montage", changed(), data(1, 1, 1), [].into())),
                "pipeline.montage",
            ),
            (Box::new(|now| now.applied("pipeline.edges")), "pipeline.edges"),
            (Box::new(|now| drop(now.live.remove(&addr("repo.old")))), "repo.old"),
            (Box::new(|now| now.live.get_mut(&addr("repo.old")).unwrap().data.files = 2), "repo.old"),
            (Box::new(|now| drop(now.live.remove(&addr("repo.images")))), "repo.images"),
            (Box::new(|now| now.want_repo("fresh", json!({}))), "the workspace's files"),
        ];
        for (moves, what) in cases {
            assert_eq!(moved(moves), (vec![what.to_owned()], vec![]), "{what}");
        }
    }

    #[test]
    fn what_a_plan_does_not_touch_never_refuses_it() {
        assert_eq!(moved(|now| drop(now.live.remove(&addr("repo.other")))), (vec![], vec![]));
        assert_eq!(
            moved(|now| now.live.get_mut(&addr("repo.images")).unwrap().data.files = 9),
            (vec![], vec![])
        );
        let described = repo(json!({"description": "now described"}));
        assert_eq!(
            moved(|now| now.have("repo.images", described, data(0, 0, 0), [].into())),
            (vec![], vec![])
        );
        let saved = world().plan(Mode::Apply).basis;
        let now = Basis { operation: None, ..saved.clone() };
        assert!(stale(&saved, &now).is_fresh(), "an unrelated operation");
    }

    #[test]
    fn project_and_store_are_part_of_the_basis() {
        let saved = world().plan(Mode::Apply).basis;
        let other = Basis { project: "x".into(), lineage: Some("y".into()), ..saved.clone() };
        assert_eq!(names(stale(&saved, &other)).0, ["the project", "the store"]);
        let gone = Basis { lineage: None, ..saved.clone() };
        assert_eq!(stale(&saved, &gone).refused[0].after, "not there any more");
        assert!(stale(&gone, &saved).is_fresh(), "a store that was made in between");
    }

    #[test]
    fn moved_heads_are_data() {
        let saved = world().plan(Mode::Apply).basis;
        let head = |text: &str| Some(CommitId(digest(text)));
        let heads = |heads: &[(&str, Option<CommitId>)]| Basis {
            heads: heads.iter().map(|(branch, head)| ((*branch).to_owned(), *head)).collect(),
            ..saved.clone()
        };
        let before = heads(&[("a@master", head("1")), ("b@master", None), ("c@master", head("1"))]);
        let after = heads(&[("a@master", head("1")), ("b@master", head("2")), ("d@master", head("1"))]);
        let staleness = stale(&before, &after);
        assert_eq!(staleness.refused, []);
        let moved: Vec<_> =
            staleness.data_moved.iter().map(|m| (m.what.as_str(), m.before.as_str())).collect();
        let short = digest("1").short();
        assert_eq!(moved, [("b@master", "no data"), ("c@master", short.as_str()), ("d@master", "no data")]);
        assert!(stale(&heads(&[("b@master", None)]), &heads(&[])).is_fresh(), "no head either way");
    }

    #[test]
    fn the_workspace_digest_tells_what_is_wanted() {
        let of = |edit: &dyn Fn(&mut DesiredEdit)| {
            let mut world = world();
            edit(world.desired.get_mut(&addr("repo.images")).unwrap());
            workspace_digest(&world.desired)
        };
        let same = of(&|_| {});
        assert_eq!(same, of(&|images| images.location = None), "where it is written does not matter");
        assert_ne!(same, of(&|images| images.implied = true));
        assert_ne!(same, of(&|images| images.folder = Some(TreeId(digest("tree")))));
        assert_ne!(same, of(&|images| images.resource = repo(json!({"description": "x"}))));
    }

    type DesiredEdit = flow_model::resource::DesiredResource;
}
