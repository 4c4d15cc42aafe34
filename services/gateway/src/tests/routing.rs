//! Routes: whom their orders ask, what operators say, what breakers keep away, and what a storm costs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::house::{House, eventually, integration, route};
use super::provider::{Provider, answer};

/// A route over two integrations.
async fn pair(one: Value, two: Value, more: Value) -> (House, Provider, Provider) {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), one);
            integration(s, "b", &b.url(), two);
            route(s, "both", &["a", "b"], more);
        })
        .await;
    (house, a, b)
}

async fn plain() -> (House, Provider, Provider) {
    pair(json!({}), json!({}), json!({})).await
}

#[tokio::test]
async fn weights_share_calls_out_and_a_failing_member_loses_none() {
    let more = json!({ "order": "weighted", "weights": { "a": 1, "b": 9 } });
    let (house, a, b) = pair(json!({}), json!({}), more).await;
    for _ in 0..200 {
        assert_eq!(house.get("/r/both/x").await.status, 200);
    }
    assert!((5..=45).contains(&a.count()) && a.count() + b.count() == 200, "{}", a.count());
    b.always(503, &[], "down");
    for _ in 0..50 {
        assert_eq!(house.get("/r/both/x").await.text(), "a");
    }
    assert!(b.count() <= 200 + 6, "{}", b.count());
    house.stop().await;
}

#[tokio::test]
async fn the_cheapest_is_asked_first() {
    let cost = |micros: u64| json!({ "cost": { "per_request_micros": micros } });
    let (house, a, b) = pair(cost(9), cost(2), json!({ "order": "cheapest_first" })).await;
    for _ in 0..5 {
        assert_eq!(house.get("/r/both/x").await.text(), "b");
    }
    b.always(500, &[], "down");
    assert_eq!(house.get("/r/both/x").await.text(), "a");
    assert_eq!((a.count(), b.count()), (1, 6));
    house.stop().await;
}

#[tokio::test]
async fn a_quota_is_left_before_it_runs_out() {
    let quota = json!({ "quotas": [{ "name": "day", "requests": 10, "per": "month", "near": 0.5 }] });
    let (house, a, b) = pair(quota, json!({}), json!({ "order": "quota_aware" })).await;
    for n in 0..12 {
        let wanted = if n < 5 { "a" } else { "b" };
        assert_eq!(house.get("/r/both/x").await.text(), wanted, "{n}");
    }
    // Near is not over: it answers when the other one does not.
    b.always(500, &[], "down");
    assert_eq!(house.get("/r/both/x").await.text(), "a");
    assert_eq!(a.count(), 6);
    house.stop().await;
}

