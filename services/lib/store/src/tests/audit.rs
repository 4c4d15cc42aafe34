//! The audit log: one chain, and whoever touches it is found.

use model::EventId;
use model::audit::{AuditRecorded, Verb};

use super::fresh::Fresh;
use super::on_both;
use super::words::{at, envelope, event, recorded};
use crate::{AuditFilter, Store};

on_both! {
    entries_are_numbered_and_read_both_ways
    an_entry_that_comes_again_is_left_out
    a_log_that_nobody_touched_is_verified
    a_changed_entry_is_found
    a_changed_column_is_found
    a_removed_entry_is_found
    a_cut_off_end_is_found
    swapped_entries_are_found
    eight_writers_make_one_chain
    entries_are_filtered
    entries_that_are_not_in_the_log_yet_are_counted
}

fn entry(n: usize) -> (EventId, AuditRecorded) {
    let when = at(i64::try_from(n).unwrap());
    (event(&format!("e{n}")), recorded("user:ada", "key.rotate", &format!("key/k{n}"), when))
}

/// A store with so many entries.
async fn with(store: &Store, entries: usize) {
    let entries: Vec<_> = (1..=entries).map(entry).collect();
    assert_eq!(store.audit_append(&entries).await.unwrap(), entries.len() as u64);
}

async fn touch(store: &Store, sql: &'static str) {
    assert_ne!(store.db().execute(sql, &[]).await.unwrap(), 0);
}

async fn first_bad(store: &Store) -> Option<u64> {
    store.audit_verify().await.unwrap().first_bad
}

async fn entries_are_numbered_and_read_both_ways(Fresh { store, .. }: Fresh) {
    with(&store, 5).await;
    let all = AuditFilter::default();
    let newest = store.audit_page(&all, None, 2).await.unwrap();
    assert_eq!(newest.iter().map(|row| row.sequence).collect::<Vec<_>>(), [5, 4]);
    assert_eq!((newest[0].target.as_str(), &newest[0].event), ("key/k5", &event("e5")));
    let older = store.audit_page(&all, Some(4), 10).await.unwrap();
    assert_eq!(older.iter().map(|row| row.sequence).collect::<Vec<_>>(), [3, 2, 1]);
    let exported = store.audit_export(&all, Some(1), 2).await.unwrap();
    assert_eq!(exported.iter().map(|row| row.sequence).collect::<Vec<_>>(), [2, 3]);
}

async fn an_entry_that_comes_again_is_left_out(Fresh { store, .. }: Fresh) {
    with(&store, 3).await;
    assert_eq!(store.audit_append(&[entry(2), entry(4), entry(4), entry(1)]).await.unwrap(), 1);
    assert_eq!(store.audit_append(&[]).await.unwrap(), 0);
    let verified = store.audit_verify().await.unwrap();
    assert_eq!((verified.entries, verified.first_bad), (4, None));
}

async fn a_log_that_nobody_touched_is_verified(Fresh { store, .. }: Fresh) {
    let empty = store.audit_verify().await.unwrap();
    assert_eq!((empty.entries, empty.first_bad, empty.head), (0, None, "0".repeat(64)));
    with(&store, 1_100).await;
    let verified = store.audit_verify().await.unwrap();
    assert_eq!((verified.entries, verified.first_bad), (1_100, None));
    let last = &store.audit_page(&AuditFilter::default(), None, 1).await.unwrap()[0];
    assert_eq!(verified.head, last.hash);
}

async fn a_changed_entry_is_found(Fresh { store, .. }: Fresh) {
    with(&store, 5).await;
    let row = store.db().one("SELECT leaf FROM audit WHERE sequence = 3", &[]).await.unwrap();
    let leaf = String::from_utf8(row.bytes("leaf").unwrap()).unwrap().replace("user:ada", "user:eve");
    let values = crate::db::values![leaf.as_bytes()];
    store
        .db()
        .execute("UPDATE audit SET leaf = $1, actor = 'user:eve' WHERE sequence = 3", &values)
        .await
        .unwrap();
    assert_eq!(first_bad(&store).await, Some(3));
}

