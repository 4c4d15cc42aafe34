//! Alpha Vantage: one path, the key in the query, and every error a 200.

use http::Method;
use serde_json::{Map, Value, json};

use super::symbols::{DAY_MS, interval_ms, month_ms};
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::{Candle, decimal, stamp};

/// Bars of a compact series.
const COMPACT: i64 = 100;

#[derive(Debug)]
pub(crate) struct AlphaVantage;

impl Provider for AlphaVantage {
    fn id(&self) -> &'static str {
        "alpha_vantage"
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(25, 86_400), Rule::rolling(1, 1)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.param("apikey")
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = call.param("apikey");
        if desk.accepts("api_key", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        error_message(
            "the parameter apikey is invalid or missing. Please claim your free API key on \
             (https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds.",
        )
    }

    fn throttled(&self, _desk: &Desk<'_>, call: &Call, tally: &Tally) -> Answer {
        let text = if tally.is_quota() {
            let key = call.param("apikey").unwrap_or_default();
            format!(
                "We have detected your API key as {key} and our standard API rate limit is {} requests per day. \
                 Please subscribe to any of the premium plans to instantly remove all daily rate limits.",
                tally.max
            )
        } else {
            "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly \
             (1 request per second). You may subscribe to any of the premium plans to lift the free key rate limit \
             (25 requests per day)."
                .to_owned()
        };
        Answer::ok(json!({ "Information": text }))
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        if call.path != "/query" || call.method != Method::GET {
            return Answer::html(404, "<h1>Not Found</h1>");
        }
        let symbol = call.param_or("symbol", "").to_ascii_uppercase();
        match call.param_or("function", "").as_str() {
            "GLOBAL_QUOTE" => quote(desk, &symbol),
            "TIME_SERIES_DAILY" => series(desk, &symbol, DAY_MS, "Time Series (Daily)", "%F"),
            "TIME_SERIES_INTRADAY" => {
                let interval = call.param_or("interval", "");
                match interval_ms(&interval) {
                    Some(step) => series(desk, &symbol, step, &format!("Time Series ({interval})"), "%F %T"),
                    None => invalid("TIME_SERIES_INTRADAY"),
                }
            }
            "CURRENCY_EXCHANGE_RATE" => exchange_rate(desk, call),
            "REAL_GDP" => economic(desk, "Real Gross Domestic Product", "billions of dollars", 22_000.0),
            "CPI" => {
                economic(desk, "Consumer Price Index for all Urban Consumers", "index 1982-1984=100", 320.0)
            }
            "MARKET_STATUS" => Answer::ok(json!({
                "endpoint": "Global Market Open & Close Status",
                "markets": [{
                    "market_type": "Equity", "region": "United States", "primary_exchanges": "NASDAQ, NYSE",
                    "local_open": "09:30", "local_close": "16:15", "current_status": "open", "notes": ""
                }]
            })),
            _ => error_message("This API function () does not exist."),
        }
    }
}

fn error_message(text: &str) -> Answer {
    Answer::ok(json!({ "Error Message": text }))
}

fn invalid(function: &str) -> Answer {
    error_message(&format!("Invalid API call. Please retry or visit the documentation for {function}."))
}

fn quote(desk: &Desk<'_>, symbol: &str) -> Answer {
    let Some(bars) = desk.market.candles(symbol, DAY_MS, 2, desk.now_ms) else {
        return Answer::ok(json!({ "Global Quote": {} }));
    };
    let price = desk.market.price(symbol, desk.now_ms).unwrap_or_default();
    let (before, today) = (bars[0].close, bars[1]);
    let change = price - before;
    Answer::ok(json!({ "Global Quote": {
        "01. symbol": symbol,
        "02. open": four(today.open),
        "03. high": four(today.high.max(price)),
        "04. low": four(today.low.min(price)),
        "05. price": four(price),
        "06. volume": volume(&today),
        "07. latest trading day": stamp(desk.now_ms, "%F"),
        "08. previous close": four(before),
        "09. change": four(change),
        "10. change percent": format!("{:.4}%", change / before * 100.0),
    }}))
}

fn series(desk: &Desk<'_>, symbol: &str, step_ms: i64, title: &str, format: &str) -> Answer {
    let Some(bars) = desk.market.candles(symbol, step_ms, COMPACT, desk.now_ms) else {
        return invalid("TIME_SERIES_DAILY");
    };
    let rows: Map<String, Value> = bars
        .iter()
        .rev()
        .map(|bar| {
            let row = json!({
                "1. open": four(bar.open), "2. high": four(bar.high), "3. low": four(bar.low),
                "4. close": four(bar.close), "5. volume": volume(bar)
            });
            (stamp(bar.start_ms, format), row)
        })
        .collect();
    Answer::ok(json!({
        "Meta Data": {
            "1. Information": "Prices (open, high, low, close) and Volumes",
            "2. Symbol": symbol,
            "3. Last Refreshed": stamp(desk.now_ms, format),
            "4. Output Size": "Compact",
            "5. Time Zone": "US/Eastern"
        },
        title: rows,
    }))
}

fn exchange_rate(desk: &Desk<'_>, call: &Call) -> Answer {
    let (from, to) = (call.param_or("from_currency", ""), call.param_or("to_currency", "USD"));
    let Some(rate) = desk.market.price(&format!("{from}{to}"), desk.now_ms) else {
        return invalid("CURRENCY_EXCHANGE_RATE");
    };
    Answer::ok(json!({ "Realtime Currency Exchange Rate": {
        "1. From_Currency Code": from, "3. To_Currency Code": to, "5. Exchange Rate": decimal(rate),
        "6. Last Refreshed": stamp(desk.now_ms, "%F %T"), "7. Time Zone": "UTC",
        "8. Bid Price": decimal(rate * 0.9999), "9. Ask Price": decimal(rate * 1.0001)
    }}))
}

fn economic(desk: &Desk<'_>, name: &str, unit: &str, level: f64) -> Answer {
    let data: Vec<Value> = (0..24)
        .map(|back| {
            let at = month_ms(desk.now_ms, back);
            json!({ "date": stamp(at, "%F"), "value": format!("{:.3}", level * (1.0 - 0.002 * back as f64)) })
        })
        .collect();
    Answer::ok(json!({ "name": name, "interval": "monthly", "unit": unit, "data": data }))
}

fn four(price: f64) -> String {
    format!("{price:.4}")
}

fn volume(bar: &Candle) -> String {
    format!("{:.0}", bar.volume * 1000.0)
}
