//! Deliveries: made once, tried by one, replayed as new ones.

use model::delivery::DeliveryState;

use super::fresh::Fresh;
use super::on_both;
use super::words::{
    alert_id, at, attempt, delivery, delivery_id, envelope, event, raised, recorded, webhook,
};
use crate::{AlertWrite, Error, NewDelivery, Next, Replay, Store};

on_both! {
    an_event_makes_its_deliveries_once
    texts_that_only_one_database_could_hold_are_held_by_both
    an_attempt_is_begun_by_one_and_ended_once
    a_program_that_dies_in_an_attempt_leaves_unknown
    a_failed_delivery_is_replayed_as_a_new_one
    a_replay_of_nothing_leaves_nothing
    deliveries_come_in_pages_and_are_counted
    ended_deliveries_are_purged_with_their_attempts
}

/// Takes an event with these deliveries.
async fn make(store: &Store, id: &str, deliveries: &[NewDelivery]) {
    let write = AlertWrite::Raise(raised("a1", "f1", at(1)));
    assert!(store.take_alert(&event(id), write, deliveries, at(1)).await.unwrap());
}

/// One attempt of a delivery, from its beginning to what follows.
async fn try_once(store: &Store, id: &str, number: u32, outcome: &str, next: Next) {
    store.attempt_begin(&delivery_id(id), number, at(10)).await.unwrap();
    let fact = recorded("system:webhooks", "delivery.attempt", id, at(11));
    let told = [envelope(&format!("attempted-{id}-{number}"), fact)];
    let attempt = attempt(number, outcome, at(10));
    store.attempt_end(&delivery_id(id), &attempt, next, &told, at(11)).await.unwrap();
}

async fn an_event_makes_its_deliveries_once(Fresh { store, .. }: Fresh) {
    let new = [delivery("d1", "ops-slack", at(1)), delivery("d2", "ops-http", at(1))];
    make(&store, "e1", &new).await;
    let write = AlertWrite::Raise(raised("a1", "f1", at(1)));
    assert!(!store.take_alert(&event("e1"), write, &new, at(2)).await.unwrap());
    assert_eq!(store.pending_total().await.unwrap(), 2);
    assert_eq!(store.oldest_pending().await.unwrap(), Some(at(1)));
    let due: Vec<_> =
        store.outbox_pending(10).await.unwrap().into_iter().map(|(_, event)| event.id).collect();
    assert_eq!(due, [event("due-d1"), event("due-d2")]);
    let (found, alert, attempts) = store.delivery(&delivery_id("d1")).await.unwrap().unwrap();
    assert_eq!((found, alert, attempts), (new[0].delivery.clone(), new[0].alert.clone(), vec![]));
    assert_eq!(store.alert(&alert_id("a1")).await.unwrap().unwrap().count, 1);
}

async fn texts_that_only_one_database_could_hold_are_held_by_both(Fresh { store, .. }: Fresh) {
    let mut new = delivery("d1", "ops-slack", at(1));
    new.delivery.title = "down\0 now".to_owned();
    new.alert.title = "down\0 now".to_owned();
    make(&store, "e1", &[new]).await;
    let (found, alert, _) = store.delivery(&delivery_id("d1")).await.unwrap().unwrap();
    assert_eq!((found.title.as_str(), alert.title.as_str()), ("down\u{FFFD} now", "down\0 now"));
    let entry = recorded("user:ada", "alert.raise", "alert/\0", at(1));
    store.audit_append(&[(event("e2"), entry)]).await.unwrap();
    assert_eq!(store.audit_verify().await.unwrap().first_bad, None);
}

async fn an_attempt_is_begun_by_one_and_ended_once(Fresh { store, .. }: Fresh) {
    make(&store, "e1", &[delivery("d1", "ops-slack", at(1))]).await;
    let id = delivery_id("d1");
    let begins: Vec<_> = (0..8)
        .map(|_| {
            let (store, id) = (store.clone(), id.clone());
            tokio::spawn(async move { store.attempt_begin(&id, 1, at(2)).await })
        })
        .collect();
    let mut begun = 0;
    for begin in begins {
        match begin.await.unwrap() {
            Ok(()) => begun += 1,
            Err(error) => assert!(matches!(error, Error::Stale { .. }), "{error}"),
        }
    }
    assert_eq!(begun, 1);
    let ended = attempt(1, "delivered", at(2));
    store.attempt_end(&id, &ended, Next::Delivered, &[], at(3)).await.unwrap();
    let again = store
        .attempt_end(&id, &ended, Next::Delivered, &[envelope("x", raised("a", "f", at(1)))], at(3))
        .await;
    assert!(matches!(again.unwrap_err(), Error::Stale { .. }));
    let (found, _, attempts) = store.delivery(&id).await.unwrap().unwrap();
    assert_eq!((found.state, found.attempts, found.ended_at), (DeliveryState::Delivered, 1, Some(at(3))));
    assert_eq!(attempts, [ended]);
    assert_eq!(store.outbox_pending(10).await.unwrap().len(), 1, "the refused one told nothing");
    assert_eq!(store.sent_since(&webhook("ops-slack"), at(2)).await.unwrap(), 1);
    assert_eq!(store.sent_since(&webhook("ops-slack"), at(3)).await.unwrap(), 0);
}

