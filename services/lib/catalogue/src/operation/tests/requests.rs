//! What is sent to each provider, and what is refused before anybody is asked.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(provider: &str, kind: Kind, query: &str, wanted: &str) {
    assert_eq!(sent(provider, kind, query).as_deref(), Ok(wanted), "{provider}");
}

#[test]
fn quotes() {
    for (provider, symbol, wanted) in [
        ("alpha_vantage", "IBM", "/query?function=GLOBAL_QUOTE&symbol=IBM"),
        ("massive", "aapl", "/v2/aggs/ticker/AAPL/prev"),
        ("massive", "BTC-USD", "/v2/aggs/ticker/X:BTCUSD/prev"),
        ("fmp", "BRK-B", "/quote?symbol=BRK-B"),
        ("taapi", "BTC-USDT", "/price?exchange=binance&interval=1m&symbol=BTC%2FUSDT"),
        ("finnhub", "AAPL", "/quote?symbol=AAPL"),
        ("twelve_data", "BTC-USD", "/quote?symbol=BTC%2FUSD"),
        ("tiingo", "aapl", "/iex/?tickers=aapl"),
        ("coingecko", "BTC-EUR", "/simple/price?ids=bitcoin&include_last_updated_at=true&vs_currencies=eur"),
        ("coingecko", "bitcoin", "/simple/price?ids=bitcoin&include_last_updated_at=true&vs_currencies=usd"),
        ("binance", "BTC-USDT", "/api/v3/ticker/price?symbol=BTCUSDT"),
        ("binance", "btcusdt", "/api/v3/ticker/price?symbol=BTCUSDT"),
        ("coinbase_advanced", "BTC/USD", "/api/v3/brokerage/market/products/BTC-USD"),
        ("coinbase_exchange", "btc-usd", "/products/BTC-USD/ticker"),
        ("kraken", "BTC-USD", "/0/public/Ticker?pair=XBTUSD"),
        ("kucoin", "BTC/USDT", "/api/v1/market/orderbook/level1?symbol=BTC-USDT"),
        ("bybit", "BTC-USDT", "/v5/market/tickers?category=spot&symbol=BTCUSDT"),
        ("alpaca", "AAPL", "/v2/stocks/AAPL/trades/latest"),
    ] {
        check(provider, Kind::Quote, &format!("symbol={symbol}"), wanted);
    }
}

#[test]
fn candles() {
    let range = "interval=5m&from=2026-11-20T00:00:00Z&to=2026-11-20T01:00:00Z";
    for (provider, symbol, wanted) in [
        ("alpha_vantage", "IBM", "/query?function=TIME_SERIES_INTRADAY&interval=5min&symbol=IBM"),
        ("massive", "AAPL", "/v2/aggs/ticker/AAPL/range/5/minute/1795132800000/1795136400000?limit=50000"),
        ("finnhub", "AAPL", "/stock/candle?from=1795132800&resolution=5&symbol=AAPL&to=1795136400"),
        (
            "twelve_data",
            "AAPL",
            "/time_series?end_date=2026-11-20%2001%3A00%3A00&interval=5min&outputsize=500\
             &start_date=2026-11-20%2000%3A00%3A00&symbol=AAPL&timezone=UTC",
        ),
        (
            "binance",
            "BTC-USDT",
            "/api/v3/klines?endTime=1795136400000&interval=5m&limit=1000&startTime=1795132800000&symbol=BTCUSDT",
        ),
        (
            "coinbase_advanced",
            "BTC-USD",
            "/api/v3/brokerage/market/products/BTC-USD/candles?end=1795136400&granularity=FIVE_MINUTE&start=1795132800",
        ),
        (
            "coinbase_exchange",
            "BTC-USD",
            "/products/BTC-USD/candles?end=2026-11-20T01%3A00%3A00Z&granularity=300&start=2026-11-20T00%3A00%3A00Z",
        ),
        ("kraken", "BTC-USD", "/0/public/OHLC?interval=5&pair=XBTUSD&since=1795132800"),
        (
            "kucoin",
            "BTC-USDT",
            "/api/v1/market/candles?endAt=1795136400&startAt=1795132800&symbol=BTC-USDT&type=5min",
        ),
        (
            "bybit",
            "BTC-USDT",
            "/v5/market/kline?category=spot&end=1795136400000&interval=5&limit=1000&start=1795132800000&symbol=BTCUSDT",
        ),
        (
            "alpaca",
            "AAPL",
            "/v2/stocks/AAPL/bars?end=2026-11-20T01%3A00%3A00Z&limit=10000&start=2026-11-20T00%3A00%3A00Z&timeframe=5Min",
        ),
    ] {
        check(provider, Kind::Candles, &format!("symbol={symbol}&{range}"), wanted);
    }
    let days = "symbol=AAPL&from=2026-11-01&to=2026-11-20";
    check("fmp", Kind::Candles, days, "/historical-price-eod/full?from=2026-11-01&symbol=AAPL&to=2026-11-20");
    check("tiingo", Kind::Candles, days, "/tiingo/daily/AAPL/prices?endDate=2026-11-20&startDate=2026-11-01");
    check("alpha_vantage", Kind::Candles, days, "/query?function=TIME_SERIES_DAILY&symbol=AAPL");
    check(
        "coingecko",
        Kind::Candles,
        "symbol=BTC-USD&interval=30m",
        "/coins/bitcoin/ohlc?days=1&vs_currency=usd",
    );
}

