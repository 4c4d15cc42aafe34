//! Configuration: whole changes, or none.

use model::config::Kind;
use serde_json::{Value, json};

use super::fresh::Fresh;
use super::on_both;
use super::words::{at, envelope, raised, recorded};
use crate::db::values;
use crate::{AlertFilter, AlertWrite, Answered, Change, Error, Store, Write};

on_both! {
    a_change_is_written_whole
    a_bad_write_leaves_nothing
    a_change_decided_on_another_revision_is_refused
    a_document_that_changed_is_stale
    a_change_without_documents_keeps_the_revision
    documents_come_in_pages_by_id
    of_many_that_decide_on_the_same_revision_one_wins
    a_dropped_transaction_leaves_nothing
    eight_writers_are_never_refused
    a_closed_store_says_later
}

fn create(id: &str, body: Value) -> Write {
    Write::Create { kind: Kind::Route, id: id.to_owned(), body }
}

fn update(id: &str, body: Value, expected: Option<u64>) -> Write {
    Write::Update { kind: Kind::Route, id: id.to_owned(), body, expected }
}

fn delete(id: &str, expected: Option<u64>) -> Write {
    Write::Delete { kind: Kind::Route, id: id.to_owned(), expected }
}

fn writes(writes: Vec<Write>) -> Change {
    Change { writes, ..Change::default() }
}

async fn a_change_is_written_whole(Fresh { store, .. }: Fresh) {
    assert_eq!(store.revision().await.unwrap(), 0);
    let first = store.commit(writes(vec![create("a", json!({"n": 1})), create("b", json!(2))]), at(1)).await;
    assert_eq!(first.unwrap(), 1);
    let second = Change {
        based_on: Some(1),
        writes: vec![update("a", json!({"n": 2}), Some(1)), delete("b", Some(1))],
        events: vec![envelope("e1", recorded("user:ada", "route.update", "route/a", at(2)))],
        ..Change::default()
    };
    assert_eq!(store.commit(second, at(2)).await.unwrap(), 2);

    let all = store.everything().await.unwrap();
    assert_eq!(all.revision, 2);
    let [a] = all.documents.as_slice() else { panic!("{:?}", all.documents) };
    assert_eq!((a.kind, a.id.as_str(), &a.body), (Kind::Route, "a", &json!({"n": 2})));
    assert_eq!((a.revision, a.created_at, a.updated_at), (2, at(1), at(2)));
    assert_eq!(store.document(Kind::Route, "a").await.unwrap().as_ref(), Some(a));
    assert_eq!(store.document(Kind::Key, "a").await.unwrap(), None);
    assert_eq!(store.outbox_pending(10).await.unwrap().len(), 1);
}

async fn a_bad_write_leaves_nothing(Fresh { store, .. }: Fresh) {
    let alert = raised("a1", "f1", at(1));
    let change = Change {
        based_on: Some(0),
        writes: vec![create("a", json!(1)), delete("nobody", None)],
        events: vec![envelope("e1", alert.clone())],
        alerts: vec![AlertWrite::Raise(alert)],
        answer: Some(answer()),
    };
    let bad_alert = Change {
        writes: vec![create("a", json!(1))],
        events: vec![envelope("e2", recorded("user:ada", "alert.resolve", "alert/x", at(1)))],
        alerts: vec![AlertWrite::Raise(raised("untold", "f2", at(1)))],
        ..Change::default()
    };
    let error = store.commit(change, at(1)).await.unwrap_err();
    assert!(matches!(&error, Error::Missing { kind: "route", id } if id == "nobody"), "{error}");
    assert!(matches!(store.commit(bad_alert, at(1)).await.unwrap_err(), Error::Missing { .. }));

    assert_eq!(store.everything().await.unwrap().documents, []);
    assert_eq!(store.revision().await.unwrap(), 0);
    assert_eq!(store.outbox_pending(10).await.unwrap(), []);
    assert_eq!(store.alerts_page(&AlertFilter::default(), None, 10).await.unwrap(), []);
    assert_eq!(store.answered("k", "user:ada").await.unwrap(), None);
}

fn answer() -> Answered {
    Answered {
        key: "k".to_owned(),
        actor: "user:ada".to_owned(),
        request_hash: "h".to_owned(),
        status: 201,
        body: "{}".to_owned(),
    }
}

async fn a_change_decided_on_another_revision_is_refused(Fresh { store, .. }: Fresh) {
    store.commit(writes(vec![create("a", json!(1))]), at(1)).await.unwrap();
    for based_on in [0, 2] {
        let late =
            Change { based_on: Some(based_on), writes: vec![create("b", json!(1))], ..Change::default() };
        assert!(matches!(store.commit(late, at(2)).await.unwrap_err(), Error::Moved));
    }
    assert_eq!(store.revision().await.unwrap(), 1);
}

