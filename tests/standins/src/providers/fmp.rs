//! Financial Modeling Prep: quotes as an array, errors as an object with `Error Message`.

use http::Method;
use serde_json::{Value, json};

use super::symbols::DAY_MS;
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::{moment, rounded, stamp};

/// Days an end-of-day answer has at most.
const DAYS_MAX: i64 = 1250;

#[derive(Debug)]
pub(crate) struct Fmp;

impl Provider for Fmp {
    fn id(&self) -> &'static str {
        "fmp"
    }

    fn base_path(&self) -> &'static str {
        "/stable"
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(250, 86_400)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.param("apikey").or_else(|| call.header("apikey"))
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = self.credential(call);
        if desk.accepts("api_key", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        failure(
            401,
            "Invalid API KEY. Feel free to create a Free API Key or visit https://site.financialmodelingprep.com/faqs?search=why-is-my-api-key-invalid for more information.",
        )
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, _tally: &Tally) -> Answer {
        failure(
            429,
            "Limit Reach . Please upgrade your plan or visit our documentation for more details at https://site.financialmodelingprep.com/",
        )
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let symbol = call.param_or("symbol", "").to_ascii_uppercase();
        match (&call.method, call.path.as_str()) {
            (&Method::GET, "/stable/quote") => quote(desk, &symbol),
            (&Method::GET, "/stable/historical-price-eod/full") => history(desk, call, &symbol),
            (&Method::GET, "/stable/treasury-rates") => Answer::ok(json!([
                { "date": stamp(desk.now_ms, "%F"), "month1": 3.71, "month3": 3.68, "year1": 3.55, "year2": 3.51, "year10": 4.02, "year30": 4.61 }
            ])),
            (&Method::GET, "/stable/economic-indicators") => Answer::ok(json!([
                { "name": call.param_or("name", "GDP"), "date": stamp(desk.now_ms, "%Y-%m-01"), "value": 30_485.7 }
            ])),
            _ => Answer::json(404, json!([])),
        }
    }
}

fn failure(status: u16, text: &str) -> Answer {
    Answer::json(status, json!({ "Error Message": text }))
}

fn quote(desk: &Desk<'_>, symbol: &str) -> Answer {
    let (Some(price), Some(bars)) =
        (desk.market.price(symbol, desk.now_ms), desk.market.candles(symbol, DAY_MS, 2, desk.now_ms))
    else {
        return Answer::ok(json!([]));
    };
    let (before, today) = (bars[0].close, bars[1]);
    Answer::ok(json!([{
        "symbol": symbol, "name": format!("{symbol} Inc."), "price": rounded(price),
        "changePercentage": rounded((price / before - 1.0) * 100.0), "change": rounded(price - before),
        "volume": (today.volume * 1000.0).round(), "dayLow": rounded(today.low.min(price)), "dayHigh": rounded(today.high.max(price)),
        "yearHigh": rounded(price * 1.2), "yearLow": rounded(price * 0.7), "marketCap": (price * 1e9).round(),
        "priceAvg50": rounded(price * 0.98), "priceAvg200": rounded(price * 0.93), "exchange": "NASDAQ",
        "open": rounded(today.open), "previousClose": rounded(before), "timestamp": desk.now_secs()
    }]))
}

fn history(desk: &Desk<'_>, call: &Call, symbol: &str) -> Answer {
    let day = |name: &str, default: i64| call.param(name).and_then(|text| moment(&text)).unwrap_or(default);
    let (from, to) = (day("from", desk.now_ms - 90 * DAY_MS), day("to", desk.now_ms).min(desk.now_ms));
    let bars = desk.market.between(symbol, DAY_MS, from, to, DAYS_MAX).unwrap_or_default();
    let rows: Vec<Value> = bars
        .iter()
        .rev()
        .map(|bar| {
            json!({
                "symbol": symbol, "date": stamp(bar.start_ms, "%F"), "open": rounded(bar.open), "high": rounded(bar.high),
                "low": rounded(bar.low), "close": rounded(bar.close), "volume": (bar.volume * 1000.0).round(),
                "change": rounded(bar.close - bar.open), "changePercent": rounded((bar.close / bar.open - 1.0) * 100.0),
                "vwap": rounded((bar.high + bar.low + bar.close) / 3.0)
            })
        })
        .collect();
    Answer::ok(Value::Array(rows))
}