#[tokio::test]
async fn a_provider_that_says_that_little_is_left_is_left() {
    let finnhub = json!({ "provider": "finnhub", "auth": { "scheme": "none" } });
    let (house, a, _b) = pair(finnhub, json!({}), json!({ "order": "quota_aware" })).await;
    for (left, wanted) in [("50", "a"), ("21", "a"), ("19", "a"), ("19", "b")] {
        a.will(move |_| async move {
            answer(200, &[("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", left)], "a")
        });
        assert_eq!(house.get("/r/both/x").await.text(), wanted, "{left}");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_drained_member_answers_when_nobody_else_does() {
    let (house, a, b) = pair(json!({}), json!({}), json!({ "drained": ["a"] })).await;
    for _ in 0..3 {
        assert_eq!(house.get("/r/both/x").await.text(), "b");
    }
    assert_eq!(a.count(), 0);
    b.always(500, &[], "down");
    assert_eq!(house.get("/r/both/x").await.text(), "a");
    house.stop().await;
}

#[tokio::test]
async fn a_breaker_keeps_calls_away_and_says_so() {
    let (house, a, b) = plain().await;
    a.always(503, &[], "down");
    for _ in 0..40 {
        assert_eq!(house.get("/r/both/x").await.text(), "b");
    }
    assert_eq!(a.count(), 5);
    b.always(404, &[], "none");
    // Directly it is asked all the same, and shows by it that it works again.
    assert_eq!(house.get("/p/a/x").await.text(), "down");
    a.always(200, &[], "a");
    assert_eq!(house.get("/p/a/x").await.text(), "a");
    eventually("its calls", || async { (house.get("/r/both/x").await.text() == "a").then_some(()) }).await;
    house.stop().await;
}

#[tokio::test]
async fn a_provider_that_names_a_time_is_not_asked_before() {
    let (house, a, b) = plain().await;
    a.always(429, &[("retry-after", "60")], "later");
    for _ in 0..5 {
        assert_eq!(house.get("/r/both/x").await.text(), "b");
    }
    assert_eq!(a.count(), 1);
    b.always(429, &[("retry-after", "30")], "later");
    house.get("/r/both/x").await;
    let got = house.get("/r/both/x").await;
    assert_eq!((got.status.as_u16(), got.header("x-signalbox-attempts")), (503, "0"));
    let wait: u64 = got.header("retry-after").parse().expect("seconds");
    assert!((28..=33).contains(&wait), "{wait}");
    let body = got.json();
    assert_eq!(body["attempts"][0]["skipped"], "blocked");
    assert_eq!(body["attempts"].as_array().map(Vec::len), Some(2), "{body}");
    assert_eq!((a.count(), b.count()), (1, 6));
    // Nor is it past all routes.
    let got = house.get("/p/a/x").await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (429, Some("quota_exceeded")));
    assert_eq!(a.count(), 1);
    house.stop().await;
}

/// Calls of providers per caller's call while all fail, after the first that open the breakers.
async fn storm(retry: Value) -> f64 {
    let (house, a, b) = pair(retry.clone(), retry, json!({})).await;
    let count = || a.count() + b.count();
    a.always(503, &[], "down");
    b.always(500, &[], "down");
    let call = async |times: usize| {
        for _ in 0..times {
            assert_eq!(house.get("/r/both/x").await.status, 503);
        }
    };
    call(100).await;
    let before = count();
    call(2_000).await;
    let calls = count() - before;
    house.stop().await;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let ratio = calls as f64 / 2_000.0;
    ratio
}

#[tokio::test]
async fn a_storm_is_at_most_a_tenth_larger_at_the_providers() {
    let ratio = storm(json!({})).await;
    eprintln!("{ratio} calls per call");
    assert!((1.0..=1.1).contains(&ratio), "{ratio}");
    let ratio = storm(json!({ "retry": { "attempts": 3, "backoff_ms": 0 } })).await;
    eprintln!("{ratio} calls per call with repeats");
    assert!((1.0..=1.1).contains(&ratio), "{ratio}");
}

#[tokio::test]
async fn no_caller_sees_that_the_members_take_turns_at_failing() {
    let (house, a, b) = plain().await;
    for round in 0..6 {
        let (up, down) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        up.always(200, &[], "well");
        down.always(503, &[], "down");
        for n in 0..60 {
            let got = house.get("/r/both/x").await;
            assert_eq!(got.text(), "well", "call {n} of round {round}");
        }
    }
    house.stop().await;
}

#[tokio::test]
async fn what_is_left_out_is_told() {
    let (house, a, b) = plain().await;
    a.always(503, &[], "down");
    b.always(503, &[], "down");
    for _ in 0..200 {
        house.get("/r/both/x").await;
    }
    let told = eventually("a call that is not tried everywhere", || async {
        let body = house.get("/r/both/x").await.json();
        body.get("note").is_some().then_some(body)
    })
    .await;
    let attempts = told["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2, "{told}");
    assert!(attempts[0]["reason"] == "upstream_error" && attempts[0]["duration_ms"].is_u64(), "{told}");
    assert_eq!(attempts[1]["skipped"], "breaker_open", "{told}");
    house.stop().await;
}

#[tokio::test]
async fn a_callers_deadline_is_kept_over_all_attempts() {
    let (house, a, b) = plain().await;
    a.hang();
    b.hang();
    let started = Instant::now();
    let request = house.request("GET", "/r/both/x").header("x-signalbox-timeout-ms", "400");
    let got = house.call(request, "").await;
    let took = started.elapsed();
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (504, Some("all_failed")));
    assert!((Duration::from_millis(390)..Duration::from_millis(1_500)).contains(&took), "{took:?}");
    assert!(got.json()["attempts"].as_array().is_some_and(|attempts| attempts.len() == 2));
    assert_eq!(b.count(), 1);
    assert!(b.last().header("x-signalbox-timeout-ms").is_none());
    for wrong in ["0", "-1", "soon", "600001"] {
        let request = house.request("GET", "/r/both/x").header("x-signalbox-timeout-ms", wrong);
        let got = house.call(request, "").await;
        assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (400, Some("bad_timeout")), "{wrong}");
    }
    house.stop().await;
}
