//! What is kept: asked for once, and dropped in the gateways by a word to the API.

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
