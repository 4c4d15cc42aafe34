//! Coinbase Advanced Trade: a fresh JWT for each private request, public market data without.
//!
//! The token's signature is verified when the key has a `public_key_pem`; its claims always are.
//! The host in `uri` may be the documented one or the one the request was sent to.

use http::Method;
use serde_json::json;

use super::symbols::split;
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::{decimal, rfc3339};
use crate::signing::jwt;

/// The documented host.
const HOST: &str = "api.coinbase.com";
/// How long a token may live, in seconds.
const LIFE_MAX_SECS: i64 = 120;
/// How far clocks may be apart, in seconds.
const SKEW_MAX_SECS: i64 = 30;
/// Bars of one answer.
const BARS_MAX: i64 = 350;

#[derive(Debug)]
pub(crate) struct CoinbaseAdvanced;

impl Provider for CoinbaseAdvanced {
    fn id(&self) -> &'static str {
        "coinbase_advanced"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["key_name", "public_key_pem"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(30, 1)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.authorization("bearer")
    }

    fn counted_by(&self, call: &Call) -> String {
        // The token is new each time; its key name is not.
        let token = self.credential(call).unwrap_or_default();
        jwt(&token, None)
            .and_then(|(header, _)| header["kid"].as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        if call.path == "/api/v3/brokerage/time" || call.path.starts_with("/api/v3/brokerage/market/") {
            return Ok(());
        }
        let pem = desk.key.get("public_key_pem").map(String::as_str);
        let Some((header, claims)) = self.credential(call).and_then(|token| jwt(&token, pem)) else {
            return Err(self.bad_key(desk, call));
        };
        let name = header["kid"].as_str();
        let now = desk.now_secs();
        let (from, until) = (claims["nbf"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
        let uri = |host: &str| format!("{} {host}{}", call.method, call.path);
        let own_host = call.header("host").unwrap_or_default();
        let named = claims["uri"].as_str().or_else(|| claims["uris"][0].as_str()).unwrap_or_default();
        let fits = desk.accepts("key_name", name)
            && claims["sub"].as_str() == name
            && matches!(claims["iss"].as_str(), Some("cdp" | "coinbase-cloud"))
            && header["nonce"].is_string()
            && from <= now + SKEW_MAX_SECS
            && now <= until + SKEW_MAX_SECS
            && until - from <= LIFE_MAX_SECS
            && (named == uri(HOST) || named == uri(&own_host));
        if fits { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        Answer::text(401, "Unauthorized\n")
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, _tally: &Tally) -> Answer {
        Answer::json(
            429,
            json!({ "error": "RATE_LIMIT_EXCEEDED", "message": "rate limit exceeded", "error_details": "rate limit exceeded" }),
        )
    }

    fn label(&self, _desk: &Desk<'_>, answer: Answer, tally: &Tally) -> Answer {
        answer
            .with("x-ratelimit-limit", tally.max)
            .with("x-ratelimit-remaining", tally.left())
            .with("x-ratelimit-reset", tally.reset_secs())
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let own = call.path.strip_prefix("/api/v3/brokerage/").unwrap_or_default().to_owned();
        let parts: Vec<&str> = own.split('/').collect();
        match (&call.method, parts.as_slice()) {
            (&Method::GET, ["time"]) => Answer::ok(json!({
                "iso": rfc3339(desk.now_ms), "epochSeconds": desk.now_secs().to_string(), "epochMillis": desk.now_ms.to_string()
            })),
            (&Method::GET, ["accounts"]) => Answer::ok(json!({
                "accounts": [{ "uuid": "8bfc20d7-f7c6-4422-bf07-8243ca4169fe", "name": "BTC Wallet", "currency": "BTC",
                               "available_balance": { "value": "0.5", "currency": "BTC" } }],
                "has_next": false, "cursor": "", "size": 1
            })),
            (&Method::GET, ["market", "products", id] | ["products", id]) => product(desk, id),
            (&Method::GET, ["market", "products", id, "candles"] | ["products", id, "candles"]) => {
                candles(desk, call, id)
            }
            (&Method::POST, ["orders"]) => Answer::ok(
                json!({ "success": true, "success_response": { "order_id": format!("{:032x}", desk.sequence) } }),
            ),
            _ => failure(404, "NOT_FOUND", "not found"),
        }
    }
}

fn failure(status: u16, error: &str, message: &str) -> Answer {
    Answer::json(status, json!({ "error": error, "message": message, "error_details": message }))
}

fn product(desk: &Desk<'_>, id: &str) -> Answer {
    let Some(price) = desk.market.price(id, desk.now_ms) else {
        return failure(404, "NOT_FOUND", "valid product_id is required");
    };
    let (base, quote) = split(id);
    Answer::ok(json!({
        "product_id": id, "price": decimal(price), "price_percentage_change_24h": "0.14", "volume_24h": "18421.55", "status": "online",
        "quote_currency_id": quote, "base_currency_id": base, "trading_disabled": false
    }))
}

fn candles(desk: &Desk<'_>, call: &Call, id: &str) -> Answer {
    let minutes = match call.param_or("granularity", "ONE_MINUTE").as_str() {
        "ONE_MINUTE" => 1,
        "FIVE_MINUTE" => 5,
        "FIFTEEN_MINUTE" => 15,
        "THIRTY_MINUTE" => 30,
        "ONE_HOUR" => 60,
        "TWO_HOUR" => 120,
        "SIX_HOUR" => 360,
        "ONE_DAY" => 1440,
        _ => return failure(400, "INVALID_ARGUMENT", "granularity is invalid"),
    };
    let (step, end) =
        (minutes * 60_000, call.number("end").map_or(desk.now_ms, |secs| secs * 1000).min(desk.now_ms));
    let start = call.number("start").map_or(end - step * (BARS_MAX - 1), |secs| secs * 1000);
    let Some(bars) = desk.market.between(id, step, start, end, BARS_MAX) else {
        return failure(404, "NOT_FOUND", "valid product_id is required");
    };
    let rows: Vec<_> = bars
        .iter()
        .rev()
        .map(|bar| {
            json!({ "start": (bar.start_ms / 1000).to_string(), "low": decimal(bar.low), "high": decimal(bar.high), "open": decimal(bar.open),
                    "close": decimal(bar.close), "volume": decimal(bar.volume) })
        })
        .collect();
    Answer::ok(json!({ "candles": rows }))
}
