//! Crashes, lost replies, power loss, and writers that race.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::common::*;
use flow_model::commit::OperationKind;
use flow_store::{
    LocalMedia, Media, MediaError, PublishError, SeededEntropy, Store, StoreError,
    fault::{Crash, FaultMedia, LostReply, PowerDisk},
};

fn faulty(root: &Path) -> FaultMedia {
    FaultMedia::new(local(root))
}

/// The scenario: a put of small and large files, through files and from memory, onto a store with one earlier put.
async fn scenario(store: &Store, files: &Path) -> Result<(), PublishError> {
    let project = project(store);
    let head = project.head().await?;
    let mut txn = project.begin(head.as_ref());
    let paths: Vec<_> = ["small", "large"].map(|name| files.join(name)).into();
    let put = txn.put_files(paths).await?;
    txn.put_blob(vec![7; 2 << 20].into());
    stage_put(store, &mut txn, "r", &[("/n", Some("new")), ("/old", None)]).await;
    assert_eq!(put.len(), 2);
    txn.publish(meta(OperationKind::Put, "new")).await.map(drop)
}

fn write_files(files: &Path) {
    std::fs::create_dir_all(files).unwrap();
    std::fs::write(files.join("small"), "small").unwrap();
    std::fs::write(files.join("large"), vec![1; 3 << 20]).unwrap();
}

fn is_old(files: &BTreeMap<String, String>) -> bool {
    files.get("/old").is_some() && files.get("/n").is_none()
}

fn is_new(files: &BTreeMap<String, String>) -> bool {
    files.get("/old").is_none() && files.get("/n").map(String::as_str) == Some("new")
}

async fn assert_clean(store: &Store) {
    let report = flow_store::fsck(&project(store), flow_store::FsckLevel::Data).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

/// Runs the scenario with a fault at every write in turn, until it runs through without meeting it.
#[tokio::test]
async fn a_crash_at_any_write_leaves_the_old_or_the_new_state() {
    let mut points = 0;
    for how in [Crash::Before, Crash::After, Crash::Torn] {
        for at in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let (root, files) = (dir.path().join("store"), dir.path().join("files"));
            write_files(&files);
            let store = create(local(&root), 1).await;
            put(&store, "r", &[("/old", Some("old"))]).await.unwrap();
            let media = Arc::new(faulty(&root).crash_at(at, how));
            let store = open(Arc::clone(&media) as Arc<dyn Media>, 2).await;
            let result = scenario(&store, &files).await;
            if !media.has_crashed() {
                result.unwrap();
                break;
            }
            points += 1;
            assert!(result.is_err());
            let store = open(local(&root), 3).await;
            let after = contents(&project(&store).head().await.unwrap().unwrap(), "r").await;
            assert!(is_old(&after) || is_new(&after), "{how:?} at {at}: {after:?}");
            assert_clean(&store).await;
            if is_old(&after) {
                scenario(&store, &files).await.unwrap();
            }
            let after = contents(&project(&store).head().await.unwrap().unwrap(), "r").await;
            assert!(is_new(&after));
        }
    }
    assert!(points >= 15, "{points}");
}

#[tokio::test]
async fn a_crash_while_a_store_is_created_is_no_obstacle() {
    for how in [Crash::Before, Crash::After] {
        for at in 1..=4 {
            let dir = tempfile::tempdir().unwrap();
            let media: Arc<dyn Media> = Arc::new(faulty(dir.path()).crash_at(at, how));
            let first = async {
                let store = Store::create(media, Arc::new(SeededEntropy::new(1))).await?;
                put(&store, "r", &[("/n", Some("new"))]).await.map(drop)
            };
            let _: Result<(), PublishError> = first.await;
            let store = Store::create(local(dir.path()), Arc::new(SeededEntropy::new(2))).await.unwrap();
            put(&store, "r", &[("/n", Some("new"))]).await.unwrap();
            let head = project(&store).head().await.unwrap().unwrap();
            assert!(is_new(&contents(&head, "r").await));
        }
    }
}

#[tokio::test]
async fn a_lost_reply_is_resolved_by_reading_back() {
    // Writes of a put onto an existing project: pack and index run in some order, then the swap.
    for what in [LostReply::Landed, LostReply::Failed, LostReply::Retried] {
        let dir = tempfile::tempdir().unwrap();
        let store = create(local(dir.path()), 1).await;
        put(&store, "r", &[("/old", Some("old"))]).await.unwrap();
        let media = Arc::new(faulty(dir.path()).lose_reply_at(3, what));
        let store = open(Arc::clone(&media) as Arc<dyn Media>, 2).await;
        let head = put(&store, "r", &[("/n", Some("new")), ("/old", None)]).await.unwrap();
        assert!(media.writes()[2].starts_with("swap"), "{:?}", media.writes());
        assert!(is_new(&contents(&head, "r").await));
        assert_eq!(project(&store).log(10).await.unwrap().len(), 2, "{what:?}: published once");
    }
}

