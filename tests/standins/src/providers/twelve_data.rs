//! Twelve Data: credits per minute, numbers as strings, and an error that may come as a 200.

use http::Method;
use serde_json::{Value, json};

use super::symbols::{DAY_MS, interval_ms, split};
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::{decimal, stamp};

/// Bars of one answer.
const BARS_MAX: i64 = 5000;

#[derive(Debug)]
pub(crate) struct TwelveData;

impl Provider for TwelveData {
    fn id(&self) -> &'static str {
        "twelve_data"
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::clock(8, 60), Rule::clock(800, 86_400)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.authorization("apikey").or_else(|| call.param("apikey"))
    }

    fn weight(&self, call: &Call) -> u64 {
        match call.path.as_str() {
            "/api_usage" => 0,
            "/income_statement" => 100,
            _ => call.param("symbol").map_or(1, |symbols| symbols.split(',').count() as u64),
        }
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = self.credential(call);
        if desk.accepts("api_key", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        failure(
            401,
            "**apikey** parameter is incorrect or not specified. You can get your free API key instantly following this link: https://twelvedata.com/pricing.",
        )
    }

    fn throttled(&self, _desk: &Desk<'_>, call: &Call, tally: &Tally) -> Answer {
        let unit = if tally.is_quota() { "day" } else { "minute" };
        let used = tally.used + self.weight(call);
        failure(
            429,
            &format!(
                "You have run out of API credits for the current {unit}. {used} API credits were used, with the current limit being {}. Wait for the next {unit} or consider switching to a higher tier plan.",
                tally.max
            ),
        )
    }

    fn label(&self, _desk: &Desk<'_>, answer: Answer, tally: &Tally) -> Answer {
        answer.with("api-credits-used", tally.used).with("api-credits-left", tally.left())
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let symbol = call.param_or("symbol", "").to_ascii_uppercase();
        match (&call.method, call.path.as_str()) {
            (&Method::GET, "/api_usage") => Answer::ok(json!({
                "timestamp": stamp(desk.now_ms, "%F %T"), "current_usage": desk.usage.0, "plan_limit": desk.usage.1,
                "daily_usage": desk.usage.0, "plan_daily_limit": 800, "plan_category": "basic"
            })),
            (&Method::GET, "/price") => match desk.market.price(&symbol, desk.now_ms) {
                Some(price) => Answer::ok(json!({ "price": five(price) })),
                None => unknown(&symbol),
            },
            (&Method::GET, "/quote") => quote(desk, &symbol),
            (&Method::GET, "/time_series") => series(desk, call, &symbol),
            _ => failure(404, "The API endpoint was not found"),
        }
    }
}

fn five(price: f64) -> String {
    format!("{price:.5}")
}

fn failure(code: u16, message: &str) -> Answer {
    Answer::json(code, json!({ "code": code, "message": message, "status": "error" }))
}

fn unknown(symbol: &str) -> Answer {
    // Delivered with status 200, as the service has been seen to do: the body decides.
    let mut answer = failure(
        400,
        &format!(
            "**symbol** not found: {symbol}. Please specify it correctly according to API Documentation."
        ),
    );
    answer.status = 200;
    answer
}

fn currency(symbol: &str) -> String {
    if symbol.contains('/') { split(symbol).1 } else { "USD".to_owned() }
}

fn quote(desk: &Desk<'_>, symbol: &str) -> Answer {
    let (Some(price), Some(bars)) =
        (desk.market.price(symbol, desk.now_ms), desk.market.candles(symbol, DAY_MS, 2, desk.now_ms))
    else {
        return unknown(symbol);
    };
    let (before, today) = (bars[0].close, bars[1]);
    Answer::ok(json!({
        "symbol": symbol, "name": format!("{symbol} Inc"), "exchange": "NASDAQ", "currency": currency(symbol),
        "datetime": stamp(desk.now_ms, "%F"), "timestamp": desk.now_secs(), "open": five(today.open),
        "high": five(today.high.max(price)), "low": five(today.low.min(price)), "close": five(price),
        "volume": format!("{:.0}", today.volume * 1000.0), "previous_close": five(before), "change": five(price - before),
        "percent_change": five((price / before - 1.0) * 100.0), "is_market_open": true
    }))
}

fn series(desk: &Desk<'_>, call: &Call, symbol: &str) -> Answer {
    let interval = call.param_or("interval", "");
    let Some(step) = interval_ms(&interval) else {
        return failure(400, "Invalid **interval** provided");
    };
    let count = call.number("outputsize").unwrap_or(30).clamp(1, BARS_MAX);
    let Some(bars) = desk.market.candles(symbol, step, count, desk.now_ms) else { return unknown(symbol) };
    let format = if step >= DAY_MS { "%F" } else { "%F %T" };
    let values: Vec<Value> = bars
        .iter()
        .rev()
        .map(|bar| {
            json!({
                "datetime": stamp(bar.start_ms, format), "open": five(bar.open), "high": five(bar.high),
                "low": five(bar.low), "close": five(bar.close), "volume": decimal(bar.volume)
            })
        })
        .collect();
    Answer::ok(json!({
        "meta": { "symbol": symbol, "interval": interval, "currency": currency(symbol),
                  "exchange_timezone": "America/New_York", "exchange": "NASDAQ", "type": "Common Stock" },
        "values": values, "status": "ok"
    }))
}
