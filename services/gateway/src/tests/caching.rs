//! Answers that are kept: fresh ones instead of a call, stale ones when nobody answers.

use serde_json::json;

use super::house::{House, integration, route};
use super::provider::Provider;

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
