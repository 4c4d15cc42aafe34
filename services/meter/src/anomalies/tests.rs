//! Watching on a real database and a real nats-server: what is found is told once, whoever watches.

use std::time::Duration;

use model::Timestamp;
use model::config::Kind;
use model::health::{Health, HealthNow};
use model::rule::{TestRule, built_in};
use model::usage::Count;
use serde_json::{Value, json};
use store::{Aside, WatchedBucket};

use super::{BUCKET, Watcher, floor};
use crate::rules::tests::{House, configured, integration};

/// When trouble begins: a bucket's beginning.
fn trouble() -> Timestamp {
    floor(Timestamp::now().minus(Duration::from_secs(3 * 3600)))
}

/// Three days as usual before the trouble.
async fn usual(house: &House) {
    let buckets: Vec<WatchedBucket> = (1..=864_u32)
        .rev()
        .map(|before| WatchedBucket {
            start: trouble().minus(BUCKET * before),
            requests: 400 + u64::from(before * 7919 % 37),
            errors: u64::from(before % 4 == 0),
            p95_ms: Some(180 + before * 7919 % 41),
            cost_micros: 0,
            aside: Aside::No,
        })
        .collect();
    house.meter.store.watched_write(&integration(), &buckets).await.expect("written");
}

/// Buckets from the trouble on, each with so many errors.
async fn calls(house: &House, buckets: std::ops::Range<u32>, errors: u64) {
    for bucket in buckets {
        let to = trouble().plus(BUCKET * bucket).plus(Duration::from_secs(90));
        house.count(to, Count { requests: 410, errors, ..Count::default() }).await;
    }
}

fn end(buckets: u32) -> Timestamp {
    trouble().plus(BUCKET * buckets).plus(Duration::from_secs(70))
}

fn names(told: &[(String, Value)]) -> Vec<&str> {
    told.iter().map(|(told, _)| told.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anomaly_is_told_once_over_restarts_and_resolved() {
    let house = House::start(&[configured(&json!([]))]).await;
    usual(&house).await;
    calls(&house, 0..4, 150).await;
    for _ in 0..2 {
        // Whoever watches next is fed what was written down.
        let mut watcher = Watcher::new(house.meter.clone(), 400, trouble());
        watcher.look(end(4)).await.expect("looks");
        watcher.look(end(4)).await.expect("looks again");
    }
    let raised = "raised rule/anomaly/integration/poly/error_rate";
    let told = house.told().await;
    assert_eq!(names(&told), [raised]);
    assert_eq!(
        (&told[0].1["alert_type"], &told[0].1["data"]["rule"]),
        (&json!("anomaly"), &json!("anomaly"))
    );
    assert!(told[0].1["data"]["expected"].as_f64().is_some_and(|expected| expected < 0.01), "{}", told[0].1);

    calls(&house, 4..10, 1).await;
    for _ in 0..2 {
        let mut watcher = Watcher::new(house.meter.clone(), 400, trouble());
        watcher.look(end(10)).await.expect("looks");
    }
    let told = house.told().await;
    assert_eq!(names(&told)[0], raised);
    let errors = names(&told).into_iter().filter(|told| told.ends_with("error_rate")).count();
    let asked = TestRule {
        rule: built_in("anomaly").expect("it is there"),
        window: model::period::Period::hours(3),
        at: end(10),
    };
    let tested = crate::rules::tested(&house.meter, asked).await.expect("a dry run");
    assert_eq!((tested.fired, tested.targets_without_figures), (1, 0), "{tested:?}");
    assert_eq!(tested.firings[0].figure.as_deref(), Some("error_rate"));
    assert!(errors <= 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_and_a_rule_that_is_off_silence_it() {
    let off = json!({"id": "anomaly", "kind": "anomaly", "enabled": false});
    for (documents, worked_on) in
        [(vec![configured(&json!([]))], true), (vec![configured(&json!([])), (Kind::Rule, off)], false)]
    {
        let house = House::start(&documents).await;
        usual(&house).await;
        calls(&house, 0..4, 150).await;
        let mut watcher = Watcher::new(house.meter.clone(), 400, trouble());
        if worked_on {
            watcher.quiet.health(&HealthNow {
                integration: integration(),
                health: Health::Maintenance,
                reason: None,
                since: trouble(),
                checked_at: None,
                latency_ms: None,
                status_code: None,
                detail: None,
                flapping: false,
            });
        }
        watcher.look(end(4)).await.expect("looks");
        assert_eq!(house.told().await, [], "worked on: {worked_on}");
        let written = house.meter.store.watched(&integration(), trouble(), end(4)).await.expect("read");
        assert_eq!(written.len(), 4, "what was seen is written down all the same");
    }
}
