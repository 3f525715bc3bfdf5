//! Inputs: repos and branches that exist, globs that parse, names that do not clash, and Pachyderm's order.
//!
//! The parts of a `cross` or `union` are sorted, stably, by the name that the author wrote; without one the name counts
//! as empty, and a nested combination counts by its first part. This is what Pachyderm does when a pipeline is
//! created, and datums depend on it.

use std::collections::BTreeMap;

use flow_model::{
    glob::{Glob, GlobError},
    name::{BranchName, InputName, NameError, PipelineName, RepoName},
    similar_name::closest,
    span::{Span, Spanned},
    spec::{Input, PfsInput},
};

use super::{Context, pipeline::Places, scope::Found};
use crate::{
    codes::{constraints, fields, names},
    declare::{Combination, DeclaredInput, DeclaredPfs, Given, place_in},
    report::Report,
};

/// Globs by text: most pipelines use the same few, and compiling one takes longer than all the rest of a pipeline.
#[derive(Default)]
pub(super) struct Globs(BTreeMap<String, Result<String, GlobError>>);

impl Globs {
    /// The cleaned glob.
    fn clean(&mut self, text: &str) -> &Result<String, GlobError> {
        if !self.0.contains_key(text) {
            let parsed = Glob::parse(text).map(|glob| glob.pattern().to_owned());
            self.0.insert(text.to_owned(), parsed);
        }
        &self.0[text]
    }
}

/// A resolved input with the places of its leaves, in the same order.
struct Part {
    input: Input,
    places: Vec<LeafPlaces>,
}

