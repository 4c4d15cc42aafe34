//! Quotes: every provider's documented shape.

use serde_json::json;

use super::*;

/// Provider, query, body, price, currency, timestamp, source.
#[track_caller]
fn check(provider: &str, query: &str, body: &str, wanted: (&str, Option<&str>, &str, &str)) {
    let quote =
        read(provider, Kind::Quote, query, body).unwrap_or_else(|error| panic!("{provider}: {error}"));
    let (price, currency, timestamp, source) = wanted;
    let symbol = asked(Kind::Quote, query).canonical("symbol").expect("asked");
    let wanted = json!({ "symbol": symbol, "price": price, "currency": currency, "timestamp": timestamp,
        "timestamp_source": source, "provider": provider });
    assert_eq!(quote, wanted, "{provider}");
}

const RECEIVED: &str = "2026-11-21T02:00:00.000Z";

#[test]
fn shares() {
    check(
        "alpha_vantage",
        "symbol=IBM",
        r#"{"Global Quote":{"01. symbol":"IBM","02. open":"232.00","05. price":"234.3200","06. volume":"1000",
            "07. latest trading day":"2026-08-14","08. previous close":"232.10"}}"#,
        ("234.3200", Some("USD"), "2026-08-14T20:00:00Z", "day"),
    );
    check(
        "massive",
        "symbol=aapl",
        r#"{"status":"OK","ticker":"AAPL","resultsCount":1,"results":[{"T":"AAPL","o":115.55,"h":117.59,
            "l":114.13,"c":115.9700,"v":131704427,"vw":116.30,"t":1605042000000}]}"#,
        ("115.9700", Some("USD"), "2020-11-10T21:00:00Z", "provider"),
    );
    check(
        "fmp",
        "symbol=AAPL",
        r#"[{"symbol":"AAPL","name":"Apple Inc.","price":268.47,"volume":45140079,"timestamp":1762549202}]"#,
        ("268.47", Some("USD"), "2025-11-07T21:00:02Z", "provider"),
    );
    check(
        "finnhub",
        "symbol=AAPL",
        r#"{"c":261.74,"d":0.93,"dp":0.36,"h":263.31,"l":260.68,"o":261.07,"pc":259.45,"t":1582641000}"#,
        ("261.74", Some("USD"), "2020-02-25T14:30:00Z", "provider"),
    );
    check(
        "twelve_data",
        "symbol=AAPL",
        r#"{"symbol":"AAPL","currency":"USD","datetime":"2026-08-14","timestamp":1786716000,"close":"229.35001"}"#,
        ("229.35001", Some("USD"), "2026-08-14T14:00:00Z", "provider"),
    );
    check(
        "tiingo",
        "symbol=aapl",
        r#"[{"ticker":"AAPL","timestamp":"2026-08-14T19:59:59.123456789+00:00","last":null,"tngoLast":229.1}]"#,
        ("229.1", Some("USD"), "2026-08-14T19:59:59.123456789Z", "provider"),
    );
    check(
        "alpaca",
        "symbol=AAPL",
        r#"{"symbol":"AAPL","trade":{"t":"2022-04-11T17:56:08.406302477Z","x":"V","p":166.81,"s":300,"c":["@"]}}"#,
        ("166.81", Some("USD"), "2022-04-11T17:56:08.406302477Z", "provider"),
    );
}

