//! Every flipped byte is found, named, and traced to what it affects; leftovers of crashes are no damage.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::common::*;
use flow_model::commit::OperationKind;
use flow_store::{
    Affected, FsckLevel, FsckReport, JobPacks, StoreError,
    fault::{Crash, FaultMedia},
    fsck,
};

async fn check(root: &Path, level: FsckLevel) -> FsckReport {
    let store = open(local(root), 99).await;
    fsck(&project(&store), level).await.unwrap()
}

/// A store with every kind of object: several runs, a large object, an adopted pack of a job, a cache run.
async fn full_store(root: &Path) {
    let store = create(local(root), 1).await;
    let large = "large ".repeat(400_000);
    put(&store, "r", &[("/a", Some("1")), ("/b/c", Some(&"text ".repeat(500))), ("/large", Some(&large))])
        .await
        .unwrap();
    put(&store, "r", &[("/a", Some("2"))]).await.unwrap();
    put(&store, "q", &[("/same", Some("1"))]).await.unwrap();
    let project = project(&store);
    let head = project.head().await.unwrap().unwrap();
    let job = flow_model::digest::JobId(flow_model::digest::Digest::of(b"job"));
    let writer = project.job_writer(job, &head, &JobPacks::none(job));
    let output = "output of a job";
    let _ = writer.put_blob(output.as_bytes().to_vec().into());
    writer.flush().await.unwrap();
    let mut txn = project.begin(Some(&head));
    txn.adopt(writer.packs());
    stage_put(&store, &mut txn, "out", &[("/o", Some(output))]).await;
    let record = flow_model::job::DatumRecord {
        key: flow_model::digest::DatumKey(flow_model::digest::Digest::of(b"key")),
        transform: flow_model::digest::TransformDigest(flow_model::digest::Digest::of(b"t")),
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    let record = flow_model::digest::RecordId(txn.put_stored(&record));
    let facts = flow_model::digest::Digest::of(b"none");
    txn.cache(vec![(
        flow_model::digest::DatumKey(flow_model::digest::Digest::of(b"key")),
        flow_model::forecast::ResultRef { record, facts },
    )]);
    txn.publish(meta(OperationKind::Jobs, "job")).await.unwrap();
}

#[tokio::test]
async fn a_good_store_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    full_store(dir.path()).await;
    for level in [FsckLevel::Structure, FsckLevel::Data] {
        let report = check(dir.path(), level).await;
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!(report.leftovers, Vec::<String>::new());
        assert_eq!((report.counts.operations, report.counts.commits), (4, 4));
    }
}

/// Reads everything that the newest state has.
async fn read_all(root: &Path) -> Result<(), StoreError> {
    let store = flow_store::Store::open(local(root), Arc::new(flow_store::SystemEntropy)).await?;
    let store = store.unwrap();
    let head = project(&store).head().await?.unwrap();
    let reader = head.reader();
    for ((_, _), branch) in head.all_branches().await? {
        let commit: flow_model::commit::Commit = reader.stored(branch.head.0).await?;
        for (_, entry) in reader.files(commit.tree).files(None).collect().await? {
            reader.blob(entry.blob).await?;
        }
    }
    head.cached(&[flow_model::digest::DatumKey(flow_model::digest::Digest::of(b"key"))]).await?;
    project(&store).log(100).await?;
    Ok(())
}

#[tokio::test]
async fn a_flipped_byte_in_any_object_is_found() {
    let dir = tempfile::tempdir().unwrap();
    full_store(dir.path()).await;
    read_all(dir.path()).await.unwrap();
    let intact = contents_of(dir.path()).await;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for object in local(dir.path()).list("").await.unwrap() {
        if object.name.contains("/.") {
            continue;
        }
        let file = dir.path().join(&object.name);
        let good = std::fs::read(&file).unwrap();
        let steps = if good.len() < 4096 { 61 } else { 17 };
        let mut offsets: Vec<usize> = (0..good.len()).step_by(good.len() / steps + 1).collect();
        offsets.extend([good.len() - 1, good.len() / 2]);
        for at in offsets {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            std::fs::write(&file, bad).unwrap();
            let found =
                match flow_store::Store::open(local(dir.path()), Arc::new(flow_store::SystemEntropy)).await {
                    Err(error) => error.to_string().contains(&object.name),
                    Ok(store) => {
                        let report = fsck(&project(&store.unwrap()), FsckLevel::Data).await.unwrap();
                        report.problems.iter().any(|problem| problem.object == object.name)
                            || report.leftovers.contains(&object.name)
                    }
                };
            assert!(found, "byte {at} of `{}` ({} bytes)", object.name, good.len());
            // A read fails or gives what was written, never anything else.
            if read_all(dir.path()).await.is_ok() {
                assert_eq!(contents_of(dir.path()).await, intact, "byte {at} of `{}`", object.name);
            }
            *kinds.entry(object.name.split('/').next().unwrap().to_owned()).or_default() += 1;
        }
        std::fs::write(&file, good).unwrap();
    }
    let kinds: Vec<_> = kinds.into_keys().collect();
    assert_eq!(kinds, ["cache", "flow.json", "index", "jobs", "objects", "packs", "refs"]);
    assert!(check(dir.path(), FsckLevel::Data).await.is_clean());
}

