//! Alerts: one open row a fingerprint, counted once an event.

use model::alert::{AlertAcknowledged, AlertRaised, Phase, Severity};
use model::{AlertId, Timestamp};

use super::fresh::Fresh;
use super::on_both;
use super::words::{alert_id, at, envelope, event, raised, resolved};
use crate::{AlertFilter, AlertRow, AlertWrite, Change, Error, Store};

on_both! {
    an_alert_is_raised_acknowledged_and_resolved
    an_open_alert_that_is_raised_again_is_updated
    another_id_with_an_open_fingerprint_becomes_part_of_its_row
    a_resolved_alert_opens_again_but_not_by_old_news
    a_commit_and_its_event_count_once
    an_unknown_alert_cannot_be_resolved_by_people
    an_unknown_alert_that_an_event_resolves_changes_nothing
    eight_that_raise_the_same_alert_make_one_row
    alerts_come_in_pages_and_are_filtered
}

async fn take(store: &Store, id: &str, write: AlertWrite) -> bool {
    store.take_alert(&event(id), write, &[], at(50)).await.unwrap()
}

async fn raise(store: &Store, id: &str, alert: AlertRaised) {
    assert!(take(store, id, AlertWrite::Raise(alert)).await);
}

fn resolve(alert: &str, when: Timestamp) -> AlertWrite {
    AlertWrite::Resolve { alert: alert_id(alert), by: "failover".to_owned(), at: when }
}

async fn row(store: &Store, id: &str) -> AlertRow {
    store.alert(&alert_id(id)).await.unwrap().expect("the alert is there")
}

async fn an_alert_is_raised_acknowledged_and_resolved(Fresh { store, .. }: Fresh) {
    raise(&store, "e1", raised("a1", "f1", at(1))).await;
    let open = row(&store, "a1").await;
    assert_eq!((open.phase, open.raised_at, open.count), (Phase::Raised, at(1), 1));
    assert_eq!((&open.raised, &open.last_event), (&raised("a1", "f1", at(1)), &event("e1")));
    assert_eq!(store.open_alert("f1").await.unwrap(), Some(open));

    let note = Some("on it".to_owned());
    let by = "user:ada".to_owned();
    take(&store, "e2", AlertWrite::Acknowledge { alert: alert_id("a1"), by, at: at(2), note }).await;
    let seen = row(&store, "a1").await;
    assert_eq!(
        (seen.phase, seen.acknowledged_at, seen.note.as_deref()),
        (Phase::Acknowledged, Some(at(2)), Some("on it"))
    );

    take(&store, "e3", resolve("a1", at(3))).await;
    let over = row(&store, "a1").await;
    assert_eq!(
        (over.phase, over.resolved_at, over.resolved_by.as_deref()),
        (Phase::Resolved, Some(at(3)), Some("failover"))
    );
    assert_eq!(over.acknowledged_by.as_deref(), Some("user:ada"));
    assert_eq!(store.open_alert("f1").await.unwrap(), None);
}

async fn an_open_alert_that_is_raised_again_is_updated(Fresh { store, .. }: Fresh) {
    raise(&store, "e1", raised("a1", "f1", at(1))).await;
    let worse = AlertRaised { title: "worse".to_owned(), ..raised("a1", "f1", at(2)) };
    raise(&store, "e2", worse.clone()).await;
    assert!(!take(&store, "e2", AlertWrite::Raise(worse.clone())).await);
    let open = row(&store, "a1").await;
    assert_eq!((open.raised, open.raised_at, open.count), (worse, at(1), 2));
}

async fn another_id_with_an_open_fingerprint_becomes_part_of_its_row(Fresh { store, .. }: Fresh) {
    raise(&store, "e1", raised("a1", "f1", at(1))).await;
    raise(&store, "e2", raised("a2", "f1", at(2))).await;
    let open = row(&store, "a2").await;
    assert_eq!((open.raised.alert.clone(), open.count), (alert_id("a1"), 2));
    take(&store, "e3", resolve("a2", at(3))).await;
    assert_eq!(row(&store, "a1").await.phase, Phase::Resolved);
    raise(&store, "e4", raised("a3", "f1", at(4))).await;
    assert_eq!(store.open_alert("f1").await.unwrap().unwrap().raised.alert, alert_id("a3"));
}