#[test]
fn pairs() {
    check(
        "massive",
        "symbol=BTC-USD",
        r#"{"resultsCount":1,"results":[{"T":"X:BTCUSD","c":1e-7,"t":1605042000000}]}"#,
        ("0.0000001", Some("USD"), "2020-11-10T21:00:00Z", "provider"),
    );
    check(
        "twelve_data",
        "symbol=BTC-USD",
        r#"{"symbol":"BTC/USD","timestamp":1786716000,"close":"61229.35"}"#,
        ("61229.35", Some("USD"), "2026-08-14T14:00:00Z", "provider"),
    );
    for query in ["symbol=BTC-USD", "symbol=bitcoin", "symbol=bitcoin&currency=usd"] {
        check(
            "coingecko",
            query,
            r#"{"bitcoin":{"usd":76975.123456789012345678,"last_updated_at":1779092258}}"#,
            ("76975.123456789012345678", Some("USD"), "2026-05-18T08:17:38Z", "provider"),
        );
    }
    check(
        "binance",
        "symbol=LTC-BTC",
        r#"{"symbol":"LTCBTC","price":"4.00000200"}"#,
        ("4.00000200", Some("BTC"), RECEIVED, "received"),
    );
    check(
        "binance",
        "symbol=LTCBTC",
        r#"{"symbol":"LTCBTC","price":"4.00000200"}"#,
        ("4.00000200", None, RECEIVED, "received"),
    );
    check(
        "coinbase_advanced",
        "symbol=ETH-USD",
        r#"{"product_id":"ETH-USD","price":"4471.59","status":"online","quote_currency_id":"USD"}"#,
        ("4471.59", Some("USD"), RECEIVED, "received"),
    );
    check(
        "coinbase_exchange",
        "symbol=USDC-EUR",
        r#"{"trade_id":843439,"price":"0.997999","time":"2020-01-28T02:13:33.012523Z","bid":"0.997"}"#,
        ("0.997999", Some("EUR"), "2020-01-28T02:13:33.012523Z", "provider"),
    );
    check(
        "kraken",
        "symbol=BTC/USD",
        r#"{"error":[],"result":{"XXBTZUSD":{"a":["30300.1","1","1.0"],"c":["30303.20000","0.00067"]}}}"#,
        ("30303.20000", Some("USD"), RECEIVED, "received"),
    );
    check(
        "kucoin",
        "symbol=BTC-USDT",
        r#"{"code":"200000","data":{"time":1729172965609,"sequence":"1","price":"67269","size":"0.000025"}}"#,
        ("67269", Some("USDT"), "2024-10-17T13:49:25.609Z", "provider"),
    );
    check(
        "bybit",
        "symbol=BTC-USDT",
        r#"{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"symbol":"BTCUSDT","lastPrice":"67000.5"}]},
            "time":1729172965609}"#,
        ("67000.5", Some("USDT"), "2024-10-17T13:49:25.609Z", "provider"),
    );
    check(
        "taapi",
        "symbol=BTC-USDT",
        r#"{"value":67000.51}"#,
        ("67000.51", Some("USDT"), RECEIVED, "received"),
    );
}

#[test]
fn what_is_not_there_is_told_from_what_cannot_be_read() {
    let quote =
        |provider: &str, body: &str| read(provider, Kind::Quote, "symbol=AAPL", body).expect_err("no quote");
    assert_eq!(quote("finnhub", r#"{"c":0,"d":null,"t":0}"#), Unreadable::Nothing);
    assert_eq!(quote("massive", r#"{"status":"OK","resultsCount":0}"#), Unreadable::Nothing);
    for (provider, body) in [
        ("alpha_vantage", r#"{"Global Quote":{}}"#),
        ("fmp", "[]"),
        ("tiingo", "[]"),
        ("kraken", r#"{"error":[],"result":{}}"#),
        ("binance", r#"{"symbol":"AAPL","price":"a lot"}"#),
        ("taapi", r#"{"value":{"price":1}}"#),
        ("alpaca", r#"{"symbol":"AAPL","trade":null}"#),
    ] {
        assert_eq!(quote(provider, body), Unreadable::Field { field: "price" }, "{provider}");
    }
    assert_eq!(quote("fmp", r#"[{"price":1,"timestamp":"soon"}]"#), Unreadable::Field { field: "timestamp" });
    assert_eq!(quote("kucoin", r#"{"code":"400100","msg":"no"}"#), Unreadable::Field { field: "status" });
    assert_eq!(quote("fmp", "<html>"), Unreadable::NotJson);
    let euros = read("fmp", Kind::Quote, "symbol=AAPL&currency=EUR", r#"[{"price":1,"timestamp":1}]"#);
    assert_eq!(euros, Err(Unreadable::Nothing));
}

#[test]
fn another_symbol_than_the_one_that_was_asked_is_told() {
    let body = r#"{"symbol":"MSFT","price":"1"}"#;
    assert_eq!(read("binance", Kind::Quote, "symbol=AAPL", body).expect("read")["symbol"], "MSFT");
}
