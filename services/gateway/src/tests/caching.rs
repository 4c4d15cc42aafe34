//! Answers that are kept: fresh ones instead of a call, stale ones when nobody answers, one for equal calls together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::house::{Got, House, eventually, integration, route, token};
use super::provider::{Provider, answer};

/// A token that is bound to something.
const BOUND: &str = "sbt_b123456789abcdef0123456789abcdef0123456789a";

#[tokio::test]
async fn a_fresh_answer_is_served_once_asked() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({}));
            route(s, "quotes", &["a"], json!({ "cache": { "ttl_secs": 600, "stale_if_error_secs": 0 } }));
        })
        .await;
    let get = async |path: &str| {
        let got = house.get(path).await;
        (got.header("x-signalbox-cache").to_owned(), got.text(), !got.header("age").is_empty())
    };
    assert_eq!(get("/r/quotes/x?s=1").await, ("miss".into(), "a".into(), false));
    assert_eq!(get("/r/quotes/x?s=1").await, ("hit".into(), "a".into(), true));
    assert_eq!(get("/r/quotes/x?s=2").await.0, "miss");
    let past = house.request("GET", "/r/quotes/x?s=1").header("cache-control", "no-cache");
    assert_eq!(house.call(past, "").await.header("x-signalbox-cache"), "bypass");
    assert_eq!(
        house.call(house.request("POST", "/r/quotes/x?s=1"), "").await.header("x-signalbox-cache"),
        "bypass"
    );
    assert_eq!(a.count(), 4);
    // A changed integration may answer differently.
    house.configure(|s| integration(s, "a", &a.url(), json!({ "params": { "units": "metric" } }))).await;
    assert_eq!(get("/r/quotes/x?s=1").await.0, "miss");
    house.stop().await;
}

#[tokio::test]
async fn a_stale_answer_is_served_when_everybody_fails() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({}));
            route(s, "quotes", &["a"], json!({ "cache": { "ttl_secs": 0, "stale_if_error_secs": 300 } }));
        })
        .await;
    assert_eq!(house.get("/r/quotes/x").await.header("x-signalbox-cache"), "miss");
    a.always(503, &[], "down");
    let stale = house.get("/r/quotes/x").await;
    assert_eq!((stale.status.as_u16(), stale.text().as_str()), (200, "a"));
    assert_eq!((stale.header("x-signalbox-cache"), stale.header("x-signalbox-attempts")), ("stale", "1"));
    assert_eq!(house.get("/r/quotes/other").await.status, 503);
    a.always(200, &[("cache-control", "no-store")], "new");
    assert_eq!(house.get("/r/quotes/x").await.text(), "new");
    house.stop().await;
}

/// Answers only once the gate is open, so that calls are under way together.
fn gated(provider: &Provider, headers: &'static [(&'static str, &'static str)]) -> watch::Sender<bool> {
    let (open, gate) = watch::channel(false);
    provider.will(move |_| {
        let mut gate = gate.clone();
        async move {
            let _ = gate.wait_for(|open| *open).await;
            answer(200, headers, "shared")
        }
    });
    open
}

async fn followers(house: &House, wanted: u32) {
    let flights = house.gateway.0.cache.flights();
    eventually("followers", || async { (flights.followers() == wanted).then_some(()) }).await;
}

async fn cached_route(cache: Value) -> (Arc<House>, Provider) {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({ "timeout_ms": 60_000 }));
            route(s, "quotes", &["a"], json!({ "cache": cache }));
        })
        .await;
    (Arc::new(house), a)
}

fn get(house: &Arc<House>, path: &'static str) -> JoinHandle<Got> {
    let house = house.clone();
    tokio::spawn(async move { house.get(path).await })
}

async fn stop(house: Arc<House>) {
    Arc::into_inner(house).expect("nobody calls any more").stop().await;
}

