//! In which order changes are carried out.
//!
//! | constraint | why |
//! |---|---|
//! | a make comes after the makes of what it reads | its inputs must exist |
//! | a delete comes after the deletes of what read it | nothing may dangle |
//! | a make comes after the delete of the other kind with its name | a pipeline and its output repo share a name |
//! | a delete comes after the updates of what read it (soft) | a reader lets go before what it read goes |
//!
//! The last one gives way where a name changes hands between kinds: there the four cannot hold together. Among
//! resources that are free to go, makes come before deletes and lower addresses before higher ones.
//!
//! **Invariant:** every changed address exactly once, whatever the dependencies are (even if a damaged state holds a
//! cycle), and the same order for the same input. O(n log n).

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    plan::{Action, Change},
    resource::{Desired, Live, ResourceAddr},
};

/// The changed resources of `changes`, in the order in which to carry them out.
#[must_use]
pub fn order(changes: &[Change], desired: &Desired, live: &Live) -> Vec<ResourceAddr> {
    let nodes: BTreeMap<&ResourceAddr, Rank> = changes
        .iter()
        .filter(|change| change.action != Action::NoOp)
        .map(|change| (&change.addr, Rank::of(change.action)))
        .collect();
    Schedule::new(&nodes, desired, live).run()
}

/// Makes before deletes among those that are free to go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rank {
    Make,
    Delete,
}

impl Rank {
    const fn of(action: Action) -> Self {
        match action {
            Action::Delete => Self::Delete,
            Action::NoOp | Action::Create | Action::Update => Self::Make,
        }
    }
}

type Node<'a> = (Rank, &'a ResourceAddr);

#[derive(Default)]
struct Waiting<'a> {
    hard: usize,
    soft: usize,
    /// What waits for this one, and whether it must.
    followers: Vec<(Node<'a>, bool)>,
}

/// Kahn's algorithm with sorted frontiers.
struct Schedule<'a> {
    waiting: BTreeMap<Node<'a>, Waiting<'a>>,
    ready: BTreeSet<Node<'a>>,
    /// Waits for soft constraints only.
    nearly: BTreeSet<Node<'a>>,
}

impl<'a> Schedule<'a> {
    fn new(nodes: &BTreeMap<&'a ResourceAddr, Rank>, desired: &Desired, live: &Live) -> Self {
        let mut schedule = Self { waiting: BTreeMap::new(), ready: BTreeSet::new(), nearly: BTreeSet::new() };
        for (addr, rank) in nodes {
            schedule.waiting.insert((*rank, addr), Waiting::default());
        }
        let find = |addr: &ResourceAddr| nodes.get_key_value(addr).map(|(addr, rank)| (*rank, *addr));
        for (addr, rank) in nodes {
            let node = (*rank, *addr);
            let wanted = desired.get(*addr).filter(|_| *rank == Rank::Make);
            for source in wanted.iter().flat_map(|want| &want.depends_on).filter_map(find) {
                schedule.constrain((Rank::Make, source.1), node, true);
            }
            for source in live.get(*addr).iter().flat_map(|have| &have.depends_on).filter_map(find) {
                if source.0 == Rank::Delete {
                    schedule.constrain(node, source, *rank == Rank::Delete);
                }
            }
            if let Some(taken) = other_kind(addr).as_ref().and_then(find)
                && *rank == Rank::Make
                && taken.0 == Rank::Delete
            {
                schedule.constrain(taken, node, true);
            }
        }
        let free = |state: &Waiting<'_>| (state.hard == 0, state.soft == 0);
        for (node, state) in &schedule.waiting {
            match free(state) {
                (true, true) => schedule.ready.insert(*node),
                (true, false) => schedule.nearly.insert(*node),
                (false, _) => false,
            };
        }
        schedule
    }

    fn constrain(&mut self, first: Node<'a>, then: Node<'a>, hard: bool) {
        if first == then || !self.waiting.contains_key(&then) {
            return;
        }
        let Some(state) = self.waiting.get_mut(&first) else { return };
        state.followers.push((then, hard));
        if let Some(state) = self.waiting.get_mut(&then) {
            *(if hard { &mut state.hard } else { &mut state.soft }) += 1;
        }
    }

    fn run(mut self) -> Vec<ResourceAddr> {
        let mut order = Vec::with_capacity(self.waiting.len());
        while let Some(node) = self.next() {
            order.push(node.1.clone());
            let followers = self.waiting.remove(&node).map(|state| state.followers).unwrap_or_default();
            for (follower, hard) in followers {
                self.release(follower, hard);
            }
        }
        order
    }

