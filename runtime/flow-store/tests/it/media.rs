//! The contract of `Media`, for every implementation.

use std::sync::Arc;

use bytes::Bytes;
use flow_model::{digest::BlobId, name::ProjectName};
use flow_store::{
    LocalMedia, Media, MediaError,
    media::{Created, OsDisk, Swap},
};

use crate::common::*;

async fn check(media: Arc<dyn Media>, scratch: &std::path::Path) {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert!(media.get("packs/a").await.unwrap_err().is_not_found());
    assert!(media.get_range("packs/a", 0..1).await.unwrap_err().is_not_found());
    assert_eq!(media.size("packs/a").await.unwrap(), None);
    assert!(media.list("").await.unwrap().is_empty());

    assert_eq!(media.create("packs/a", bytes("hello")).await.unwrap(), Created::New);
    assert_eq!(media.create("packs/a", bytes("other")).await.unwrap(), Created::Existed);
    assert_eq!(&media.get("packs/a").await.unwrap()[..], b"hello");
    assert_eq!(&media.get_range("packs/a", 1..3).await.unwrap()[..], b"el");
    assert_eq!(&media.get_range("packs/a", 3..99).await.unwrap()[..], b"lo", "fewer at the end");
    assert_eq!(&media.get_range("packs/a", 7..9).await.unwrap()[..], b"", "none behind it");
    assert_eq!(media.size("packs/a").await.unwrap(), Some(5));

    let file = scratch.join("source");
    std::fs::write(&file, vec![5; 20 << 20]).unwrap();
    let right = BlobId::of(&vec![5; 20 << 20]);
    let wrong = media.create_from_file("objects/b", &file, BlobId::of(b"x")).await.unwrap_err();
    assert!(matches!(wrong, MediaError::SourceChanged { .. }));
    assert_eq!(media.size("objects/b").await.unwrap(), None, "nothing under the name");
    assert_eq!(media.create_from_file("objects/b", &file, right).await.unwrap(), Created::New);
    assert_eq!(media.create_from_file("objects/b", &file, right).await.unwrap(), Created::Existed);
    assert_eq!(BlobId::of(&media.get("objects/b").await.unwrap()), right);

    media.create("jobs/x/1", bytes("1")).await.unwrap();
    let names = |listed: Vec<flow_store::media::ObjectInfo>| {
        listed.into_iter().map(|object| (object.name, object.size)).collect::<Vec<_>>()
    };
    assert_eq!(names(media.list("jobs/x/").await.unwrap()), [("jobs/x/1".to_owned(), 1)]);
    assert_eq!(names(media.list("jobs/y/").await.unwrap()), []);
    assert_eq!(media.list("").await.unwrap().len(), 3);
    media.delete("jobs/x/1").await.unwrap();
    media.delete("jobs/x/1").await.unwrap();
    assert_eq!(media.list("").await.unwrap().len(), 2);

    let project: ProjectName = "p".parse().unwrap();
    assert!(media.read_ref(&project).await.unwrap().is_none());
    assert_eq!(media.swap_ref(&project, None, bytes("one")).await.unwrap(), Swap::Done);
    assert_eq!(media.swap_ref(&project, None, bytes("two")).await.unwrap(), Swap::Moved);
    let (content, first) = media.read_ref(&project).await.unwrap().unwrap();
    assert_eq!(&content[..], b"one");
    assert_eq!(media.swap_ref(&project, Some(first.clone()), bytes("two")).await.unwrap(), Swap::Done);
    assert_eq!(media.swap_ref(&project, Some(first), bytes("three")).await.unwrap(), Swap::Moved);
    assert_eq!(&media.read_ref(&project).await.unwrap().unwrap().0[..], b"two");
}

#[tokio::test]
async fn every_storage_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    check(memory(), dir.path()).await;
    check(local(&dir.path().join("a/b")), dir.path()).await;
    let named = LocalMedia::with_disk(dir.path().join("named"), Arc::new(OsDisk::with_hidden_names()));
    check(Arc::new(named.clone()), dir.path()).await;
    let left = named.list("").await.unwrap();
    assert!(left.iter().all(|object| !object.name.contains(".new-")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn swaps_count_right() {
    let dir = tempfile::tempdir().unwrap();
    for media in [memory(), local(dir.path())] {
        let project: ProjectName = "p".parse().unwrap();
        media.swap_ref(&project, None, Bytes::from("0")).await.unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (media, project) = (Arc::clone(&media), project.clone());
                tokio::spawn(async move {
                    let mut done = 0;
                    while done < 20 {
                        let (content, version) = media.read_ref(&project).await.unwrap().unwrap();
                        let number: u32 = std::str::from_utf8(&content).unwrap().parse().unwrap();
                        let next = Bytes::from((number + 1).to_string());
                        if media.swap_ref(&project, Some(version), next).await.unwrap() == Swap::Done {
                            done += 1;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(&media.read_ref(&project).await.unwrap().unwrap().0[..], b"160");
    }
}

#[tokio::test]
async fn only_regular_files_are_put() {
    let dir = tempfile::tempdir().unwrap();
    let store = create(memory(), 1).await;
    let txn = project(&store).begin(None);
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(txn.put_file(fifo).await.unwrap_err().to_string().contains("no regular file"));
    assert!(txn.put_file(dir.path().to_owned()).await.is_err());
    assert!(txn.put_file(dir.path().join("absent")).await.is_err());
}
