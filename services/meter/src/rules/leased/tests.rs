//! Every kind of limit that is leased is told of when it is near and when it is used up: once, whoever looks.

use bus::Bucket;
use model::Timestamp;
use model::quota::key;
use model::quota::ledger::{Holder, Lease, Ledger};
use model::quota::{Quota, compile};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::tests::{House, configured};
use super::super::watch::Term;
use super::follow;

/// Puts into the bucket what gateways would write that have used so many units of a limit.
async fn used(house: &House, quota: &Value, part: Option<&str>, spent: u64, at: Timestamp) {
    let quota: Quota = serde_json::from_value(quota.clone()).expect("a quota");
    let limit = compile(std::slice::from_ref(&quota), 1).expect("can be kept").remove(0);
    let key = key::of("poly", &key::limit(&limit, part.is_some()), part).expect("short");
    let window = quota.per.filter(|_| !limit.renews());
    let window = window.map_or(0, |per| crate::window::at(at, per, quota.zone()).from.as_millis());
    let mut ledger = Ledger::new(&limit, window);
    for half in [spent / 2, spent - spent / 2] {
        let lease =
            Lease { granted: half, spent: half, until: at.as_millis() + 3_600_000, ..Lease::default() };
        ledger.holders.insert(Holder::new(&format!("g{}-{half}", ledger.holders.len()), 1), lease);
    }
    let bucket = house.meter.bus.bucket(Bucket::Quota).await.expect("declared");
    bucket.put(&key, &ledger).await.expect("written");
    let is_known = || house.meter.ledgers.lock().get(&key).is_some_and(|(_, known)| *known == ledger);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !is_known() {
        assert!(tokio::time::Instant::now() < deadline, "the ledger is not seen");
        tokio::task::yield_now().await;
    }
}

/// Looks twice, and again as another process would.
async fn look(house: &House, at: Timestamp) -> Vec<String> {
    for _ in 0..2 {
        let mut term = Term::begin(&house.meter, at).await.expect("begins");
        term.round(&house.meter, at).await.expect("looks");
        term.round(&house.meter, at).await.expect("looks again");
    }
    house.told().await.into_iter().map(|(told, _)| told).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_leased_limit_is_told_once_when_near_and_once_when_used_up() {
    let quotas = json!([
        {"name": "rolling", "requests": 100, "window_secs": 30},
        {"name": "second", "requests": 100, "per": "second"},
        {"name": "tokens", "requests": 1_000, "per": "day", "timezone": "UTC", "unit": "tokens", "near": 0.5},
        {"name": "weights", "requests": 100, "per": "day", "timezone": "Europe/Berlin",
            "weights": [{"path": "/heavy", "units": 5}]},
        {"name": "at once", "requests": 10, "kind": "concurrent"},
        {"name": "callers", "requests": 10, "per": "day", "timezone": "UTC", "scope": "caller"},
        {"name": "endpoints", "requests": 10, "per": "hour", "scope": "endpoint"},
        {"name": "calls", "requests": 100, "per": "day", "timezone": "UTC"},
    ]);
    let house = House::start(&[configured(&quotas)]).await;
    let stopping = CancellationToken::new();
    let following = tokio::spawn(follow(house.meter.clone(), stopping.clone()));
    let at = Timestamp::now();
    let all = quotas.as_array().expect("a list");
    let part = |quota: &Value| match quota["name"].as_str() {
        Some("callers") => Some("agent:ada"),
        Some("endpoints") => Some("GET /v1/{id}"),
        _ => None,
    };
    // The last one is counted, too: what died with a gateway is in its ledger alone.
    let names = [
        "rolling",
        "second",
        "tokens",
        "weights",
        "at once",
        "callers/agent:ada",
        "endpoints/GET /v1/{id}",
        "calls",
    ];
    let expected = |rule: &str| {
        let told = names.map(|name| format!("raised rule/{rule}/integration/poly/quota/{name}"));
        std::collections::BTreeSet::from(told)
    };
    // Below its share nothing is said, nor of a caller who has used little.
    for quota in all {
        let amount = quota["requests"].as_u64().expect("a number");
        used(&house, quota, part(quota), amount * 4 / 10, at).await;
    }
    used(&house, &all[5], Some("agent:bob"), 7, at).await;
    assert!(look(&house, at).await.is_empty());
    for quota in all {
        let amount = quota["requests"].as_u64().expect("a number");
        used(&house, quota, part(quota), amount * 8 / 10, at).await;
    }
    let near = look(&house, at).await;
    assert_eq!(near.len(), names.len(), "each once: {near:?}");
    assert_eq!(near.iter().cloned().collect::<std::collections::BTreeSet<_>>(), expected("near-limit"));
    for quota in all {
        let amount = quota["requests"].as_u64().expect("a number");
        used(&house, quota, part(quota), amount, at).await;
    }
    let told = look(&house, at).await;
    let more: std::collections::BTreeSet<_> = told[near.len()..].iter().cloned().collect();
    assert_eq!((told.len(), more), (2 * names.len(), expected("exhausted")));
    let told = house.told().await;
    let callers = told.iter().find(|(told, _)| told.ends_with("agent:ada")).map(|(_, data)| data);
    let callers = callers.expect("was told");
    assert_eq!(callers["title"], "agent:ada at poly has used 80 % of its quota `callers` (8 of 10)");
    assert_eq!((&callers["data"]["part"], &callers["data"]["limit"]), (&json!("agent:ada"), &json!(10)));
    stopping.cancel();
    following.await.expect("no panic").expect("a good end");
}
