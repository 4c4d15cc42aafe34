//! Providers that take calls and do not answer, or answer late: who is asked beside them, and what is told of them.

use std::time::{Duration, Instant};

use bus::Start;
use futures_util::StreamExt;
use model::health::{Observed, Reason};
use serde_json::json;

use super::house::{House, PATIENCE, eventually, integration, route};
use super::provider::{Provider, answer};

/// What a call may take. A test that waits for that has found a mistake.
const TIMEOUT_MS: u64 = 60_000;

/// A route over two integrations whose answers are usually quick.
async fn pair() -> (House, Provider, Provider) {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            let probe = json!({ "slow_ms": 300 });
            integration(s, "a", &a.url(), json!({ "timeout_ms": TIMEOUT_MS, "probe": probe }));
            integration(s, "b", &b.url(), json!({}));
            route(s, "both", &["a", "b"], json!({}));
        })
        .await;
    for _ in 0..10 {
        assert_eq!(house.get("/r/both/x").await.text(), "a");
    }
    (house, a, b)
}

#[tokio::test]
async fn a_hanging_member_is_soon_not_asked_first_and_told_of() {
    let (house, a, b) = pair().await;
    let subjects = vec!["sb.v1.health.a.observed".to_owned()];
    let mut tail = house.bus.tail(subjects, Start::New).await.expect("a listener");
    a.hang();
    let begun = Instant::now();
    let mut got = house.get("/r/both/x").await;
    assert_eq!((got.text().as_str(), got.header("x-signalbox-attempts")), ("b", "2"));
    while got.header("x-signalbox-attempts") != "1" {
        got = house.get("/r/both/x").await;
        assert_eq!(got.text(), "b");
    }
    assert!(begun.elapsed() < Duration::from_millis(TIMEOUT_MS));
    assert!((5..=20).contains(&(a.count() - 10)) && b.count() >= 6, "{} and {}", a.count(), b.count());
    let told = async {
        loop {
            let seen = tail.next().await.expect("an event").decode::<Observed>().expect("observed").data;
            if let Some(reason) = seen.reason {
                return (reason, seen.failures == seen.requests && seen.failures >= 3);
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await.expect("in time");
    assert_eq!(told, (Reason::Timeout, true));
    // Nobody waits there any more after a while, and it has its chance again.
    a.always(200, &[], "a");
    eventually("it answers", || async { (house.get("/r/both/x").await.text() == "a").then_some(()) }).await;
    house.stop().await;
}

#[tokio::test]
async fn a_late_answer_wins_when_the_other_member_has_none() {
    let (house, a, b) = pair().await;
    a.will(|_| async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        answer(200, &[], "late")
    });
    b.always(500, &[], "down");
    let got = house.get("/r/both/x").await;
    assert_eq!((got.text().as_str(), got.header("x-signalbox-integration")), ("late", "a"));
    house.stop().await;
}

#[tokio::test]
async fn a_slow_member_keeps_its_calls() {
    let (house, a, b) = pair().await;
    a.will(|_| async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        answer(200, &[], "slow")
    });
    // Once it is known that it is slow, nobody is asked beside it.
    eventually("it is waited for", || async {
        (house.get("/r/both/x").await.text() == "slow").then_some(())
    })
    .await;
    let before = b.count();
    for _ in 0..3 {
        assert_eq!(house.get("/r/both/x").await.text(), "slow");
    }
    assert_eq!(b.count(), before);
    house.stop().await;
}

#[tokio::test]
async fn a_member_with_little_quota_left_is_not_asked_beside() {
    let (house, a, b) = pair().await;
    house
        .configure(|s| {
            let quotas = json!([{ "name": "month", "requests": 5, "per": "month" }]);
            integration(s, "b", &b.url(), json!({ "quotas": quotas }));
        })
        .await;
    let slow = |ms: u64| {
        a.will(move |_| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            answer(200, &[], "slow")
        });
    };
    slow(500);
    assert_eq!(house.get("/r/both/x").await.text(), "b");
    // The call above and these three are four fifths of what it may have.
    for _ in 0..3 {
        assert_eq!(house.get("/p/b/x").await.text(), "b");
    }
    slow(2_500);
    let before = b.count();
    let got = house.get("/r/both/x").await;
    assert_eq!((got.text().as_str(), b.count()), ("slow", before));
    house.stop().await;
}

#[tokio::test]
async fn what_is_not_safe_to_repeat_is_waited_for() {
    let (house, a, b) = pair().await;
    a.will(|_| async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        answer(200, &[], "bought")
    });
    let got = house.call(house.request("POST", "/r/both/order"), "buy").await;
    assert_eq!((got.text().as_str(), got.header("x-signalbox-attempts"), b.count()), ("bought", "1", 0));
    house.stop().await;
}