#[test]
fn what_is_needed_and_not_asked_is_made_up() {
    check(
        "massive",
        Kind::Candles,
        "symbol=AAPL&interval=1h&limit=12",
        "/v2/aggs/ticker/AAPL/range/1/hour/1795140000000/1795226400000?limit=50000",
    );
    let limited = "/api/v3/klines?interval=1d&limit=7&symbol=BTCUSDT";
    check("binance", Kind::Candles, "symbol=BTC-USDT&limit=7", limited);
}

#[test]
fn series() {
    check(
        "fred",
        Kind::Series,
        "series_id=UNRATE&from=2026-01-01&limit=3",
        "/series/observations?file_type=json&limit=3&observation_start=2026-01-01&series_id=UNRATE&sort_order=desc",
    );
    check("alpha_vantage", Kind::Series, "series_id=REAL_GDP", "/query?function=REAL_GDP");
    check("fmp", Kind::Series, "series_id=GDP&to=2026-01-01", "/economic-indicators?name=GDP&to=2026-01-01");
}

#[test]
fn what_a_provider_cannot_express_is_unfit_there_only() {
    let unfit = |provider: &str, query: &str| sent(provider, Kind::Candles, query).expect_err("unfit");
    let interval = |value: &str| Unfit::Value { name: "interval".into(), value: value.into() };
    assert_eq!(unfit("alpha_vantage", "symbol=IBM&interval=4h"), interval("4h"));
    assert_eq!(unfit("fmp", "symbol=IBM&interval=1m"), interval("1m"));
    assert_eq!(unfit("coingecko", "symbol=BTC-USD"), interval("1d"));
    let symbol = Unfit::Value { name: "symbol".into(), value: "BTC/USD".into() };
    assert_eq!(unfit("tiingo", "symbol=BTC/USD"), symbol);
}

#[test]
fn what_is_wrong_for_everybody_names_its_parameter() {
    for (kind, query, name) in [
        (Kind::Quote, "", "symbol"),
        (Kind::Quote, "symbol=", "symbol"),
        (Kind::Quote, "symbol=IBM&ticker=IBM", "ticker"),
        (Kind::Quote, "symbol=IBM&symbol=AAPL", "symbol"),
        (Kind::Quote, "symbol=I%20BM", "symbol"),
        (Kind::Quote, "symbol=..", "symbol"),
        (Kind::Quote, "symbol=%00", "symbol"),
        (Kind::Quote, "symbol=IBM&interval=1d", "interval"),
        (Kind::Quote, "symbol=BTC-USD&currency=EUR", "currency"),
        (Kind::Quote, "symbol=IBM&currency=dollars!", "currency"),
        (Kind::Candles, "symbol=IBM&interval=2h", "interval"),
        (Kind::Candles, "symbol=IBM&from=yesterday", "from"),
        (Kind::Candles, "symbol=IBM&from=2026-11-20&to=2026-11-19", "from"),
        (Kind::Candles, "symbol=IBM&limit=0", "limit"),
        (Kind::Series, "symbol=IBM", "symbol"),
        (Kind::Series, "limit=3", "series_id"),
    ] {
        let error = Asked::read(kind, query).expect_err(query);
        assert_eq!(error.name(), name, "{query}: {error}");
    }
    let long = format!("symbol={}", "A".repeat(SYMBOL_CHARS_MAX + 1));
    assert!(Asked::read(Kind::Quote, &long).is_err());
}

#[test]
fn the_same_question_is_written_in_the_same_way() {
    let one = asked(Kind::Candles, "limit=5&symbol=BTC%2FUSD&from=2026-11-20");
    let other =
        asked(Kind::Candles, "from=2026-11-20T01:00:00%2B01:00&symbol=BTC/USD&interval=1d&limit=5&to=");
    assert_eq!(one.to_query(), other.to_query());
    assert_eq!(asked(Kind::Candles, &one.to_query()), one);
}

proptest! {
    #[test]
    fn no_query_makes_it_panic_or_leave_its_path(query in "[ -~]{0,80}", symbol in "[ -~]{1,20}") {
        let escaped = percent_encoding::utf8_percent_encode(&symbol, percent_encoding::NON_ALPHANUMERIC);
        let full = format!("symbol={escaped}");
        for provider in Catalogue::builtin().all() {
            for kind in Kind::ALL {
                let Some(operation) = provider.operations.get(kind.as_str()) else { continue };
                for query in [&query, &full] {
                    let Ok(asked) = Asked::read(kind, query) else { continue };
                    let Ok(planned) = plan(operation, &asked, NOW) else { continue };
                    prop_assert_eq!(planned.path.matches('/').count(), operation.path.matches('/').count());
                    prop_assert!(planned.path.split('/').all(|segment| !matches!(segment, "." | "..")));
                    prop_assert!(planned.path.bytes().chain(planned.query.unwrap_or_default().bytes())
                        .all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b)));
                }
            }
        }
    }
}
