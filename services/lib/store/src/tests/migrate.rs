//! Opening: migrated once, refused when the schema is not ours, owned by its owner only.

use model::alert::Severity;

use super::fresh::Fresh;
use super::on_both;
use super::words::{at, count, counted, delivery, event, integration, raised};
use crate::db::values;
use crate::{AlertWrite, Change, Error, Store};

on_both! {
    a_store_is_opened_again_as_it_was
    replicas_that_open_together_take_turns
    what_waits_in_an_older_schema_learns_how_urgent_it_is
    a_newer_schema_is_refused
    a_schema_that_somebody_changed_is_refused
}

async fn a_store_is_opened_again_as_it_was(Fresh { store, url }: Fresh) {
    store.notice_once("n", &[], at(1)).await.unwrap();
    let steps = store.db().one("SELECT COUNT(*) AS n FROM migrations", &[]).await.unwrap();
    let before = steps.count("n").unwrap();
    let again = Store::open(&url).await.unwrap();
    assert!(!again.notice_once("n", &[], at(2)).await.unwrap());
    let steps = again.db().one("SELECT COUNT(*) AS n FROM migrations", &[]).await.unwrap();
    assert_eq!(steps.count("n").unwrap(), before);
    again.close().await;
}

async fn replicas_that_open_together_take_turns(Fresh { store, url }: Fresh) {
    if store.kind() == "postgresql" {
        store.db().execute("DROP TABLE migrations", &[]).await.unwrap();
        for table in ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"] {
            store.db().execute(table, &[]).await.unwrap();
        }
    }
    let opens: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Store::open(&url).await })
        })
        .collect();
    for open in opens {
        let store = open.await.unwrap().unwrap();
        store.check().await.unwrap();
        store.close().await;
    }
}

/// Takes the database back to its first schema with two deliveries in it, and opens it.
async fn what_waits_in_an_older_schema_learns_how_urgent_it_is(Fresh { store, url }: Fresh) {
    let mut mild = delivery("mild", "ops", at(1));
    (mild.alert.severity, mild.delivery.fingerprint) = (Severity::Warning, "f2".to_owned());
    mild.alert.title = "\0 and \"severity\":\"critical\"".to_owned();
    for (n, new) in [mild, delivery("urgent", "ops", at(2))].into_iter().enumerate() {
        let write = AlertWrite::Raise(raised("a1", "f1", at(1)));
        assert!(store.take_alert(&event(&format!("e{n}")), write, &[new], at(2)).await.unwrap());
    }
    for back in [
        "DROP INDEX deliveries_urgent",
        "DROP INDEX deliveries_line",
        "ALTER TABLE deliveries DROP COLUMN urgency",
        "ALTER TABLE lanes DROP COLUMN overtaken",
        "DELETE FROM migrations WHERE version = 2",
    ] {
        store.db().execute(back, &[]).await.unwrap();
    }
    let again = Store::open(&url).await.unwrap();
    let learnt = again.db().all("SELECT id, urgency FROM deliveries ORDER BY seq", &[]).await.unwrap();
    let learnt: Vec<_> =
        learnt.iter().map(|row| (row.text("id").unwrap(), row.int("urgency").unwrap())).collect();
    assert_eq!(learnt, [("mild", 2), ("urgent", 0)].map(|(id, urgency)| (id.to_owned(), urgency)));
    again.close().await;
}

async fn refused(url: &str, words: &str) {
    let error = Store::open(url).await.unwrap_err();
    assert!(matches!(error, Error::Migration { .. }), "{error:?}");
    assert!(error.to_string().contains(words) && !error.to_string().contains('\n'), "{error}");
    assert!(!error.is_transient());
}

async fn a_newer_schema_is_refused(Fresh { store, url }: Fresh) {
    let newer = "INSERT INTO migrations (version, name, checksum, applied_at) VALUES (999, 'later', 'x', $1)";
    store.db().execute(newer, &values![at(1)]).await.unwrap();
    refused(&url, "schema 999").await;
}

async fn a_schema_that_somebody_changed_is_refused(Fresh { store, url }: Fresh) {
    store.db().execute("UPDATE migrations SET checksum = 'x' WHERE version = 1", &[]).await.unwrap();
    refused(&url, "schema 1 (first)").await;
}

#[tokio::test]
async fn a_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("store.db");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(&format!("sqlite://{}", path.display())).await.unwrap();
    store.notice_once("n", &[], at(1)).await.unwrap();
    let mut files = 0;
    for file in std::fs::read_dir(home.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        files += 1;
    }
    assert_eq!(files, 3, "database, log and index of the log");
    store.close().await;
}

#[tokio::test]
async fn an_address_that_is_none_says_what_is_wanted() {
    for bad in ["", "mysql://x", "sqlite://relative.db", "sqlite:///no/such/directory/store.db"] {
        let error = Store::open(bad).await.unwrap_err();
        assert!(matches!(error, Error::Url(_)), "{bad}: {error:?}");
    }
    let error = Store::open("postgres://user:hunter2@[bad/db").await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn a_store_in_memory_does_the_same() {
    let store = Store::open("sqlite::memory:").await.unwrap();
    let write = AlertWrite::Raise(raised("a1", "f1", at(1)));
    assert!(store.take_alert(&event("e1"), write, &[delivery("d1", "ops", at(1))], at(1)).await.unwrap());
    store.commit(Change::default(), at(1)).await.unwrap();
    store
        .count(
            &[(event("u1"), counted("polygon", at(1), vec![count("/a", "user:ada", 1)]))],
            &crate::Plans::new(),
        )
        .await
        .unwrap();
    assert_eq!(store.usage_total(&integration("polygon"), at(0), at(1)).await.unwrap().requests, 1);
    assert_eq!(store.audit_verify().await.unwrap().first_bad, None);
    assert_eq!(store.everything().await.unwrap().revision, 0);
    assert_eq!(store.lanes_due(at(1), 1).await.unwrap().len(), 1);
}