#[tokio::test]
async fn a_lost_reply_is_found_behind_other_operations() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(dir.path()), 1).await;
    put(&store, "r", &[("/old", Some("old"))]).await.unwrap();
    // The swap lands, its reply is lost, and before the writer looks, others have gone on.
    let media = faulty(dir.path()).lose_reply_at(3, LostReply::Landed);
    let racing = Arc::new(Racing { inner: media, root: dir.path().to_owned() });
    let store = open(racing, 2).await;
    let mine = put(&store, "r", &[("/n", Some("new")), ("/old", None)]).await.unwrap();
    let log = project(&store).log(10).await.unwrap();
    assert_eq!(log.len(), 4);
    assert_eq!(log[2].0, mine.operation_id());
}

/// Lets two others publish right after a swap.
#[derive(Debug)]
struct Racing {
    inner: FaultMedia,
    root: std::path::PathBuf,
}

#[async_trait::async_trait]
impl Media for Racing {
    async fn create(
        &self,
        name: &str,
        bytes: bytes::Bytes,
    ) -> Result<flow_store::media::Created, MediaError> {
        self.inner.create(name, bytes).await
    }

    async fn create_from_file(
        &self,
        name: &str,
        source: &Path,
        content: flow_model::digest::BlobId,
    ) -> Result<flow_store::media::Created, MediaError> {
        self.inner.create_from_file(name, source, content).await
    }

    async fn get(&self, name: &str) -> Result<bytes::Bytes, MediaError> {
        self.inner.get(name).await
    }

    async fn get_range(&self, name: &str, range: std::ops::Range<u64>) -> Result<bytes::Bytes, MediaError> {
        self.inner.get_range(name, range).await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, MediaError> {
        self.inner.size(name).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<flow_store::media::ObjectInfo>, MediaError> {
        self.inner.list(folder).await
    }

    async fn delete(&self, name: &str) -> Result<(), MediaError> {
        self.inner.delete(name).await
    }

    async fn read_ref(
        &self,
        project: &flow_model::name::ProjectName,
    ) -> Result<Option<(bytes::Bytes, flow_store::media::RefVersion)>, MediaError> {
        self.inner.read_ref(project).await
    }

    async fn swap_ref(
        &self,
        project: &flow_model::name::ProjectName,
        expected: Option<flow_store::media::RefVersion>,
        content: bytes::Bytes,
    ) -> Result<flow_store::media::Swap, MediaError> {
        let swapped = self.inner.swap_ref(project, expected, content).await;
        let store = open(local(&self.root), 77).await;
        for name in ["x", "y"] {
            put(&store, name, &[("/a", Some(name))]).await.unwrap();
        }
        swapped
    }

    fn local_path(&self, name: &str) -> Option<std::path::PathBuf> {
        self.inner.local_path(name)
    }
}

#[tokio::test]
async fn without_any_answer_the_outcome_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(local(dir.path()), 1).await;
    put(&store, "r", &[("/old", Some("old"))]).await.unwrap();
    let media = (1..100)
        .filter(|at| at % 3 == 0)
        .fold(faulty(dir.path()), |media, at| media.lose_reply_at(at, LostReply::Failed));
    let store = open(Arc::new(media), 2).await;
    let result = put(&store, "r", &[("/n", Some("new"))]).await;
    assert!(matches!(result, Err(PublishError::Unknown { .. })), "{result:?}");
}

/// Power is cut at every step of the disk in turn.
#[tokio::test]
async fn power_loss_at_any_step_leaves_the_old_or_the_new_state() {
    let mut points = 0;
    for step in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let (root, files) = (dir.path().join("store"), dir.path().join("files"));
        write_files(&files);
        let store = create(local(&root), 1).await;
        put(&store, "r", &[("/old", Some("old"))]).await.unwrap();
        let disk = Arc::new(PowerDisk::new(step).cut_at(step));
        let media = LocalMedia::with_disk(root.clone(), Arc::clone(&disk) as _);
        let result = scenario(&open(Arc::new(media), 2).await, &files).await;
        let done = !disk.is_off();
        if done {
            result.as_ref().unwrap();
            disk.cut().unwrap();
        }
        points += 1;
        let store = open(local(&root), 3).await;
        let after = contents(&project(&store).head().await.unwrap().unwrap(), "r").await;
        assert!(is_old(&after) || is_new(&after), "step {step}: {after:?}");
        assert_clean(&store).await;
        assert!(result.is_err() || is_new(&after), "step {step}: reported as done and lost");
        scenario(&store, &files).await.unwrap_or_else(|error| assert!(is_new(&after), "{error}"));
        if done {
            break;
        }
    }
    assert!(points >= 25, "{points}");
}

