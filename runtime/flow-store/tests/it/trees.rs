//! Laws and costs of Merkle search trees.

use std::{collections::BTreeMap, sync::Arc};

use crate::common::*;
use flow_model::{
    digest::{BlobId, TreeId},
    tree::FileEntry,
};
use flow_store::{
    Snapshot, Store, Transaction,
    tree::{FolderChild, empty_tree},
};
use proptest::{collection::btree_map, prelude::*};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
/// A value before and after.
type Sides = (Option<Vec<u8>>, Option<Vec<u8>>);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn sketch() -> (Store, Transaction) {
    let store = create(memory(), 1).await;
    let sketch = project(&store).sketch(None);
    (store, sketch)
}

async fn build(txn: &Transaction, map: &Map) -> TreeId {
    let edits = map.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    txn.edit_tree(None, edits).await.unwrap()
}

async fn entries(txn: &Transaction, tree: TreeId) -> Map {
    txn.reader().tree(tree).scan_from(b"").collect().await.unwrap().into_iter().collect()
}

/// Keys from a small alphabet, so that edits meet existing keys; now and then a large value, so that nodes fill up.
fn map(size: usize) -> impl Strategy<Value = Map> {
    let value = prop_oneof![
        20 => proptest::collection::vec(any::<u8>(), 0..4),
        1 => Just(vec![7; 200 << 10]),
    ];
    btree_map("[a-d]{1,6}".prop_map(String::into_bytes), value, 0..size)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn an_edit_is_a_rebuild(before in map(1500), edits in map(300), removed in proptest::collection::vec(any::<prop::sample::Index>(), 0..200)) {
        runtime().block_on(async {
            let (_store, txn) = sketch().await;
            let old = build(&txn, &before).await;
            let mut changes: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
                edits.into_iter().map(|(key, value)| (key, Some(value))).collect();
            let keys: Vec<_> = before.keys().cloned().collect();
            if !keys.is_empty() {
                changes.extend(removed.iter().map(|index| (index.get(&keys).clone(), None)));
            }
            let mut after = before.clone();
            for (key, value) in &changes {
                match value {
                    Some(value) => { after.insert(key.clone(), value.clone()); }
                    None => { after.remove(key); }
                }
            }
            let edited = txn.edit_tree(Some(old), changes).await.unwrap();
            assert_eq!(edited, build(&txn, &after).await, "edited and rebuilt trees differ");
            assert_eq!(entries(&txn, edited).await, after);
            assert_eq!(txn.reader().tree(edited).len().await.unwrap(), after.len() as u64);
        });
    }

    #[test]
    fn equal_contents_have_equal_roots_whatever_the_history(target in map(600), detour in map(600), cuts in 1..6usize) {
        runtime().block_on(async {
            let (_store, txn) = sketch().await;
            let straight = build(&txn, &target).await;
            // In pieces, over a detour that is taken back.
            let mut tree = build(&txn, &detour).await;
            let all: Vec<_> = target.clone().into_iter().collect();
            for piece in all.chunks(all.len() / cuts + 1).rev() {
                let edits = piece.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
                tree = txn.edit_tree(Some(tree), edits).await.unwrap();
            }
            let back = detour.keys().filter(|key| !target.contains_key(*key)).map(|key| (key.clone(), None)).collect();
            tree = txn.edit_tree(Some(tree), back).await.unwrap();
            assert_eq!(tree, straight);
        });
    }

    #[test]
    fn a_diff_is_the_difference_of_sets(before in map(800), after in map(800), shared in map(800)) {
        runtime().block_on(async {
            let (_store, txn) = sketch().await;
            let mut sides = [before, after];
            for side in &mut sides {
                side.extend(shared.clone());
            }
            let [before, after] = &sides;
            let mut expected: BTreeMap<Vec<u8>, Sides> = BTreeMap::new();
            for (key, value) in before {
                expected.entry(key.clone()).or_default().0 = Some(value.clone());
            }
            for (key, value) in after {
                expected.entry(key.clone()).or_default().1 = Some(value.clone());
            }
            expected.retain(|_, (before, after)| before != after);
            let roots = [build(&txn, before).await, build(&txn, after).await];
            let changes = txn.reader().diff(Some(roots[0]), Some(roots[1])).collect().await.unwrap();
            assert!(changes.is_sorted_by(|a, b| a.key < b.key));
            let found: BTreeMap<_, _> =
                changes.into_iter().map(|change| (change.key, (change.before, change.after))).collect();
            assert_eq!(found, expected);
        });
    }

    #[test]
    fn scans_are_ranges(all in map(800), start in "[a-d]{0,3}") {
        runtime().block_on(async {
            let (_store, txn) = sketch().await;
            let tree = txn.reader().tree(build(&txn, &all).await);
            let start = start.into_bytes();
            let from: Vec<_> = all.range(start.clone()..).map(|(k, v)| (k.clone(), v.clone())).collect();
            assert_eq!(tree.scan_from(&start).collect().await.unwrap(), from);
            let below: Vec<_> = from.into_iter().take_while(|(key, _)| key.starts_with(&start)).collect();
            assert_eq!(tree.scan_prefix(&start).collect().await.unwrap(), below);
            for key in ["a", "ab", "abc", "zz", ""] {
                assert_eq!(tree.get(key.as_bytes()).await.unwrap().as_ref(), all.get(key.as_bytes()));
            }
        });
    }

    #[test]
    fn folders_list_their_children(paths in proptest::collection::btree_set("[a-c.]x(/[a-c.]{1,2}y){0,3}", 0..400), folder in "[a-c.]x") {
        runtime().block_on(async {
            let (_store, txn) = sketch().await;
            // A path that is also a folder of another is no tree of files.
            let paths: Vec<String> = paths.iter().filter(|path| !paths.iter().any(|other| other.starts_with(&format!("{path}/")))).cloned().collect();
            let edits = paths.iter().map(|text| (path(text), Some(entry(text)))).collect();
            let files = txn.reader().files(txn.edit_files(None, edits).await.unwrap());
            for folder in [None, Some(path(&folder))] {
                let prefix = folder.as_ref().map_or(String::new(), |folder| format!("{}/", folder.as_str()));
                let mut expected: BTreeMap<String, bool> = BTreeMap::new();
                for rest in paths.iter().filter_map(|path| path.strip_prefix(&prefix)) {
                    let (name, is_folder) = rest.split_once('/').map_or((rest, false), |(name, _)| (name, true));
                    expected.insert(name.to_owned(), is_folder);
                }
                let children = files.children(folder.as_ref()).await.unwrap();
                let found: Vec<_> = children.iter().map(|child| (child.name().to_owned(), matches!(child, FolderChild::Folder { .. }))).collect();
                assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            }
        });
    }
}

