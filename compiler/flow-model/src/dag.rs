//! The DAG of repos and pipelines: acyclic by construction.
//!
//! Nodes are resource addresses, an edge leads from what is read to what reads it. petgraph does the graph work; its
//! recursive algorithms are avoided, because a chain of thousands of pipelines would overflow the stack.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::{
    algo::{kosaraju_scc, toposort},
    graph::{DiGraph, NodeIndex},
};

use crate::{
    name::{PipelineName, RepoName},
    resource::ResourceAddr,
    spec::PipelineSpec,
};

/// An acyclic graph of resources.
#[derive(Debug, Clone)]
pub struct Dag {
    order: Vec<ResourceAddr>,
    reads: BTreeMap<ResourceAddr, BTreeSet<ResourceAddr>>,
}

/// Pipelines that feed themselves: each cycle as the pipelines on it, in the order in which data would flow, starting
/// with the least name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycles(pub Vec<Vec<PipelineName>>);

impl Dag {
    /// Builds the graph. `pipelines` gives for each pipeline the repos it reads; a repo with the name of a pipeline is
    /// that pipeline's output.
    ///
    /// # Errors
    /// [`Cycles`] if any pipeline feeds itself.
    pub fn build(pipelines: &BTreeMap<PipelineName, BTreeSet<RepoName>>) -> Result<Self, Cycles> {
        let producer = |repo: &RepoName| {
            let pipeline = PipelineName::parse(repo.as_str()).ok();
            match pipeline.filter(|name| pipelines.contains_key(name)) {
                Some(name) => ResourceAddr::Pipeline(name),
                None => ResourceAddr::Repo(repo.clone()),
            }
        };
        let mut reads: BTreeMap<ResourceAddr, BTreeSet<ResourceAddr>> = BTreeMap::new();
        for (pipeline, repos) in pipelines {
            let sources: BTreeSet<ResourceAddr> = repos.iter().map(producer).collect();
            for source in &sources {
                reads.entry(source.clone()).or_default();
            }
            reads.insert(ResourceAddr::Pipeline(pipeline.clone()), sources);
        }
        // `reads` may have been seeded for a pipeline before its own turn; `insert` above then replaced an empty set.
        let (graph, nodes) = graph_of(&reads);
        match toposort(&graph, None) {
            Ok(_) => Ok(Self { order: stable_order(&reads), reads }),
            Err(_) => Err(cycles_of(&graph, &nodes, &reads)),
        }
    }

    /// Builds the graph of resolved pipelines.
    ///
    /// # Errors
    /// As [`Dag::build`].
    pub fn of<'a>(specs: impl IntoIterator<Item = &'a PipelineSpec>) -> Result<Self, Cycles> {
        let repos =
            |spec: &PipelineSpec| spec.input.leaves().into_iter().map(|leaf| leaf.repo.clone()).collect();
        Self::build(&specs.into_iter().map(|spec| (spec.name.clone(), repos(spec))).collect())
    }

    /// All resources, each after everything that it reads; among equals by address.
    #[must_use]
    pub fn order(&self) -> &[ResourceAddr] {
        &self.order
    }

    /// The pipelines of [`Dag::order`].
    pub fn pipelines(&self) -> impl Iterator<Item = &PipelineName> {
        self.order.iter().filter_map(|addr| match addr {
            ResourceAddr::Pipeline(name) => Some(name),
            ResourceAddr::Repo(_) => None,
        })
    }

    /// What a resource reads directly.
    #[must_use]
    pub fn reads(&self, addr: &ResourceAddr) -> Option<&BTreeSet<ResourceAddr>> {
        self.reads.get(addr)
    }

    /// The pipelines that a pipeline reads directly.
    pub fn upstream(&self, pipeline: &PipelineName) -> impl Iterator<Item = &PipelineName> {
        let addr = ResourceAddr::Pipeline(pipeline.clone());
        self.reads.get(&addr).into_iter().flatten().filter_map(|addr| match addr {
            ResourceAddr::Pipeline(name) => Some(name),
            ResourceAddr::Repo(_) => None,
        })
    }
}

type Reads = BTreeMap<ResourceAddr, BTreeSet<ResourceAddr>>;

fn graph_of(reads: &Reads) -> (DiGraph<ResourceAddr, ()>, BTreeMap<&ResourceAddr, NodeIndex>) {
    let mut graph = DiGraph::new();
    let nodes: BTreeMap<&ResourceAddr, NodeIndex> =
        reads.keys().map(|addr| (addr, graph.add_node(addr.clone()))).collect();
    for (reader, sources) in reads {
        for source in sources {
            graph.add_edge(nodes[source], nodes[reader], ());
        }
    }
    (graph, nodes)
}

