//! Measured, not asserted tightly: `cargo test --release -p flow-store -- --ignored --nocapture speed`.

use std::{collections::BTreeMap, time::Instant};

use crate::common::*;
use flow_model::{commit::OperationKind, tree::FileEntry};
use flow_store::JobPacks;

/// Bytes that do not compress, different for every number.
fn noise(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn ten_thousand_small_files() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let files = dir.path().join("files");
    std::fs::create_dir(&files).unwrap();
    let paths: Vec<_> = (0..10_000).map(|number| files.join(format!("{number:05}"))).collect();
    for (number, path) in (0..).zip(&paths) {
        std::fs::write(path, noise(number, 10 << 10)).unwrap();
    }
    for round in 0..5 {
        let store = create(local(&dir.path().join(format!("store{round}"))), round).await;
        let project = project(&store);
        for what in ["first", "again"] {
            let start = Instant::now();
            let head = project.head().await.unwrap();
            let txn = project.begin(head.as_ref());
            let put = txn.put_files(paths.clone()).await.unwrap();
            let hashed = start.elapsed();
            let edits: BTreeMap<_, _> = put
                .into_iter()
                .enumerate()
                .map(|(number, (blob, size))| {
                    (path(&format!("/{number:05}")), Some(FileEntry { blob, size, executable: false }))
                })
                .collect();
            txn.edit_files(None, edits).await.unwrap();
            let tree = start.elapsed();
            txn.publish(meta(OperationKind::Put, "speed")).await.unwrap();
            println!("{what}: put_files {hashed:?}, tree {tree:?}, published {:?}", start.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn group_commits() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let store = create(local(dir.path()), 1).await;
    let base = put(&store, "r", &[("/a", Some("1"))]).await.unwrap();
    let job = flow_model::digest::JobId(flow_model::digest::Digest::of(b"job"));
    let writer = project(&store).job_writer(job, &base, &JobPacks::none(job));
    let start = Instant::now();
    for number in 0..200 {
        for part in 0..20 {
            let _ = writer.put_blob(noise(number * 20 + part, 1 << 10).into());
        }
        writer.flush().await.unwrap();
    }
    println!("a flush of 20 blobs of 1 KiB: {:?}", start.elapsed() / 200);
}

#[tokio::test]
#[ignore = "a measurement"]
async fn opening_and_small_puts() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let store = create(local(dir.path()), 1).await;
    let start = Instant::now();
    for number in 0..200 {
        put(&store, "r", &[("/a", Some(&format!("{number}")))]).await.unwrap();
    }
    println!("a put of one small file: {:?}", start.elapsed() / 200);
    let start = Instant::now();
    for number in 0..200 {
        let store = open(local(dir.path()), number).await;
        let head = project(&store).head().await.unwrap().unwrap();
        head.repos().await.unwrap();
    }
    println!("opening and reading the repos: {:?}", start.elapsed() / 200);
}