async fn a_document_that_changed_is_stale(Fresh { store, .. }: Fresh) {
    store.commit(writes(vec![create("a", json!(1))]), at(1)).await.unwrap();
    store.commit(writes(vec![update("a", json!(2), None)]), at(2)).await.unwrap();
    for late in [update("a", json!(3), Some(1)), delete("a", Some(1))] {
        let error = store.commit(writes(vec![late]), at(3)).await.unwrap_err();
        assert!(matches!(&error, Error::Stale { kind: "route", id } if id == "a"), "{error}");
    }
    let again = store.commit(writes(vec![create("a", json!(1))]), at(3)).await.unwrap_err();
    assert!(matches!(again, Error::Exists { kind: "route", .. }));
    let gone = store.commit(writes(vec![update("z", json!(3), Some(1))]), at(3)).await.unwrap_err();
    assert!(matches!(gone, Error::Missing { kind: "route", .. }));
}

async fn a_change_without_documents_keeps_the_revision(Fresh { store, .. }: Fresh) {
    store.commit(writes(vec![create("a", json!(1))]), at(1)).await.unwrap();
    let told = Change {
        based_on: Some(1),
        events: vec![envelope("e1", recorded("user:ada", "key.use", "key/k", at(2)))],
        ..Change::default()
    };
    assert_eq!(store.commit(told, at(2)).await.unwrap(), 1);
    let late = Change { based_on: Some(0), ..Change::default() };
    assert!(matches!(store.commit(late, at(2)).await.unwrap_err(), Error::Moved));
}

async fn documents_come_in_pages_by_id(Fresh { store, .. }: Fresh) {
    let ids = ["b", "a-b", "a", "c", "a0"];
    store.commit(writes(ids.iter().map(|id| create(id, json!(1))).collect()), at(1)).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let after = seen.last().cloned();
        let page = store.documents(Kind::Route, after.as_deref(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|document| document.id));
    }
    assert_eq!(seen, ["a", "a-b", "a0", "b", "c"]);
    assert_eq!(store.documents(Kind::Webhook, None, 10).await.unwrap(), []);
}

/// Adds one to the number in a document, deciding again until nobody was faster.
async fn add_one(store: &Store) {
    loop {
        let all = store.everything().await.unwrap();
        let number = all.documents[0].body.as_u64().unwrap();
        let change = Change {
            based_on: Some(all.revision),
            writes: vec![update("n", json!(number + 1), None)],
            ..Change::default()
        };
        match store.commit(change, at(2)).await {
            Ok(revision) => return assert_eq!(revision, all.revision + 1),
            Err(Error::Moved) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn of_many_that_decide_on_the_same_revision_one_wins(Fresh { store, .. }: Fresh) {
    store.commit(writes(vec![create("n", json!(0))]), at(1)).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..5 {
                    add_one(&store).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = store.everything().await.unwrap();
    assert_eq!((all.revision, &all.documents[0].body), (41, &json!(40)));
}

async fn a_dropped_transaction_leaves_nothing(Fresh { store, .. }: Fresh) {
    let mut tx = store.db().begin().await.unwrap();
    tx.execute("UPDATE meta SET revision = revision + $1", &values![5_u64]).await.unwrap();
    crate::outbox::put(&mut tx, &[envelope("e1", raised("a1", "f1", at(1)))], at(1)).await.unwrap();
    drop(tx);
    assert_eq!(store.commit(writes(vec![create("a", json!(1))]), at(1)).await.unwrap(), 1);
    assert_eq!(store.outbox_pending(10).await.unwrap(), []);
}

async fn eight_writers_are_never_refused(Fresh { store, .. }: Fresh) {
    let tasks: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..25 {
                    let change = Change {
                        writes: vec![create(&format!("{writer}-{n}"), json!(n))],
                        events: vec![envelope(
                            &format!("e-{writer}-{n}"),
                            recorded("user:ada", "route.create", "route/x", at(n)),
                        )],
                        ..Change::default()
                    };
                    store.commit(change, at(n)).await.unwrap();
                    store.everything().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.revision().await.unwrap(), 200);
    assert_eq!(store.outbox_pending(1_000).await.unwrap().len(), 200);
}

async fn a_closed_store_says_later(Fresh { store, .. }: Fresh) {
    store.check().await.unwrap();
    store.close().await;
    let error = store.check().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}