/// Kahn's algorithm with a sorted frontier: the same order for the same graph, whatever the order of files.
fn stable_order(reads: &Reads) -> Vec<ResourceAddr> {
    let mut waiting: BTreeMap<&ResourceAddr, usize> = reads.iter().map(|(addr, s)| (addr, s.len())).collect();
    let mut readers: BTreeMap<&ResourceAddr, Vec<&ResourceAddr>> = BTreeMap::new();
    for (reader, sources) in reads {
        for source in sources {
            readers.entry(source).or_default().push(reader);
        }
    }
    let mut ready: BTreeSet<&ResourceAddr> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(addr, _)| *addr).collect();
    let mut order = Vec::with_capacity(reads.len());
    while let Some(addr) = ready.pop_first() {
        order.push(addr.clone());
        for reader in readers.get(addr).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(reader) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(reader);
                }
            }
        }
    }
    order
}

fn cycles_of(
    graph: &DiGraph<ResourceAddr, ()>,
    nodes: &BTreeMap<&ResourceAddr, NodeIndex>,
    reads: &Reads,
) -> Cycles {
    let feeds_itself = |addr: &ResourceAddr| reads.get(addr).is_some_and(|sources| sources.contains(addr));
    let mut cycles: Vec<Vec<PipelineName>> = kosaraju_scc(graph)
        .into_iter()
        .filter(|component| component.len() > 1 || feeds_itself(&graph[component[0]]))
        .map(|component| shortest_cycle(graph, nodes, &component))
        .collect();
    cycles.sort();
    Cycles(cycles)
}

/// The shortest cycle through the least pipeline of a strongly connected component, by breadth-first search.
fn shortest_cycle(
    graph: &DiGraph<ResourceAddr, ()>,
    nodes: &BTreeMap<&ResourceAddr, NodeIndex>,
    component: &[NodeIndex],
) -> Vec<PipelineName> {
    let members: BTreeSet<&ResourceAddr> = component.iter().map(|node| &graph[*node]).collect();
    let Some(first) = members.first().copied() else { return Vec::new() };
    let mut came_from: BTreeMap<&ResourceAddr, &ResourceAddr> = BTreeMap::new();
    let mut frontier = std::collections::VecDeque::from([first]);
    while let Some(addr) = frontier.pop_front() {
        let mut next: Vec<&ResourceAddr> = graph.neighbors(nodes[addr]).map(|node| &graph[node]).collect();
        next.sort();
        for reader in next.into_iter().filter(|reader| members.contains(reader)) {
            if reader == first {
                return path_to(addr, first, &came_from);
            }
            if !came_from.contains_key(reader) {
                came_from.insert(reader, addr);
                frontier.push_back(reader);
            }
        }
    }
    Vec::new()
}

fn path_to<'a>(
    last: &'a ResourceAddr,
    first: &'a ResourceAddr,
    came_from: &BTreeMap<&'a ResourceAddr, &'a ResourceAddr>,
) -> Vec<PipelineName> {
    let mut path = Vec::new();
    let mut at = Some(last);
    while let Some(addr) = at {
        if let ResourceAddr::Pipeline(name) = addr {
            path.push(name.clone());
        }
        at = (addr != first).then(|| came_from.get(addr).copied()).flatten();
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(edges: &[(&str, &[&str])]) -> Result<Dag, Cycles> {
        let parse = |(name, repos): &(&str, &[&str])| {
            (name.parse().unwrap(), repos.iter().map(|repo| repo.parse().unwrap()).collect())
        };
        Dag::build(&edges.iter().map(parse).collect())
    }

    #[test]
    fn order_puts_readers_after_what_they_read() {
        let dag = build(&[("z", &["images"]), ("a", &["z", "images"]), ("m", &["a"])]).unwrap();
        let order: Vec<String> = dag.order().iter().map(ToString::to_string).collect();
        assert_eq!(order, ["repo.images", "pipeline.z", "pipeline.a", "pipeline.m"]);
    }

    #[test]
    fn cycles_are_found_whole() {
        let Err(Cycles(cycles)) = build(&[("a", &["c"]), ("b", &["a"]), ("c", &["b"]), ("s", &["s"])]) else {
            panic!("a cycle was accepted")
        };
        let text: Vec<Vec<&str>> =
            cycles.iter().map(|cycle| cycle.iter().map(PipelineName::as_str).collect()).collect();
        assert_eq!(text, [vec!["a", "b", "c"], vec!["s"]]);
    }

    #[test]
    fn a_chain_of_ten_thousand_does_not_overflow_the_stack() {
        let pipelines = (0..10_000)
            .map(|i| {
                let source = if i == 0 { "in".to_owned() } else { format!("p{}", i - 1) };
                (format!("p{i}").parse().unwrap(), BTreeSet::from([source.parse().unwrap()]))
            })
            .collect();
        assert_eq!(Dag::build(&pipelines).unwrap().order().len(), 10_001);
    }
}
