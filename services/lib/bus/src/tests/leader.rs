//! Leadership: one at a time, taken over after expiry, epochs that grow.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Town, eventually, soon};
use crate::{Bucket, Bus};

#[tokio::test]
async fn the_second_waits_and_takes_over_when_the_first_resigns() {
    let town = Town::start().await;
    let stopping = CancellationToken::new();
    let ttl = Duration::from_secs(30);
    let first = town.bus.lead("failover", ttl).acquire(&stopping).await.expect("leads");
    assert!(first.valid());
    let candidate = town.bus.lead("failover", ttl);
    assert!(candidate.try_once().await.expect("asks").is_none());
    let epoch = first.epoch;
    first.resign().await;
    let second = soon("take-over", candidate.acquire(&stopping)).await.expect("leads");
    assert!(second.epoch > epoch && second.valid());
    let third = town.bus.lead("failover", ttl);
    drop(second);
    assert!(soon("take-over", third.acquire(&stopping)).await.expect("leads").epoch > epoch);
}

#[tokio::test]
async fn a_term_goes_on_as_long_as_it_is_renewed() {
    let town = Town::start().await;
    let stopping = CancellationToken::new();
    let term = town.bus.lead("failover", Duration::from_secs(1)).acquire(&stopping).await.expect("leads");
    let candidate = town.bus.lead("failover", Duration::from_secs(1));
    let waited = tokio::time::timeout(Duration::from_secs(4), candidate.acquire(&stopping)).await;
    assert!(waited.is_err(), "nobody takes over from a living leader");
    assert!(term.valid());
}

#[tokio::test]
async fn a_frozen_leader_is_replaced_and_knows_it() {
    let town = Town::start().await;
    let stopping = CancellationToken::new();
    let ttl = Duration::from_secs(2);
    // A runtime of its own that is not run any more is what a frozen process looks like from inside.
    let frozen = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let settings = town.server.settings("frozen/1");
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let term = frozen.block_on(async {
            let bus = Bus::connect(&settings).await.expect("connects");
            bus.lead("failover", ttl).acquire(&CancellationToken::new()).await.expect("leads")
        });
        sender.send((term, frozen)).expect("the test waits");
    });
    let (term, runtime) =
        tokio::task::spawn_blocking(move || receiver.recv()).await.expect("joins").expect("leads");
    let next = soon("take-over", town.bus.lead("failover", ttl).acquire(&stopping)).await.expect("leads");
    assert!(!term.valid(), "the frozen leader must not act");
    assert!(next.epoch > term.epoch && next.valid());
    soon("news", term.lost()).await;
    // Thawed, it learns that the lead is another's and takes nothing back.
    let thawed = std::thread::spawn(move || {
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1500)).await });
        let valid = term.valid();
        runtime.block_on(async { drop(term) });
        valid
    });
    let valid = tokio::task::spawn_blocking(move || thawed.join()).await.expect("joins").expect("no panic");
    assert!(!valid);
    assert!(next.valid());
}

#[tokio::test]
async fn a_lease_expires_also_over_a_marker() {
    let town = Town::start().await;
    let stopping = CancellationToken::new();
    let kv = town.bus.bucket(Bucket::Leader).await.expect("opens");
    kv.put("failover", &"someone").await.expect("written");
    kv.delete("failover").await.expect("deleted");
    let term = town.bus.lead("failover", Duration::from_secs(1)).acquire(&stopping).await.expect("leads");
    // Renewals stop when another has written over the entry.
    kv.put("failover", &"thief").await.expect("written");
    soon("loss", term.lost()).await;
    assert!(!term.valid());
    kv.delete("failover").await.expect("deleted");
    let again = soon("take-over", town.bus.lead("failover", Duration::from_secs(1)).acquire(&stopping)).await;
    assert!(again.expect("leads").epoch > term.epoch);
    eventually("free entry", || async {
        kv.get::<serde_json::Value>("failover").await.ok().filter(Option::is_none)
    })
    .await;
}

#[tokio::test]
async fn stopping_ends_the_waiting() {
    let town = Town::start().await;
    let stopping = CancellationToken::new();
    let _term = town.bus.lead("failover", Duration::from_secs(30)).acquire(&stopping).await.expect("leads");
    stopping.cancel();
    assert!(town.bus.lead("failover", Duration::from_secs(30)).acquire(&stopping).await.is_none());
}
