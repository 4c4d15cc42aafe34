//! Providers that speak differently answer alike: canonical operations on a route, with every stand-in.

use harness::{Client, House, key_of, outside, until};
use reqwest::Method;
use serde_json::{Value, json};
use standins::{Mode, Standins};

/// Makes an integration of a stand-in whose public paths are enough, or whose key is one field.
async fn integrate(admin: &Client, outside: &Standins, name: &str, provider: &str, more: Value) {
    let field = match provider {
        "taapi" => Some("secret"),
        "tiingo" => Some("api_token"),
        "alpaca" | "binance" | "bybit" | "coinbase_advanced" | "coinbase_exchange" | "kraken" | "kucoin" => {
            None
        }
        _ => Some("api_key"),
    };
    let mut body = json!({"id": name, "provider": provider, "base_url": outside.instance(name).base_url(),
        "timeout_ms": 2000, "probe": {"every_secs": 3600}});
    if provider == "alpaca" {
        let fields = json!({"key_id": key_of(name), "secret_key": key_of(name)});
        admin.make("/keys", json!({"id": name, "provider": provider, "fields": fields})).await;
        (body["key"], body["environment"]) = (json!(name), json!("data"));
    }
    if let Some(field) = field {
        let fields = json!({field: key_of(name)});
        admin.make("/keys", json!({"id": name, "provider": provider, "fields": fields})).await;
        body["key"] = json!(name);
    }
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    admin.make("/integrations", body).await;
}

async fn asked(admin: &Client, path: &str) -> (u16, String, Value) {
    let answer = admin.call(Method::GET, path).send().await.expect("the gateway answers");
    let who = answer.headers().get("x-signalbox-integration").map(|id| id.to_str().expect("text").to_owned());
    let (status, document) = harness::client::body(answer).await;
    (status, who.unwrap_or_default(), document)
}

