//! Buckets that alarms were fed: written once, read in order.

use super::fresh::Fresh;
use super::on_both;
use super::words::{at, integration};
use crate::{Aside, WatchedBucket};

on_both! {
    a_bucket_is_written_once_and_read_in_order
    old_buckets_are_forgotten
}

fn bucket(minute: i64, requests: u64) -> WatchedBucket {
    WatchedBucket {
        start: at(minute),
        requests,
        errors: 1,
        p95_ms: (requests > 0).then_some(250),
        cost_micros: 7,
        aside: if minute == 5 { Aside::Volume } else { Aside::No },
    }
}

async fn a_bucket_is_written_once_and_read_in_order(Fresh { store, .. }: Fresh) {
    let (id, other) = (integration("polygon"), integration("kraken"));
    assert_eq!(store.watched_write(&id, &[bucket(5, 3), bucket(0, 0)]).await.unwrap(), 2);
    assert_eq!(store.watched_write(&id, &[bucket(5, 9), bucket(10, 4)]).await.unwrap(), 1);
    assert_eq!(store.watched_write(&id, &[]).await.unwrap(), 0);
    store.watched_write(&other, &[bucket(0, 2)]).await.unwrap();
    let read = store.watched(&id, at(0), at(11)).await.unwrap();
    assert_eq!(read, [bucket(0, 0), bucket(5, 3), bucket(10, 4)]);
    assert_eq!(store.watched(&id, at(5), at(10)).await.unwrap(), [bucket(5, 3)]);
    let last = store.watched_last().await.unwrap();
    assert_eq!((last[&id], last[&other]), (at(10), at(0)));
}

async fn old_buckets_are_forgotten(Fresh { store, .. }: Fresh) {
    let id = integration("polygon");
    store.watched_write(&id, &[bucket(0, 1), bucket(5, 1), bucket(10, 1)]).await.unwrap();
    assert_eq!(store.watched_purge(at(10), 1).await.unwrap(), 1);
    assert_eq!(store.watched_purge(at(10), 9).await.unwrap(), 1);
    assert_eq!(store.watched(&id, at(0), at(99)).await.unwrap(), [bucket(10, 1)]);
}