    fn next(&mut self) -> Option<Node<'a>> {
        let node = self.ready.pop_first().or_else(|| self.nearly.pop_first());
        // Only a state with a dependency cycle leaves nothing free; then the least address goes first.
        node.or_else(|| self.waiting.keys().next().copied())
    }

    fn release(&mut self, node: Node<'a>, hard: bool) {
        let Some(state) = self.waiting.get_mut(&node) else { return };
        let count = if hard { &mut state.hard } else { &mut state.soft };
        *count = count.saturating_sub(1);
        match (state.hard, state.soft) {
            (0, 0) => {
                self.nearly.remove(&node);
                self.ready.insert(node);
            }
            (0, _) => {
                self.nearly.insert(node);
            }
            _ => {}
        }
    }
}

/// The address of the other kind with the same name: a pipeline's output repo has the pipeline's name.
fn other_kind(addr: &ResourceAddr) -> Option<ResourceAddr> {
    match addr {
        ResourceAddr::Repo(name) => name.as_str().parse().ok().map(ResourceAddr::Pipeline),
        ResourceAddr::Pipeline(name) => Some(ResourceAddr::Repo(name.output_repo())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{resources::Mode, testing::*};

    fn order_of(world: &World) -> Vec<String> {
        let changes = world.changes(Mode::Apply);
        order(&changes, &world.desired, &world.live).iter().map(ToString::to_string).collect()
    }

    fn have(world: &mut World, name: &str, reads: &[&str]) {
        let resource = match name.strip_prefix("pipeline.") {
            Some(pipeline_name) => pipeline(pipeline_name, &["x"], json!({"description": "old"})),
            None => repo(json!({"description": "old"})),
        };
        world.have(name, resource, data(1, 1, 1), reads.iter().map(|text| addr(text)).collect());
    }

    #[test]
    fn makes_follow_what_they_read_and_deletes_come_in_reverse() {
        let mut world = World::default();
        world.want_repo("in", json!({}));
        world.want(pipeline("a", &["z"], json!({})), &["pipeline.z"]);
        world.want(pipeline("z", &["in"], json!({})), &["repo.in"]);
        have(&mut world, "repo.old", &[]);
        have(&mut world, "pipeline.old-a", &["repo.old"]);
        have(&mut world, "pipeline.old-z", &["pipeline.old-a"]);
        let expected =
            ["repo.in", "pipeline.z", "pipeline.a", "pipeline.old-z", "pipeline.old-a", "repo.old"];
        assert_eq!(order_of(&world), expected);
    }

    #[test]
    fn a_reader_lets_go_before_what_it_read_goes() {
        let mut world = World::default();
        world.want_repo("new", json!({}));
        world.want(pipeline("p", &["new"], json!({})), &["repo.new"]);
        have(&mut world, "pipeline.p", &["repo.old"]);
        have(&mut world, "repo.old", &[]);
        assert_eq!(order_of(&world), ["repo.new", "pipeline.p", "repo.old"]);
    }

    #[test]
    fn a_name_is_free_before_the_other_kind_takes_it() {
        let mut world = World::default();
        world.want(pipeline("edges", &["in"], json!({})), &[]);
        world.want(pipeline("montage", &["edges"], json!({})), &["pipeline.edges"]);
        have(&mut world, "repo.edges", &[]);
        have(&mut world, "pipeline.montage", &["repo.edges"]);
        // `montage` reads the old `edges` and the new one: the soft constraint has to give way.
        assert_eq!(order_of(&world), ["repo.edges", "pipeline.edges", "pipeline.montage"]);
    }

    #[test]
    fn a_state_with_a_cycle_still_gives_every_change() {
        let mut world = World::default();
        have(&mut world, "pipeline.a", &["pipeline.b"]);
        have(&mut world, "pipeline.b", &["pipeline.a"]);
        have(&mut world, "pipeline.c", &["pipeline.c"]);
        assert_eq!(order_of(&world), ["pipeline.c", "pipeline.a", "pipeline.b"]);
    }

    #[test]
    fn a_long_chain_is_ordered_quickly() {
        let mut world = World::default();
        for at in (0..10_000).rev() {
            let reads = if at == 0 { vec![] } else { vec![format!("pipeline.p{}", at - 1)] };
            let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
            world.want(pipeline(&format!("p{at}"), &["in"], json!({})), &reads);
        }
        let order = order_of(&world);
        assert!((0..10_000).all(|at| order[at] == format!("pipeline.p{at}")));
    }
}
