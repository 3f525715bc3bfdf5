//! Bytes that somebody made up: refused, without panics and with bounded memory.

use std::sync::Arc;

use bytes::Bytes;
use flow_model::{commit::OperationKind, name::ProjectName};
use flow_store::{FsckLevel, Media, SeededEntropy, Store, fsck, media::Swap};
use proptest::prelude::*;

use crate::common::*;

/// A copy of a good store in memory in which one object has other bytes.
async fn with_changed(name: &str, change: impl Fn(&mut Vec<u8>)) -> Arc<dyn Media> {
    let good = memory();
    let store = create(Arc::clone(&good), 1).await;
    put(&store, "r", &[("/a", Some("1")), ("/b", Some(&"text ".repeat(100)))]).await.unwrap();
    put(&store, "r", &[("/a", Some("2"))]).await.unwrap();
    let copy = memory();
    let project: ProjectName = "p".parse().unwrap();
    let mut number = 0;
    for object in good.list("").await.unwrap() {
        let mut bytes = good.get(&object.name).await.unwrap().to_vec();
        number += 1;
        if object.name.starts_with(name) || number.to_string() == name {
            change(&mut bytes);
        }
        if object.name == "refs/p" {
            assert_eq!(copy.swap_ref(&project, None, Bytes::from(bytes)).await.unwrap(), Swap::Done);
        } else {
            copy.create(&object.name, bytes.into()).await.unwrap();
        }
    }
    copy
}

async fn use_all_of(media: Arc<dyn Media>) {
    let Ok(Some(store)) = Store::open(media, Arc::new(SeededEntropy::new(2))).await else { return };
    let project = project(&store);
    for level in [FsckLevel::Structure, FsckLevel::Data] {
        fsck(&project, level).await.unwrap();
    }
    if let Ok(Some(head)) = project.head().await {
        drop(head.view().await);
        let mut txn = project.begin(Some(&head));
        txn.put_blob("new".into());
        txn.remove(&branch_key("r"));
        drop(txn.publish(meta(OperationKind::Put, "on damaged ground")).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_panics(which in 1..12u32, edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in proptest::option::of(any::<prop::sample::Index>()), tail in proptest::collection::vec(any::<u8>(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let media = with_changed(&which.to_string(), |bytes| {
                for (at, byte) in &edits {
                    let length = bytes.len();
                    // Most damage to the end, where the numbers are.
                    let at = if byte % 2 == 0 { at.index(length) } else { length - 1 - at.index(length.min(120)) };
                    bytes[at] = *byte;
                }
                if let Some(cut) = cut {
                    bytes.truncate(cut.index(bytes.len() + 1));
                }
                bytes.extend(&tail);
            })
            .await;
            use_all_of(media).await;
        });
    }
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused() {
    let media = memory();
    let body = r#"{"format":"flow.store.v2","lineage":"x","hash":"blake3"}"#;
    let check = flow_model::digest::Digest::of(body.as_bytes());
    let bytes = format!("{{\"check\":\"{check}\",\"body\":{body}}}\n");
    media.create("flow.json", bytes.into()).await.unwrap();
    let error = Store::open(media, Arc::new(SeededEntropy::new(2))).await.unwrap_err();
    assert!(error.to_string().contains("flow.store.v2") && error.to_string().contains("newer"), "{error}");
}
