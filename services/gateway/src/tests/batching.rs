//! Many calls in one: side by side, in order, each with its own rights, under one deadline.

use std::time::{Duration, Instant};

use http::Request;
use serde_json::{Value, json};

use super::house::{Got, House, integration, route, token};
use super::provider::{Provider, answer};

const BOUND: &str = "sbt_bbbb456789abcdef0123456789abcdef0123456789b";

async fn batch(house: &House, body: &Value) -> Got {
    house.call(house.request("POST", "/batch"), body.to_string()).await
}

#[tokio::test]
async fn calls_go_side_by_side_and_answers_come_in_order() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({}));
            integration(s, "b", &b.url(), json!({}));
            route(s, "both", &["b", "a"], json!({}));
        })
        .await;
    a.will(|seen| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        answer(
            200,
            &[("content-type", "application/json"), ("x-other", "1")],
            &format!(r#"{{"price": 1.10000000000000000001, "of": "{}"}}"#, seen.target),
        )
    });
    b.always(503, &[], "down");
    let mut calls: Vec<Value> =
        (0..48).map(|n| json!({ "id": n.to_string(), "path": format!("/p/a/q?n={n}") })).collect();
    calls.push(json!({ "path": "/r/both/x", "method": "post", "headers": { "Idempotency-Key": "k" }, "body": { "n": 1 } }));
    calls.push(json!({ "path": "/p/gone/x" }));
    let started = Instant::now();
    let got = batch(&house, &json!({ "calls": calls })).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!((got.status.as_u16(), got.header("content-type")), (200, "application/json"));
    // No digit is lost.
    assert_eq!(got.text().matches("1.10000000000000000001").count(), 49);
    let results = got.json()["results"].clone();
    for n in 0..48 {
        let result = &results[n];
        assert_eq!((&result["id"], &result["status"]), (&json!(n.to_string()), &json!(200)));
        assert_eq!(result["body"]["of"], format!("/q?n={n}"));
        assert_eq!(result["headers"]["x-signalbox-integration"], "a");
        assert!(result["headers"].get("x-other").is_none());
    }
    assert_eq!(
        (&results[48]["id"], &results[48]["headers"]["x-signalbox-attempts"]),
        (&json!(null), &json!("2"))
    );
    assert_eq!((&b.last().body[..], b.last().method.as_str()), (&br#"{"n":1}"#[..], "POST"));
    assert!(b.last().header("authorization").is_none());
    assert_eq!((&results[49]["status"], &results[49]["body"]["code"]), (&json!(404), &json!("not_found")));
    house.stop().await;
}

#[tokio::test]
async fn rights_deadlines_and_bytes_are_those_of_each_call() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    house
        .configure(|s| {
            integration(s, "a", &a.url(), json!({}));
            integration(s, "b", &b.url(), json!({}));
            s.tokens.push(token("bound", BOUND, &json!({ "integrations": ["a"] })));
        })
        .await;
    let ask = |text: &str, body: Value| {
        let uri = format!("http://{}/batch", house.address);
        let request = Request::builder().method("POST").uri(uri).header("x-signalbox-token", text);
        house.call(request, body.to_string())
    };
    let both = json!({ "calls": [{ "path": "/p/a/x" }, { "path": "/p/b/x" }] });
    let got = ask(BOUND, both.clone()).await.json();
    assert_eq!((&got["results"][0]["status"], &got["results"][1]["status"]), (&json!(200), &json!(403)));
    assert_eq!(
        (&got["results"][0]["body"], &got["results"][0]["encoding"]),
        (&json!("YQ=="), &json!("base64"))
    );
    assert_eq!(b.count(), 0);
    let got = ask("sbt_unknown_unknown_unknown_unknown_unknown", json!({ "wrong": 1 })).await;
    assert_eq!(got.status, 401);
    b.hang();
    let started = Instant::now();
    let mut slow = both;
    slow["timeout_ms"] = json!(500);
    let got = batch(&house, &slow).await.json();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!((&got["results"][0]["status"], &got["results"][1]["status"]), (&json!(200), &json!(504)));
    let got = batch(&house, &json!({ "calls": [{ "path": "/batch" }] })).await;
    assert_eq!((got.status.as_u16(), got.json()["pointer"].as_str()), (400, Some("/calls/0/path")));
    assert_eq!(house.get("/batch").await.status, 405);
    house.stop().await;
}

#[tokio::test]
async fn results_are_bounded_together() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house.configure(|s| integration(s, "a", &a.url(), json!({}))).await;
    a.will(|_| async { answer(200, &[], &"x".repeat(3 * 1024 * 1024)) });
    let calls = vec![json!({ "path": "/p/a/x" }); 8];
    let got = batch(&house, &json!({ "calls": calls })).await.json();
    let results = got["results"].as_array().expect("results").clone();
    let good = results.iter().filter(|result| result["status"] == 200).count();
    assert!((1..=5).contains(&good) && results.len() == 8, "{good}");
    assert!(results.iter().any(|result| result["body"]["code"] == "result_too_large"));
    house.stop().await;
}
