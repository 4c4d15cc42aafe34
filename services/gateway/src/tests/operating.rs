//! Canonical operations: one question, members of different dialects, one kind of answer.

use serde_json::{Value, json};

use super::house::{House, integration, route};
use super::provider::{Provider, answer};

const ALPHA: &str =
    r#"{"Global Quote":{"01. symbol":"IBM","05. price":"234.3200","07. latest trading day":"2026-08-14"}}"#;
const POLYGON: &str =
    r#"{"status":"OK","resultsCount":1,"results":[{"T":"IBM","c":234.3200,"t":1786737600000}]}"#;
const FMP: &str = r#"[{"symbol":"IBM","price":234.3200,"timestamp":1786737600}]"#;
const JSON: &[(&str, &str)] = &[("content-type", "application/json; charset=utf-8"), ("etag", "\"1\"")];

/// A route over three providers that speak differently.
async fn trio(more: Value) -> (House, [Provider; 3]) {
    let house = House::start().await;
    let providers = [Provider::start("a").await, Provider::start("b").await, Provider::start("c").await];
    let [alpha, polygon, fmp] = &providers;
    alpha.always(200, JSON, ALPHA);
    polygon.always(200, JSON, POLYGON);
    fmp.always(200, JSON, FMP);
    let open = |provider: &str| json!({ "provider": provider, "auth": { "scheme": "none" } });
    house
        .configure(|s| {
            integration(s, "alpha", &alpha.url(), open("alpha_vantage"));
            integration(s, "poly", &polygon.url(), open("polygon"));
            integration(s, "fmp", &fmp.url(), open("fmp"));
            route(s, "quotes", &["alpha", "poly", "fmp"], more);
        })
        .await;
    (house, providers)
}

#[tokio::test]
async fn members_of_different_dialects_answer_alike() {
    let (house, [alpha, polygon, fmp]) = trio(json!({})).await;
    let mut documents = Vec::new();
    for (place, id) in ["alpha", "poly", "fmp"].into_iter().enumerate() {
        let request = house.request("GET", "/r/quotes/quote?symbol=IBM").header("accept-encoding", "gzip");
        let got = house.call(request.header("if-none-match", "\"1\""), "").await;
        assert_eq!(got.status, 200, "{}", got.text());
        assert_eq!((got.header("x-signalbox-integration"), got.header("etag")), (id, ""));
        assert_eq!(got.header("x-signalbox-attempts"), (place + 1).to_string());
        assert_eq!(got.header("content-type"), "application/json");
        let mut document = got.json();
        assert_eq!(document["integration"], id);
        for own in ["integration", "provider", "timestamp_source"] {
            document.as_object_mut().expect("an object").remove(own).expect("is there");
        }
        documents.push(document);
        [&alpha, &polygon, &fmp][place].always(503, &[], "down");
    }
    let wanted = json!({ "symbol": "IBM", "price": "234.3200", "currency": "USD", "timestamp": "2026-08-14T20:00:00Z" });
    assert_eq!(documents, [wanted.clone(), wanted.clone(), wanted]);
    assert_eq!(alpha.last().target, "/query?function=GLOBAL_QUOTE&symbol=IBM");
    assert_eq!(polygon.last().target, "/v2/aggs/ticker/IBM/prev");
    assert_eq!(fmp.last().target, "/quote?symbol=IBM");
    assert_eq!(fmp.last().header("accept-encoding").as_deref(), Some("identity"));
    assert_eq!(fmp.last().header("if-none-match"), None);
    let got = house.get("/r/quotes/quote?symbol=IBM").await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (503, Some("all_failed")));
    house.stop().await;
}