#[tokio::test]
async fn a_thousand_equal_misses_are_one_call() {
    let (house, a) = cached_route(json!({ "ttl_secs": 600 })).await;
    let open = gated(&a, &[]);
    let mut calls = vec![get(&house, "/r/quotes/x?s=1")];
    eventually("the first call", || async { (a.count() == 1).then_some(()) }).await;
    // In parts, because a test may open only so many files; those before go on waiting.
    for part in 1..=3 {
        calls.extend((0..333).map(|_| get(&house, "/r/quotes/x?s=1")));
        followers(&house, part * 333).await;
    }
    open.send(true).expect("the provider waits");
    let mut words = std::collections::BTreeMap::new();
    for call in calls {
        let got = call.await.expect("an answer");
        assert_eq!((got.status.as_u16(), got.text().as_str()), (200, "shared"));
        *words.entry(got.header("x-signalbox-cache").to_owned()).or_insert(0) += 1;
    }
    assert_eq!(words, [("coalesced".to_owned(), 999), ("miss".to_owned(), 1)].into());
    assert_eq!(a.count(), 1);
    stop(house).await;
}

#[tokio::test]
async fn a_call_goes_on_for_others_when_its_own_caller_goes_away() {
    let (house, a) = cached_route(json!({ "ttl_secs": 600 })).await;
    let open = gated(&a, &[]);
    let first = get(&house, "/r/quotes/x");
    eventually("the first call", || async { (a.count() == 1).then_some(()) }).await;
    let second = get(&house, "/r/quotes/x");
    followers(&house, 1).await;
    first.abort();
    assert!(first.await.is_err());
    open.send(true).expect("the provider waits");
    let got = second.await.expect("an answer");
    assert_eq!((got.text().as_str(), got.header("x-signalbox-cache")), ("shared", "coalesced"));
    assert_eq!(a.count(), 1);
    stop(house).await;
}

#[tokio::test]
async fn one_of_those_who_wait_asks_again_when_the_first_failed() {
    let (house, a) = cached_route(json!({ "ttl_secs": 600 })).await;
    let (open, gate) = watch::channel(0);
    let asked = Arc::new(AtomicU32::new(0));
    a.will(move |_| {
        let (mut gate, number) = (gate.clone(), asked.fetch_add(1, Ordering::SeqCst));
        async move {
            let _ = gate.wait_for(|open| *open > number).await;
            if number == 0 { answer(503, &[], "down") } else { answer(200, &[], "second") }
        }
    });
    let first = get(&house, "/r/quotes/x");
    eventually("the first call", || async { (a.count() == 1).then_some(()) }).await;
    let rest: Vec<_> = (0..5).map(|_| get(&house, "/r/quotes/x")).collect();
    followers(&house, 5).await;
    open.send(1).expect("the provider waits");
    assert_eq!(first.await.expect("an answer").status, 503);
    followers(&house, 4).await;
    open.send(2).expect("the provider waits");
    let mut words = Vec::new();
    for call in rest {
        let got = call.await.expect("an answer");
        assert_eq!(got.text(), "second");
        words.push(got.header("x-signalbox-cache").to_owned());
    }
    words.sort_unstable();
    assert_eq!(words.join(" "), "coalesced coalesced coalesced coalesced miss");
    assert_eq!(a.count(), 2);
    stop(house).await;
}

#[tokio::test]
async fn an_answer_that_may_not_be_shared_is_its_own_callers() {
    for headers in [
        &[("cache-control", "no-store")][..],
        &[("content-type", "text/event-stream")],
        &[("set-cookie", "a=b")],
    ] {
        let (house, a) = cached_route(json!({ "ttl_secs": 600 })).await;
        let open = gated(&a, headers);
        let first = get(&house, "/r/quotes/x");
        eventually("the first call", || async { (a.count() == 1).then_some(()) }).await;
        let rest: Vec<_> = (0..3).map(|_| get(&house, "/r/quotes/x")).collect();
        followers(&house, 3).await;
        open.send(true).expect("the provider waits");
        for call in rest.into_iter().chain([first]) {
            assert_eq!(call.await.expect("an answer").header("x-signalbox-cache"), "miss");
        }
        assert_eq!(a.count(), 4, "{headers:?}");
        stop(house).await;
    }
}