/// The negative control: the same test must be able to fail.
#[tokio::test]
async fn without_sync_power_loss_does_harm() {
    let mut harmed = 0;
    for seed in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let (root, files) = (dir.path().join("store"), dir.path().join("files"));
        write_files(&files);
        let store = create(local(&root), 1).await;
        put(&store, "r", &[("/old", Some("old"))]).await.unwrap();
        let disk = Arc::new(PowerDisk::without_sync(seed));
        let media = LocalMedia::with_disk(root.clone(), Arc::clone(&disk) as _);
        scenario(&open(Arc::new(media), 2).await, &files).await.unwrap();
        disk.cut().unwrap();
        let store = open(local(&root), 3).await;
        let fine = match project(&store).head().await {
            Ok(Some(head)) => is_new(&contents(&head, "r").await),
            Ok(None) => false,
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
                false
            }
        };
        harmed += usize::from(!fine);
    }
    assert!(harmed >= 5, "{harmed} of 10");
}

/// Eight writers, each with a handle of its own, on one branch each and all on a shared one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writers_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for media in [local(dir.path()), memory()] {
        let store = create(Arc::clone(&media), 1).await;
        put(&store, "shared", &[("/n", Some("0"))]).await.unwrap();
        let writers: Vec<_> = (0..8u64)
            .map(|writer| {
                let media = Arc::clone(&media);
                tokio::spawn(async move {
                    let store = open(media, 100 + writer).await;
                    let (mut own, mut shared, mut conflicts) = (0, 0, 0);
                    for round in 0..5 {
                        let text = format!("{writer}.{round}");
                        let name = format!("own{writer}");
                        put(&store, &name, &[(&format!("/{round}"), Some(&text))]).await.unwrap();
                        own += 1;
                        match put(&store, "shared", &[(&format!("/{text}"), Some(&text))]).await {
                            Ok(_) => shared += 1,
                            Err(PublishError::Conflict { keys }) => {
                                assert_eq!(keys, [branch_key("shared")]);
                                conflicts += 1;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    (own, shared, conflicts)
                })
            })
            .collect();
        let (mut own, mut shared, mut conflicts) = (0, 0, 0);
        for writer in writers {
            let counts = writer.await.unwrap();
            own += counts.0;
            shared += counts.1;
            conflicts += counts.2;
        }
        assert_eq!(shared + conflicts, 40);
        let store = open(media, 2).await;
        let log = project(&store).log(1000).await.unwrap();
        assert_eq!(log.len(), 1 + own + shared);
        let numbers: Vec<u64> = log.iter().map(|(_, operation)| operation.number).collect();
        assert_eq!(numbers, (0..log.len() as u64).rev().collect::<Vec<_>>());
        let head = project(&store).head().await.unwrap().unwrap();
        assert_eq!(contents(&head, "shared").await.len(), 1 + shared);
        for writer in 0..8 {
            assert_eq!(contents(&head, &format!("own{writer}")).await.len(), 5);
        }
    }
}

const RACE: &str = "FLOW_STORE_RACE";

/// One of the processes of the next test: puts ten files onto a branch of its own and ten onto a shared one.
#[tokio::test]
#[ignore = "started by `racing_processes_lose_nothing`"]
async fn one_racing_process() {
    let Some(place) = std::env::var_os(RACE) else { return };
    let (root, writer) = place.to_str().unwrap().rsplit_once('#').unwrap();
    let store = Store::create(local(Path::new(root)), Arc::new(flow_store::SystemEntropy)).await.unwrap();
    for round in 0..10 {
        let text = format!("{writer}.{round}");
        put(&store, &format!("own{writer}"), &[(&text, Some(&text))]).await.unwrap();
        loop {
            match put(&store, "shared", &[(&text, Some(&text))]).await {
                Ok(_) => break,
                Err(PublishError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn racing_processes_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..8)
        .map(|writer| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "faults::one_racing_process", "--ignored"])
                .env(RACE, format!("{}#{writer}", dir.path().display()))
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = open(local(dir.path()), 1).await;
    let log = project(&store).log(1000).await.unwrap();
    assert_eq!(log.len(), 160);
    let head = project(&store).head().await.unwrap().unwrap();
    assert_eq!(contents(&head, "shared").await.len(), 80);
    let report = flow_store::fsck(&project(&store), flow_store::FsckLevel::Data).await.unwrap();
    assert!(report.is_clean() && report.leftovers.is_empty(), "{report:?}");
}
