//! Tiingo: `Token` authorization, arrays, and hourly allocations.

use http::Method;
use serde_json::{Value, json};

use super::symbols::DAY_MS;
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::{moment, rfc3339, rounded, stamp};

/// Days of one answer.
const DAYS_MAX: i64 = 1250;

#[derive(Debug)]
pub(crate) struct Tiingo;

impl Provider for Tiingo {
    fn id(&self) -> &'static str {
        "tiingo"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["api_token"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::clock(50, 3600), Rule::clock(1000, 86_400)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.authorization("token").or_else(|| call.param("token"))
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = self.credential(call);
        if given.is_none() {
            return Err(Answer::json(401, json!({ "detail": "Please supply a token" })));
        }
        if desk.accepts("api_token", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        Answer::json(401, json!({ "detail": "Invalid token." }))
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, tally: &Tally) -> Answer {
        let which = if tally.per_ms >= 86_400_000 { "daily" } else { "hourly" };
        Answer::json(
            429,
            json!({ "detail": format!("Error: You have run over your {which} request allocation. Please upgrade at https://api.tiingo.com/pricing to have your limits increased.") }),
        )
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let segments = call.segments();
        match (&call.method, segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (&Method::GET, ["api", "test"]) => {
                Answer::ok(json!({ "message": "You successfully sent a request" }))
            }
            (&Method::GET, ["iex"]) => top_of_book(desk, &call.param_or("tickers", "")),
            (&Method::GET, ["iex", tickers]) => top_of_book(desk, tickers),
            (&Method::GET, ["tiingo", "daily", ticker]) => match desk.market.price(ticker, desk.now_ms) {
                None => unknown(ticker),
                Some(_) => Answer::ok(json!({
                    "ticker": ticker.to_ascii_uppercase(), "name": format!("{} Inc", ticker.to_ascii_uppercase()),
                    "exchangeCode": "NASDAQ", "startDate": "1990-01-02", "endDate": stamp(desk.now_ms, "%F"), "description": ""
                })),
            },
            (&Method::GET, ["tiingo", "daily", ticker, "prices"]) => prices(desk, call, ticker),
            _ => Answer::json(404, json!({ "detail": "Not found." })),
        }
    }
}

fn unknown(ticker: &str) -> Answer {
    Answer::json(404, json!({ "detail": format!("Error: Ticker '{ticker}' not found") }))
}

fn top_of_book(desk: &Desk<'_>, tickers: &str) -> Answer {
    let rows: Vec<Value> = tickers
        .split(',')
        .filter_map(|ticker| {
            let ticker = ticker.trim().to_ascii_uppercase();
            let price = desk.market.price(&ticker, desk.now_ms)?;
            let bars = desk.market.candles(&ticker, DAY_MS, 2, desk.now_ms)?;
            let at = rfc3339(desk.now_ms);
            Some(json!({
                "ticker": ticker, "timestamp": at, "lastSaleTimestamp": at, "quoteTimestamp": at, "last": null,
                "tngoLast": rounded(price), "prevClose": rounded(bars[0].close), "open": rounded(bars[1].open),
                "high": rounded(bars[1].high.max(price)), "low": rounded(bars[1].low.min(price)), "mid": rounded(price),
                "volume": (bars[1].volume * 1000.0).round(), "bidPrice": rounded(price * 0.9999), "bidSize": 100,
                "askPrice": rounded(price * 1.0001), "askSize": 100
            }))
        })
        .collect();
    Answer::ok(Value::Array(rows))
}

fn prices(desk: &Desk<'_>, call: &Call, ticker: &str) -> Answer {
    let day = |name: &str, default: i64| call.param(name).and_then(|text| moment(&text)).unwrap_or(default);
    let (from, to) = (day("startDate", desk.now_ms - DAY_MS), day("endDate", desk.now_ms).min(desk.now_ms));
    let Some(bars) = desk.market.between(ticker, DAY_MS, from, to, DAYS_MAX) else { return unknown(ticker) };
    let rows: Vec<Value> = bars
        .iter()
        .map(|bar| {
            let (open, high, low, close) = (rounded(bar.open), rounded(bar.high), rounded(bar.low), rounded(bar.close));
            let volume = (bar.volume * 1000.0).round();
            json!({
                "date": stamp(bar.start_ms, "%FT00:00:00.000Z"), "open": open, "high": high, "low": low, "close": close,
                "volume": volume, "adjOpen": open, "adjHigh": high, "adjLow": low, "adjClose": close, "adjVolume": volume,
                "divCash": 0.0, "splitFactor": 1.0
            })
        })
        .collect();
    Answer::ok(Value::Array(rows))
}