#[tokio::test]
async fn a_stale_answer_is_served_while_a_new_one_is_fetched() {
    let (house, a) = cached_route(json!({ "by_provider": true })).await;
    a.always(200, &[("cache-control", "max-age=10, stale-while-revalidate=600"), ("age", "50")], "old");
    assert_eq!(house.get("/r/quotes/x").await.header("x-signalbox-cache"), "miss");
    a.always(200, &[("cache-control", "max-age=600")], "new");
    let stale = house.get("/r/quotes/x").await;
    assert_eq!((stale.text().as_str(), stale.header("x-signalbox-cache")), ("old", "stale"));
    assert_eq!(stale.header("age"), "50");
    let fresh = eventually("a new answer", || async {
        Some(house.get("/r/quotes/x").await).filter(|got| got.header("x-signalbox-cache") == "hit")
    })
    .await;
    assert_eq!((fresh.text().as_str(), a.count()), ("new", 2));
    assert!(fresh.header("cache-status").starts_with("signalbox; hit; ttl="), "{fresh:?}");
    stop(house).await;
}

#[tokio::test]
async fn an_answer_that_is_still_true_is_not_fetched_again() {
    let (house, a) = cached_route(json!({ "by_provider": true })).await;
    a.will(|seen| async move {
        match seen.header("if-none-match") {
            Some(tag) if tag == "\"1\"" => answer(304, &[("x-new", "1")], ""),
            _ => answer(200, &[("cache-control", "no-cache"), ("etag", "\"1\"")], "body"),
        }
    });
    assert_eq!(house.get("/r/quotes/x").await.header("x-signalbox-cache"), "miss");
    for _ in 0..2 {
        let got = house.get("/r/quotes/x").await;
        assert_eq!((got.status.as_u16(), got.text().as_str()), (200, "body"));
        assert_eq!((got.header("x-signalbox-cache"), got.header("x-new")), ("refresh", "1"));
    }
    // A caller's own condition goes through as it is.
    let own = house.request("GET", "/r/quotes/x").header("if-none-match", "\"1\"");
    assert_eq!(house.call(own, "").await.status, 304);
    assert_eq!(a.count(), 4);
    stop(house).await;
}

#[tokio::test]
async fn a_caller_asks_for_real_time_or_for_what_is_kept() {
    let (house, a) = cached_route(json!({ "ttl_secs": 600 })).await;
    let with = async |control: &str| {
        let got = house.call(house.request("GET", "/r/quotes/x").header("cache-control", control), "").await;
        (got.status.as_u16(), got.header("x-signalbox-cache").to_owned(), got.text())
    };
    let only = with("only-if-cached").await;
    assert_eq!((only.0, a.count()), (504, 0));
    assert!(only.2.contains("not_cached"), "{only:?}");
    assert_eq!(with("max-age=60").await, (200, "miss".into(), "a".into()));
    a.always(200, &[], "b");
    assert_eq!(with("only-if-cached").await, (200, "hit".into(), "a".into()));
    assert_eq!(with("no-cache").await, (200, "bypass".into(), "b".into()));
    assert_eq!(with("max-age=60").await, (200, "hit".into(), "b".into()));
    a.always(200, &[], "c");
    assert_eq!(with("no-store").await, (200, "bypass".into(), "c".into()));
    assert_eq!(with("max-age=60").await, (200, "hit".into(), "b".into()));
    stop(house).await;
}

