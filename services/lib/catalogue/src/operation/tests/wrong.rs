//! Mappings that are refused, and where.

use proptest::prelude::*;
use serde_json::json;

use super::super::check as check_operation;
use super::*;

fn right() -> Value {
    json!({ "quote": { "path": "/v1/last/{symbol}", "answer": { "price": "/last", "currency": "USD" } } })
}

/// Changes a right endpoint map at a pointer, and wants a refusal there.
#[track_caller]
fn check(pointer: &str, value: Value, at: &str, reason: &str) {
    let mut map = right();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = map.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value {
        Value::Null => drop(parent.remove(name)),
        value => drop(parent.insert(name.to_owned(), value)),
    }
    let operations: BTreeMap<String, Operation> = serde_json::from_value(map).expect("is an endpoint map");
    let wrong = check_own(&operations).expect_err("is refused");
    assert_eq!(wrong.pointer(), at, "{}", wrong.reason);
    assert!(wrong.reason.contains(reason), "{}", wrong.reason);
}

#[test]
fn the_right_one_is_right() {
    let operations: BTreeMap<String, Operation> = serde_json::from_value(right()).expect("is one");
    assert_eq!(check_own(&operations), Ok(()));
    let asked = asked(Kind::Quote, "symbol=IBM");
    let planned = plan(&operations["quote"], &asked, NOW).expect("fits");
    assert_eq!(
        (planned.method.as_str(), planned.path.as_str(), planned.query),
        ("GET", "/v1/last/IBM", None)
    );
    let by = By { provider: "custom", integration: Some("mine") };
    let quote = normalise(&operations["quote"], by, &asked, NOW, br#"{"last":1.10}"#).expect("is read");
    assert_eq!(
        String::from_utf8(quote).expect("text"),
        r#"{"symbol":"IBM","price":"1.10","currency":"USD","timestamp":"2026-11-21T02:00:00.000Z","timestamp_source":"received","provider":"custom","integration":"mine"}"#
    );
}

#[test]
fn requests() {
    check("/ticker", right()["quote"].clone(), "/ticker", "none of quote, candles, series");
    check("/quote/method", json!("POST"), "/quote/method", "is a GET");
    check("/quote/path", json!("/v1/{ticker}"), "/quote/path", "`{ticker}` is neither");
    check("/quote/path", json!("/../{symbol}"), "/quote/path", "no `.` or `..`");
    check("/quote/path", json!("//evil.example/{symbol}"), "/quote/path", "one `/`");
    check("/quote/path", json!("/a?b={symbol}"), "/quote/path", "no query");
    check("/quote/query", json!({ "s": "{symbol" }), "/quote/query/s", "without its `}`");
    check("/quote/query", json!({ "a/b": "{interval}" }), "/quote/query/a~1b", "`{interval}` is neither");
    let parameter = |more: Value| json!([{ "name": "symbol" }, more]);
    check(
        "/quote/parameters",
        parameter(json!({ "name": "plan" })),
        "/quote/parameters/1/name",
        "needs a `default`",
    );
    check(
        "/quote/parameters",
        parameter(json!({ "name": "plan", "of": "interval" })),
        "/quote/parameters/1/of",
        "is none of symbol, currency",
    );
    check(
        "/quote/parameters",
        parameter(json!({ "name": "currency", "time": "secs" })),
        "/quote/parameters/1/time",
        "only `from` and `to`",
    );
    check(
        "/quote/parameters",
        json!([{ "name": "symbol", "pair": { "rename": { "btc": "XBT" } } }]),
        "/quote/parameters/0/pair/rename/btc",
        "in upper case",
    );
}

#[test]
fn answers() {
    check("/quote/answer", Value::Null, "/quote", "`answer` is missing");
    check("/quote/answer/price", Value::Null, "/quote/answer", "`price` is missing");
    check("/quote/answer/price", json!("/a*b*c"), "/quote/answer/price", "more than one `*`");
    check("/quote/answer/price", json!("/{what}"), "/quote/answer/price", "`{what}` is neither");
    check("/quote/answer/price", json!("/a | @key"), "/quote/answer/price", "the name of a row");
    check("/quote/answer/open", json!("/o"), "/quote/answer/open", "quote has no `open`");
    check("/quote/answer/rows", json!("/list"), "/quote/answer/rows", "no rows");
    check("/quote/answer/time", json!({ "zone": "Mars/Olympus" }), "/quote/answer/time/zone", "IANA");
    check("/quote/answer/time", json!({ "clock": "noon" }), "/quote/answer/time/clock", "time of day");
    check("/quote/answer/requires", json!({ "status": ["ok"] }), "/quote/answer/requires/status", "no place");
    check("/quote/answer/requires", json!({ "/status": [] }), "/quote/answer/requires/~1status", "no text");
    check("/candles", right()["quote"].clone(), "/candles/answer/rows", "`rows` is missing");
}

proptest! {
    /// Whatever passes the check can be carried out on any answer, and stays below its path.
    #[test]
    fn no_mapping_that_passes_makes_it_panic(
        path in "/[a-z/{}.:]{0,12}(\\{symbol\\})?",
        place in "(/([a-z0-9*~{}]{0,4}|\\{quote\\}|\\*)){0,4}",
        field in "(/[a-z0-9*]{0,3}){0,3}( \\| (@key|\\{currency\\}|USD|/x))?",
        body in "[\\[\\]{}\",:0-9a-c.-]{0,80}",
    ) {
        let candles = json!({ "path": path, "answer": { "rows": place, "start": field, "open": field, "high": "/a",
            "low": "@key", "close": "/0", "currency": field, "nothing": { "/a": ["b"] } } });
        let quote = json!({ "path": path, "query": { "x": place }, "answer": { "price": place, "symbol": field } });
        for (kind, operation) in [(Kind::Candles, candles), (Kind::Quote, quote)] {
            let operation: Operation = serde_json::from_value(operation).expect("is an operation");
            if check_operation(kind.as_str(), &operation).is_err() {
                continue;
            }
            let asked = asked(kind, "symbol=a/b-USD.x");
            if let Ok(planned) = plan(&operation, &asked, NOW) {
                prop_assert!(planned.path.starts_with('/') && !planned.path.contains("/../"));
            }
            let _ = normalise(&operation, By { provider: "p", integration: None }, &asked, NOW, body.as_bytes());
        }
    }
}
