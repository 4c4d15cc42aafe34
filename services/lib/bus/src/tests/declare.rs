//! The table on a server.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use super::{Town, settings};
use crate::table::{Bucket, DUPLICATE_WINDOW, STREAMS};
use crate::{Bus, Error, Supervised};

#[tokio::test]
async fn everything_is_there_and_declaring_again_changes_nothing() {
    let town = Town::start().await;
    town.bus.check().await.expect("all streams and buckets are there");
    town.bus.declare().await.expect("declares again");
    for wanted in STREAMS {
        let stream = town.bus.js.get_stream(wanted.name).await.expect("there");
        let config = &stream.cached_info().config;
        assert!(config.allow_atomic_publish, "{}", wanted.name);
        assert_eq!(config.duplicate_window, DUPLICATE_WINDOW);
        assert_eq!(config.storage, StorageType::File);
        assert!(config.max_bytes > 0 && config.max_age > Duration::ZERO);
    }
    let audit = town.bus.js.get_stream("AUDIT").await.expect("there").cached_info().config.clone();
    assert!(audit.deny_delete && audit.deny_purge);
    assert_eq!(audit.discard, DiscardPolicy::New);
    let due = town.bus.js.get_stream("DELIVERIES").await.expect("there").cached_info().config.clone();
    assert_eq!(due.retention, RetentionPolicy::WorkQueue);
    let quota = town.bus.js.get_stream("KV_quota").await.expect("there").cached_info().config.clone();
    assert!(!quota.allow_direct, "quotas are read from the leader");
}

#[tokio::test]
async fn what_an_operator_made_larger_stays() {
    let town = Town::start().await;
    let mut config = town.bus.js.get_stream("HEALTH").await.expect("there").cached_info().config.clone();
    config.max_bytes *= 2;
    config.max_age *= 2;
    let larger = (config.max_bytes, config.max_age);
    town.bus.js.update_stream(config).await.expect("updated");
    town.bus.declare().await.expect("declares");
    let config = town.bus.js.get_stream("HEALTH").await.expect("there").cached_info().config.clone();
    assert_eq!((config.max_bytes, config.max_age), larger);
}

#[tokio::test]
async fn an_incompatible_stream_is_named() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let server = Supervised::start(settings(&data, 0)).await.expect("the server starts");
    let bus = Bus::connect(&server.settings("test/1")).await.expect("connects");
    assert!(matches!(bus.check().await, Err(Error::Missing { .. })));
    let odd = Config {
        name: "ALERTS".to_owned(),
        subjects: vec!["sb.v1.alert.>".to_owned()],
        storage: StorageType::Memory,
        ..Config::default()
    };
    bus.js.create_stream(odd).await.expect("created");
    let error = bus.declare().await.expect_err("not usable");
    assert!(matches!(&error, Error::Incompatible { stream, .. } if stream == "ALERTS"), "{error:?}");
    assert!(error.to_string().contains("its storage is Memory"), "{error}");
}

#[tokio::test]
async fn a_stream_that_has_our_subjects_is_named() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let server = Supervised::start(settings(&data, 0)).await.expect("the server starts");
    let bus = Bus::connect(&server.settings("test/1")).await.expect("connects");
    let theirs = |subject: &str| Config {
        name: "THEIRS".to_owned(),
        subjects: vec![subject.to_owned()],
        ..Config::default()
    };
    for (subject, in_the_way) in
        [("sb.v1.alert.critical.>", "stream ALERTS"), ("$KV.routes.quotes", "stream KV_routes")]
    {
        bus.js.create_stream(theirs(subject)).await.expect("created");
        let error = bus.declare().await.expect_err("not usable");
        assert!(matches!(error, Error::Incompatible { .. }) && !error.is_transient(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(in_the_way) && text.contains("the stream THEIRS has its subject"), "{text}");
        bus.js.delete_stream("THEIRS").await.expect("deleted");
    }
    bus.declare().await.expect("nothing is in the way any more");
}

#[tokio::test]
async fn two_processes_may_declare_at_the_same_time() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let server = Supervised::start(settings(&data, 0)).await.expect("the server starts");
    let one = Bus::connect(&server.settings("test/1")).await.expect("connects");
    let other = Bus::connect(&server.settings("test/2")).await.expect("connects");
    let (a, b) = tokio::join!(one.declare(), other.declare());
    a.expect("declares");
    b.expect("declares");
    let all = Bucket::ALL.len() + STREAMS.len();
    use futures_util::TryStreamExt;
    let names: Vec<String> = one.js.stream_names().try_collect().await.expect("listed");
    assert_eq!(names.len(), all);
}

#[tokio::test]
async fn a_wrong_password_is_said_at_once_and_not_shown() {
    let town = Town::start().await;
    let mut wrong = town.server.settings("test/2");
    wrong.login = crate::Login::UserPassword {
        user: "signalbox".to_owned(),
        password: model::Secret::new("not the password".to_owned()),
    };
    let error = Bus::connect(&wrong).await.expect_err("refused");
    assert!(matches!(error, Error::Login { .. }) && !error.is_transient(), "{error:?}");
    assert!(!format!("{error:?}{wrong:?}").contains("not the password"));
}
