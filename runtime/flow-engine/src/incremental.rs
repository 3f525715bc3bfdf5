//! Lists only the datums that a change of the inputs touches: O(changes), whatever the number of datums.
//!
//! The trees of the last job's inputs are diffed with today's. A changed file touches every path that the glob matches
//! at it or above it; a touched path of one input touches all its combinations in a cross. What no change touches is
//! carried on by count.
//!
//! **Invariant:** the touched datums are exactly those that a full listing of either side would find different. A
//! property test holds this module to [`crate::inputs::list`].

use std::collections::{BTreeMap, BTreeSet};

use flow_model::{
    datum::{Datum, DatumInput, FolderHasher, InputContent},
    digest::{Digest, TreeId},
    glob::Glob,
    path::RepoPath,
    spec::{Input, PfsInput},
    tree::FileEntry,
};
use flow_store::Reader;

use crate::{
    error::EngineError,
    inputs::{self, LeafTree},
};

/// The datums that a change touches.
#[derive(Debug, Default)]
pub struct Touched {
    /// Those that are there now, in input order.
    pub there: Vec<Datum>,
    /// Those that are not there any more, but may have been.
    pub gone: Vec<Datum>,
}

/// A matched path, seen from a change.
#[derive(Clone)]
struct Candidate {
    input: DatumInput,
    touched: bool,
    there: bool,
}

/// Lists what differs between the input trees `before` and `after`, both in the order of [`Input::leaves`].
///
/// # Errors
/// If a tree cannot be read or a stored glob does not parse.
pub async fn touched(
    reader: &Reader,
    input: &Input,
    before: &[TreeId],
    after: &[LeafTree],
) -> Result<Touched, EngineError> {
    let mut leaves = Vec::new();
    for ((leaf, old), new) in input.leaves().into_iter().zip(before).zip(after) {
        leaves.push(touched_matches(reader, leaf, *old, new).await?);
    }
    let anything = leaves.iter().any(|leaf| !leaf.is_empty());
    if anything && has_cross(input) {
        for ((leaf, new), touched) in input.leaves().into_iter().zip(after).zip(&mut leaves) {
            add_untouched(reader, leaf, new, touched).await?;
        }
    }
    Ok(sort_out(combinations(input, &mut leaves.into_iter())))
}

fn has_cross(input: &Input) -> bool {
    match input {
        Input::Pfs(_) => false,
        Input::Cross(_) => true,
        Input::Union(parts) => parts.iter().any(has_cross),
    }
}

fn combinations(input: &Input, leaves: &mut impl Iterator<Item = Vec<Candidate>>) -> Vec<Vec<Candidate>> {
    match input {
        Input::Pfs(_) => leaves.next().unwrap_or_default().into_iter().map(|one| vec![one]).collect(),
        Input::Union(parts) => parts.iter().flat_map(|part| combinations(part, leaves)).collect(),
        Input::Cross(parts) => parts.iter().fold(vec![Vec::new()], |product, part| {
            let right = combinations(part, leaves);
            let joined = |left: Vec<Candidate>| {
                let with = |right: &Vec<Candidate>| [&left[..], right].concat();
                right.iter().map(with).collect::<Vec<_>>()
            };
            product.into_iter().flat_map(joined).collect()
        }),
    }
}

fn sort_out(combinations: Vec<Vec<Candidate>>) -> Touched {
    let mut seen = BTreeSet::new();
    let mut touched = Touched::default();
    for combination in combinations {
        if !combination.iter().any(|one| one.touched) {
            continue;
        }
        let there = combination.iter().all(|one| one.there);
        let datum = Datum::new(combination.into_iter().map(|one| one.input).collect());
        if seen.insert(datum.id) {
            if there { touched.there.push(datum) } else { touched.gone.push(datum) }
        }
    }
    touched
}

/// The matched paths of one input whose content differs, is new or is gone.
async fn touched_matches(
    reader: &Reader,
    leaf: &PfsInput,
    before: TreeId,
    after: &LeafTree,
) -> Result<Vec<Candidate>, EngineError> {
    if before == after.tree {
        return Ok(Vec::new());
    }
    let glob = inputs::parse_glob(leaf)?;
    if glob.is_root() {
        let whole = inputs::whole_repo(leaf, after);
        let there = whole.is_some();
        let input = whole.unwrap_or_else(|| nothing_at(leaf, "/"));
        return Ok(vec![Candidate { input, touched: true, there }]);
    }
    let mut candidates = Vec::new();
    for path in touched_paths(reader, &glob, before, after.tree).await? {
        let content = content_at(reader, after.tree, &path).await?;
        let there = content.is_some();
        let input = match content {
            Some(content) => inputs::matched(leaf, path, content),
            None => nothing_at(leaf, &path),
        };
        candidates.push(Candidate { input, touched: true, there });
    }
    Ok(candidates)
}

/// A match that is not there: only its path counts.
fn nothing_at(leaf: &PfsInput, path: &str) -> DatumInput {
    let nothing = InputContent::Folder { digest: Digest::of(b""), files: 0, bytes: 0 };
    inputs::matched(leaf, path.to_owned(), nothing)
}

async fn touched_paths(
    reader: &Reader,
    glob: &Glob,
    before: TreeId,
    after: TreeId,
) -> Result<BTreeSet<String>, EngineError> {
    let mut paths = BTreeSet::new();
    let mut changes = reader.files(after).changes_since(Some(before));
    loop {
        let batch = changes.next_batch().await?;
        if batch.is_empty() {
            return Ok(paths);
        }
        for change in batch {
            let above = change.path.ancestors().map(|folder| format!("/{folder}"));
            paths.extend(above.chain([change.path.absolute()]).filter(|path| glob.is_match(path)));
        }
    }
}

async fn content_at(reader: &Reader, tree: TreeId, path: &str) -> Result<Option<InputContent>, EngineError> {
    let Ok(path) = RepoPath::parse(path) else { return Ok(None) };
    let files = reader.files(tree);
    if let Some(entry) = files.get(&path).await? {
        return Ok(Some(InputContent::File(entry)));
    }
    let mut hasher = FolderHasher::default();
    let mut below = files.files(Some(&path));
    let mut any = false;
    loop {
        let batch: Vec<(RepoPath, FileEntry)> = below.next_batch().await?;
        if batch.is_empty() {
            return Ok(any.then(|| hasher.finish()));
        }
        any = true;
        for (file, entry) in batch {
            hasher.add(&file.as_str()[path.as_str().len() + 1..], &entry);
        }
    }
}

/// Adds the matches that no change touches: a cross combines them with those that one does.
async fn add_untouched(
    reader: &Reader,
    leaf: &PfsInput,
    tree: &LeafTree,
    candidates: &mut Vec<Candidate>,
) -> Result<(), EngineError> {
    let mut by_path: BTreeMap<String, Candidate> =
        candidates.drain(..).map(|one| (one.input.path.clone(), one)).collect();
    for input in inputs::list_leaf(reader, leaf, tree).await? {
        let untouched = || Candidate { input: input.clone(), touched: false, there: true };
        by_path.entry(input.path.clone()).or_insert_with(untouched);
    }
    candidates.extend(by_path.into_values());
    Ok(())
}
