//! Answers that are not all that was asked for: they say so, and what to ask for next.

use serde_json::json;

use super::*;

/// A list of so many candles as an exchange has them, the first at `secs`, one each `step` seconds.
fn rows(count: i64, secs: i64, step: i64, unit: i64) -> Vec<Value> {
    (0..count).map(|n| json!([(secs + n * step) * unit, 1, 1, 1, 1, 1])).collect()
}

fn answer(provider: &str, rows: &[Value]) -> String {
    let body = match provider {
        "bybit" => json!({ "retCode": 0, "result": { "list": rows } }),
        "kucoin" => json!({ "code": "200000", "data": rows }),
        "kraken" => json!({ "error": [], "result": { "XXBTZUSD": rows.iter().map(|row| {
            json!([row[0], 1, 1, 1, 1, 1, 1, 1])
        }).collect::<Vec<_>>() } }),
        _ => json!(rows),
    };
    body.to_string()
}

/// 2026-11-20T00:00:00Z.
const DAY: i64 = 1_795_132_800;

/// Wants of an answer with so many minutes from `first` on: how many candles there are, and what is next.
#[track_caller]
fn check(provider: &str, query: &str, count: i64, first: i64, kept: usize, next: Option<Value>) {
    let unit = if matches!(provider, "binance" | "bybit") { 1_000 } else { 1 };
    let body = answer(provider, &rows(count, first, 60, unit));
    let query = format!("symbol=BTC-USD&interval=1m&{query}");
    let document = read(provider, Kind::Candles, &query, &body).expect("candles");
    assert_eq!(document["candles"].as_array().map(Vec::len), Some(kept), "{provider} {query}");
    let truncated = document.get("truncated").is_some_and(|it| it == true);
    assert_eq!(
        (truncated, document.get("next").cloned()),
        (next.is_some(), next.filter(|n| !n.is_null())),
        "{provider} {query}"
    );
}

#[test]
fn the_rest_comes_after_an_answer_that_begins_where_it_was_asked() {
    let window = "from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z";
    let next = json!({ "from": "2026-11-20T16:39:01Z", "to": "2026-11-21T00:00:00Z" });
    check("binance", window, 1_000, DAY, 1_000, Some(next.clone()));
    // This one says nowhere which rows it keeps.
    check("bybit", window, 1_000, DAY, 1_000, Some(next));
    check(
        "binance",
        "from=2026-11-20T00:00:00Z",
        1_000,
        DAY,
        1_000,
        Some(json!({ "from": "2026-11-20T16:39:01Z" })),
    );
    // Even where enough was found: the newest are not among it.
    let last = json!({ "from": "2026-11-20T16:39:01Z", "to": "2026-11-21T00:00:00Z" });
    check("binance", &format!("{window}&limit=5"), 1_000, DAY, 5, Some(last));
    check("binance", window, 999, DAY, 999, None);
    check("binance", "from=2026-11-20T00:00:00Z&to=2026-11-20T16:39:00Z", 1_000, DAY, 1_000, None);
}

#[test]
fn the_rest_comes_before_an_answer_that_has_the_newest() {
    let window = "from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z";
    let late = DAY + 24 * 3_600 - 1_000 * 60;
    let next = json!({ "from": "2026-11-20T00:00:00Z", "to": "2026-11-20T07:19:59Z" });
    check("bybit", window, 1_000, late, 1_000, Some(next));
    let late = DAY + 24 * 3_600 - 1_500 * 60;
    check(
        "kucoin",
        "from=2026-11-19T00:00:00Z&to=2026-11-21T00:00:00Z",
        1_500,
        late,
        1_500,
        Some(json!({ "from": "2026-11-19T00:00:00Z", "to": "2026-11-19T22:59:59Z" })),
    );
    check("kucoin", &format!("{window}&limit=100"), 1_500, late, 100, None);
    check("binance", "limit=1500", 1_000, DAY, 1_000, Some(json!({ "to": "2026-11-19T23:59:59Z" })));
    check("binance", "limit=700", 700, DAY, 700, None);
    check("binance", "", 1_000, DAY, 1_000, None);
}