/// Asks until the route is served.
async fn first(admin: &Client, path: &str) -> (u16, String, Value) {
    until("the route is served", || async {
        let got = asked(admin, path).await;
        (got.0 != 404 || got.2["code"] != "not_found").then_some(got)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_dialects_answer_alike_while_two_of_them_are_off() {
    let outside = outside(&[("alpha", "alpha_vantage"), ("poly", "massive"), ("fmp", "fmp")]).await;
    let house = House::start().await;
    let members = [("alpha", "alpha_vantage"), ("poly", "polygon"), ("fmp", "fmp")];
    for (name, provider) in members {
        integrate(&house.admin, &outside, name, provider, json!({})).await;
    }
    let route = json!({"id": "quotes", "failover": true, "integrations": ["alpha", "poly", "fmp"]});
    house.admin.make("/routes", route).await;

    let mut shapes = Vec::new();
    for (name, _) in members {
        let (status, who, quote) = first(&house.admin, "/r/quotes/quote?symbol=IBM").await;
        assert_eq!((status, who.as_str()), (200, name), "{quote}");
        assert_eq!((&quote["symbol"], &quote["currency"]), (&json!("IBM"), &json!("USD")));
        let price = quote["price"].as_str().expect("a text");
        assert!(price.parse::<f64>().is_ok_and(|price| price > 0.0), "{quote}");
        let names: Vec<String> = quote.as_object().expect("an object").keys().cloned().collect();
        shapes.push(names);
        outside.instance(name).switch(Mode::from(503)).await;
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    let (status, _, problem) = asked(&house.admin, "/r/quotes/quote?symbol=IBM").await;
    assert_eq!((status, &problem["code"]), (503, &json!("all_failed")), "{problem}");
    let (status, _, problem) = asked(&house.admin, "/r/quotes/quote?ticker=IBM").await;
    assert_eq!((status, &problem["parameter"]), (400, &json!("ticker")), "{problem}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_provider_answers_what_its_file_says() {
    const PROVIDERS: [(&str, &str, &str); 15] = [
        ("alpha_vantage", "IBM", "1d"),
        ("massive", "IBM", "1h"),
        ("fmp", "IBM", "1d"),
        ("finnhub", "IBM", "1d"),
        ("twelve_data", "IBM", "5m"),
        ("tiingo", "IBM", "1d"),
        ("alpaca", "IBM", "1d"),
        ("coingecko", "BTC-USD", "30m"),
        ("binance", "BTC-USDT", "1h"),
        ("coinbase_advanced", "BTC-USD", "1h"),
        ("coinbase_exchange", "BTC-USD", "1h"),
        ("kraken", "BTC-USD", "1h"),
        ("kucoin", "BTC-USDT", "1h"),
        ("bybit", "BTC-USDT", "1h"),
        ("taapi", "BTC-USDT", ""),
    ];
    let ids = PROVIDERS.map(|(provider, ..)| provider.replace('_', "-"));
    let instances: Vec<_> =
        ids.iter().map(String::as_str).zip(PROVIDERS.map(|(provider, ..)| provider)).collect();
    let outside = outside(&instances).await;
    let house = House::start().await;
    for (id, provider) in instances {
        integrate(&house.admin, &outside, id, provider, json!({})).await;
        house.admin.make("/routes", json!({"id": id, "failover": true, "integrations": [id]})).await;
    }
    let mut wrong = Vec::new();
    for (provider, symbol, interval) in PROVIDERS {
        let id = provider.replace('_', "-");
        let (status, _, quote) = first(&house.admin, &format!("/r/{id}/quote?symbol={symbol}")).await;
        if status != 200 || quote["symbol"] != symbol || quote["currency"].is_null() {
            wrong.push(format!("{provider}: {status} {quote}"));
        }
        if interval.is_empty() {
            continue;
        }
        let path = format!("/r/{id}/candles?symbol={symbol}&interval={interval}&limit=5");
        // Some have one call a second for everybody.
        let (status, candles) = until("candles", || async {
            let (status, _, candles) = asked(&house.admin, &path).await;
            let throttled = candles["attempts"][0]["reason"] == "throttled_burst";
            (!throttled).then_some((status, candles))
        })
        .await;
        let starts: Vec<&str> =
            candles["candles"].as_array().into_iter().flatten().filter_map(|c| c["start"].as_str()).collect();
        if status != 200 || starts.is_empty() || starts.len() > 5 || !starts.is_sorted() {
            wrong.push(format!("{provider}: {status} {candles}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_provider_takes_part_with_its_own_words() {
    let outside = outside(&[("fred", "fred"), ("binance", "binance")]).await;
    let house = House::start().await;
    let admin = &house.admin;
    let custom = |operations: Value| {
        json!({"id": "mine", "provider": "custom", "base_url": outside.instance("binance").base_url(),
            "auth": {"scheme": "none"}, "probe": {"path": "/api/v3/ping"}, "operations": operations})
    };
    let wrong = json!({"quote": {"path": "/api/v3/ticker/price", "query": {"symbol": "{ticker}"}, "answer": {"price": "/price"}}});
    let (status, problem) = admin.post("/integrations", custom(wrong)).await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (422, &json!("/operations/quote/query/symbol")),
        "{problem}"
    );
    let right = json!({"quote": {"path": "/api/v3/ticker/price", "query": {"symbol": "{base}{quote}"},
        "answer": {"price": "/price", "currency": "{quote}"}}});
    admin.make("/integrations", custom(right)).await;
    integrate(admin, &outside, "fred", "fred", json!({})).await;
    admin.make("/routes", json!({"id": "any", "failover": true, "integrations": ["fred", "mine"]})).await;
    let (status, who, quote) = first(admin, "/r/any/quote?symbol=BTC-USDT").await;
    assert_eq!((status, who.as_str(), &quote["provider"]), (200, "mine", &json!("custom")), "{quote}");
    let (status, who, series) = first(admin, "/r/any/series?series_id=GNPCA&limit=3").await;
    assert_eq!((status, who.as_str()), (200, "fred"), "{series}");
    assert_eq!(series["observations"].as_array().map(Vec::len), Some(3), "{series}");
    house.stop().await;
}