/// Where the fields of a `pfs` input are written, by name.
type LeafPlaces = Vec<(&'static str, Span)>;

/// Names of inputs that meet in a datum, each with a place.
type Names = BTreeMap<String, Span>;

/// Resolves the input of a pipeline; `None` if something in it was reported. Without a reader nothing is implied and
/// no edge is made.
pub(super) fn resolve(
    reader: Option<&PipelineName>,
    declared: &DeclaredInput,
    places: &mut Places,
    context: &mut Context<'_>,
) -> Option<Input> {
    check_names(declared, context.report);
    let part = node(reader, declared, context)?;
    places.insert("input".to_owned(), key_of(declared));
    let mut leaves = part.places.into_iter();
    note_places(&part.input, "input", &mut leaves, places);
    Some(part.input)
}

fn key_of(declared: &DeclaredInput) -> Span {
    match declared {
        DeclaredInput::Pfs(pfs) => pfs.key,
        DeclaredInput::Cross(combination) | DeclaredInput::Union(combination) => combination.key,
    }
}

fn note_places(
    input: &Input,
    path: &str,
    leaves: &mut impl Iterator<Item = LeafPlaces>,
    places: &mut Places,
) {
    let (kind, parts) = match input {
        Input::Pfs(_) => {
            for (field, span) in leaves.next().into_iter().flatten() {
                places.insert(format!("{path}.pfs.{field}"), span);
            }
            return;
        }
        Input::Cross(parts) => ("cross", parts),
        Input::Union(parts) => ("union", parts),
    };
    for (at, part) in parts.iter().enumerate() {
        note_places(part, &format!("{path}.{kind}[{at}]"), leaves, places);
    }
}

fn node(reader: Option<&PipelineName>, declared: &DeclaredInput, context: &mut Context<'_>) -> Option<Part> {
    match declared {
        DeclaredInput::Pfs(written) => {
            let (leaf, places) = pfs(reader, written, context)?;
            Some(Part { input: Input::Pfs(leaf), places: vec![places] })
        }
        DeclaredInput::Cross(written) => combination(reader, written, Input::Cross, context),
        DeclaredInput::Union(written) => combination(reader, written, Input::Union, context),
    }
}

fn combination(
    reader: Option<&PipelineName>,
    declared: &Combination,
    kind: fn(Vec<Input>) -> Input,
    context: &mut Context<'_>,
) -> Option<Part> {
    // All parts first, so that each one's problems are reported.
    let parts: Vec<Option<Part>> = declared.parts.iter().map(|part| node(reader, part, context)).collect();
    let mut parts: Vec<Part> = parts.into_iter().collect::<Option<_>>()?;
    if declared.broken {
        return None;
    }
    parts.sort_by(|a, b| sort_name(&a.input).cmp(sort_name(&b.input)));
    let (inputs, places): (Vec<_>, Vec<_>) = parts.into_iter().map(|part| (part.input, part.places)).unzip();
    Some(Part { input: kind(inputs), places: places.into_iter().flatten().collect() })
}

/// The name by which an input is sorted among its siblings.
fn sort_name(input: &Input) -> &str {
    match input {
        Input::Pfs(leaf) if leaf.named => leaf.name.as_str(),
        Input::Pfs(_) => "",
        Input::Cross(parts) | Input::Union(parts) => parts.first().map_or("", sort_name),
    }
}

fn pfs(
    reader: Option<&PipelineName>,
    declared: &DeclaredPfs,
    context: &mut Context<'_>,
) -> Option<(PfsInput, LeafPlaces)> {
    let mut places = Vec::with_capacity(4);
    let repo = repo(declared, context);
    let name = name(declared, context.report);
    let branch = match &repo {
        Some(repo) => branch(declared, &repo.value, context),
        None => None,
    };
    let glob = glob(declared, context);
    let fields = [
        ("name", &declared.name),
        ("repo", &declared.repo),
        ("branch", &declared.branch),
        ("glob", &declared.glob),
    ];
    places.extend(fields.into_iter().filter_map(|(field, given)| Some((field, given.value()?.span))));
    let repo = repo?;
    if let Some(reader) = reader {
        let edges = context.reads.entry(reader.clone()).or_default();
        let at = edges.entry(repo.value.clone()).or_insert(repo.span);
        *at = repo.span.min(*at);
        if matches!(context.scope.find(&repo.value), Found::Nothing | Found::Live) {
            context.imply(repo.value.clone(), repo.span);
        }
    }
    let (name, named) = name?;
    let leaf = PfsInput { name, named, repo: repo.value, branch: branch?, glob: glob? };
    Some((leaf, places))
}

/// The repo, if it exists or may be implied.
fn repo(declared: &DeclaredPfs, context: &mut Context<'_>) -> Option<Spanned<RepoName>> {
    let written = match &declared.repo {
        Given::Value(written) => written,
        Given::Invalid => return None,
        Given::Absent => {
            let help = "add `repo: REPO`";
            context.report.push(fields::missing_field(declared.key, "repo", "this input", help));
            return None;
        }
    };
    let repo = match RepoName::parse(&written.value) {
        Ok(repo) => repo,
        Err(error) => {
            context.report.push(names::bad_name(written.span, &error));
            return None;
        }
    };
    match context.scope.find(&repo) {
        Found::Nothing if !context.scope.lost => {
            let near = context.scope.near(repo.as_str());
            if !near.is_empty() {
                let diagnostic = names::unknown_repo(written.span, repo.as_str(), &near);
                context.report.push(diagnostic);
                return None;
            }
        }
        Found::Orphan(pipeline) if !context.scope.lost => {
            context.report.push(names::lost_producer(written.span, repo.as_str(), pipeline.as_str()));
            return None;
        }
        _ => {}
    }
    Some(Spanned::new(repo, written.span))
}

fn branch(declared: &DeclaredPfs, repo: &RepoName, context: &mut Context<'_>) -> Option<BranchName> {
    let written = match &declared.branch {
        Given::Invalid => return None,
        Given::Value(written) if !written.value.is_empty() => written,
        Given::Value(_) | Given::Absent => return Some(BranchName::master()),
    };
    let branch = match BranchName::parse(&written.value) {
        Ok(branch) => branch,
        Err(error) => {
            context.report.push(names::bad_name(written.span, &error));
            return None;
        }
    };
    let known = context.scope.branches(repo);
    if known.contains(&branch) {
        return Some(branch);
    }
    let known: Vec<&str> = known.iter().map(BranchName::as_str).collect();
    context.report.push(names::unknown_branch(&names::UnknownBranch {
        at: written.span,
        repo: repo.as_str(),
        wrote: branch.as_str(),
        near: closest(branch.as_str(), known.iter().copied()),
        known,
        output: matches!(context.scope.find(repo), Found::Output),
    }));
    None
}

/// The name below `/pfs`, and whether the author wrote it.
fn name(declared: &DeclaredPfs, report: &mut Report) -> Option<(InputName, bool)> {
    let (written, named) = match (&declared.name, &declared.repo) {
        (Given::Invalid, _) => return None,
        (Given::Value(name), _) if !name.value.is_empty() => (name, true),
        (_, Given::Value(repo)) => (repo, false),
        _ => return None,
    };
    match InputName::parse(&written.value) {
        Ok(name) => Some((name, named)),
        // A bad repo name was reported as such.
        Err(error) => {
            if named || matches!(error, NameError::Reserved { .. }) {
                report.push(names::bad_name(written.span, &error));
            }
            None
        }
    }
}

fn glob(declared: &DeclaredPfs, context: &mut Context<'_>) -> Option<String> {
    let written = match &declared.glob {
        Given::Invalid => return None,
        Given::Absent => {
            context.report.push(constraints::missing_glob(declared.key));
            return None;
        }
        Given::Value(written) if written.value.is_empty() => {
            context.report.push(constraints::missing_glob(written.span));
            return None;
        }
        Given::Value(written) => written,
    };
    match context.globs.clean(&written.value) {
        Ok(cleaned) => Some(cleaned.clone()),
        Err(error) => {
            let source = context.sources.file(written.span.file).text();
            let at = place_in(written, source, error.offset());
            context.report.push(constraints::bad_glob(at, &error.to_string(), &error.help()));
            None
        }
    }
}

/// Reports names that would meet in one datum. The arms of a union never meet.
fn check_names(declared: &DeclaredInput, report: &mut Report) -> Names {
    match declared {
        DeclaredInput::Pfs(leaf) => {
            let name = leaf.name.value().filter(|name| !name.value.is_empty()).or(leaf.repo.value());
            name.map(|name| (name.value.clone(), name.span)).into_iter().collect()
        }
        DeclaredInput::Union(union) => {
            union.parts.iter().flat_map(|part| check_names(part, report)).collect()
        }
        DeclaredInput::Cross(cross) => {
            let mut all = Names::new();
            for part in &cross.parts {
                for (name, span) in check_names(part, report) {
                    if let Some(first) = all.get(&name) {
                        report.push(names::duplicate_input(span, *first, &name));
                    } else {
                        all.insert(name, span);
                    }
                }
            }
            all
        }
    }
}
