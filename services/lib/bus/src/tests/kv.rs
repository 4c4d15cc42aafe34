//! Buckets: compare-and-set, lists, watches.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};

use super::{Town, eventually, soon};
use crate::{Bucket, Change, Error};

#[tokio::test]
async fn only_who_knows_the_last_revision_may_write() {
    let town = Town::start().await;
    let kv = town.bus.bucket(Bucket::Routes).await.expect("opens");
    let first = kv.create("quotes", &1).await.expect("created");
    let second = kv.update("quotes", &2, first).await.expect("updated");
    assert!(matches!(kv.update("quotes", &3, first).await, Err(Error::Conflict { .. })));
    assert!(matches!(kv.create("quotes", &3).await, Err(Error::Conflict { .. })));
    assert!(matches!(kv.update("other", &3, 99).await, Err(Error::Conflict { .. })));
    let entry = kv.get::<u32>("quotes").await.expect("read").expect("there");
    assert_eq!((entry.value, entry.revision), (2, second));
    assert!(matches!(kv.get::<String>("quotes").await, Err(Error::Json { .. })));
}

#[tokio::test]
async fn of_many_writers_one_wins() {
    let town = Town::start().await;
    let kv = town.bus.bucket(Bucket::Quota).await.expect("opens");
    let last = kv.put("window", &0).await.expect("written");
    let writes = (1..=16).map(|number| {
        let kv = kv.clone();
        async move { kv.update("window", &number, last).await }
    });
    let results = futures_util::future::join_all(writes).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(Error::Conflict { .. }))));
}

#[tokio::test]
async fn what_was_deleted_can_be_created_again() {
    let town = Town::start().await;
    let kv = town.bus.bucket(Bucket::Health).await.expect("opens");
    assert!(kv.keys().await.expect("listed").is_empty());
    kv.delete("never").await.expect("deleting nothing is fine");
    kv.create("a", &1).await.expect("created");
    kv.put("b", &2).await.expect("written");
    kv.delete("a").await.expect("deleted");
    assert!(kv.get::<u32>("a").await.expect("read").is_none());
    assert_eq!(kv.keys().await.expect("listed"), ["b"]);
    kv.create("a", &3).await.expect("created again");
    let mut all: Vec<(String, u32)> =
        kv.all::<u32>().await.expect("listed").into_iter().map(|(key, entry)| (key, entry.value)).collect();
    all.sort();
    assert_eq!(all, [("a".to_owned(), 3), ("b".to_owned(), 2)]);
    assert!(matches!(kv.put("a.*", &1).await, Err(Error::InvalidKey { .. })));
}

#[tokio::test]
async fn what_was_deleted_can_be_changed_against_its_mark() {
    let town = Town::start().await;
    let kv = town.bus.bucket(Bucket::Quota).await.expect("opens");
    assert_eq!(kv.look::<u32>("a").await.expect("read"), (None, 0));
    let first = kv.update("a", &1, 0).await.expect("written");
    assert_eq!(kv.look::<u32>("a").await.expect("read"), (Some(1), first));
    kv.delete("a").await.expect("deleted");
    let (value, mark) = kv.look::<u32>("a").await.expect("read");
    assert!(value.is_none() && mark > first);
    kv.update("a", &2, mark).await.expect("written");
}

#[tokio::test]
async fn the_clock_of_the_bus_is_read_between_question_and_answer() {
    let town = Town::start().await;
    let kv = town.bus.bucket(Bucket::Quota).await.expect("opens");
    let before = model::Timestamp::now();
    let read = kv.clock("clock").await.expect("read");
    assert!(before <= read && read <= model::Timestamp::now());
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there_and_survives_the_server() {
    let town = Town::start().await;
    let kv = town.bus.bucket(Bucket::Routes).await.expect("opens");
    kv.put("a", &1).await.expect("written");
    kv.put("gone", &1).await.expect("written");
    let mut watch = kv.watch::<u32>();
    let mut one = kv.watch_key::<u32>("a");
    for _ in 0..2 {
        assert!(matches!(soon("value", watch.next()).await, Some(Change::Put { value: 1, .. })));
    }
    kv.put("b", &2).await.expect("written");
    assert!(
        matches!(soon("change", watch.next()).await, Some(Change::Put { key, value: 2, .. }) if key == "b")
    );
    town.kill_server().await;
    eventually("write", || async { kv.put("a", &5).await.ok() }).await;
    let change = soon("change", watch.next()).await;
    assert!(matches!(&change, Some(Change::Put { key, value: 5, .. }) if key == "a"), "{change:?}");
    eventually("delete", || async { kv.delete("gone").await.ok() }).await;
    // A write whose answer was lost in the outage may show up as a revision of its own.
    let mut change = soon("change", watch.next()).await;
    while matches!(&change, Some(Change::Put { value: 5, .. })) {
        change = soon("change", watch.next()).await;
    }
    assert_eq!(change, Some(Change::Deleted { key: "gone".to_owned() }));
    let first = soon("value", one.next()).await;
    assert!(matches!(first, Some(Change::Put { value: 1, .. })), "{first:?}");
    assert!(matches!(soon("change", one.next()).await, Some(Change::Put { value: 5, .. })));
}

#[tokio::test]
async fn what_is_written_for_a_time_ends_by_itself_and_a_watch_sees_its_own_keys() {
    let town = Town::start().await;
    let kv = town.bus.bucket(Bucket::Quota).await.expect("opens");
    kv.put("mine", &1).await.expect("written");
    let short = Duration::from_millis(10);
    kv.update_for("mine.a", &2, 0, short).await.expect("written");
    let mut below = kv.watch_below::<u32>("mine");
    kv.put("other.a", &3).await.expect("written");
    assert!(matches!(kv.update_for("mine.a", &4, 0, short).await, Err(Error::Conflict { .. })));
    let change = soon("value", below.next()).await;
    assert!(matches!(&change, Some(Change::Put { key, value: 2, .. }) if key == "mine.a"), "{change:?}");
    let change = soon("end", below.next()).await;
    assert_eq!(change, Some(Change::Deleted { key: "mine.a".to_owned() }));
    let (now, revision) = kv.look::<u32>("mine.a").await.expect("read");
    assert_eq!(now, None);
    kv.update_for("mine.a", &5, revision, Duration::from_secs(60)).await.expect("written again");
    let change = soon("value", below.next()).await;
    assert!(matches!(change, Some(Change::Put { value: 5, .. })), "{change:?}");
}

#[tokio::test]
async fn a_watch_leaves_out_what_it_cannot_read() {
    let town = Town::start().await;
    let kv = town.bus.bucket(Bucket::Config).await.expect("opens");
    let mut watch = kv.watch::<u32>();
    kv.put("a", &"text").await.expect("written");
    kv.put("a", &7).await.expect("written");
    assert!(matches!(soon("change", watch.next()).await, Some(Change::Put { value: 7, .. })));
    assert!(tokio::time::timeout(Duration::from_millis(1), watch.next()).now_or_never().is_none());
}
