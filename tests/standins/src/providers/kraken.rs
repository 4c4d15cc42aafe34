//! Kraken (spot): every answer a 200 with a list of errors, private calls signed with a nonce.

use http::Method;
use serde_json::json;

use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::stamp;
use crate::signing::kraken;

/// Bars of one answer.
const BARS_MAX: i64 = 720;

#[derive(Debug)]
pub(crate) struct Kraken;

impl Provider for Kraken {
    fn id(&self) -> &'static str {
        "kraken"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["api_key", "api_secret"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::decay(15, 330)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.header("api-key")
    }

    fn counted_by(&self, call: &Call) -> String {
        if is_private(call) { self.credential(call).unwrap_or_default() } else { "address".to_owned() }
    }

    fn weight(&self, call: &Call) -> u64 {
        match call.path.rsplit('/').next() {
            Some("Ledgers" | "QueryLedgers" | "TradesHistory") => 2,
            Some("AddOrder" | "CancelOrder") => 0,
            _ => 1,
        }
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        if !is_private(call) {
            return Ok(());
        }
        let given = self.credential(call).unwrap_or_default();
        if !desk.accepts("api_key", Some(&given)) {
            return Err(self.bad_key(desk, call));
        }
        let nonce = if call.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
            call.json().map(|body| body["nonce"].to_string().trim_matches('"').to_owned())
        } else {
            call.form("nonce")
        };
        let nonce = nonce.unwrap_or_default();
        let expected = kraken(desk.field("api_secret"), &call.path, &nonce, &call.text());
        if call.header("api-sign").as_deref() != Some(expected.as_str()) {
            return Err(failure("EAPI:Invalid signature"));
        }
        let fresh = nonce.parse::<u64>().is_ok_and(|number| desk.take_nonce(&given, number));
        if fresh { Ok(()) } else { Err(failure("EAPI:Invalid nonce")) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        failure("EAPI:Invalid key")
    }

    fn throttled(&self, _desk: &Desk<'_>, call: &Call, _tally: &Tally) -> Answer {
        failure(if is_private(call) { "EAPI:Rate limit exceeded" } else { "EGeneral:Too many requests" })
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let result = match (&call.method, call.path.as_str()) {
            (&Method::GET, "/0/public/SystemStatus") => json!({
                "status": "online", "timestamp": stamp(desk.now_ms, "%FT%TZ"), "upcoming_maintenance": [], "emergency": []
            }),
            (&Method::GET, "/0/public/Time") => {
                json!({ "unixtime": desk.now_secs(), "rfc1123": stamp(desk.now_ms, "%a, %d %b %y %T +0000") })
            }
            (&Method::GET, "/0/public/Ticker") => return ticker(desk, call),
            (&Method::GET, "/0/public/OHLC") => return ohlc(desk, call),
            (&Method::POST, "/0/private/Balance") => json!({ "ZUSD": "10000.0000", "XXBT": "0.5000000000" }),
            (&Method::POST, "/0/private/TradesHistory") => json!({ "trades": {}, "count": 0 }),
            (&Method::POST, "/0/private/OpenOrders") => json!({ "open": {} }),
            (&Method::POST, "/0/private/AddOrder") => json!({
                "descr": { "order": format!("{} {} {} @ {}", field(call, "type"), field(call, "volume"), field(call, "pair"), field(call, "price")) },
                "txid": [format!("O{:05X}-{:05X}-{:06X}", desk.sequence, 7, desk.now_secs() % 0xff_ffff)]
            }),
            (&Method::POST, "/0/private/CancelOrder") => json!({ "count": 1 }),
            _ => return failure("EGeneral:Unknown method"),
        };
        Answer::ok(json!({ "error": [], "result": result }))
    }
}

fn field(call: &Call, name: &str) -> String {
    call.form(name).unwrap_or_default()
}

fn is_private(call: &Call) -> bool {
    call.path.starts_with("/0/private/")
}

fn failure(text: &str) -> Answer {
    Answer::ok(json!({ "error": [text] }))
}

/// The exchange's own name of a pair: `XBTUSD` is `XXBTZUSD`; newer pairs keep theirs.
fn internal(pair: &str) -> String {
    let pair = pair.to_ascii_uppercase().replace(['/', '-'], "").replace("BTC", "XBT");
    for base in ["XBT", "ETH", "LTC", "XRP"] {
        for quote in ["USD", "EUR", "GBP"] {
            if pair == format!("{base}{quote}") || pair == format!("X{base}Z{quote}") {
                return format!("X{base}Z{quote}");
            }
        }
    }
    pair
}

/// What the market calls it.
fn market_symbol(internal: &str) -> String {
    match (internal.len(), internal.strip_prefix('X')) {
        (8, Some(rest)) if rest.as_bytes()[3] == b'Z' => format!("{}{}", &rest[..3], &rest[4..]),
        _ => internal.to_owned(),
    }
}

fn price(value: f64) -> String {
    format!("{value:.5}")
}

fn ticker(desk: &Desk<'_>, call: &Call) -> Answer {
    let mut result = serde_json::Map::new();
    for pair in call.param_or("pair", "XBTUSD").split(',') {
        let name = internal(pair);
        let symbol = market_symbol(&name);
        let (Some(last), Some(open)) =
            (desk.market.price(&symbol, desk.now_ms), desk.market.price(&symbol, desk.now_ms - 43_200_000))
        else {
            return failure("EQuery:Unknown asset pair");
        };
        let (low, high) = (last.min(open) * 0.995, last.max(open) * 1.005);
        result.insert(name, json!({
            "a": [price(last * 1.0001), "1", "1.000"], "b": [price(last * 0.9999), "1", "1.000"], "c": [price(last), "0.00067000"],
            "v": ["4083.67001100", "4412.73601799"], "p": [price(last), price(open)], "t": [34_619, 38_907],
            "l": [price(low), price(low)], "h": [price(high), price(high)], "o": price(open)
        }));
    }
    Answer::ok(json!({ "error": [], "result": result }))
}

fn ohlc(desk: &Desk<'_>, call: &Call) -> Answer {
    let name = internal(&call.param_or("pair", "XBTUSD"));
    let minutes = call.number("interval").unwrap_or(1);
    if ![1, 5, 15, 30, 60, 240, 1440, 10_080, 21_600].contains(&minutes) {
        return failure("EGeneral:Invalid arguments");
    }
    let step = minutes * 60_000;
    let since = call.number("since").map_or(desk.now_ms - step * (BARS_MAX - 1), |secs| secs * 1000);
    let Some(bars) = desk.market.between(&market_symbol(&name), step, since, desk.now_ms, BARS_MAX) else {
        return failure("EQuery:Unknown asset pair");
    };
    let rows: Vec<_> = bars
        .iter()
        .map(|bar| {
            let vwap = (bar.high + bar.low + bar.close) / 3.0;
            json!([
                bar.start_ms / 1000,
                price(bar.open),
                price(bar.high),
                price(bar.low),
                price(bar.close),
                price(vwap),
                format!("{:.8}", bar.volume),
                23
            ])
        })
        .collect();
    let last = bars.iter().rev().nth(1).map_or(0, |bar| bar.start_ms / 1000);
    Answer::ok(json!({ "error": [], "result": { name: rows, "last": last } }))
}
