//! The outbox: in order, marked exactly, never twice.

use std::time::Duration;

use super::fresh::Fresh;
use super::on_both;
use super::words::{at, envelope, event, raised, recorded};
use crate::{AlertWrite, Plans};

on_both! {
    events_wait_in_order_until_they_are_published
    an_event_comes_back_as_it_was_written
    the_same_event_again_changes_nothing
    published_events_are_purged_but_not_before_they_are_audited
    a_relay_wakes_after_a_write
    taken_events_are_forgotten_after_their_time
}

async fn events_wait_in_order_until_they_are_published(Fresh { store, .. }: Fresh) {
    assert_eq!(store.outbox_oldest_pending().await.unwrap(), None);
    for n in 0..5 {
        store.append(&[envelope(&format!("e{n}"), raised("a1", "f1", at(n)))], at(n)).await.unwrap();
    }
    let pending = store.outbox_pending(10).await.unwrap();
    let ids: Vec<_> = pending.iter().map(|(_, event)| event.id.as_str().to_owned()).collect();
    assert_eq!(ids, ["e0", "e1", "e2", "e3", "e4"]);
    assert_eq!(store.outbox_pending(2).await.unwrap(), pending[..2]);
    assert_eq!(store.outbox_oldest_pending().await.unwrap(), Some(at(0)));

    store.outbox_published(&[pending[0].0, pending[3].0], at(10)).await.unwrap();
    store.outbox_published(&[], at(10)).await.unwrap();
    let rest: Vec<_> =
        store.outbox_pending(10).await.unwrap().into_iter().map(|(_, event)| event.id).collect();
    assert_eq!(rest, [event("e1"), event("e2"), event("e4")]);
    assert_eq!(store.outbox_oldest_pending().await.unwrap(), Some(at(1)));
}

async fn an_event_comes_back_as_it_was_written(Fresh { store, .. }: Fresh) {
    let mut alert = raised("a1", "f1", at(1));
    alert.title = "\u{0}zero, 'quotes', \u{1F600} and ; -- $1".to_owned();
    let written = [envelope("e1", alert.clone()).because_of_test("r1"), envelope("e2", alert)];
    store.append(&written, at(2)).await.unwrap();
    let read: Vec<_> = store.outbox_pending(10).await.unwrap().into_iter().map(|(_, event)| event).collect();
    assert_eq!(read, written);
}

/// An envelope of bytes has no `because_of`, which is for facts.
trait Because {
    fn because_of_test(self, correlation: &str) -> Self;
}

impl Because for model::Envelope<Vec<u8>> {
    fn because_of_test(mut self, correlation: &str) -> Self {
        self.correlation = Some(correlation.to_owned());
        self
    }
}

async fn the_same_event_again_changes_nothing(Fresh { store, .. }: Fresh) {
    let one = envelope("e1", raised("a1", "f1", at(1)));
    let two = envelope("e2", raised("a1", "f1", at(1)));
    store.append(std::slice::from_ref(&one), at(1)).await.unwrap();
    store.append(&[one, two.clone(), two], at(2)).await.unwrap();
    assert_eq!(store.outbox_pending(10).await.unwrap().len(), 2);
}

async fn published_events_are_purged_but_not_before_they_are_audited(Fresh { store, .. }: Fresh) {
    let entry = recorded("user:ada", "key.reveal", "key/k", at(1));
    store
        .append(&[envelope("e1", raised("a1", "f1", at(1))), envelope("e2", entry.clone())], at(1))
        .await
        .unwrap();
    assert_eq!(store.outbox_purge(at(100), 10).await.unwrap(), 0, "nothing is published");
    let seqs: Vec<_> = store.outbox_pending(10).await.unwrap().into_iter().map(|(seq, _)| seq).collect();
    store.outbox_published(&seqs, at(5)).await.unwrap();
    assert_eq!(store.outbox_purge(at(5), 10).await.unwrap(), 0, "published at, not before");
    assert_eq!(store.outbox_purge(at(6), 10).await.unwrap(), 1, "the alert only");
    store.audit_append(&[(event("e2"), entry)]).await.unwrap();
    assert_eq!(store.outbox_purge(at(6), 10).await.unwrap(), 1);
}

async fn a_relay_wakes_after_a_write(Fresh { store, .. }: Fresh) {
    let relay = tokio::spawn({
        let store = store.clone();
        async move {
            loop {
                if let Some((_, event)) = store.outbox_pending(1).await.unwrap().pop() {
                    return event.id;
                }
                store.outbox_wait().await;
            }
        }
    });
    store.append(&[envelope("e1", raised("a1", "f1", at(1)))], at(1)).await.unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(10), relay).await.expect("woken").unwrap();
    assert_eq!(seen, event("e1"));
}

async fn taken_events_are_forgotten_after_their_time(Fresh { store, .. }: Fresh) {
    let write = || AlertWrite::Raise(raised("a1", "f1", at(1)));
    assert!(store.take_alert(&event("e1"), write(), &[], at(1)).await.unwrap());
    assert!(!store.take_alert(&event("e1"), write(), &[], at(1)).await.unwrap());
    assert_eq!(store.inbox_purge(at(1), 10).await.unwrap(), 0);
    assert_eq!(store.inbox_purge(at(2), 10).await.unwrap(), 2);
    assert!(store.take_alert(&event("e1"), write(), &[], at(1)).await.unwrap());
    let counted = [(event("u1"), super::words::counted("polygon", at(1), vec![]))];
    assert_eq!(store.count(&counted, &Plans::new()).await.unwrap(), [true]);
    assert_eq!(store.usage_seen_purge(at(1), 10).await.unwrap(), 0);
    assert_eq!(store.usage_seen_purge(at(3_600_000), 10).await.unwrap(), 1);
    assert_eq!(store.count(&counted, &Plans::new()).await.unwrap(), [true]);
}