#[tokio::test]
async fn the_head_of_an_operation_is_asked_for_alone() {
    let (house, [alpha, ..]) = trio(json!({ "cache": { "ttl_secs": 60 } })).await;
    let whole = |method: &'static str| house.request(method, "/r/quotes/quote?symbol=IBM");
    for (word, method) in [("miss", "HEAD"), ("miss", "GET"), ("hit", "HEAD"), ("hit", "GET")] {
        let got = house.call(whole(method), "").await;
        assert_eq!((got.status.as_u16(), got.header("x-signalbox-cache")), (200, word), "{method}");
        assert_eq!(got.header("content-type"), "application/json", "{method} {word}");
        assert_eq!(got.text().is_empty(), method == "HEAD", "{method} {word}");
    }
    assert_eq!(alpha.last().target, "/query?function=GLOBAL_QUOTE&symbol=IBM");
    house.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_goes_to_the_next_member() {
    let (house, [alpha, polygon, fmp]) = trio(json!({})).await;
    alpha.always(200, JSON, r#"{"Global Quote":{"05. price":"a lot"}}"#);
    polygon.will(|_| async { answer(200, &[("content-type", "text/html")], "<html>soon back</html>") });
    let got = house.get("/r/quotes/quote?symbol=IBM").await;
    assert_eq!((got.header("x-signalbox-integration"), got.header("x-signalbox-attempts")), ("fmp", "3"));
    let large =
        format!(r#"[{{"symbol":"IBM","price":1,"timestamp":1,"x":"{}"}}]"#, "x".repeat(9 * 1024 * 1024));
    fmp.will(move |_| {
        let large = large.clone();
        async move { answer(200, &[("content-type", "application/json")], &large) }
    });
    let got = house.get("/r/quotes/quote?symbol=IBM").await;
    let reasons: Vec<_> =
        got.json()["attempts"].as_array().expect("a list").iter().map(|a| a["reason"].clone()).collect();
    assert_eq!((got.status.as_u16(), reasons), (503, vec![json!("upstream_error"); 3]));
    // What is wrong with an answer is said, and nothing of the answer.
    let details: Vec<_> =
        got.json()["attempts"].as_array().expect("a list").iter().map(|a| a["detail"].clone()).collect();
    let wanted = [
        "no `quote`: the answer has no `price` that can be read",
        "a page, where an API answers",
        "too large or too slow to be read",
    ];
    assert_eq!(details, wanted.map(|text| json!(text)));
    house.stop().await;
}

#[tokio::test]
async fn what_nobody_has_is_not_found_and_nobodys_failure() {
    let (house, [alpha, polygon, fmp]) = trio(json!({})).await;
    alpha.always(400, JSON, r#"{"error":"no such symbol"}"#);
    polygon.always(200, JSON, r#"{"status":"OK","resultsCount":0}"#);
    fmp.always(404, JSON, "{}");
    let got = house.get("/r/quotes/quote?symbol=NONE").await;
    assert_eq!(
        (got.status.as_u16(), got.json()["code"].as_str()),
        (404, Some("nothing_there")),
        "{}",
        got.text()
    );
    fmp.always(200, JSON, FMP);
    assert_eq!(house.get("/r/quotes/quote?symbol=IBM").await.header("x-signalbox-integration"), "fmp");
    house.stop().await;
}

#[tokio::test]
async fn a_wrong_parameter_is_named_and_nobody_is_asked() {
    let (house, [alpha, polygon, fmp]) = trio(json!({})).await;
    for (query, name) in [("", "symbol"), ("?symbol=IBM&ticker=IBM", "ticker"), ("?symbol=a%20b", "symbol")] {
        let got = house.get(&format!("/r/quotes/quote{query}")).await;
        assert_eq!((got.status.as_u16(), got.json()["parameter"].as_str()), (400, Some(name)), "{query}");
        assert_eq!(got.json()["code"], "bad_parameter");
    }
    assert_eq!(alpha.count() + polygon.count() + fmp.count(), 0);
    house.stop().await;
}

#[tokio::test]
async fn members_without_the_operation_are_passed_over() {
    let (house, [alpha, polygon, fmp]) = trio(json!({})).await;
    alpha.always(200, JSON, r#"{"data":[{"date":"2026-04-01","value":"."}]}"#);
    polygon.always(200, JSON, r#"{"results":[{"o":1,"h":4,"l":0.50,"c":2,"v":7,"t":1786737600000}]}"#);
    let got = house.get("/r/quotes/candles?symbol=IBM&interval=4h&limit=5").await;
    assert_eq!(got.header("x-signalbox-integration"), "poly", "only it has four hours: {}", got.text());
    assert_eq!(got.header("x-signalbox-attempts"), "1");
    let candle = json!({ "start": "2026-08-14T20:00:00Z", "open": "1", "high": "4", "low": "0.50", "close": "2", "volume": "7" });
    assert_eq!((&got.json()["candles"], &got.json()["interval"]), (&json!([candle]), &json!("4h")));
    let got = house.get("/r/quotes/series?series_id=CPI").await;
    assert_eq!(got.json()["observations"], json!([{ "date": "2026-04-01", "value": null }]));
    house.configure(|s| route(s, "one", &["poly"], json!({}))).await;
    let got = house.get("/r/one/series?series_id=CPI").await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (422, Some("no_operation")));
    assert_eq!(got.json()["integrations"][0]["operations"], json!(["quote", "candles"]));
    // What is no canonical operation passes as it came.
    assert_eq!(house.get("/r/quotes/quote/IBM?x=1").await.status, 200);
    assert_eq!(alpha.last().target, "/quote/IBM?x=1");
    house.call(house.request("POST", "/r/quotes/quote"), "{}").await;
    assert_eq!((alpha.last().target.as_str(), &alpha.last().body[..]), ("/quote", &b"{}"[..]));
    assert_eq!(fmp.count(), 0);
    house.stop().await;
}

#[tokio::test]
async fn an_integration_brings_its_own_words() {
    let (house, a, b) = (House::start().await, Provider::start("a").await, Provider::start("b").await);
    let operations = json!({ "operations": { "quote": {
        "method": "GET", "path": "/v1/last/{symbol}", "query": { "in": "{currency}" },
        "parameters": [{ "name": "symbol", "required": true, "pair": { "join": "_" } }],
        "answer": { "price": "/data/*/last", "timestamp": "/at", "time": { "unit": "millis" }, "currency": "{quote} | EUR" },
    } } });
    house
        .configure(|s| {
            integration(s, "plain", &a.url(), json!({}));
            integration(s, "mine", &b.url(), operations);
            route(s, "plain", &["plain"], json!({}));
            route(s, "both", &["plain", "mine"], json!({}));
        })
        .await;
    assert_eq!(house.get("/r/plain/quote?symbol=IBM").await.text(), "a", "nobody there knows operations");
    b.always(200, JSON, r#"{"at":1786737600000,"data":[{"last":1e-9}]}"#);
    let got = house.get("/r/both/quote?symbol=BTC-USD").await;
    let wanted = json!({ "symbol": "BTC-USD", "price": "0.000000001", "currency": "USD", "timestamp": "2026-08-14T20:00:00Z",
        "timestamp_source": "provider", "provider": "custom", "integration": "mine" });
    assert_eq!(got.json(), wanted);
    assert_eq!(b.last().target, "/v1/last/BTC_USD?in=USD");
    assert_eq!(a.count(), 1);
    house.stop().await;
}

#[tokio::test]
async fn the_canonical_answer_is_kept() {
    let (house, [alpha, ..]) =
        trio(json!({ "cache": { "ttl_secs": 600, "stale_if_error_secs": 600 } })).await;
    let first = house.get("/r/quotes/candles?symbol=IBM").await;
    assert_eq!(first.status, 503, "nothing that is wrong is kept: {}", first.text());
    let first = house.get("/r/quotes/quote?symbol=IBM").await;
    let again = house.get("/r/quotes/quote?&symbol=IBM&currency=").await;
    assert_eq!((first.header("x-signalbox-cache"), again.header("x-signalbox-cache")), ("miss", "hit"));
    assert_eq!((first.text(), again.json()["price"].as_str()), (again.text(), Some("234.3200")));
    assert_eq!(alpha.seen().iter().filter(|seen| seen.target.contains("GLOBAL_QUOTE")).count(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_key_in_an_answer_is_hidden_in_the_document_too() {
    let (house, a) = (House::start().await, Provider::start("a").await);
    house.key("k", &[("api_key", "0123456789abcdef0123456789abcdef")]).await;
    house
        .configure(|s| {
            integration(s, "fmp", &a.url(), json!({ "provider": "fmp", "auth": null, "key": "k" }));
            route(s, "quotes", &["fmp"], json!({}));
        })
        .await;
    a.will(|seen| async move {
        let key = seen.target.rsplit("apikey=").next().unwrap_or_default().to_owned();
        answer(200, JSON, &format!(r#"[{{"symbol":"{key}","price":1,"timestamp":1}}]"#))
    });
    let got = house.get("/r/quotes/quote?symbol=IBM").await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert!(!got.text().contains("0123456789abcdef"), "{}", got.text());
    house.stop().await;
}