async fn contents_of(root: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    let store = open(local(root), 98).await;
    let head = project(&store).head().await.unwrap().unwrap();
    let mut all = BTreeMap::new();
    for name in ["r", "q", "out"] {
        all.insert(name.to_owned(), contents(&head, name).await);
    }
    all
}

#[tokio::test]
async fn a_damaged_blob_is_traced_to_all_its_commits_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(dir.path()), 1).await;
    let shared = "a shared file that is damaged later";
    put(&store, "r", &[("/a", Some(shared)), ("/b", Some("fine"))]).await.unwrap();
    put(&store, "r", &[("/b", Some("fine too"))]).await.unwrap();
    let head = put(&store, "q", &[("/c/d", Some(shared))]).await.unwrap();
    let flow_store::Location::Packed { pack, offset, .. } =
        head.reader().locate(entry(shared).blob.0).await.unwrap().unwrap()
    else {
        panic!("not packed")
    };
    let file = dir.path().join(&pack);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[offset as usize + 3] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let report = check(dir.path(), FsckLevel::Data).await;
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    let problem = &report.problems[0];
    assert_eq!((&problem.object, problem.digest), (&pack, Some(entry(shared).blob.0)));
    let files: Vec<String> = problem
        .affects
        .iter()
        .map(|affected| match affected {
            Affected::File { repo, path, .. } => format!("{repo}:{path}"),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(files, ["q:/c/d", "r:/a", "r:/a"]);
    assert!(check(dir.path(), FsckLevel::Structure).await.is_clean(), "structure does not read blobs");
}

#[tokio::test]
async fn missing_and_cut_objects_are_named() {
    let dir = tempfile::tempdir().unwrap();
    full_store(dir.path()).await;
    for object in local(dir.path()).list("").await.unwrap() {
        let file = dir.path().join(&object.name);
        if object.name.contains("/.") || object.name == "flow.json" || object.name.starts_with("refs/") {
            continue;
        }
        // Runs that later ones have swallowed may go: nothing refers to them.
        let store = open(local(dir.path()), 5).await;
        let view = project(&store).head().await.unwrap().unwrap().view().await.unwrap();
        let is_run = object.name.starts_with("index/") || object.name.starts_with("cache/");
        let named = !is_run || view.iter().any(|(key, _)| key.text() == object.name);
        let good = std::fs::read(&file).unwrap();
        for cut in [0, good.len() / 2, good.len() - 1] {
            std::fs::write(&file, &good[..cut]).unwrap();
            let report = check(dir.path(), FsckLevel::Structure).await;
            let found = report.problems.iter().any(|problem| problem.object == object.name)
                || !named && report.leftovers.contains(&object.name);
            assert!(found, "`{}` cut to {cut}: {:?}", object.name, report.problems);
        }
        std::fs::remove_file(&file).unwrap();
        let report = check(dir.path(), FsckLevel::Structure).await;
        assert_eq!(!report.is_clean(), named, "`{}` removed: {:?}", object.name, report.problems);
        std::fs::write(&file, good).unwrap();
    }
}

#[tokio::test]
async fn leftovers_of_crashes_are_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(dir.path()), 1).await;
    put(&store, "r", &[("/a", Some("1"))]).await.unwrap();
    let (mut seen, mut seed) = (0, 50);
    for at in 1..=3 {
        for how in [Crash::Before, Crash::After, Crash::Torn] {
            let media = FaultMedia::new(local(dir.path())).crash_at(at, how);
            // Names are never used twice, so each run draws from a seed of its own.
            seed += 1;
            let faulty = open(Arc::new(media), seed).await;
            let _: Result<_, _> = put(&faulty, "r", &[("/b", Some("2"))]).await;
            let report = check(dir.path(), FsckLevel::Data).await;
            assert!(report.is_clean(), "{how:?} at {at}: {:?}", report.problems);
            seen += report.leftovers.len();
        }
    }
    assert!(seen > 0);
}