#[tokio::test]
async fn integrations_and_endpoints_have_times_of_their_own() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    let cache =
        json!({ "cache": { "endpoints": { "/quote": { "ttl_secs": 600, "stale_if_error_secs": 600 } } } });
    house
        .configure(|s| {
            integration(s, "a", &a.url(), cache.clone());
            integration(s, "b", &b.url(), cache.clone());
            s.tokens.push(token("bound", BOUND, &json!({ "integrations": ["b"], "routes": ["both"] })));
            route(s, "both", &["a", "b"], json!({ "cache": { "ttl_secs": 600 } }));
            route(s, "free", &["a", "b"], json!({ "cache": { "ttl_secs": 600 } }));
        })
        .await;
    let word = async |path: &str| {
        let got = house.get(path).await;
        (got.header("x-signalbox-cache").to_owned(), got.text())
    };
    assert_eq!(word("/p/a/quote").await, ("miss".into(), "a".into()));
    assert_eq!(word("/p/b/quote").await, ("miss".into(), "b".into()));
    assert_eq!(word("/r/free/quote").await, ("miss".into(), "a".into()));
    assert_eq!(word("/p/a/quote").await, ("hit".into(), "a".into()));
    assert_eq!(word("/p/b/quote").await, ("hit".into(), "b".into()));
    for _ in 0..2 {
        assert_eq!(word("/p/a/account").await, ("bypass".into(), "a".into()));
    }
    // Past any route too: an operator who wants a kept answer in trouble gets it, and past it what the provider says.
    house
        .configure(|s| {
            let cache = json!({ "cache": { "endpoints": { "/quote": { "ttl_secs": 0, "stale_if_error_secs": 600 } } } });
            integration(s, "a", &a.url(), cache);
        })
        .await;
    assert_eq!(word("/p/a/quote").await.0, "miss");
    a.always(503, &[], "down");
    assert_eq!(word("/p/a/quote").await, ("stale".into(), "a".into()));
    assert_eq!(word("/p/a/account").await, ("bypass".into(), "down".into()));
    house.stop().await;
}

#[tokio::test]
async fn a_bound_token_gets_no_answer_of_an_integration_that_it_may_not_call() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({}));
            integration(s, "b", &b.url(), json!({}));
            s.tokens.push(token("bound", BOUND, &json!({ "integrations": ["b"] })));
            route(s, "quotes", &["a", "b"], json!({ "cache": { "ttl_secs": 600 } }));
        })
        .await;
    assert_eq!(house.get("/r/quotes/x").await.text(), "a");
    assert_eq!(house.get("/r/quotes/x").await.header("x-signalbox-cache"), "hit");
    let bound = http::Request::get(format!("http://{}/r/quotes/x", house.address))
        .header("authorization", format!("Bearer {BOUND}"));
    let got = house.call(bound, "").await;
    assert_eq!((got.text().as_str(), got.header("x-signalbox-cache")), ("b", "miss"));
    house.stop().await;
}

#[tokio::test]
async fn what_is_invalidated_is_asked_for_again() {
    let (house, a) = cached_route(json!({ "ttl_secs": 600 })).await;
    let word = async |path: &str| house.get(path).await.header("x-signalbox-cache").to_owned();
    for path in ["/r/quotes/x?s=1", "/r/quotes/x?s=2", "/r/quotes/y"] {
        assert_eq!(word(path).await, "miss");
    }
    let id = model::IntegrationId::new("a").expect("a slug");
    let invalidated = |pattern: &str| model::cache::CacheInvalidated {
        integration: id.clone(),
        endpoint: Some("/x".to_owned()),
        pattern: Some(pattern.to_owned()),
        actor: "user:ada".to_owned(),
        at: model::Timestamp::default(),
    };
    // The listener may begin after the gateway does: what is told before it listens is told again.
    eventually("a miss", || async {
        house.bus.publish(&house.bus.envelope(invalidated("*s=1"))).await.expect("told");
        (word("/r/quotes/x?s=1").await == "miss").then_some(())
    })
    .await;
    assert_eq!((word("/r/quotes/x?s=2").await, word("/r/quotes/y").await), ("hit".into(), "hit".into()));
    assert_eq!(a.count(), 4);
    stop(house).await;
}
