//! Finnhub: short field names, and zeros for a symbol that does not exist.

use http::Method;
use serde_json::{Value, json};

use super::symbols::DAY_MS;
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::{Candle, rounded};

/// Bars of one answer.
const BARS_MAX: i64 = 1000;

#[derive(Debug)]
pub(crate) struct Finnhub;

impl Provider for Finnhub {
    fn id(&self) -> &'static str {
        "finnhub"
    }

    fn base_path(&self) -> &'static str {
        "/api/v1"
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(60, 60), Rule::rolling(30, 1)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.header("x-finnhub-token").or_else(|| call.param("token"))
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = self.credential(call);
        if given.is_none() {
            return Err(Answer::json(401, json!({ "error": "Please use an API key." })));
        }
        if desk.accepts("api_key", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        Answer::json(401, json!({ "error": "Invalid API key" }))
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, _tally: &Tally) -> Answer {
        Answer::json(429, json!({ "error": "API limit reached. Please try again later. Remaining Limit: 0" }))
    }

    fn label(&self, desk: &Desk<'_>, answer: Answer, tally: &Tally) -> Answer {
        let reset = desk.now_secs() + i64::try_from(tally.reset_secs()).unwrap_or(0);
        answer
            .with("x-ratelimit-limit", tally.max)
            .with("x-ratelimit-remaining", tally.left())
            .with("x-ratelimit-reset", reset)
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let symbol = call.param_or("symbol", "").to_ascii_uppercase();
        match (&call.method, call.path.as_str()) {
            (&Method::GET, "/api/v1/stock/market-status") => Answer::ok(json!({
                "exchange": call.param_or("exchange", "US"), "timezone": "America/New_York", "session": "regular",
                "holiday": null, "isOpen": true, "t": desk.now_secs()
            })),
            (&Method::GET, "/api/v1/quote") => quote(desk, &symbol),
            (&Method::GET, "/api/v1/stock/candle" | "/api/v1/crypto/candle") => candles(desk, call, &symbol),
            _ => Answer::json(404, json!({ "error": "Not found" })),
        }
    }
}

fn quote(desk: &Desk<'_>, symbol: &str) -> Answer {
    let (Some(price), Some(bars)) =
        (desk.market.price(symbol, desk.now_ms), desk.market.candles(symbol, DAY_MS, 2, desk.now_ms))
    else {
        return Answer::ok(json!({ "c": 0, "d": null, "dp": null, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0 }));
    };
    let (before, today) = (bars[0].close, bars[1]);
    Answer::ok(json!({
        "c": rounded(price), "d": rounded(price - before), "dp": rounded((price / before - 1.0) * 100.0),
        "h": rounded(today.high.max(price)), "l": rounded(today.low.min(price)), "o": rounded(today.open),
        "pc": rounded(before), "t": desk.now_secs()
    }))
}

fn candles(desk: &Desk<'_>, call: &Call, symbol: &str) -> Answer {
    let step = match call.param_or("resolution", "D").as_str() {
        "D" => DAY_MS,
        "W" => 7 * DAY_MS,
        "M" => 30 * DAY_MS,
        minutes => minutes.parse::<i64>().unwrap_or(1).clamp(1, 1440) * 60_000,
    };
    let (from, to) =
        (call.number("from").unwrap_or(0) * 1000, call.number("to").map_or(desk.now_ms, |secs| secs * 1000));
    let bars = desk.market.between(symbol, step, from, to.min(desk.now_ms), BARS_MAX).unwrap_or_default();
    if bars.is_empty() {
        return Answer::ok(json!({ "s": "no_data" }));
    }
    let column =
        |pick: fn(&Candle) -> f64| bars.iter().map(|bar| json!(rounded(pick(bar)))).collect::<Vec<Value>>();
    Answer::ok(json!({
        "s": "ok", "t": bars.iter().map(|bar| bar.start_ms / 1000).collect::<Vec<_>>(),
        "o": column(|bar| bar.open), "h": column(|bar| bar.high), "l": column(|bar| bar.low),
        "c": column(|bar| bar.close), "v": column(|bar| bar.volume)
    }))
}
