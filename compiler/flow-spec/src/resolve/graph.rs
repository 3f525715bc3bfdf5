//! The graph: who reads whom, and the circles in it.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    dag::{Cycles, Dag},
    name::{PipelineName, RepoName},
    span::Span,
};

use super::Reads;
use crate::{codes::graph, report::Report};

/// Builds the graph, or reports every cycle with each of its edges.
pub(super) fn check(mut reads: Reads, report: &mut Report) -> Option<Dag> {
    for (name, repos) in &mut reads {
        // Apart from longer circles, so that one does not hide the other.
        if let Some(at) = repos.remove(&name.output_repo()) {
            report.push(graph::reads_itself(at, name));
        }
    }
    let edges: BTreeMap<PipelineName, BTreeSet<RepoName>> =
        reads.iter().map(|(name, repos)| (name.clone(), repos.keys().cloned().collect())).collect();
    match Dag::build(&edges) {
        Ok(dag) => Some(dag),
        Err(Cycles(cycles)) => {
            for cycle in cycles {
                report.push(graph::cycle(&cycle, &edges_of(&cycle, &reads)));
            }
            None
        }
    }
}

fn edges_of(cycle: &[PipelineName], reads: &Reads) -> Vec<(PipelineName, PipelineName, Span)> {
    let next = cycle.iter().cycle().skip(1);
    cycle
        .iter()
        .zip(next)
        .filter_map(|(from, to)| {
            let at = reads.get(to)?.get(&from.output_repo())?;
            Some((from.clone(), to.clone(), *at))
        })
        .collect()
}
