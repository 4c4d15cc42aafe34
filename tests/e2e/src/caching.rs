//! What is kept: asked for once, and dropped in the gateways by a word to the API.

use std::collections::BTreeMap;
use std::sync::Mutex;

use harness::{Client, House, outside, until};
use reqwest::Method;
use serde_json::{Value, json};

const PATHS: [&str; 2] = ["/r/quotes/v2/aggs/ticker/IBM/prev", "/r/quotes/v2/aggs/ticker/AAPL/prev"];

/// What the cache did for a call.
async fn word(admin: &Client, path: &str) -> String {
    let answer = admin.call(Method::GET, path).send().await.expect("the gateway answers");
    assert_eq!(answer.status(), 200, "{path}");
    answer.headers()["x-signalbox-cache"].to_str().expect("a word").to_owned()
}

async fn audited(admin: &Client, action: &str) -> Option<Value> {
    let (_, list) = admin.get(&format!("/audit?action={action}")).await;
    list["items"].as_array()?.first().cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_answers_are_dropped_by_a_word_to_the_api() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = house.admin.clone();
    admin.integrate(&outside, "poly", "polygon").await;
    admin
        .make("/routes", json!({"id": "quotes", "integrations": ["poly"], "cache": {"ttl_secs": 600}}))
        .await;
    until("the route", async || {
        let answer = admin.call(Method::GET, PATHS[0]).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    word(&admin, PATHS[1]).await;
    for path in PATHS {
        assert_eq!(word(&admin, path).await, "hit");
    }
    let drop_them = "/integrations/poly:invalidate-cache";
    until("a dropped answer", async || {
        let (status, answer) = admin.post(drop_them, json!({"pattern": "*/IBM/*"})).await;
        assert_eq!(status, 202, "{answer}");
        (word(&admin, PATHS[0]).await == "miss").then_some(())
    })
    .await;
    assert_eq!(word(&admin, PATHS[1]).await, "hit");
    let (status, _) = admin.post(drop_them, json!({})).await;
    assert_eq!(status, 202);
    until("another dropped answer", async || (word(&admin, PATHS[1]).await == "miss").then_some(())).await;
    let entry =
        until("the audit entry", async || audited(&admin, "integration.invalidate-cache").await).await;
    assert_eq!((&entry["target"], &entry["outcome"]), (&json!("integration/poly"), &json!("ok")));

    for (path, body, status) in [
        ("/integrations/polly:invalidate-cache", json!({}), 404),
        (drop_them, json!({"pattern": ""}), 422),
        (drop_them, json!({"endpoint": "a\nb"}), 422),
        (drop_them, json!({"all": true}), 422),
    ] {
        let (got, answer) = admin.post(path, body).await;
        assert_eq!(got, status, "{answer}");
    }
}

/// What the metrics say of calls, by what the cache did.
async fn counted(admin: &Client) -> BTreeMap<String, u64> {
    let metrics = admin.metrics().await;
    let lines =
        metrics.lines().filter_map(|line| line.strip_prefix("signalbox_gateway_cache_total{result=\""));
    let counts = lines.filter_map(|line| {
        let (word, count) = line.split_once("\"} ")?;
        Some((word.to_owned(), count.parse().ok()?))
    });
    counts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cache_did_is_counted_as_callers_are_told_it() {
    let outside = outside(&[("poly", "polygon")]).await;
    let house = House::start().await;
    let admin = house.admin.clone();
    admin.integrate(&outside, "poly", "polygon").await;
    let cache = json!({"ttl_secs": 1, "stale_while_revalidate_secs": 600});
    admin.make("/routes", json!({"id": "quotes", "integrations": ["poly"], "cache": cache})).await;
    until("the route", async || {
        let answer =
            admin.call(Method::GET, PATHS[0]).header("cache-control", "no-cache").send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    let before = counted(&admin).await;
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let at_once = (0..20).map(|_| word(&admin, PATHS[1]));
    for word in futures_util::future::join_all(at_once).await {
        *told.entry(word).or_default() += 1;
    }
    // What is asked for all the time is fetched anew before it is too old, and nobody is told of that.
    let looked: Mutex<Vec<String>> = Mutex::default();
    until("a fetch behind", || async {
        let word = word(&admin, PATHS[1]).await;
        looked.lock().expect("no look panics").push(word);
        let metrics = admin.metrics().await;
        metrics.contains("signalbox_gateway_cache_refreshes_total{outcome=\"done\"}").then_some(())
    })
    .await;
    for word in looked.into_inner().expect("no look panics") {
        *told.entry(word).or_default() += 1;
    }
    let answer = admin.call(Method::GET, PATHS[1]).header("cache-control", "no-cache").send().await;
    assert_eq!(answer.expect("the gateway answers").headers()["x-signalbox-cache"], "bypass");
    *told.entry("bypass".to_owned()).or_default() += 1;

    let after = counted(&admin).await;
    let grown = |word: &String| after[word] - before.get(word).copied().unwrap_or_default();
    let grown: BTreeMap<String, u64> =
        after.keys().map(|word| (word.clone(), grown(word))).filter(|(_, count)| *count > 0).collect();
    assert_eq!(grown, told);
    assert!(told["miss"] == 1 && told.contains_key("hit"), "{told:?}");
}
