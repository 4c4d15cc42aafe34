//! The server is killed again and again while events are published and consumed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::{Town, event, eventually, soon};
use crate::{Message, Outcome, Status, table};

/// How often the server is killed.
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_when_the_server_is_killed() {
    let town = Arc::new(Town::start().await);
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let stopping = CancellationToken::new();
    let noted = Arc::clone(&seen);
    let consumer = town.bus.consume(&table::AUDIT, move |message: Message| {
        noted.lock().expect("no panic").insert(message.envelope.id.to_string());
        std::future::ready(Outcome::Done)
    });
    let consuming = tokio::spawn(consumer.concurrency(8).until(stopping.clone()));

    let enough = Arc::new(AtomicBool::new(false));
    let mut publishing = Vec::new();
    for writer in 0..4 {
        let (town, enough) = (Arc::clone(&town), Arc::clone(&enough));
        publishing.push(tokio::spawn(async move {
            let mut accepted = Vec::new();
            for number in 0.. {
                if enough.load(Ordering::SeqCst) {
                    break;
                }
                let ids: Vec<String> = (0..3).map(|part| format!("w{writer}-{number}-{part}")).collect();
                let batch: Vec<_> = ids.iter().map(|id| event("sb.v1.audit.admin.recorded", id)).collect();
                let sent = if number % 2 == 0 {
                    town.bus.publish_batch(&batch).await
                } else {
                    town.bus.publish_bytes(&batch[0]).await.map(|_| ())
                };
                sent.expect("an outage is waited out");
                accepted.extend(ids.into_iter().take(if number % 2 == 0 { 3 } else { 1 }));
            }
            accepted
        }));
    }
    for _ in 0..KILLS {
        let before = seen.lock().expect("no panic").len();
        eventually("progress", || async {
            (seen.lock().expect("no panic").len() > before + 50).then_some(())
        })
        .await;
        town.kill_server().await;
    }
    enough.store(true, Ordering::SeqCst);
    let mut accepted = BTreeSet::new();
    for writer in publishing {
        accepted.extend(soon("end of a writer", writer).await.expect("no panic"));
    }
    assert!(accepted.len() > 100);
    let missing = || {
        let seen = seen.lock().expect("no panic");
        accepted.iter().filter(|id| !seen.contains(*id)).count()
    };
    eventually("last message", || async { (missing() == 0).then_some(()) }).await;
    assert_eq!(town.count("AUDIT").await, accepted.len() as u64, "each is stored once");
    assert_eq!(town.bus.status(), Status::Connected);
    stopping.cancel();
    soon("end", consuming).await.expect("no panic").expect("in order");
    town.bus.drain().await;
    assert_eq!(town.bus.status(), Status::Closed);
}
