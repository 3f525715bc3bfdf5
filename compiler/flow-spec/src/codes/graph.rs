//! `FLOW05xx`: the graph.

use flow_model::{
    diagnostic::{Code, Diagnostic},
    name::PipelineName,
    span::Span,
};

use super::code;

/// Pipelines that feed each other in a circle: none of them could ever start. Every input on the way is marked; one
/// of them must go.
pub const CYCLE: Code = code("FLOW0501", "cycle");
/// A pipeline that reads its own output.
pub const READS_ITSELF: Code = code("FLOW0502", "reads-itself");

/// `edges` are, in the order of the data, where each pipeline of the cycle is read by the next one.
pub(crate) fn cycle(pipelines: &[PipelineName], edges: &[(PipelineName, PipelineName, Span)]) -> Diagnostic {
    let way: Vec<String> =
        pipelines.iter().chain(pipelines.first()).map(|name| format!("`{name}`")).collect();
    let diagnostic =
        Diagnostic::error(CYCLE, format!("pipelines feed each other in a circle: {}", way.join(" -> ")));
    let says = |(from, to, _): &(PipelineName, PipelineName, Span)| format!("`{to}` reads `{from}` here");
    let mut edges = edges.iter();
    let diagnostic = match edges.next() {
        Some(edge) => diagnostic.at(edge.2, says(edge)),
        None => diagnostic,
    };
    edges
        .fold(diagnostic, |diagnostic, edge| diagnostic.and_at(edge.2, says(edge)))
        .help("remove one of these inputs")
}

pub(crate) fn reads_itself(at: Span, name: &PipelineName) -> Diagnostic {
    Diagnostic::error(READS_ITSELF, format!("pipeline `{name}` reads its own output"))
        .at(at, "")
        .help("a pipeline's output repo has its name; read another repo, or rename the pipeline")
}
