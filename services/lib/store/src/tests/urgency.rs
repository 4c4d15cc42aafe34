//! Turns: the most urgent first, one alert's deliveries in their order, nothing forgotten.

use std::collections::BTreeSet;

use model::Timestamp;
use model::alert::Severity::{self, Critical, Error, Info, Warning};

use super::fresh::Fresh;
use super::on_both;
use super::words::{at, attempt, delivery, delivery_id, event, raised, webhook};
use crate::{AlertWrite, Next, OVERTAKEN_MAX, PATIENCE, Store};

on_both! {
    what_is_urgent_overtakes_a_backlog
    deliveries_of_one_alert_keep_their_order_and_hurry_together
    an_urgent_one_does_not_wait_for_a_retry
    a_retry_holds_back_what_is_not_more_urgent
    the_oldest_has_one_turn_in_ten_after_its_patience
    any_mix_of_deliveries_keeps_the_rules
}

/// After any patience of what was made in the first minutes.
fn late() -> Timestamp {
    at(300_000).plus(PATIENCE)
}

async fn make(store: &Store, id: &str, severity: Severity, alert: &str, when: Timestamp) {
    let mut new = delivery(id, "ops", when);
    new.alert.severity = severity;
    new.delivery.fingerprint = alert.to_owned();
    let write = AlertWrite::Raise(raised("a1", "f1", when));
    assert!(store.take_alert(&event(&format!("e-{id}")), write, &[new], when).await.unwrap());
}

async fn next(store: &Store, now: Timestamp) -> Option<String> {
    let next = store.lane_next(&webhook("ops"), now).await.unwrap();
    assert_eq!(
        store.lanes_due(now, 9).await.unwrap().len(),
        usize::from(next.is_some()),
        "both say the same"
    );
    next.map(|next| next.delivery.id.to_string())
}

async fn end(store: &Store, id: &str, next: Next, now: Timestamp) {
    store.attempt_begin(&delivery_id(id), 1, now).await.unwrap();
    store.attempt_end(&delivery_id(id), &attempt(1, "said", now), next, &[], now).await.unwrap();
}

/// Delivers what has its turn until nothing waits.
async fn drain(store: &Store, now: Timestamp) -> Vec<String> {
    let mut order = Vec::new();
    while let Some(id) = next(store, now).await {
        end(store, &id, Next::Delivered, now).await;
        order.push(id);
    }
    order
}

async fn what_is_urgent_overtakes_a_backlog(Fresh { store, .. }: Fresh) {
    for (n, severity) in [Error, Info, Error, Warning, Critical, Info, Critical].into_iter().enumerate() {
        make(&store, &format!("{}{n}", severity.as_str()), severity, &format!("f{n}"), at(1)).await;
    }
    assert_eq!(
        drain(&store, at(5)).await,
        ["critical4", "critical6", "error0", "error2", "warning3", "info1", "info5"]
    );
}

async fn deliveries_of_one_alert_keep_their_order_and_hurry_together(Fresh { store, .. }: Fresh) {
    make(&store, "other", Error, "f-other", at(1)).await;
    make(&store, "degraded", Warning, "f-ours", at(2)).await;
    make(&store, "down", Critical, "f-ours", at(3)).await;
    make(&store, "over", Critical, "f-ours", at(4)).await;
    assert_eq!(drain(&store, at(5)).await, ["degraded", "down", "over", "other"]);
}

async fn an_urgent_one_does_not_wait_for_a_retry(Fresh { store, .. }: Fresh) {
    make(&store, "error", Error, "f1", at(1)).await;
    end(&store, "error", Next::Retry { due_at: at(60_000) }, at(2)).await;
    assert_eq!(store.lanes_next_due(at(3)).await.unwrap(), Some(at(60_000)));
    make(&store, "page", Critical, "f2", at(3)).await;
    assert_eq!(store.lanes_next_due(at(3)).await.unwrap(), Some(at(3)));
    assert_eq!(next(&store, at(3)).await.as_deref(), Some("page"));
    let oldest = store.lane_oldest(&webhook("ops")).await.unwrap().expect("it waits");
    assert_eq!(oldest.delivery.id, delivery_id("error"));
}

async fn a_retry_holds_back_what_is_not_more_urgent(Fresh { store, .. }: Fresh) {
    make(&store, "page", Critical, "f1", at(1)).await;
    end(&store, "page", Next::Retry { due_at: at(900) }, at(2)).await;
    make(&store, "error", Error, "f2", at(3)).await;
    make(&store, "page-too", Critical, "f3", at(3)).await;
    assert_eq!(next(&store, at(899)).await, None);
    assert_eq!(next(&store, at(900)).await.as_deref(), Some("page"));
}

async fn the_oldest_has_one_turn_in_ten_after_its_patience(Fresh { store, .. }: Fresh) {
    make(&store, "old", Info, "f-old", at(0)).await;
    make(&store, "old-too", Info, "f-old-too", at(0)).await;
    for n in 10..40 {
        make(&store, &format!("page{n}"), Critical, &format!("f{n}"), at(1)).await;
    }
    let passed = usize::try_from(OVERTAKEN_MAX).unwrap();
    let patient = at(0).plus(PATIENCE).minus(std::time::Duration::from_millis(1));
    for _ in 0..=passed {
        let id = next(&store, patient).await.expect("pages wait");
        assert!(id.starts_with("page"), "{id}");
        end(&store, &id, Next::Delivered, patient).await;
    }
    let order = drain(&store, late()).await;
    assert_eq!(order[0], "old");
    assert_eq!(order.iter().position(|id| id == "old-too"), Some(passed + 1), "{order:?}");
    assert_eq!(order.len(), 30 - (passed + 1) + 2);
}

/// The rules, checked at every turn of a mix that a small generator makes.
async fn any_mix_of_deliveries_keeps_the_rules(Fresh { store, .. }: Fresh) {
    let mut seed = 7_u64;
    let mut any = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut waiting, mut passed) = (Vec::new(), 0);
    let mut made = 0_u32;
    while made < 80 || !waiting.is_empty() {
        if made < 80 && (waiting.is_empty() || any(3) > 0) {
            let severity = Severity::ALL[usize::try_from(any(4)).unwrap()];
            let (id, alert) = (format!("d{made:03}"), format!("f{}", any(25)));
            make(&store, &id, severity, &alert, at(i64::from(made))).await;
            waiting.push((id, severity, alert));
            made += 1;
            continue;
        }
        let turn = next(&store, late()).await.expect("all are due");
        let place = waiting.iter().position(|(id, ..)| *id == turn).expect("it waits");
        let (_, _, alert) = waiting[place].clone();
        let worst = waiting.iter().map(|(_, severity, _)| *severity).max();
        let line: BTreeSet<_> = waiting.iter().filter(|(.., of)| *of == alert).map(|(_, s, _)| *s).collect();
        assert!(waiting[..place].iter().all(|(.., of)| *of != alert), "an alert's own order");
        if passed >= OVERTAKEN_MAX {
            assert_eq!(place, 0, "the oldest has its turn");
        } else {
            assert_eq!(line.last().copied(), worst, "the most urgent, or what must come before it");
        }
        passed = if place == 0 { 0 } else { passed + 1 };
        end(&store, &turn, Next::Delivered, late()).await;
        waiting.remove(place);
    }
}
