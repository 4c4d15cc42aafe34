//! The small shelves: notices, sealed records, kept answers, sessions.

use super::fresh::Fresh;
use super::on_both;
use super::words::{at, envelope, raised};
use crate::{Answered, Begin, Change, Error, Store};

on_both! {
    a_notice_is_given_once_under_twenty_callers
    a_sealed_record_is_never_overwritten
    sealed_records_are_listed_by_prefix
    a_request_is_answered_once
    a_request_that_died_may_begin_again
    an_abandoned_request_may_begin_again
    a_session_lives_until_it_is_ended
}

async fn a_notice_is_given_once_under_twenty_callers(Fresh { store, .. }: Fresh) {
    let callers: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let told = [envelope(&format!("e{n}"), raised("a1", "f1", at(1)))];
                store.notice_once("polygon/month/2026-11", &told, at(1)).await.unwrap()
            })
        })
        .collect();
    let mut given = 0;
    for caller in callers {
        given += u32::from(caller.await.unwrap());
    }
    assert_eq!(given, 1);
    assert_eq!(store.outbox_pending(100).await.unwrap().len(), 1);
    assert_eq!(store.notices_purge(at(1)).await.unwrap(), 0);
    assert_eq!(store.notices_purge(at(2)).await.unwrap(), 1);
    assert!(store.notice_once("polygon/month/2026-11", &[], at(3)).await.unwrap());
}

async fn a_sealed_record_is_never_overwritten(Fresh { store, .. }: Fresh) {
    store.sealed_put("keys/a", 1, b"\x00one\xff").await.unwrap();
    let error = store.sealed_put("keys/a", 1, b"other").await.unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    store.sealed_put("keys/a", 2, b"two").await.unwrap();
    assert_eq!(store.sealed_get("keys/a", None).await.unwrap(), Some((2, b"two".to_vec())));
    assert_eq!(store.sealed_get("keys/a", Some(1)).await.unwrap(), Some((1, b"\x00one\xff".to_vec())));
    assert_eq!(store.sealed_versions("keys/a").await.unwrap(), [1, 2]);
    store.sealed_erase("keys/a", Some(2)).await.unwrap();
    assert_eq!(store.sealed_get("keys/a", Some(2)).await.unwrap(), None);
    store.sealed_erase("keys/a", None).await.unwrap();
    store.sealed_erase("keys/a", None).await.unwrap();
    assert_eq!(store.sealed_versions("keys/a").await.unwrap(), Vec::<u32>::new());
}

async fn sealed_records_are_listed_by_prefix(Fresh { store, .. }: Fresh) {
    for path in ["keys/b", "keys/a", "keys-x", "keys", "keyt", "keys/\u{1F600}", "KEYS/a"] {
        store.sealed_put(path, 1, b"x").await.unwrap();
    }
    store.sealed_put("keys/a", 2, b"x").await.unwrap();
    assert_eq!(store.sealed_list("keys/").await.unwrap(), ["keys/a", "keys/b", "keys/\u{1F600}"]);
    assert_eq!(store.sealed_list("").await.unwrap().len(), 7);
    assert_eq!(store.sealed_list("%").await.unwrap(), Vec::<String>::new());
}

fn answer(hash: &str) -> Answered {
    Answered {
        key: "k".to_owned(),
        actor: "user:ada".to_owned(),
        request_hash: hash.to_owned(),
        status: 201,
        body: "{}".to_owned(),
    }
}

async fn begin(store: &Store, hash: &str, ms: i64) -> Begin {
    store.answered_begin("k", "user:ada", hash, at(ms)).await.unwrap()
}

async fn a_request_is_answered_once(Fresh { store, .. }: Fresh) {
    assert_eq!(begin(&store, "h", 0).await, Begin::Started);
    assert_eq!(begin(&store, "h", 1).await, Begin::Running);
    assert_eq!(store.answered("k", "user:ada").await.unwrap(), None);
    let other = store.answered_begin("k", "user:eve", "h", at(1)).await.unwrap();
    assert_eq!(other, Begin::Started, "keys of two callers never meet");
    store.commit(Change { answer: Some(answer("h")), ..Change::default() }, at(2)).await.unwrap();
    assert_eq!(begin(&store, "h", 3).await, Begin::Done(answer("h")));
    assert_eq!(begin(&store, "another", 3).await, Begin::Done(answer("h")));
    let twice = store.answered_end(&answer("h")).await.unwrap_err();
    assert!(matches!(twice, Error::Stale { .. }), "{twice}");
    assert_eq!(store.answered_purge(at(1)).await.unwrap(), 1);
    assert_eq!(begin(&store, "h", 4).await, Begin::Started);
}

async fn a_request_that_died_may_begin_again(Fresh { store, .. }: Fresh) {
    assert_eq!(begin(&store, "h", 0).await, Begin::Started);
    assert_eq!(begin(&store, "h", 120_000).await, Begin::Running);
    assert_eq!(begin(&store, "other", 120_001).await, Begin::Running, "only the same request");
    assert_eq!(begin(&store, "h", 120_001).await, Begin::Started);
    assert_eq!(begin(&store, "h", 120_002).await, Begin::Running);
}

async fn an_abandoned_request_may_begin_again(Fresh { store, .. }: Fresh) {
    assert_eq!(begin(&store, "h", 0).await, Begin::Started);
    store.answered_abandon("k", "user:ada").await.unwrap();
    assert_eq!(begin(&store, "h", 1).await, Begin::Started);
    store.answered_end(&answer("h")).await.unwrap();
    store.answered_abandon("k", "user:ada").await.unwrap();
    assert_eq!(begin(&store, "h", 2).await, Begin::Done(answer("h")), "an answer is not abandoned");
}

async fn a_session_lives_until_it_is_ended(Fresh { store, .. }: Fresh) {
    for hash in ["h1", "h2", "h3"] {
        let user = if hash == "h3" { "bob" } else { "ada" };
        store.session_put(hash, user, "csrf", at(1), at(1), at(100)).await.unwrap();
    }
    let twice = store.session_put("h1", "eve", "csrf", at(1), at(1), at(100)).await.unwrap_err();
    assert!(matches!(twice, Error::Exists { .. }));
    assert!(store.session_touch("h1", at(200)).await.unwrap());
    assert!(store.session_reauthenticated("h1", at(50)).await.unwrap());
    assert!(!store.session_touch("nobody", at(200)).await.unwrap());
    let session = store.session("h1").await.unwrap().unwrap();
    assert_eq!(
        (session.user.as_str(), session.authenticated_at, session.expires_at),
        ("ada", at(50), at(200))
    );
    assert_eq!(store.sessions_of("ada").await.unwrap().len(), 2);
    assert!(store.session_delete("h2").await.unwrap());
    assert!(!store.session_delete("h2").await.unwrap());
    assert_eq!(store.sessions_delete_of("ada").await.unwrap(), 1);
    assert_eq!(store.session("h1").await.unwrap(), None);
    assert_eq!(store.sessions_purge(at(101)).await.unwrap(), 1);
}
