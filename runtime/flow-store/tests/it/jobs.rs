//! Packs of jobs, and the result cache.

use std::{collections::BTreeMap, sync::Arc};

use crate::common::*;
use flow_model::{
    canonical,
    commit::OperationKind,
    digest::{DatumKey, Digest, InputsDigest, JobId, RecordId, TransformDigest},
    forecast::ResultRef,
    job::{DatumOutput, DatumRecord, LogRef, RunFacts},
    time::{Millis, Timestamp},
};
use flow_store::{
    JobPacks, JobWriter, LocalMedia, Media,
    fault::{CountingMedia, Crash, FaultMedia},
};

fn job() -> JobId {
    JobId(Digest::of(b"job"))
}

fn key(number: u32) -> DatumKey {
    DatumKey(Digest::of(&number.to_le_bytes()))
}

fn text(number: u32) -> String {
    format!("output of datum {number}")
}

fn record(number: u32) -> DatumRecord {
    DatumRecord {
        key: key(number),
        transform: TransformDigest(Digest::of(b"t")),
        inputs: Vec::new(),
        outputs: vec![DatumOutput { path: path(&format!("/{number}")), file: entry(&text(number)) }],
    }
}

fn facts(number: u32) -> RunFacts {
    RunFacts {
        datum: flow_model::digest::DatumId(InputsDigest(Digest::of(&number.to_le_bytes())).0),
        job: job(),
        attempts: 1,
        exit: "exit 0".to_owned(),
        started: Timestamp(1),
        wall: Millis(1),
        cpu: Millis(1),
        max_rss_kib: 1,
        stdout: LogRef::default(),
        stderr: LogRef::default(),
        runner: "test@host".to_owned(),
        executor: "process".to_owned(),
    }
}

fn put_result(writer: &JobWriter, number: u32) -> (DatumKey, ResultRef) {
    let _ = writer.put_blob(text(number).into_bytes().into());
    let record = RecordId(writer.put_stored(&record(number)));
    (key(number), ResultRef { record, facts: writer.put_stored(&facts(number)) })
}

#[tokio::test]
async fn flushed_results_survive_and_become_ordinary() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(&dir.path().join("s")), 1).await;
    let base = put(&store, "r", &[("/a", Some("1"))]).await.unwrap();
    let writer = project(&store).job_writer(job(), &base, &JobPacks::none(job()));
    let large = dir.path().join("large");
    std::fs::write(&large, vec![9; 2 << 20]).unwrap();
    let (large_id, _) = writer.put_file(large).await.unwrap();
    let mut results: Vec<_> = (0..3).map(|number| put_result(&writer, number)).collect();
    writer.flush().await.unwrap();
    results.extend((3..5).map(|number| put_result(&writer, number)));
    writer.flush().await.unwrap();
    writer.flush().await.unwrap();
    put_result(&writer, 5);
    drop(writer);

    // Another process takes over: what was flushed is there, what was not is not.
    let store = open(local(&dir.path().join("s")), 2).await;
    let project = project(&store);
    let packs = project.job_packs(job()).await.unwrap();
    assert_eq!(store.media().list(&format!("jobs/{}/", job())).await.unwrap().len(), 2);
    let head = project.head().await.unwrap().unwrap();
    let found = packs.stored::<DatumRecord>(&head.reader()).await.unwrap();
    let mut keys: Vec<_> = found.iter().map(|(_, record)| record.key).collect();
    keys.sort_unstable();
    let mut expected: Vec<_> = (0..5).map(key).collect();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(packs.stored::<RunFacts>(&head.reader()).await.unwrap().len(), 5);
    assert_eq!(packs.reader(&head.reader()).blob(large_id).await.unwrap().len(), 2 << 20);
    assert!(head.reader().blob(large_id).await.is_err(), "not published yet");

    // Resumed: what is known is not stored again.
    let writer = project.job_writer(job(), &head, &packs);
    put_result(&writer, 0);
    writer.flush().await.unwrap();
    assert!(writer.packs().is_empty());

    let mut txn = project.begin(Some(&head));
    txn.adopt(packs);
    txn.cache(results.clone());
    let head = txn.publish(meta(OperationKind::Jobs, "done")).await.unwrap();
    assert_eq!(head.reader().blob(large_id).await.unwrap().len(), 2 << 20);

    let store = open(local(&dir.path().join("s")), 3).await;
    let head = crate::common::project(&store).head().await.unwrap().unwrap();
    assert_eq!(head.reader().blob(large_id).await.unwrap().len(), 2 << 20);
    let asked: Vec<_> = (0..10).map(key).collect();
    assert_eq!(head.cached(&asked).await.unwrap(), results.into_iter().collect::<BTreeMap<_, _>>());
}

