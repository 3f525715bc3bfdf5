//! What commands cost in opened objects, however long the history is.

use std::{collections::BTreeMap, sync::Arc};

use crate::common::*;
use flow_store::{Media, fault::CountingMedia};

/// Puts one file and reports the objects that were opened, by folder.
async fn put_counted(media: &Arc<dyn Media>, number: u32) -> BTreeMap<String, usize> {
    let counting = Arc::new(CountingMedia::new(Arc::clone(media)));
    let store = open(Arc::clone(&counting) as Arc<dyn Media>, u64::from(number)).await;
    let (at, text) = (format!("/data/{number}"), format!("content {number}"));
    put(&store, "r", &[(&at, Some(&text))]).await.unwrap();
    assert_eq!(counting.lists(), 0, "nothing on a hot path lists");
    let mut folders = BTreeMap::new();
    for name in counting.reads().into_keys() {
        *folders.entry(name.split('/').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    folders
}

#[tokio::test]
async fn the_thousandth_put_opens_as_few_objects_as_the_tenth() {
    let media = memory();
    create(Arc::clone(&media), 0).await;
    let mut opened = BTreeMap::new();
    for number in 1..=1000 {
        let folders = put_counted(&media, number).await;
        opened.insert(number, folders);
    }
    let total = |number: u32| opened[&number].values().sum::<usize>();
    println!("opened by put 10: {:?}", opened[&10]);
    println!("opened by put 1000: {:?}", opened[&1000]);
    let most = opened.values().map(|folders| folders.values().sum::<usize>()).max().unwrap();
    println!("most by any put: {most}");
    let typical = |range: std::ops::RangeInclusive<u32>| range.map(total).sum::<usize>() as f64 / 11.0;
    println!("mean of puts 5..15: {}, 990..1000: {}", typical(5..=15), typical(990..=1000));
    assert!(opened[&1000]["index"] <= 3);
    assert!(total(1000) <= total(10) + 2, "{} and {}", total(10), total(1000));
    assert!(most <= total(10) + 4, "{most}");
}
