//! Coinbase Exchange: four headers, a signature in seconds, rows with low before high before open.

use http::Method;
use serde_json::json;

use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::{decimal, moment, rfc3339, rounded};
use crate::signing::coinbase_exchange;

/// How far a timestamp may be off, in seconds.
const SKEW_MAX_SECS: i64 = 30;
/// Bars of one answer.
const BARS_MAX: i64 = 300;

#[derive(Debug)]
pub(crate) struct CoinbaseExchange;

impl Provider for CoinbaseExchange {
    fn id(&self) -> &'static str {
        "coinbase_exchange"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["api_key", "api_secret", "passphrase"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::decay(15, 10_000)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.header("cb-access-key")
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        if is_public(call) {
            return Ok(());
        }
        let header = |name: &str| call.header(name).unwrap_or_default();
        if !desk.accepts("api_key", call.header("cb-access-key").as_deref()) {
            return Err(self.bad_key(desk, call));
        }
        let timestamp = header("cb-access-timestamp");
        if !timestamp.parse::<f64>().is_ok_and(|sent| (sent as i64 - desk.now_secs()).abs() <= SKEW_MAX_SECS)
        {
            return Err(failure(400, "request timestamp expired"));
        }
        let expected = coinbase_exchange(
            desk.field("api_secret"),
            &timestamp,
            call.method.as_str(),
            &call.target(),
            &call.text(),
        );
        if header("cb-access-sign") != expected {
            return Err(failure(401, "invalid signature"));
        }
        if desk.accepts("passphrase", Some(&header("cb-access-passphrase"))) {
            Ok(())
        } else {
            Err(failure(401, "Invalid Passphrase"))
        }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        failure(401, "Invalid API Key")
    }

    fn throttled(&self, _desk: &Desk<'_>, call: &Call, _tally: &Tally) -> Answer {
        failure(
            429,
            if is_public(call) { "Public rate limit exceeded" } else { "Private rate limit exceeded" },
        )
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let segments = call.segments();
        match (&call.method, segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (&Method::GET, ["time"]) => {
                Answer::ok(json!({ "iso": rfc3339(desk.now_ms), "epoch": desk.now_ms as f64 / 1000.0 }))
            }
            (&Method::GET, ["products", id]) if desk.market.price(id, desk.now_ms).is_some() => {
                let (base, quote) = super::symbols::split(id);
                Answer::ok(
                    json!({ "id": id, "base_currency": base, "quote_currency": quote, "status": "online", "trading_disabled": false }),
                )
            }
            (&Method::GET, ["products", id, "ticker"]) => match desk.market.price(id, desk.now_ms) {
                None => failure(404, "NotFound"),
                Some(price) => Answer::ok(json!({
                    "trade_id": desk.sequence, "price": decimal(price), "size": "80.29", "time": rfc3339(desk.now_ms),
                    "bid": decimal(price * 0.9999), "ask": decimal(price * 1.0001), "volume": "1903188.03"
                })),
            },
            (&Method::GET, ["products", id, "candles"]) => candles(desk, call, id),
            (&Method::GET, ["accounts"]) => Answer::ok(
                json!([{ "id": "71452118-efc7-4cc4-8780-a5e22d4baa53", "currency": "BTC", "balance": "0.5", "available": "0.5", "hold": "0" }]),
            ),
            (&Method::GET, ["orders"]) => Answer::ok(json!([])),
            (&Method::POST, ["orders"]) => Answer::ok(
                json!({ "id": format!("{:032x}", desk.sequence), "status": "pending", "created_at": rfc3339(desk.now_ms) }),
            ),
            (&Method::DELETE, ["orders", id]) => Answer::ok(json!(id)),
            _ => failure(404, "NotFound"),
        }
    }
}

fn is_public(call: &Call) -> bool {
    call.path == "/time" || call.path.starts_with("/products") || call.path.starts_with("/currencies")
}

fn failure(status: u16, message: &str) -> Answer {
    Answer::json(status, json!({ "message": message }))
}

/// Rows are time, low, high, open, close, volume; newest first.
fn candles(desk: &Desk<'_>, call: &Call, id: &str) -> Answer {
    let granularity = call.number("granularity").unwrap_or(60);
    if ![60, 300, 900, 3600, 21_600, 86_400].contains(&granularity) {
        return failure(400, "Unsupported granularity");
    }
    let time = |name: &str| {
        call.param(name)
            .and_then(|text| text.parse::<i64>().map(|secs| secs * 1000).ok().or_else(|| moment(&text)))
    };
    let (step, end) = (granularity * 1000, time("end").unwrap_or(desk.now_ms).min(desk.now_ms));
    let start = time("start").unwrap_or(end - step * (BARS_MAX - 1));
    let Some(bars) = desk.market.between(id, step, start, end, BARS_MAX) else {
        return failure(404, "NotFound");
    };
    let rows = bars.iter().rev().map(|bar| {
        json!([
            bar.start_ms / 1000,
            rounded(bar.low),
            rounded(bar.high),
            rounded(bar.open),
            rounded(bar.close),
            rounded(bar.volume)
        ])
    });
    Answer::ok(rows.collect())
}