#[test]
fn what_a_provider_does_not_give_has_no_next() {
    let now = DAY + 26 * 3_600 - 720 * 60;
    check("kraken", "from=2026-11-20T00:00:00Z", 720, now, 720, Some(Value::Null));
    check("kraken", "limit=1000", 720, now, 720, Some(Value::Null));
    // Older than all that it gives.
    check("kraken", "to=2026-11-01", 720, now, 0, Some(Value::Null));
    check("kraken", "from=2026-11-21", 720, now, 120, None);
}

#[test]
fn a_span_that_would_be_refused_is_asked_for_in_part() {
    let window = "symbol=BTC-USD&interval=1m&from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z";
    assert_eq!(
        sent("coinbase_exchange", Kind::Candles, window).as_deref(),
        Ok(
            "/products/BTC-USD/candles?end=2026-11-21T00%3A00%3A00Z&granularity=60&start=2026-11-20T19%3A01%3A00Z"
        )
    );
    let next = json!({ "from": "2026-11-20T00:00:00Z", "to": "2026-11-20T19:00:59Z" });
    let window = "from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z";
    check("coinbase_exchange", window, 300, DAY + (24 * 60 - 299) * 60, 300, Some(next.clone()));
    // Also where hardly anything was traded.
    check("coinbase_exchange", window, 2, DAY + 23 * 3_600, 2, Some(next));
    check(
        "coinbase_exchange",
        "from=2026-11-20T20:00:00Z&to=2026-11-21T00:00:00Z",
        241,
        DAY + 20 * 3_600,
        241,
        None,
    );
}

#[test]
fn a_provider_that_says_that_there_is_more_is_believed() {
    let body = |token: Value| {
        json!({ "bars": [{ "t": "2026-11-20T14:30:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1 }], "symbol": "AAPL",
            "next_page_token": token })
        .to_string()
    };
    let query = "symbol=AAPL&interval=1m&from=2026-11-20&to=2026-11-21T00:00:00Z";
    let found = |token: Value| read("alpaca", Kind::Candles, query, &body(token)).expect("candles");
    let more = found(json!("QUFQTHxNfDE2"));
    assert_eq!(more["truncated"], true);
    assert_eq!(more["next"], json!({ "from": "2026-11-20T14:30:01Z", "to": "2026-11-21T00:00:00Z" }));
    assert_eq!(found(Value::Null).get("truncated"), None);
}

#[test]
fn a_number_that_one_answer_cannot_have_is_not_sent() {
    let query = "symbol=BTC-USDT&limit=5000";
    let wanted = "/api/v3/klines?interval=1d&limit=1000&symbol=BTCUSDT";
    assert_eq!(sent("binance", Kind::Candles, query).as_deref(), Ok(wanted));
}

#[test]
fn days_that_are_closed_are_looked_past_once() {
    let bar = |at: &str| json!({ "t": at, "o": 1, "h": 1, "l": 1, "c": 1, "v": 1 });
    let body = json!({ "bars": [bar("2026-11-19T05:00:00Z"), bar("2026-11-20T05:00:00Z")], "next_page_token": null });
    let few = read("alpaca", Kind::Candles, "symbol=AAPL&limit=10", &body.to_string()).expect("candles");
    assert_eq!((&few["truncated"], &few["next"]), (&json!(true), &json!({ "to": "2026-11-01T01:59:59Z" })));
    let none = read("alpaca", Kind::Candles, "symbol=AAPL&limit=10", r#"{"bars":null}"#).expect("candles");
    assert_eq!(none.get("truncated"), None);
}

#[test]
fn series_too() {
    let rows: Vec<Value> =
        (0..3).map(|n| json!({ "date": format!("2026-0{}-01", 9 - n), "value": "1" })).collect();
    let body = json!({ "observations": rows }).to_string();
    let found =
        |query: &str| read("fred", Kind::Series, &format!("series_id=X&{query}"), &body).expect("a series");
    // As many as were asked for, and no fewer.
    assert_eq!(found("from=2026-01-01&limit=3").get("truncated"), None);
    assert_eq!(found("from=2026-01-01").get("truncated"), None);
}