async fn a_changed_column_is_found(Fresh { store, .. }: Fresh) {
    with(&store, 5).await;
    touch(&store, "UPDATE audit SET actor = 'user:eve' WHERE sequence = 4").await;
    assert_eq!(first_bad(&store).await, Some(4));
}

async fn a_removed_entry_is_found(Fresh { store, .. }: Fresh) {
    with(&store, 5).await;
    touch(&store, "DELETE FROM audit WHERE sequence = 2").await;
    assert_eq!(first_bad(&store).await, Some(2));
    touch(&store, "UPDATE audit SET sequence = sequence - 10 WHERE sequence > 2").await;
    touch(&store, "UPDATE audit SET sequence = sequence + 9 WHERE sequence < 0").await;
    assert_eq!(first_bad(&store).await, Some(2), "also when the rest moves up");
}

async fn a_cut_off_end_is_found(Fresh { store, .. }: Fresh) {
    with(&store, 5).await;
    touch(&store, "DELETE FROM audit WHERE sequence > 3").await;
    assert_eq!(first_bad(&store).await, Some(4));
}

async fn swapped_entries_are_found(Fresh { store, .. }: Fresh) {
    with(&store, 5).await;
    touch(&store, "UPDATE audit SET sequence = 99 WHERE sequence = 2").await;
    touch(&store, "UPDATE audit SET sequence = 2 WHERE sequence = 3").await;
    touch(&store, "UPDATE audit SET sequence = 3 WHERE sequence = 99").await;
    assert_eq!(first_bad(&store).await, Some(2));
}

async fn eight_writers_make_one_chain(Fresh { store, .. }: Fresh) {
    let tasks: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut new = 0;
                for n in 0..12 {
                    // Each entry comes from two writers.
                    let first = (writer / 2) * 100 + n * 3;
                    let entries: Vec<_> = (first..first + 3).map(entry).collect();
                    new += store.audit_append(&entries).await.unwrap();
                }
                new
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += task.await.unwrap();
    }
    let verified = store.audit_verify().await.unwrap();
    assert_eq!((new, verified.entries, verified.first_bad), (144, 144, None));
}

async fn entries_are_filtered(Fresh { store, .. }: Fresh) {
    let mut denied = recorded("agent:bot", "key.reveal", "key/k1", at(20));
    denied.outcome = "denied".to_owned();
    denied.verb = Verb::View;
    with(&store, 3).await;
    store.audit_append(&[(event("x"), denied)]).await.unwrap();
    let check = async |filter: AuditFilter, expected: &[u64]| {
        let page = store.audit_page(&filter, None, 10).await.unwrap();
        assert_eq!(page.iter().map(|row| row.sequence).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    let some = |text: &str| Some(text.to_owned());
    let none = AuditFilter::default;
    check(AuditFilter { actor: some("agent:bot"), ..none() }, &[4]).await;
    check(AuditFilter { action: some("key.rotate"), ..none() }, &[3, 2, 1]).await;
    check(AuditFilter { target: some("key/k1"), ..none() }, &[4, 1]).await;
    check(AuditFilter { verb: Some(Verb::View), ..none() }, &[4]).await;
    check(AuditFilter { outcome: some("ok"), from: Some(at(2)), ..none() }, &[3, 2]).await;
    check(AuditFilter { to: Some(at(2)), ..none() }, &[1]).await;
    check(AuditFilter { actor: some("' OR 1=1 --"), ..none() }, &[]).await;
}

async fn entries_that_are_not_in_the_log_yet_are_counted(Fresh { store, .. }: Fresh) {
    let (id, recorded) = entry(1);
    store.append(&[envelope(id.as_str(), recorded.clone())], at(10)).await.unwrap();
    assert_eq!(store.audit_waiting(at(10)).await.unwrap(), 0, "not older");
    assert_eq!(store.audit_waiting(at(11)).await.unwrap(), 1);
    store.audit_append(&[(id, recorded)]).await.unwrap();
    assert_eq!(store.audit_waiting(at(11)).await.unwrap(), 0);
}
