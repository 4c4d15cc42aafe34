//! KuCoin: an envelope with a code as text, signatures over the unencoded address, a hashed passphrase.

use http::Method;
use serde_json::json;

use super::symbols::interval_ms;
use super::{Desk, Provider};
use crate::call::{Answer, Call, decode};
use crate::limits::{Rule, Tally};
use crate::market::decimal;
use crate::signing::kucoin;

/// How far a timestamp may be off, in milliseconds.
const SKEW_MAX_MS: i64 = 5000;
/// Bars of one answer.
const BARS_MAX: i64 = 1500;

#[derive(Debug)]
pub(crate) struct KuCoin;

impl Provider for KuCoin {
    fn id(&self) -> &'static str {
        "kucoin"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["api_key", "api_secret", "passphrase"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(2000, 30)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.header("kc-api-key")
    }

    fn weight(&self, call: &Call) -> u64 {
        match call.path.as_str() {
            "/api/v1/market/orderbook/level1" => 2,
            "/api/v1/market/stats" => 15,
            _ => 3,
        }
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        if is_public(call) {
            return Ok(());
        }
        let header = |name: &str| call.header(name).filter(|value| !value.is_empty());
        let (Some(key), Some(sign), Some(timestamp), Some(passphrase)) = (
            header("kc-api-key"),
            header("kc-api-sign"),
            header("kc-api-timestamp"),
            header("kc-api-passphrase"),
        ) else {
            return Err(failure(
                400,
                "400001",
                "Please check the header of your request for KC-API-KEY, KC-API-SIGN, KC-API-TIMESTAMP, KC-API-PASSPHRASE",
            ));
        };
        if !desk.accepts("api_key", Some(&key)) {
            return Err(self.bad_key(desk, call));
        }
        if !timestamp.parse::<i64>().is_ok_and(|sent| (sent - desk.now_ms).abs() <= SKEW_MAX_MS) {
            return Err(failure(400, "400002", "KC-API-TIMESTAMP Invalid"));
        }
        let secret = desk.field("api_secret");
        if !matches!(header("kc-api-key-version").as_deref(), Some("2" | "3"))
            || kucoin(secret, desk.field("passphrase")) != passphrase
        {
            return Err(failure(400, "400004", "Invalid KC-API-PASSPHRASE"));
        }
        let text = format!("{timestamp}{}{}{}", call.method, decode(&call.target()), call.text());
        if kucoin(secret, &text) == sign {
            Ok(())
        } else {
            Err(failure(400, "400005", "Invalid KC-API-SIGN"))
        }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        failure(400, "400003", "KC-API-KEY not exists")
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, _tally: &Tally) -> Answer {
        failure(429, "429000", "Too many requests in a short period of time, please retry later")
    }

    fn label(&self, _desk: &Desk<'_>, answer: Answer, tally: &Tally) -> Answer {
        answer
            .with("gw-ratelimit-limit", tally.max)
            .with("gw-ratelimit-remaining", tally.left())
            .with("gw-ratelimit-reset", tally.reset_ms)
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let data = match (&call.method, call.path.as_str()) {
            (&Method::GET, "/api/v1/status") => json!({ "status": "open", "msg": "" }),
            (&Method::GET, "/api/v1/timestamp") => json!(desk.now_ms),
            (&Method::GET, "/api/v1/market/orderbook/level1") => {
                let Some(price) = desk.market.price(&call.param_or("symbol", ""), desk.now_ms) else {
                    return failure(200, "400100", "symbol not exists");
                };
                json!({
                    "time": desk.now_ms, "sequence": desk.sequence.to_string(), "price": decimal(price), "size": "0.000025",
                    "bestBid": decimal(price * 0.9999), "bestBidSize": "0.000025", "bestAsk": decimal(price * 1.0001), "bestAskSize": "1.24"
                })
            }
            (&Method::GET, "/api/v1/market/candles") => return candles(desk, call),
            (&Method::GET, "/api/v1/accounts") => {
                json!([{ "id": "5bd6e9286d99522a52e458de", "currency": "USDT", "type": "trade", "balance": "1000", "available": "1000", "holds": "0" }])
            }
            (&Method::POST, "/api/v1/hf/orders" | "/api/v1/orders") => {
                json!({ "orderId": format!("{:024x}", desk.sequence), "clientOid": call.json().unwrap_or_default()["clientOid"] })
            }
            (&Method::DELETE, path) if path.starts_with("/api/v1/hf/orders/") => {
                json!({ "orderId": path.rsplit('/').next() })
            }
            (&Method::GET, "/api/v1/sub/api-key") => json!([]),
            _ => return failure(404, "404000", "Url Not Found"),
        };
        Answer::ok(json!({ "code": "200000", "data": data }))
    }
}

fn is_public(call: &Call) -> bool {
    call.path.starts_with("/api/v1/market/")
        || matches!(call.path.as_str(), "/api/v1/status" | "/api/v1/timestamp" | "/api/v1/symbols")
}

fn failure(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, json!({ "code": code, "msg": message }))
}

/// Rows are time, open, close, high, low, volume, turnover; newest first.
fn candles(desk: &Desk<'_>, call: &Call) -> Answer {
    let Some(step) = interval_ms(&call.param_or("type", "")) else {
        return failure(200, "400100", "type is invalid");
    };
    let end = call
        .number("endAt")
        .filter(|secs| *secs > 0)
        .map_or(desk.now_ms, |secs| secs * 1000)
        .min(desk.now_ms);
    let start = call.number("startAt").filter(|secs| *secs > 0).map_or(end - step * 99, |secs| secs * 1000);
    let Some(bars) = desk.market.between(&call.param_or("symbol", ""), step, start, end, BARS_MAX) else {
        return failure(200, "400100", "symbol not exists");
    };
    let rows: Vec<_> = bars
        .iter()
        .rev()
        .map(|bar| {
            json!([
                (bar.start_ms / 1000).to_string(),
                decimal(bar.open),
                decimal(bar.close),
                decimal(bar.high),
                decimal(bar.low),
                decimal(bar.volume),
                decimal(bar.volume * bar.close)
            ])
        })
        .collect();
    Answer::ok(json!({ "code": "200000", "data": rows }))
}
