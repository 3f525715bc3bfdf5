//! Lists the datums of an input: station 14.
//!
//! A `pfs` input gives a datum for each file and each folder that its glob matches; a folder brings everything below
//! it. A cross combines, a union concatenates. Datums come in input order, the order in which they run; equal ones
//! (overlapping arms of a union) come once.
//!
//! Not here: what is done with a datum (flow-plan decides) and how its files get below `/pfs` ([`crate::worker`]).

use std::collections::BTreeSet;

use flow_model::{
    datum::{Datum, DatumInput, FolderHasher, InputContent},
    digest::TreeId,
    glob::Glob,
    spec::{Input, PfsInput},
    tree::FileEntry,
};
use flow_store::Reader;

use crate::error::EngineError;

/// What a `pfs` input reads: one version of a repo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeafTree {
    /// The files.
    pub tree: TreeId,
    /// How many there are.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Lists the datums of `input`; `leaves` gives what each `pfs` input reads, in the order of [`Input::leaves`].
///
/// # Errors
/// If a tree cannot be read or a stored glob does not parse.
pub async fn list(reader: &Reader, input: &Input, leaves: &[LeafTree]) -> Result<Vec<Datum>, EngineError> {
    let mut matches = Vec::with_capacity(leaves.len());
    for (leaf, tree) in input.leaves().into_iter().zip(leaves) {
        matches.push(list_leaf(reader, leaf, tree).await?);
    }
    Ok(combine(input, matches))
}

/// Puts the datums of a whole input together from the matches of its `pfs` inputs, in the order of [`Input::leaves`].
#[must_use]
pub fn combine(input: &Input, matches: Vec<Vec<DatumInput>>) -> Vec<Datum> {
    let combinations = combinations(input, &mut matches.into_iter());
    let mut seen = BTreeSet::new();
    combinations.into_iter().map(Datum::new).filter(|datum| seen.insert(datum.id)).collect()
}

fn combinations(input: &Input, matches: &mut impl Iterator<Item = Vec<DatumInput>>) -> Vec<Vec<DatumInput>> {
    match input {
        Input::Pfs(_) => matches.next().unwrap_or_default().into_iter().map(|one| vec![one]).collect(),
        Input::Union(parts) => parts.iter().flat_map(|part| combinations(part, matches)).collect(),
        Input::Cross(parts) => {
            let mut product = vec![Vec::new()];
            for part in parts {
                let right = combinations(part, matches);
                product = product
                    .iter()
                    .flat_map(|left: &Vec<DatumInput>| {
                        right.iter().map(move |right| [&left[..], right].concat())
                    })
                    .collect();
            }
            product
        }
    }
}

pub(crate) async fn list_leaf(
    reader: &Reader,
    leaf: &PfsInput,
    tree: &LeafTree,
) -> Result<Vec<DatumInput>, EngineError> {
    let glob = parse_glob(leaf)?;
    if glob.is_root() {
        return Ok(whole_repo(leaf, tree).into_iter().collect());
    }
    let mut matcher = Matcher::new(leaf, &glob);
    let prefix = glob.literal_prefix().trim_start_matches('/');
    let mut files = reader.files(tree.tree).files_with_prefix(prefix);
    loop {
        let batch = files.next_batch().await?;
        if batch.is_empty() {
            break;
        }
        for (path, entry) in batch {
            matcher.push(path.as_str(), &entry);
        }
    }
    Ok(matcher.finish())
}

pub(crate) fn parse_glob(leaf: &PfsInput) -> Result<Glob, EngineError> {
    Glob::parse(&leaf.glob).map_err(|error| EngineError::StoredGlob {
        repo: leaf.repo.clone(),
        glob: leaf.glob.clone(),
        message: error.to_string(),
    })
}

/// The one datum of the glob `/`: the tree's id stands for its contents, so nothing is read. An empty repo has none.
pub(crate) fn whole_repo(leaf: &PfsInput, tree: &LeafTree) -> Option<DatumInput> {
    let content = InputContent::Folder { digest: tree.tree.0, files: tree.files, bytes: tree.bytes };
    (tree.files > 0).then(|| matched(leaf, "/".to_owned(), content))
}

pub(crate) fn matched(leaf: &PfsInput, path: String, content: InputContent) -> DatumInput {
    DatumInput {
        name: leaf.name.clone(),
        repo: leaf.repo.clone(),
        branch: leaf.branch.clone(),
        path,
        content,
    }
}

/// Takes files in path order and collects what a glob matches: each file, and each folder with all below it.
pub(crate) struct Matcher<'a> {
    leaf: &'a PfsInput,
    glob: &'a Glob,
    /// The folders around the current file, outermost first; with a hasher where the glob matches.
    open: Vec<(String, Option<FolderHasher>)>,
    found: Vec<DatumInput>,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(leaf: &'a PfsInput, glob: &'a Glob) -> Self {
        Self { leaf, glob, open: Vec::new(), found: Vec::new() }
    }

    /// Takes the next file; `path` has no leading slash.
    pub(crate) fn push(&mut self, path: &str, entry: &FileEntry) {
        self.close_all_but_ancestors_of(path);
        let known = self.open.last().map_or(0, |(folder, _)| folder.len() + 1);
        for (at, _) in path[known..].match_indices('/') {
            let folder = &path[..known + at];
            let hasher = self.glob.is_match(&format!("/{folder}")).then(FolderHasher::default);
            self.open.push((folder.to_owned(), hasher));
        }
        for (folder, hasher) in &mut self.open {
            if let Some(hasher) = hasher {
                hasher.add(&path[folder.len() + 1..], entry);
            }
        }
        let absolute = format!("/{path}");
        if self.glob.is_match(&absolute) {
            self.found.push(matched(self.leaf, absolute, InputContent::File(*entry)));
        }
    }

    /// All matches, in path order.
    pub(crate) fn finish(mut self) -> Vec<DatumInput> {
        self.close_down_to(0);
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        self.found
    }

    fn close_all_but_ancestors_of(&mut self, path: &str) {
        let is_ancestor = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let keep = self.open.iter().take_while(|(folder, _)| is_ancestor(folder)).count();
        self.close_down_to(keep);
    }

    fn close_down_to(&mut self, keep: usize) {
        for (folder, hasher) in self.open.drain(keep..) {
            if let Some(hasher) = hasher {
                self.found.push(matched(self.leaf, format!("/{folder}"), hasher.finish()));
            }
        }
    }
}