async fn a_resolved_alert_opens_again_but_not_by_old_news(Fresh { store, .. }: Fresh) {
    raise(&store, "e1", raised("a1", "f1", at(1))).await;
    take(&store, "e2", resolve("a1", at(5))).await;
    raise(&store, "e3", raised("a1", "f1", at(4))).await;
    assert_eq!(row(&store, "a1").await.phase, Phase::Resolved);
    raise(&store, "e4", raised("a1", "f1", at(6))).await;
    let open = row(&store, "a1").await;
    assert_eq!((open.phase, open.resolved_at, open.count), (Phase::Raised, None, 2));
}

async fn a_commit_and_its_event_count_once(Fresh { store, .. }: Fresh) {
    let alert = raised("a1", "f1", at(1));
    let change = Change {
        events: vec![envelope("e1", alert.clone())],
        alerts: vec![AlertWrite::Raise(alert.clone())],
        ..Change::default()
    };
    store.commit(change, at(1)).await.unwrap();
    assert_eq!(row(&store, "a1").await.last_event, event("e1"));
    raise(&store, "e1", alert.clone()).await;
    assert_eq!(row(&store, "a1").await.count, 1);

    let fact = AlertAcknowledged {
        raised: alert.clone(),
        acknowledged_at: at(2),
        acknowledged_by: "user:ada".to_owned(),
        note: None,
    };
    let write =
        AlertWrite::Acknowledge { alert: alert_id("a1"), by: "user:ada".to_owned(), at: at(2), note: None };
    let change =
        Change { events: vec![envelope("e2", fact)], alerts: vec![write.clone()], ..Change::default() };
    store.commit(change, at(2)).await.unwrap();
    take(&store, "e3", resolve("a1", at(3))).await;
    assert!(take(&store, "e2", write).await, "late, and new to webhooks");
    let over = row(&store, "a1").await;
    assert_eq!((over.phase, over.last_event), (Phase::Resolved, event("e3")));
}

async fn an_unknown_alert_cannot_be_resolved_by_people(Fresh { store, .. }: Fresh) {
    let change = Change {
        events: vec![envelope("e1", resolved(raised("a1", "f1", at(1)), at(2)))],
        alerts: vec![resolve("a1", at(2))],
        ..Change::default()
    };
    let error = store.commit(change, at(2)).await.unwrap_err();
    assert!(matches!(&error, Error::Missing { kind: "alert", id } if id == "a1"), "{error}");
}

async fn an_unknown_alert_that_an_event_resolves_changes_nothing(Fresh { store, .. }: Fresh) {
    assert!(take(&store, "e1", resolve("a1", at(2))).await);
    assert_eq!(store.alert(&alert_id("a1")).await.unwrap(), None);
}

async fn eight_that_raise_the_same_alert_make_one_row(Fresh { store, .. }: Fresh) {
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                raise(&store, &format!("e{n}"), raised(&format!("a{n}"), "f1", at(n))).await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = store.alerts_page(&AlertFilter::default(), None, 10).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].count, 8);
}

async fn alerts_come_in_pages_and_are_filtered(Fresh { store, .. }: Fresh) {
    for n in 1..=5 {
        let mut alert = raised(&format!("a{n}"), &format!("f{n}"), at(n / 2));
        if n == 3 {
            alert.severity = Severity::Info;
            alert.persona = None;
        }
        raise(&store, &format!("e{n}"), alert).await;
    }
    take(&store, "e9", resolve("a5", at(9))).await;
    let page = async |filter: AlertFilter, before: Option<(Timestamp, AlertId)>, limit| -> Vec<String> {
        let rows = store.alerts_page(&filter, before, limit).await.unwrap();
        rows.into_iter().map(|row| row.raised.alert.to_string()).collect()
    };
    let all = AlertFilter::default;
    assert_eq!(page(all(), None, 3).await, ["a5", "a4", "a3"]);
    assert_eq!(page(all(), Some((at(1), alert_id("a3"))), 3).await, ["a2", "a1"]);
    assert_eq!(page(AlertFilter { severity: Some(Severity::Info), ..all() }, None, 9).await, ["a3"]);
    assert_eq!(page(AlertFilter { phase: Some(Phase::Resolved), ..all() }, None, 9).await, ["a5"]);
    let persona = Some("macro-analyst".to_owned());
    assert_eq!(page(AlertFilter { persona, ..all() }, None, 9).await, ["a5", "a4", "a2", "a1"]);
    let source = Some("elsewhere".to_owned());
    assert_eq!(page(AlertFilter { source, ..all() }, None, 9).await, Vec::<String>::new());
}