#[tokio::test]
async fn the_empty_tree_needs_no_store() {
    let (_store, txn) = sketch().await;
    let tree = txn.reader().tree(empty_tree());
    assert!(tree.is_empty());
    assert_eq!(tree.len().await.unwrap(), 0);
    assert_eq!(tree.get(b"a").await.unwrap(), None);
    assert_eq!(tree.scan_from(b"").collect().await.unwrap(), []);
    assert_eq!(txn.edit_tree(None, BTreeMap::new()).await.unwrap(), empty_tree());
}

fn file(number: u32) -> FileEntry {
    FileEntry { blob: BlobId::of(&number.to_le_bytes()), size: 4, executable: false }
}

fn file_path(number: u32) -> String {
    format!("data/{:03}/file-{number:07}.csv", number % 997)
}

/// A store with a tree of `count` files, and the same with ten of them changed.
async fn with_files(count: u32) -> (Arc<dyn flow_store::Media>, TreeId, TreeId) {
    let media = memory();
    let store = create(Arc::clone(&media), 1).await;
    let project = project(&store);
    let txn = project.begin(None);
    let edits = (0..count).map(|number| (path(&file_path(number)), Some(file(number)))).collect();
    let before = txn.edit_files(None, edits).await.unwrap();
    let head: Snapshot = txn.publish(meta(flow_model::commit::OperationKind::Put, "build")).await.unwrap();
    let txn = project.begin(Some(&head));
    let step = count / 10;
    let edits = (0..10).map(|n| (path(&file_path(n * step + 123)), Some(file(u32::MAX - n)))).collect();
    let after = txn.edit_files(Some(before), edits).await.unwrap();
    txn.publish(meta(flow_model::commit::OperationKind::Put, "edit")).await.unwrap();
    (media, before, after)
}

/// Node reads of a diff in a fresh handle, besides those of opening the state.
async fn diff_reads(count: u32) -> u64 {
    let (media, before, after) = with_files(count).await;
    let store = open(media, 9).await;
    let head = project(&store).head().await.unwrap().unwrap();
    let opening = store.node_reads();
    let changes = head.reader().files(after).changes_since(Some(before)).collect().await.unwrap();
    assert_eq!(changes.len(), 10);
    store.node_reads() - opening
}

#[tokio::test]
async fn a_diff_costs_what_changed_and_not_what_is_there() {
    let small = diff_reads(100_000).await;
    let large = diff_reads(1_000_000).await;
    println!("diff of 10 changes: {small} node reads of 100,000 files, {large} of 1,000,000");
    assert!(small <= 80, "{small}");
    assert!(large * 2 <= small * 3, "{small} {large}");
}

#[tokio::test]
async fn an_edit_writes_what_changed_and_not_what_is_there() {
    let (media, before, _) = with_files(100_000).await;
    let store = open(media, 9).await;
    let head = project(&store).head().await.unwrap().unwrap();
    let opening = store.node_reads();
    let txn = project(&store).sketch(Some(&head));
    let edits = BTreeMap::from([(path(&file_path(5)), None), (path("data/new"), Some(file(1)))]);
    let after = txn.edit_files(Some(before), edits).await.unwrap();
    assert!(store.node_reads() - opening <= 12, "{}", store.node_reads() - opening);
    assert_eq!(txn.reader().files(after).len().await.unwrap(), 100_000);
    let reads = store.node_reads();
    let children = txn.reader().files(after).children(None).await.unwrap();
    assert_eq!(children.len(), 1);
    assert!(store.node_reads() - reads <= 8, "listing a folder skips what lies deeper");
}
