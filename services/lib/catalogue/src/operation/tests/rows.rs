//! Candles and series: every provider's documented shape.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Wants the candles as `start open high low close volume`.
#[track_caller]
fn check(provider: &str, query: &str, body: &str, currency: Option<&str>, wanted: &[&str]) {
    let document =
        read(provider, Kind::Candles, query, body).unwrap_or_else(|error| panic!("{provider}: {error}"));
    let candles = document["candles"].as_array().expect("a list");
    let text = |candle: &Value| {
        let fields = ["start", "open", "high", "low", "close", "volume"];
        fields.map(|field| candle[field].as_str().unwrap_or("null")).join(" ")
    };
    let found: Vec<String> = candles.iter().map(text).collect();
    assert_eq!(found, wanted, "{provider}");
    assert_eq!((&document["currency"], &document["provider"]), (&json!(currency), &json!(provider)));
}

#[test]
fn shares() {
    check(
        "alpha_vantage",
        "symbol=IBM",
        r#"{"Meta Data":{"5. Time Zone":"US/Eastern"},"Time Series (Daily)":{
            "2026-08-14":{"1. open":"232.00","2. high":"235","3. low":"231","4. close":"234.320","5. volume":"1000"},
            "2026-08-13":{"1. open":"1","2. high":"4","3. low":"0.5","4. close":"2","5. volume":"7"}}}"#,
        Some("USD"),
        &["2026-08-13T04:00:00Z 1 4 0.5 2 7", "2026-08-14T04:00:00Z 232.00 235 231 234.320 1000"],
    );
    check(
        "alpha_vantage",
        "symbol=IBM&interval=5m",
        r#"{"Meta Data":{"6. Time Zone":"US/Eastern"},"Time Series (5min)":{
            "2026-01-14 19:55:00":{"1. open":"1","2. high":"4","3. low":"0.5","4. close":"2","5. volume":"7"}}}"#,
        Some("USD"),
        &["2026-01-15T00:55:00Z 1 4 0.5 2 7"],
    );
    check(
        "massive",
        "symbol=AAPL",
        r#"{"status":"OK","resultsCount":1,"results":[{"o":115.55,"h":117.59,"l":114.13,"c":115.97,"v":131704427,
            "t":1605042000000}]}"#,
        Some("USD"),
        &["2020-11-10T21:00:00Z 115.55 117.59 114.13 115.97 131704427"],
    );
    check("massive", "symbol=NONE", r#"{"status":"OK","resultsCount":0}"#, Some("USD"), &[]);
    let days = r#"[{"symbol":"AAPL","date":"2026-08-14","open":3,"high":6,"low":2,"close":5,"volume":10},
        {"symbol":"AAPL","date":"2026-08-13","open":1,"high":4,"low":0.5,"close":2,"volume":null}]"#;
    let wanted = ["2026-08-13T04:00:00Z 1 4 0.5 2 null", "2026-08-14T04:00:00Z 3 6 2 5 10"];
    check("fmp", "symbol=AAPL", days, Some("USD"), &wanted);
    check("fmp", "symbol=AAPL&limit=1", days, Some("USD"), &wanted[1..]);
    check("fmp", "symbol=AAPL&from=2026-08-14&to=2026-08-14", days, Some("USD"), &wanted[1..]);
    check("fmp", "symbol=AAPL&to=2026-08-13", days, Some("USD"), &wanted[..1]);
    check("fmp", "symbol=AAPL&from=2026-08-15", days, Some("USD"), &[]);
    check(
        "tiingo",
        "symbol=aapl",
        r#"[{"date":"2026-01-14T00:00:00.000Z","open":1,"high":4,"low":0.5,"close":2,"volume":7,"adjClose":1.9}]"#,
        Some("USD"),
        &["2026-01-14T05:00:00Z 1 4 0.5 2 7"],
    );
    check(
        "finnhub",
        "symbol=AAPL",
        r#"{"s":"ok","t":[1569297600,1569384000],"o":[1,2],"h":[4,5],"l":[0.5,1.50],"c":[2,3],"v":[7,8e3]}"#,
        Some("USD"),
        &["2019-09-24T04:00:00Z 1 4 0.5 2 7", "2019-09-25T04:00:00Z 2 5 1.50 3 8000"],
    );
    check("finnhub", "symbol=NONE", r#"{"s":"no_data"}"#, Some("USD"), &[]);
    check(
        "alpaca",
        "symbol=AAPL",
        r#"{"bars":[{"t":"2022-04-11T04:00:00Z","o":1,"h":4,"l":0.5,"c":2,"v":7,"n":3,"vw":1.2}],"symbol":"AAPL",
            "next_page_token":null}"#,
        Some("USD"),
        &["2022-04-11T04:00:00Z 1 4 0.5 2 7"],
    );
    check("alpaca", "symbol=NONE", r#"{"bars":null,"symbol":"NONE"}"#, Some("USD"), &[]);
}

#[test]
fn zones_of_twelve_data() {
    let body = |at: &str| {
        format!(
            r#"{{"meta":{{"symbol":"AAPL","currency":"USD","exchange_timezone":"America/New_York"}},"status":"ok",
            "values":[{{"datetime":"{at}","open":"1","high":"4","low":"0.5","close":"2","volume":"7"}}]}}"#
        )
    };
    let one = |start: &str| format!("{start} 1 4 0.5 2 7");
    check("twelve_data", "symbol=AAPL", &body("2026-08-14"), Some("USD"), &[&one("2026-08-14T04:00:00Z")]);
    let minutes = body("2026-08-14 13:35:00");
    check("twelve_data", "symbol=AAPL&interval=5m", &minutes, Some("USD"), &[&one("2026-08-14T13:35:00Z")]);
}

