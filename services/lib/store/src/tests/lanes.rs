//! Lanes: one holder at a time, the oldest delivery first.

use model::Timestamp;

use super::fresh::Fresh;
use super::on_both;
use super::words::{at, attempt, delivery, delivery_id, event, raised, webhook};
use crate::{AlertWrite, Next, Store};

on_both! {
    of_many_workers_one_holds_the_lane
    a_lane_ends_by_itself_when_its_holder_dies
    deliveries_of_a_webhook_keep_their_order
    a_paused_webhook_waits_as_a_whole
    a_held_delivery_waits_until_its_schedule_opens
    lanes_that_can_be_worked_on_are_named
    the_next_due_date_knows_pauses_and_holders
    two_workers_deliver_each_delivery_once_and_in_order
}

async fn make(store: &Store, id: &str, to: &str, when: Timestamp) {
    let write = AlertWrite::Raise(raised("a1", "f1", when));
    let made = store.take_alert(&event(&format!("e-{id}")), write, &[delivery(id, to, when)], when).await;
    assert!(made.unwrap());
}

async fn next(store: &Store, now: Timestamp) -> Option<String> {
    let next = store.lane_next(&webhook("ops"), now).await.unwrap();
    next.map(|next| next.delivery.id.to_string())
}

async fn end(store: &Store, id: &str, number: u32, next: Next) {
    store.attempt_begin(&delivery_id(id), number, at(10)).await.unwrap();
    let attempt = attempt(number, "retry", at(10));
    store.attempt_end(&delivery_id(id), &attempt, next, &[], at(11)).await.unwrap();
}

async fn of_many_workers_one_holds_the_lane(Fresh { store, .. }: Fresh) {
    let workers: Vec<_> = (0..12)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store.lane_claim(&webhook("ops"), &format!("w{n}"), at(0), at(100)).await.unwrap()
            })
        })
        .collect();
    let mut held = 0;
    for worker in workers {
        held += u32::from(worker.await.unwrap());
    }
    assert_eq!(held, 1);
}

async fn a_lane_ends_by_itself_when_its_holder_dies(Fresh { store, .. }: Fresh) {
    let ops = webhook("ops");
    assert!(store.lane_claim(&ops, "w1", at(0), at(100)).await.unwrap());
    assert!(store.lane_claim(&ops, "w1", at(1), at(110)).await.unwrap(), "its own again");
    assert!(!store.lane_claim(&ops, "w2", at(109), at(200)).await.unwrap());
    assert!(store.lane_extend(&ops, "w1", at(120)).await.unwrap());
    assert!(!store.lane_claim(&ops, "w2", at(119), at(200)).await.unwrap());
    assert!(store.lane_claim(&ops, "w2", at(120), at(200)).await.unwrap());
    assert!(!store.lane_extend(&ops, "w1", at(300)).await.unwrap(), "it lost the lane");
    store.lane_release(&ops, "w1").await.unwrap();
    assert!(!store.lane_claim(&ops, "w3", at(130), at(200)).await.unwrap());
    store.lane_release(&ops, "w2").await.unwrap();
    assert!(store.lane_claim(&ops, "w3", at(130), at(200)).await.unwrap());
}

async fn deliveries_of_a_webhook_keep_their_order(Fresh { store, .. }: Fresh) {
    make(&store, "z-first", "ops", at(1)).await;
    make(&store, "a-second", "ops", at(1)).await;
    make(&store, "other", "elsewhere", at(0)).await;
    assert_eq!(next(&store, at(0)).await, None, "not due");
    assert_eq!(next(&store, at(5)).await.as_deref(), Some("z-first"));
    end(&store, "z-first", 1, Next::Retry { due_at: at(50) }).await;
    assert_eq!(next(&store, at(49)).await, None, "the second waits behind the first");
    assert_eq!(next(&store, at(50)).await.as_deref(), Some("z-first"));
    end(&store, "z-first", 2, Next::Delivered).await;
    assert_eq!(next(&store, at(50)).await.as_deref(), Some("a-second"));
    end(&store, "a-second", 1, Next::Failed { reason: "gone".to_owned() }).await;
    assert_eq!(next(&store, at(50)).await, None);
}

