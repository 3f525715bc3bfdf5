//! The incremental listing is held to the full one: on any two trees and any input, what it touches is what differs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use flow_engine::{
    incremental::touched,
    inputs::{self, LeafTree},
};
use flow_model::{
    datum::Datum,
    digest::{BlobId, DatumId, InputsDigest},
    name::BranchName,
    path::RepoPath,
    spec::{Input, PfsInput},
    tree::FileEntry,
};
use flow_store::{SeededEntropy, Store, StoreUrl, Transaction};
use proptest::prelude::*;

/// A repo's files: path to content.
type Files = BTreeMap<&'static str, u8>;

const PATHS: [&str; 9] = ["a", "b", "b-c", "b/c", "b/d/e", "d/x", "d/y", "z/1/2", "z/3"];
const GLOBS: [&str; 7] = ["/", "/*", "/**", "/*/*", "/b/*", "/d", "/z/**"];

fn files() -> impl Strategy<Value = Files> {
    proptest::collection::btree_map(proptest::sample::select(&PATHS[..]), 0..3_u8, 0..7).prop_map(
        |mut files| {
            // A file and a folder of one name cannot both be.
            if files.contains_key("b") {
                files.retain(|path, _| !path.starts_with("b/"));
            }
            files
        },
    )
}

fn leaf(name: &'static str) -> impl Strategy<Value = Input> {
    proptest::sample::select(&GLOBS[..]).prop_map(move |glob| {
        Input::Pfs(PfsInput {
            name: name.parse().unwrap(),
            named: false,
            repo: name.parse().unwrap(),
            branch: BranchName::master(),
            glob: glob.to_owned(),
        })
    })
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        leaf("one"),
        (leaf("one"), leaf("two")).prop_map(|(a, b)| Input::Cross(vec![a, b])),
        (leaf("one"), leaf("two")).prop_map(|(a, b)| Input::Union(vec![a, b])),
        (leaf("one"), leaf("one")).prop_map(|(a, b)| Input::Union(vec![a, b])),
        (leaf("one"), leaf("two"), leaf("two"))
            .prop_map(|(a, b, c)| Input::Cross(vec![a, Input::Union(vec![b, c])])),
    ]
}

async fn tree(transaction: &mut Transaction, files: &Files) -> LeafTree {
    let entry = |content: u8| FileEntry { blob: BlobId::of(&[content]), size: 1, executable: false };
    let edits = files
        .iter()
        .map(|(path, content)| (RepoPath::parse(path).unwrap(), Some(entry(*content))))
        .map(|(path, entry)| (path.as_str().as_bytes().to_vec(), entry.map(|entry| entry.encode().to_vec())))
        .collect();
    let tree = transaction.edit_tree(None, edits).await.unwrap();
    LeafTree { tree, files: files.len() as u64, bytes: files.len() as u64 }
}

fn by_id(datums: Vec<Datum>) -> BTreeMap<DatumId, InputsDigest> {
    datums.into_iter().map(|datum| (datum.id, datum.inputs_digest())).collect()
}

/// Lists before and after in full, and what is touched; returns (before, after, there, gone).
async fn listings(
    input: &Input,
    before: &BTreeMap<&str, Files>,
    after: &BTreeMap<&str, Files>,
) -> (
    BTreeMap<DatumId, InputsDigest>,
    BTreeMap<DatumId, InputsDigest>,
    BTreeMap<DatumId, InputsDigest>,
    BTreeSet<DatumId>,
) {
    let store = Store::create(StoreUrl::Memory.media(), Arc::new(SeededEntropy::new(1))).await.unwrap();
    let mut transaction = store.project(&"p".parse().unwrap()).begin(None);
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for leaf in input.leaves() {
        old.push(tree(&mut transaction, &before[leaf.repo.as_str()]).await);
        new.push(tree(&mut transaction, &after[leaf.repo.as_str()]).await);
    }
    let reader = transaction.reader();
    let roots: Vec<_> = old.iter().map(|leaf| leaf.tree).collect();
    let touched = touched(&reader, input, &roots, &new).await.unwrap();
    (
        by_id(inputs::list(&reader, input, &old).await.unwrap()),
        by_id(inputs::list(&reader, input, &new).await.unwrap()),
        by_id(touched.there),
        touched.gone.into_iter().map(|datum| datum.id).collect(),
    )
}

proptest! {
    #[test]
    fn what_is_touched_is_what_differs(
        input in input(),
        before in (files(), files()),
        after in (files(), files()),
        second_stays in any::<bool>(),
    ) {
        let old = BTreeMap::from([("one", before.0), ("two", before.1.clone())]);
        let new = BTreeMap::from([("one", after.0), ("two", if second_stays { before.1 } else { after.1 })]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (before, after, there, gone) = runtime.block_on(listings(&input, &old, &new));
        for (id, digest) in &after {
            if before.get(id) != Some(digest) {
                prop_assert_eq!(there.get(id), Some(digest), "a changed or new datum is touched");
            }
        }
        for id in before.keys().filter(|id| !after.contains_key(id)) {
            prop_assert!(gone.contains(id), "a datum that is gone is touched");
        }
        for (id, digest) in &there {
            prop_assert_eq!(after.get(id), Some(digest), "what is touched and there is listed");
        }
        prop_assert!(gone.iter().all(|id| !after.contains_key(id)), "what is gone is not listed");
    }
}
