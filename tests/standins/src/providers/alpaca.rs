//! Alpaca: two key headers; trading clock and market data on one address here.

use http::Method;
use serde_json::json;

use super::symbols::{DAY_MS, interval_ms};
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::{moment, rfc3339, rounded};

/// Bars of one answer.
const BARS_MAX: i64 = 1000;

#[derive(Debug)]
pub(crate) struct Alpaca;

impl Provider for Alpaca {
    fn id(&self) -> &'static str {
        "alpaca"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["key_id", "secret_key"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(200, 60)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.header("apca-api-key-id")
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let fits = desk.accepts("key_id", call.header("apca-api-key-id").as_deref())
            && desk.accepts("secret_key", call.header("apca-api-secret-key").as_deref());
        if fits { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        Answer::json(401, json!({ "code": 40_110_000, "message": "request is not authorized" }))
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, _tally: &Tally) -> Answer {
        Answer::json(429, json!({ "code": 42_910_000, "message": "rate limit exceeded" }))
    }

    fn label(&self, desk: &Desk<'_>, answer: Answer, tally: &Tally) -> Answer {
        let reset = desk.now_secs() + i64::try_from(tally.reset_secs()).unwrap_or(0);
        answer
            .with("x-ratelimit-limit", tally.max)
            .with("x-ratelimit-remaining", tally.left())
            .with("x-ratelimit-reset", reset)
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let segments = call.segments();
        match (&call.method, segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (&Method::GET, ["v2", "clock"]) => Answer::ok(json!({
                "timestamp": rfc3339(desk.now_ms), "is_open": true,
                "next_open": rfc3339(desk.now_ms + DAY_MS), "next_close": rfc3339(desk.now_ms + DAY_MS / 4)
            })),
            (&Method::GET, ["v2", "account"]) => Answer::ok(
                json!({ "id": "904837e3-3b76-47ec-b432-046db621571b", "status": "ACTIVE", "currency": "USD", "cash": "10000" }),
            ),
            (&Method::GET, ["v2", "stocks", symbol, "trades", "latest"]) => {
                match desk.market.price(symbol, desk.now_ms) {
                    None => Answer::json(404, json!({ "message": format!("no trade found for {symbol}") })),
                    Some(price) => Answer::ok(json!({ "symbol": symbol, "trade": {
                        "t": rfc3339(desk.now_ms), "x": "V", "p": rounded(price), "s": 300, "c": ["@"], "i": desk.sequence, "z": "C"
                    }})),
                }
            }
            (&Method::GET, ["v2", "stocks", symbol, "bars"]) => bars(desk, call, symbol),
            _ => Answer::json(404, json!({ "message": "endpoint not found" })),
        }
    }
}

fn bars(desk: &Desk<'_>, call: &Call, symbol: &str) -> Answer {
    // `1Min`, `15Min`, `1Hour`, `1Day`, also `1T`, `1H`, `1D`.
    let text = call.param_or("timeframe", "1Day").replace('T', "min");
    let Some(step) = interval_ms(&text) else {
        return Answer::json(400, json!({ "message": "invalid timeframe" }));
    };
    let limit = call.number("limit").unwrap_or(BARS_MAX).clamp(1, BARS_MAX);
    let end = call.param("end").and_then(|text| moment(&text)).unwrap_or(desk.now_ms).min(desk.now_ms);
    let start = call.param("start").and_then(|text| moment(&text)).unwrap_or(end - DAY_MS);
    let bars = desk.market.between(symbol, step, start, end, limit).unwrap_or_default();
    let rows: Vec<_> = bars
        .iter()
        .map(|bar| {
            json!({ "t": rfc3339(bar.start_ms), "o": rounded(bar.open), "h": rounded(bar.high), "l": rounded(bar.low), "c": rounded(bar.close),
                    "v": bar.volume.round(), "n": 25, "vw": rounded((bar.high + bar.low + bar.close) / 3.0) })
        })
        .collect();
    Answer::ok(json!({ "bars": rows, "symbol": symbol, "next_page_token": null }))
}