#[test]
fn column_orders_of_exchanges() {
    let first = "2017-07-03T00:00:00Z 0.0163 0.8000 0.0157 0.0158 148976.1";
    check(
        "binance",
        "symbol=ETH-BTC",
        r#"[[1499040000000,"0.0163","0.8000","0.0157","0.0158","148976.1",1499644799999,"2434.19",308,"1","2","0"]]"#,
        Some("BTC"),
        &[first],
    );
    check(
        "bybit",
        "symbol=ETH-BTC",
        r#"{"retCode":0,"result":{"list":[["1499126400000","2","2","2","2","2","2"],
            ["1499040000000","0.0163","0.8000","0.0157","0.0158","148976.1","9"]]}}"#,
        Some("BTC"),
        &[first, "2017-07-04T00:00:00Z 2 2 2 2 2"],
    );
    check(
        "kraken",
        "symbol=ETH-BTC",
        r#"{"error":[],"result":{"last":1688672160,
            "XETHXXBT":[[1499040000,"0.0163","0.8000","0.0157","0.0158","0.5","148976.1",23]]}}"#,
        Some("BTC"),
        &[first],
    );
    check(
        "kucoin",
        "symbol=ETH-BTC",
        r#"{"code":"200000","data":[["1499126400","2","2","2","2","2","2"],
            ["1499040000","0.0163","0.0158","0.8000","0.0157","148976.1","9"]]}"#,
        Some("BTC"),
        &[first, "2017-07-04T00:00:00Z 2 2 2 2 2"],
    );
    check(
        "coinbase_exchange",
        "symbol=ETH-BTC",
        r#"[[1499126400,2,2,2,2,2],[1499040000,0.0157,0.8000,0.0163,0.0158,148976.1]]"#,
        Some("BTC"),
        &[first, "2017-07-04T00:00:00Z 2 2 2 2 2"],
    );
    check(
        "coinbase_advanced",
        "symbol=ETH-BTC",
        r#"{"candles":[{"start":"1499040000","low":"0.0157","high":"0.8000","open":"0.0163","close":"0.0158",
            "volume":"148976.1"}]}"#,
        Some("BTC"),
        &[first],
    );
    check(
        "coingecko",
        "symbol=ETH-BTC&interval=4h",
        "[[1499040000000,0.0163,0.8000,0.0157,0.0158]]",
        Some("BTC"),
        &["2017-07-03T00:00:00Z 0.0163 0.8000 0.0157 0.0158 null"],
    );
}

#[test]
fn series() {
    let wanted = |provider: &str| {
        json!({ "series_id": "X", "provider": provider, "observations": [
            { "date": "2026-04-01", "value": "4.0" }, { "date": "2026-05-01", "value": null } ] })
    };
    let rows = r#"{"date":"2026-05-01","value":"."},{"date":"2026-04-01","value":"4.0"}"#;
    let fred = format!(r#"{{"count":2,"observations":[{rows}]}}"#);
    assert_eq!(read("fred", Kind::Series, "series_id=X", &fred), Ok(wanted("fred")));
    let alpha = format!(r#"{{"name":"Real GDP","interval":"annual","data":[{rows}]}}"#);
    assert_eq!(read("alpha_vantage", Kind::Series, "series_id=X", &alpha), Ok(wanted("alpha_vantage")));
    let fmp =
        r#"[{"name":"X","date":"2026-04-01","value":4.0},{"name":"X","date":"2026-05-01","value":null}]"#;
    assert_eq!(read("fmp", Kind::Series, "series_id=X", fmp), Ok(wanted("fmp")));
    let newest = read("fred", Kind::Series, "series_id=X&limit=1", &fred).expect("read");
    assert_eq!(newest["observations"], json!([{ "date": "2026-05-01", "value": null }]));
}

#[test]
fn one_row_that_cannot_be_read_is_no_answer() {
    let candles =
        |body: &str| read("binance", Kind::Candles, "symbol=BTC-USDT", body).expect_err("no candles");
    assert_eq!(candles(r#"[[1499040000000,"1","2","1"]]"#), Unreadable::Field { field: "close" });
    assert_eq!(candles(r#"[["soon","1","2","1","1","1"]]"#), Unreadable::Field { field: "start" });
    assert_eq!(candles(r#"[[1499040000000,"1","2","1","1","many"]]"#), Unreadable::Field { field: "volume" });
    assert_eq!(candles("7"), Unreadable::Field { field: "candles" });
    let observations =
        read("fred", Kind::Series, "series_id=X", r#"{"observations":[{"date":"May","value":"1"}]}"#);
    assert_eq!(observations, Err(Unreadable::Field { field: "date" }));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:0-9a-z.\\\\-]{0,60}") {
        for provider in Catalogue::builtin().all() {
            for kind in Kind::ALL {
                let Some(operation) = provider.operations.get(kind.as_str()).filter(|o| o.answer.is_some()) else { continue };
                let by = By { provider: "p", integration: Some("i") };
                let asked = Asked::read(kind, if kind == Kind::Series { "series_id=X" } else { "symbol=BTC-USD" }).expect("right");
                let _ = normalise(operation, by, &asked, NOW, &body);
                let _ = normalise(operation, by, &asked, NOW, text.as_bytes());
            }
        }
    }

    #[test]
    fn a_price_keeps_its_digits(whole in 0_u64.., fraction in "[0-9]{1,18}", is_text in any::<bool>()) {
        let number = format!("{whole}.{fraction}");
        let written = if is_text { format!("\"{number}\"") } else { number.clone() };
        let body = format!(r#"[{{"symbol":"A","price":{written},"timestamp":1}}]"#);
        let quote = read("fmp", Kind::Quote, "symbol=A", &body).expect("read");
        prop_assert_eq!(quote["price"].as_str(), Some(number.as_str()));
    }
}