async fn a_paused_webhook_waits_as_a_whole(Fresh { store, .. }: Fresh) {
    make(&store, "d1", "ops", at(1)).await;
    store.lane_pause(&webhook("ops"), at(30)).await.unwrap();
    store.lane_pause(&webhook("ops"), at(20)).await.unwrap();
    assert_eq!(next(&store, at(29)).await, None);
    assert_eq!(store.lanes_due(at(29), 10).await.unwrap(), []);
    assert_eq!(next(&store, at(30)).await.as_deref(), Some("d1"));
    assert_eq!(store.lanes_due(at(30), 10).await.unwrap(), [webhook("ops")]);
}

async fn a_held_delivery_waits_until_its_schedule_opens(Fresh { store, .. }: Fresh) {
    make(&store, "d1", "ops", at(1)).await;
    store.hold(&delivery_id("d1"), at(500)).await.unwrap();
    assert_eq!(next(&store, at(499)).await, None);
    assert_eq!(next(&store, at(500)).await.as_deref(), Some("d1"));
    end(&store, "d1", 1, Next::Delivered).await;
    assert!(store.hold(&delivery_id("d1"), at(900)).await.is_err());
}

async fn lanes_that_can_be_worked_on_are_named(Fresh { store, .. }: Fresh) {
    for (n, to) in ["c", "b", "a", "held"].iter().enumerate() {
        make(&store, &format!("d{n}"), to, at(i64::try_from(n).unwrap())).await;
    }
    assert!(store.lane_claim(&webhook("held"), "w1", at(0), at(100)).await.unwrap());
    assert_eq!(store.lanes_due(at(1), 10).await.unwrap(), [webhook("c"), webhook("b")]);
    assert_eq!(store.lanes_due(at(50), 2).await.unwrap(), [webhook("c"), webhook("b")]);
    assert_eq!(store.lanes_due(at(100), 10).await.unwrap().len(), 4);
}

async fn the_next_due_date_knows_pauses_and_holders(Fresh { store, .. }: Fresh) {
    assert_eq!(store.lanes_next_due(at(0)).await.unwrap(), None);
    make(&store, "d1", "ops", at(10)).await;
    assert_eq!(store.lanes_next_due(at(0)).await.unwrap(), Some(at(10)));
    store.lane_pause(&webhook("ops"), at(40)).await.unwrap();
    assert_eq!(store.lanes_next_due(at(0)).await.unwrap(), Some(at(40)));
    store.lane_claim(&webhook("ops"), "w1", at(0), at(90)).await.unwrap();
    assert_eq!(store.lanes_next_due(at(0)).await.unwrap(), Some(at(90)));
    make(&store, "d2", "other", at(60)).await;
    assert_eq!(store.lanes_next_due(at(0)).await.unwrap(), Some(at(60)));
}

/// Works on the lane as a worker does, until nothing waits; the order in which it delivered.
async fn work(store: Store, name: &'static str) -> Vec<(usize, String)> {
    let mut done = Vec::new();
    while store.pending_total().await.unwrap() > 0 {
        if !store.lane_claim(&webhook("ops"), name, at(0), at(1_000)).await.unwrap() {
            tokio::task::yield_now().await;
            continue;
        }
        if let Some(next) = store.lane_next(&webhook("ops"), at(100)).await.unwrap() {
            let id = next.delivery.id;
            store.attempt_begin(&id, 1, at(100)).await.unwrap();
            let position = store.sent_since(&webhook("ops"), at(0)).await.unwrap();
            let attempt = attempt(1, "delivered", at(100));
            store.attempt_end(&id, &attempt, Next::Delivered, &[], at(101)).await.unwrap();
            done.push((usize::try_from(position).unwrap(), id.to_string()));
        }
        store.lane_release(&webhook("ops"), name).await.unwrap();
    }
    done
}

async fn two_workers_deliver_each_delivery_once_and_in_order(Fresh { store, .. }: Fresh) {
    for n in 0..20 {
        make(&store, &format!("d{n:02}"), "ops", at(1)).await;
    }
    let workers = ["w1", "w2"].map(|name| tokio::spawn(work(store.clone(), name)));
    let mut done = Vec::new();
    for worker in workers {
        done.extend(worker.await.unwrap());
    }
    done.sort_unstable();
    let expected: Vec<_> = (0..20).map(|n| (n, format!("d{n:02}"))).collect();
    assert_eq!(done, expected);
}