#[tokio::test]
async fn a_torn_pack_of_a_job_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(dir.path()), 1).await;
    let base = put(&store, "r", &[("/a", Some("1"))]).await.unwrap();
    for (number, how) in [(1, Crash::Before), (2, Crash::After), (3, Crash::Torn)] {
        let media = Arc::new(FaultMedia::new(local(dir.path())).crash_at(1, how));
        let faulty = open(media, 10 + u64::from(number)).await;
        let base = project(&faulty).head().await.unwrap().unwrap();
        let writer = project(&faulty).job_writer(job(), &base, &JobPacks::none(job()));
        put_result(&writer, number);
        assert!(writer.flush().await.is_err());
    }
    let packs = project(&store).job_packs(job()).await.unwrap();
    assert_eq!(packs.unfinished().len(), 1);
    let found = packs.stored::<DatumRecord>(&base.reader()).await.unwrap();
    assert_eq!(found.iter().map(|(_, record)| record.key).collect::<Vec<_>>(), [key(2)]);
}

#[tokio::test]
async fn a_flush_that_failed_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(dir.path()), 1).await;
    put(&store, "r", &[("/a", Some("1"))]).await.unwrap();
    let media = FaultMedia::new(local(dir.path())).lose_reply_at(1, flow_store::fault::LostReply::Failed);
    let faulty = open(Arc::new(media), 2).await;
    let base = project(&faulty).head().await.unwrap().unwrap();
    let writer = project(&faulty).job_writer(job(), &base, &JobPacks::none(job()));
    put_result(&writer, 1);
    assert!(writer.flush().await.is_err());
    put_result(&writer, 2);
    writer.flush().await.unwrap();
    let found = project(&store).job_packs(job()).await.unwrap().stored::<DatumRecord>(&base.reader()).await;
    assert_eq!(found.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_share_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(dir.path()), 1).await;
    let base = put(&store, "r", &[("/a", Some("1"))]).await.unwrap();
    let writer = project(&store).job_writer(job(), &base, &JobPacks::none(job()));
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let writer = writer.clone();
            tokio::spawn(async move {
                put_result(&writer, number);
                writer.flush().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let packs = project(&store).job_packs(job()).await.unwrap();
    assert_eq!(packs.stored::<DatumRecord>(&base.reader()).await.unwrap().len(), 200);
    let created = store.media().list(&format!("jobs/{}/", job())).await.unwrap().len();
    assert!(created < 100, "{created} packs for 200 tasks");
}

/// Publishes the results of a job with these datums.
async fn publish_results(store: &flow_store::Store, numbers: std::ops::Range<u32>) {
    let project = project(store);
    let head = project.head().await.unwrap();
    let mut txn = project.begin(head.as_ref());
    let mut results = Vec::new();
    for number in numbers {
        txn.put_blob(text(number).into_bytes().into());
        let record = RecordId(txn.put_stored(&record(number)));
        results.push((key(number), ResultRef { record, facts: txn.put_stored(&facts(number)) }));
    }
    txn.cache(results);
    txn.publish(meta(OperationKind::Jobs, "results")).await.unwrap();
}

#[tokio::test]
async fn cache_runs_are_merged_and_lookups_stay_cheap() {
    let media = memory();
    let store = create(Arc::clone(&media), 1).await;
    for round in 0..60 {
        publish_results(&store, round * 20..(round + 1) * 20).await;
    }
    let counting = Arc::new(CountingMedia::new(media));
    let store = open(Arc::clone(&counting) as Arc<dyn Media>, 2).await;
    let head = project(&store).head().await.unwrap().unwrap();
    let asked: Vec<_> = (1_000..1_400).map(key).collect();
    let found = head.cached(&asked).await.unwrap();
    assert_eq!(found.len(), 200);
    let runs = counting.reads().keys().filter(|name| name.starts_with("cache/")).count();
    assert!(runs <= 3, "{runs} cache runs");
}

#[tokio::test]
async fn a_result_whose_outputs_are_gone_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(Arc::new(LocalMedia::new(dir.path().to_owned())), 1).await;
    let project = project(&store);
    let mut txn = project.begin(None);
    let facts = txn.put_stored(&facts(1));
    // The record of datum 1 is stored without its output blob; a key of another datum points to it as well.
    let lonely = RecordId(txn.put_stored(&record(1)));
    txn.put_blob(text(2).into_bytes().into());
    let whole = RecordId(txn.put_stored(&record(2)));
    let gone = RecordId(canonical::digest(&record(3)));
    let result = |record| ResultRef { record, facts };
    txn.cache(vec![
        (key(1), result(lonely)),
        (key(2), result(whole)),
        (key(3), result(gone)),
        (key(4), result(whole)),
    ]);
    let head = txn.publish(meta(OperationKind::Jobs, "results")).await.unwrap();
    let found = head.cached(&(0..10).map(key).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [key(2)]);
}