async fn a_program_that_dies_in_an_attempt_leaves_unknown(Fresh { store, .. }: Fresh) {
    make(&store, "e1", &[delivery("d1", "ops-slack", at(1))]).await;
    store.attempt_begin(&delivery_id("d1"), 1, at(2)).await.unwrap();
    let next = store.lane_next(&webhook("ops-slack"), at(5)).await.unwrap().expect("it still waits");
    assert_eq!(next.delivery.attempts, 1);
    try_once(&store, "d1", 2, "delivered", Next::Delivered).await;
    let (_, _, attempts) = store.delivery(&delivery_id("d1")).await.unwrap().unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome.as_str()).collect();
    assert_eq!(outcomes, ["unknown", "delivered"]);
}

async fn a_failed_delivery_is_replayed_as_a_new_one(Fresh { store, .. }: Fresh) {
    let (one, other) = (delivery("d1", "ops-slack", at(1)), delivery("d2", "ops-slack", at(1)));
    make(&store, "e1", &[one, other]).await;
    try_once(&store, "d1", 1, "permanent", Next::Failed { reason: "gone".to_owned() }).await;
    let again = |of: &str, id: &str| Replay {
        of: delivery_id(of),
        id: delivery_id(id),
        due: delivery(id, "ops-slack", at(20)).due,
    };
    let told = [envelope("told", recorded("user:ada", "delivery.replay", "delivery/d1", at(20)))];
    let made = store.replay(&[again("d1", "r1"), again("d2", "r2")], &told, at(20)).await.unwrap();
    assert_eq!(made, [delivery_id("r1")], "d2 still waits");
    let (new, alert, _) = store.delivery(&delivery_id("r1")).await.unwrap().unwrap();
    assert_eq!(
        (new.state, new.attempts, new.replay_of),
        (DeliveryState::Pending, 0, Some(delivery_id("d1")))
    );
    assert_eq!(alert, raised("a1", "f1", at(1)));
    let (old, _, _) = store.delivery(&delivery_id("d1")).await.unwrap().unwrap();
    assert_eq!((old.state, old.failure.as_deref()), (DeliveryState::Failed, Some("gone")));
    let ids: Vec<_> =
        store.outbox_pending(10).await.unwrap().into_iter().map(|(_, event)| event.id).collect();
    assert!(
        ids.contains(&event("due-r1")) && ids.contains(&event("told")) && !ids.contains(&event("due-r2"))
    );
}

async fn a_replay_of_nothing_leaves_nothing(Fresh { store, .. }: Fresh) {
    make(&store, "e1", &[delivery("d1", "ops-slack", at(1))]).await;
    try_once(&store, "d1", 1, "delivered", Next::Delivered).await;
    let due = delivery("r1", "ops-slack", at(20)).due;
    let replays = [
        Replay { of: delivery_id("d1"), id: delivery_id("r1"), due: due.clone() },
        Replay { of: delivery_id("nobody"), id: delivery_id("r2"), due },
    ];
    let error = store.replay(&replays, &[], at(20)).await.unwrap_err();
    assert!(matches!(error, Error::Missing { kind: "delivery", .. }));
    assert_eq!(store.pending_total().await.unwrap(), 0);
}

async fn deliveries_come_in_pages_and_are_counted(Fresh { store, .. }: Fresh) {
    for n in 1..=4 {
        let to = if n == 4 { "ops-http" } else { "ops-slack" };
        make(&store, &format!("e{n}"), &[delivery(&format!("d{n}"), to, at(n))]).await;
    }
    try_once(&store, "d1", 1, "delivered", Next::Delivered).await;
    try_once(&store, "d2", 1, "gone", Next::Failed { reason: "gone".to_owned() }).await;
    let page = async |to: Option<&str>, state, before, limit| -> Vec<String> {
        let to = to.map(webhook);
        let page = store.deliveries_page(to.as_ref(), state, before, limit).await.unwrap();
        page.into_iter().map(|delivery| delivery.id.to_string()).collect()
    };
    assert_eq!(page(None, None, None, 2).await, ["d4", "d3"]);
    assert_eq!(page(None, None, Some((at(3), delivery_id("d3"))), 9).await, ["d2", "d1"]);
    assert_eq!(page(Some("ops-slack"), Some(DeliveryState::Pending), None, 9).await, ["d3"]);
    let slack = webhook("ops-slack");
    assert_eq!(store.deliveries_count(Some(&slack), None, at(1), at(3)).await.unwrap(), 2);
    let failed = Some(DeliveryState::Failed);
    let between = store.deliveries_between(None, failed, at(0), at(9), 10).await.unwrap();
    assert_eq!(between.into_iter().map(|due| due.delivery.id).collect::<Vec<_>>(), [delivery_id("d2")]);
    let state = store.webhook_state(&slack).await.unwrap();
    assert_eq!(
        (state.pending, state.last_delivered_at, state.last_failed_at),
        (1, Some(at(11)), Some(at(11)))
    );
    assert_eq!(store.webhook_state(&webhook("new")).await.unwrap(), Default::default());
}

async fn ended_deliveries_are_purged_with_their_attempts(Fresh { store, .. }: Fresh) {
    make(&store, "e1", &[delivery("d1", "ops-slack", at(1)), delivery("d2", "ops-slack", at(1))]).await;
    try_once(&store, "d1", 1, "delivered", Next::Delivered).await;
    assert_eq!(store.deliveries_purge(at(11), 10).await.unwrap(), 0);
    assert_eq!(store.deliveries_purge(at(12), 10).await.unwrap(), 1);
    assert_eq!(store.delivery(&delivery_id("d1")).await.unwrap(), None);
    assert_eq!(store.pending_total().await.unwrap(), 1);
    let left = store.db().one("SELECT COUNT(*) AS n FROM attempts", &[]).await.unwrap();
    assert_eq!(left.count("n").unwrap(), 0);
}
