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

/// Publishes what a job leaves behind: version, manifest, records, facts, logs, and an output commit.
async fn publish_job(store: &flow_store::Store) -> flow_model::digest::DatumId {
    use flow_model::{
        digest::{
            BlobId, CommitSetId, DatumId, DatumKey, Digest, InputsDigest, ManifestId, RecordId, VersionId,
        },
        job::{DatumEntry, DatumOutcome, DatumOutput, DatumRecord, JobManifest, RunFacts},
        name::{BranchName, PipelineName},
        spec::PipelineVersion,
        state::{JobState, ViewKey},
        time::Timestamp,
    };
    let project = project(store);
    let mut txn = project.begin(None);
    let spec = serde_json::json!({
        "spec": {
            "name": "pipe", "parallelism": 1, "datumTries": 1, "transform": {"cmd": ["x"]},
            "input": {"pfs": {"name": "r", "repo": "r", "branch": "master", "glob": "/*"}},
        }
    });
    let version: PipelineVersion = serde_json::from_value(spec).unwrap();
    let version = VersionId(txn.put_stored(&version));
    let (job, datum) = (flow_model::digest::JobId(Digest::of(b"job")), DatumId(Digest::of(b"datum")));
    let digest = |text: &str| Digest::of(text.as_bytes());
    let log = txn.put_blob("a log".as_bytes().into());
    let facts: RunFacts = serde_json::from_value(serde_json::json!({
        "datum": datum, "job": job, "attempts": 1, "exit": "exit 0", "started": 1, "wall": 1, "cpu": 1,
        "maxRssKib": 1, "stdout": {"blob": log, "written": 5}, "stderr": {"written": 0},
        "runner": "test@host", "executor": "process",
    }))
    .unwrap();
    let facts = txn.put_stored(&facts);
    let output = "what the datum wrote";
    let record = DatumRecord {
        key: DatumKey(digest("key")),
        transform: flow_model::digest::TransformDigest(digest("t")),
        inputs: Vec::new(),
        outputs: vec![DatumOutput { path: path("/o"), file: entry(output) }],
    };
    let record = RecordId(txn.put_stored(&record));
    let (key, inputs) = (DatumKey(digest("key")), InputsDigest(digest("i")));
    let datum_entry = DatumEntry { outcome: DatumOutcome::Success, key, inputs, record, facts, ran_in: job };
    let one = |key: &[u8], value: Vec<u8>| BTreeMap::from([(key.to_vec(), Some(value))]);
    let datums = txn.edit_tree(None, one(datum.0.as_bytes(), datum_entry.encode())).await.unwrap();
    let owners = txn.edit_tree(None, one(b"o", datum.0.as_bytes().to_vec())).await.unwrap();
    let commit = stage_put(store, &mut txn, "pipe", &[("/o", Some(output))]).await;
    let mut made: flow_model::commit::Commit = txn.reader().stored(commit.0).await.unwrap();
    made.job = Some(job);
    let commit = flow_model::digest::CommitId(txn.put_stored(&made));
    let branch = flow_model::state::BranchState { head: commit, files: 1, bytes: 1, commits: 1 };
    txn.set(&branch_key("pipe"), &branch);
    let manifest: JobManifest = serde_json::from_value(serde_json::json!({
        "job": job, "pipeline": "pipe", "version": version, "commitSet": CommitSetId(digest("set")), "run": 0,
        "inputs": [], "transform": digest("t"),
        "executor": {"process": {"platform": "linux", "program": "x", "digest": digest("x")}},
        "status": "success", "counts": {"total": 1, "processed": 1, "reused": 0, "failed": 0, "recovered": 0},
        "datums": datums, "owners": owners, "outputTree": made.tree, "output": commit, "actor": "test@host",
        "toolVersion": "0", "started": 1, "finished": 2,
    }))
    .unwrap();
    let manifest = ManifestId(txn.put_stored(&manifest));
    let state = JobState {
        manifest,
        status: flow_model::job::JobStatus::Success,
        counts: flow_model::job::JobCounts::default(),
        commit_set: CommitSetId(digest("set")),
        version,
        output: Some(commit),
        started: Timestamp(1),
        finished: Timestamp(2),
    };
    let pipeline = PipelineName::parse("pipe").unwrap();
    txn.set(&ViewKey::Job(pipeline, job), &state);
    let head = txn.publish(meta(OperationKind::Jobs, "job")).await.unwrap();
    assert!(head.branch(&repo("pipe"), &BranchName::master()).await.unwrap().is_some());
    let _: BlobId = log;
    datum
}

#[tokio::test]
async fn what_a_job_leaves_is_checked_and_the_datum_that_heals_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(dir.path()), 1).await;
    let datum = publish_job(&store).await;
    assert!(check(dir.path(), FsckLevel::Data).await.is_clean());
    let head = project(&store).head().await.unwrap().unwrap();
    let damage = async |digest: flow_model::digest::Digest| {
        let flow_store::Location::Packed { pack, offset, .. } =
            head.reader().locate(digest).await.unwrap().unwrap()
        else {
            panic!("not packed")
        };
        let file = dir.path().join(&pack);
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[offset as usize] ^= 1;
        std::fs::write(&file, bad).unwrap();
        let report = check(dir.path(), FsckLevel::Data).await;
        std::fs::write(&file, good).unwrap();
        let problem = report.problems.into_iter().find(|problem| problem.digest == Some(digest)).unwrap();
        problem.affects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let output = damage(entry("what the datum wrote").blob.0).await;
    assert!(output.contains(&format!(":/o (written by datum {})", datum.short())), "{output}");
    assert!(output.contains("job "), "the job's record refers to it as well: {output}");
    let log = damage(flow_model::digest::Digest::of(b"a log")).await;
    assert!(log.starts_with("job ") && log.ends_with(" of pipe"), "{log}");
    let version = head.view().await.unwrap();
    let version =
        version.iter().find_map(|(key, value)| key.text().starts_with("job/").then(|| &value["version"]));
    let version = damage(version.unwrap().as_str().unwrap().parse().unwrap()).await;
    assert!(version.starts_with("job "), "{version}");
}

#[tokio::test]
async fn a_large_object_is_hashed_before_its_file_is_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(dir.path()), 1).await;
    let large = "large ".repeat(400_000);
    let head = put(&store, "r", &[("/large", Some(&large)), ("/small", Some("s"))]).await.unwrap();
    let blob = entry(&large).blob;
    let path = head.reader().local_object(blob).await.unwrap().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), large.as_bytes());
    assert_eq!(head.reader().local_object(entry("s").blob).await.unwrap(), None, "packed blobs have no file");

    let mut bytes = large.clone().into_bytes();
    bytes[1_000_000] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let fresh = project(&open(local(dir.path()), 2).await).head().await.unwrap().unwrap();
    let error = fresh.reader().local_object(blob).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { digest: Some(found), .. } if found == blob.0), "{error}");
}
