//! Massive (formerly Polygon): bearer or query key, an envelope with a status, bars in milliseconds.

use http::Method;
use serde_json::{Value, json};

use super::symbols::{DAY_MS, interval_ms};
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::{Candle, moment, rfc3339, rounded};

/// Bars of one page at most.
const PAGE_MAX: i64 = 5000;

#[derive(Debug)]
pub(crate) struct Massive;

impl Provider for Massive {
    fn id(&self) -> &'static str {
        "massive"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["polygon", "polygon_io"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(5, 60)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.authorization("bearer").or_else(|| call.param("apiKey"))
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = self.credential(call);
        if desk.accepts("api_key", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, desk: &Desk<'_>, _call: &Call) -> Answer {
        failure(desk, 401, "Unknown API Key")
    }

    fn throttled(&self, desk: &Desk<'_>, _call: &Call, _tally: &Tally) -> Answer {
        failure(
            desk,
            429,
            "You've exceeded the maximum requests per minute, please wait or upgrade your subscription.",
        )
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        if call.method != Method::GET {
            return failure(desk, 404, "page not found");
        }
        let segments = call.segments();
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["v1", "marketstatus", "now"] => status(desk),
            ["v2", "aggs", "ticker", ticker, "prev"] => previous(desk, ticker),
            ["v2", "last", "trade", ticker] => last_trade(desk, ticker),
            ["v2", "aggs", "ticker", ticker, "range", count, span, from, to] => {
                range(desk, call, ticker, interval_ms(&format!("{count}{span}")), moment(from), moment(to))
            }
            ["v1", "conversion", from, to] => conversion(desk, call, from, to),
            _ => failure(desk, 404, "page not found"),
        }
    }
}

fn request_id(desk: &Desk<'_>) -> String {
    format!("{:032x}", desk.sequence)
}

fn failure(desk: &Desk<'_>, status: u16, error: &str) -> Answer {
    Answer::json(status, json!({ "status": "ERROR", "request_id": request_id(desk), "error": error }))
}

fn status(desk: &Desk<'_>) -> Answer {
    Answer::ok(json!({
        "market": "open", "serverTime": rfc3339(desk.now_ms - desk.now_ms.rem_euclid(1000)),
        "exchanges": { "nyse": "open", "nasdaq": "open", "otc": "open" },
        "currencies": { "fx": "open", "crypto": "open" },
        "afterHours": false, "earlyHours": false
    }))
}

fn bar(ticker: &str, bar: &Candle) -> Value {
    json!({
        "T": ticker, "o": rounded(bar.open), "h": rounded(bar.high), "l": rounded(bar.low), "c": rounded(bar.close),
        "v": bar.volume.round(), "vw": rounded((bar.high + bar.low + bar.close) / 3.0), "t": bar.start_ms
    })
}

fn envelope(desk: &Desk<'_>, ticker: &str, results: &[Value]) -> Answer {
    Answer::ok(json!({
        "status": "OK", "ticker": ticker, "adjusted": true, "queryCount": results.len(),
        "resultsCount": results.len(), "request_id": request_id(desk), "results": results
    }))
}

fn previous(desk: &Desk<'_>, ticker: &str) -> Answer {
    let bars = desk.market.candles(ticker, DAY_MS, 1, desk.now_ms - DAY_MS).unwrap_or_default();
    envelope(desk, ticker, &bars.iter().map(|one| bar(ticker, one)).collect::<Vec<_>>())
}

fn last_trade(desk: &Desk<'_>, ticker: &str) -> Answer {
    match desk.market.price(ticker, desk.now_ms) {
        None => Answer::json(
            404,
            json!({ "status": "NOT_FOUND", "request_id": request_id(desk), "message": "Data not found." }),
        ),
        Some(price) => Answer::ok(json!({
            "status": "OK", "request_id": request_id(desk),
            "results": { "T": ticker, "p": rounded(price), "s": 25, "t": desk.now_ms * 1_000_000, "x": 4,
                         "i": desk.sequence.to_string(), "c": [37], "q": desk.sequence, "z": 3 }
        })),
    }
}

fn range(
    desk: &Desk<'_>,
    call: &Call,
    ticker: &str,
    step: Option<i64>,
    from: Option<i64>,
    to: Option<i64>,
) -> Answer {
    let (Some(step), Some(from), Some(to)) = (step, from, to) else {
        return failure(desk, 400, "Could not parse the range");
    };
    // A day as the end means the whole day.
    let to = if to % DAY_MS == 0 { to + DAY_MS - 1 } else { to };
    let max = call.number("limit").unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let bars = desk.market.between(ticker, step, from, to.min(desk.now_ms), max).unwrap_or_default();
    let mut results: Vec<Value> = bars.iter().map(|one| bar(ticker, one)).collect();
    if call.param("sort").as_deref() == Some("desc") {
        results.reverse();
    }
    envelope(desk, ticker, &results)
}

fn conversion(desk: &Desk<'_>, call: &Call, from: &str, to: &str) -> Answer {
    let amount = call.param("amount").and_then(|text| text.parse::<f64>().ok()).unwrap_or(1.0);
    match desk.market.price(&format!("{from}{to}"), desk.now_ms) {
        None => failure(desk, 404, "Could not find the currency pair"),
        Some(rate) => Answer::ok(json!({
            "status": "success", "symbol": format!("{from}/{to}"), "from": from, "to": to,
            "initialAmount": amount, "converted": rounded(amount * rate),
            "last": { "ask": rounded(rate), "bid": rounded(rate), "exchange": 48, "timestamp": desk.now_ms }
        })),
    }
}
