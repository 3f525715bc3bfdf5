//! The way of data through a store: put, publish, read back, travel in time, conflict.

use crate::common::*;
use flow_model::{commit::OperationKind, name::BranchName};
use flow_store::{PublishError, Store, StoreError, SystemEntropy};
use std::sync::Arc;

#[tokio::test]
async fn nothing_is_there_before_it_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let media = local(&dir.path().join("a/store"));
    assert!(Store::open(Arc::clone(&media), Arc::new(SystemEntropy)).await.unwrap().is_none());
    assert!(!dir.path().join("a").exists(), "opening writes nothing");
    let store = Store::create(Arc::clone(&media), Arc::new(SystemEntropy)).await.unwrap();
    let again = Store::create(Arc::clone(&media), Arc::new(SystemEntropy)).await.unwrap();
    assert_eq!(store.lineage(), again.lineage());
    assert!(project(&store).head().await.unwrap().is_none());
    assert!(project(&store).log(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_put_is_read_back_in_a_fresh_handle() {
    let dir = tempfile::tempdir().unwrap();
    for media in [memory(), local(dir.path())] {
        let store = create(Arc::clone(&media), 1).await;
        let big = "x".repeat(3 << 20);
        put(&store, "r", &[("/a", Some("1")), ("/b/c", Some("2")), ("/big", Some(&big))]).await.unwrap();
        put(&store, "r", &[("/a", None), ("/b/d", Some("3"))]).await.unwrap();

        let store = open(media, 2).await;
        let head = project(&store).head().await.unwrap().unwrap();
        let files = contents(&head, "r").await;
        assert_eq!(files.keys().collect::<Vec<_>>(), ["/b/c", "/b/d", "/big"]);
        assert_eq!(files["/b/d"], "3");
        assert_eq!(files["/big"], big);
        assert_eq!(head.branches(&repo("r")).await.unwrap()[&BranchName::master()].commits, 2);
        assert_eq!(head.repos().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn history_is_linear_and_can_be_visited() {
    let store = create(memory(), 1).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let text = number.to_string();
        ids.push(put(&store, "r", &[("/n", Some(&text))]).await.unwrap().operation_id());
    }
    let project = project(&store);
    let log = project.log(100).await.unwrap();
    assert_eq!(log.iter().rev().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    assert_eq!(log.iter().map(|(_, op)| op.number).collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
    assert_eq!(project.log(2).await.unwrap().len(), 2);
    for (number, id) in ids.iter().enumerate() {
        let then = project.at(*id).await.unwrap();
        assert_eq!(contents(&then, "r").await["/n"], number.to_string());
        let by_prefix = project.find(&id.to_string()[..12]).await.unwrap();
        assert_eq!(by_prefix.operation_id(), *id);
    }
    assert!(matches!(project.find("").await, Err(StoreError::Ambiguous { .. })));
    assert!(matches!(project.find("zz").await, Err(StoreError::NoSuchOperation { .. })));
}

#[tokio::test]
async fn a_loser_rebases_or_names_the_conflict() {
    let store = create(memory(), 1).await;
    put(&store, "a", &[("/x", Some("0"))]).await.unwrap();
    let project = project(&store);
    let base = project.head().await.unwrap();
    let mut same = project.begin(base.as_ref());
    stage_put(&store, &mut same, "a", &[("/x", Some("1"))]).await;
    let mut other = project.begin(base.as_ref());
    stage_put(&store, &mut other, "b", &[("/y", Some("2"))]).await;
    let mut watcher = project.begin(base.as_ref());
    stage_put(&store, &mut watcher, "c", &[("/z", Some("3"))]).await;
    watcher.expect_unchanged(&branch_key("a"));

    put(&store, "a", &[("/x", Some("9"))]).await.unwrap();
    for loser in [same, watcher] {
        match loser.publish(meta(OperationKind::Put, "loser")).await {
            Err(PublishError::Conflict { keys }) => assert_eq!(keys, [branch_key("a")]),
            other => panic!("{other:?}"),
        }
    }
    let head = other.publish(meta(OperationKind::Put, "rebased")).await.unwrap();
    assert_eq!(head.operation().number, 2);
    assert_eq!(contents(&head, "a").await["/x"], "9");
    assert_eq!(contents(&head, "b").await["/y"], "2");
}

#[tokio::test]
async fn a_sketch_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(&dir.path().join("store")), 1).await;
    put(&store, "a", &[("/x", Some("0"))]).await.unwrap();
    let before = store.media().list("").await.unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let project = project(&store);
    let sketch = project.sketch(project.head().await.unwrap().as_ref());
    let (id, size) = sketch.put_file(file).await.unwrap();
    assert_eq!((size, &sketch.reader().blob(id).await.unwrap()[..]), (7, &b"content"[..]));
    let mut edits = std::collections::BTreeMap::new();
    edits.insert(path("/new"), Some(entry("content")));
    let tree = sketch.edit_files(None, edits).await.unwrap();
    assert_eq!(sketch.reader().files(tree).len().await.unwrap(), 1);
    assert!(sketch.publish(meta(OperationKind::Put, "x")).await.is_err());
    assert_eq!(store.media().list("").await.unwrap(), before);
}

#[tokio::test]
async fn equal_contents_are_stored_once() {
    let store = create(memory(), 1).await;
    let text = "content ".repeat(1000);
    put(&store, "a", &[("/x", Some(&text))]).await.unwrap();
    let project = project(&store);
    let head = project.head().await.unwrap().unwrap();
    let first = head.reader().locate(entry(&text).blob.0).await.unwrap();
    put(&store, "b", &[("/y", Some(&text))]).await.unwrap();
    let head = project.head().await.unwrap().unwrap();
    assert_eq!(head.reader().locate(entry(&text).blob.0).await.unwrap(), first);
}
