//! Bybit (v5): a return code inside a 200, signatures over time, key, window and query or body.

use http::Method;
use serde_json::json;

use super::symbols::DAY_MS;
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::decimal;
use crate::signing::{bybit, fits_public_key};

/// How far a timestamp may lie ahead, in milliseconds.
const AHEAD_MAX_MS: i64 = 1000;

#[derive(Debug)]
pub(crate) struct Bybit;

impl Provider for Bybit {
    fn id(&self) -> &'static str {
        "bybit"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["api_key", "api_secret"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(600, 5)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.header("x-bapi-api-key")
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        if call.path.starts_with("/v5/market/") || call.path == "/v5/system/status" {
            return Ok(());
        }
        let key = self.credential(call).unwrap_or_default();
        if !desk.accepts("api_key", Some(&key)) {
            return Err(self.bad_key(desk, call));
        }
        let timestamp = call.header("x-bapi-timestamp").unwrap_or_default();
        let window = call.header("x-bapi-recv-window").unwrap_or_else(|| "5000".to_owned());
        let (sent, wide) = (timestamp.parse::<i64>().unwrap_or(0), window.parse::<i64>().unwrap_or(0));
        if sent < desk.now_ms - wide || sent >= desk.now_ms + AHEAD_MAX_MS {
            let text = format!(
                "invalid request, please check your server timestamp or recv_window param. req_timestamp[{sent}],server_timestamp[{}],recv_window[{wide}]",
                desk.now_ms
            );
            return Err(failure(desk, 10_002, &text));
        }
        let signed = if call.method == Method::GET { call.query.clone() } else { call.text() };
        let given = call.header("x-bapi-sign").unwrap_or_default();
        let public = desk.field("public_key_pem");
        let fits = if public.is_empty() {
            bybit(desk.field("api_secret"), &timestamp, &key, &window, &signed) == given
        } else {
            fits_public_key(public, &[&*timestamp, &*key, &*window, &*signed].concat(), &given)
        };
        if fits {
            Ok(())
        } else {
            Err(failure(desk, 10_004, "error sign! please check your signature generation algorithm."))
        }
    }

    fn bad_key(&self, desk: &Desk<'_>, _call: &Call) -> Answer {
        failure(desk, 10_003, "API key is invalid.")
    }

    fn throttled(&self, desk: &Desk<'_>, _call: &Call, _tally: &Tally) -> Answer {
        failure(desk, 10_006, "Too many visits!")
    }

    fn label(&self, desk: &Desk<'_>, answer: Answer, tally: &Tally) -> Answer {
        let reset = desk.now_ms + i64::try_from(tally.reset_ms).unwrap_or(0);
        answer
            .with("x-bapi-limit", tally.max)
            .with("x-bapi-limit-status", tally.left())
            .with("x-bapi-limit-reset-timestamp", reset)
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let result = match (&call.method, call.path.as_str()) {
            (&Method::GET, "/v5/market/time") => {
                json!({ "timeSecond": desk.now_secs().to_string(), "timeNano": (desk.now_ms * 1_000_000).to_string() })
            }
            (&Method::GET, "/v5/system/status") => json!({ "list": [] }),
            (&Method::GET, "/v5/market/tickers") => {
                let symbol = call.param_or("symbol", "BTCUSDT");
                let Some(price) = desk.market.price(&symbol, desk.now_ms) else {
                    return failure(desk, 10_001, "Not supported symbols");
                };
                json!({ "category": call.param_or("category", "spot"), "list": [{
                    "symbol": symbol, "lastPrice": decimal(price), "bid1Price": decimal(price * 0.9999), "bid1Size": "2",
                    "ask1Price": decimal(price * 1.0001), "ask1Size": "0.6", "volume24h": "18421.55", "turnover24h": decimal(price * 18_421.55)
                }] })
            }
            (&Method::GET, "/v5/market/kline") => return kline(desk, call),
            (&Method::GET, "/v5/account/wallet-balance") => {
                json!({ "list": [{ "accountType": call.param_or("accountType", "UNIFIED"), "totalEquity": "10000", "coin": [] }] })
            }
            (&Method::GET, "/v5/user/query-api") => json!({ "id": "1", "note": "stand-in", "readOnly": 0 }),
            (&Method::POST, "/v5/order/create") => {
                json!({ "orderId": format!("{:032x}", desk.sequence), "orderLinkId": "" })
            }
            (&Method::POST, "/v5/order/cancel") => {
                json!({ "orderId": call.json().unwrap_or_default()["orderId"], "orderLinkId": "" })
            }
            _ => return Answer::json(404, json!({})),
        };
        success(desk, &result)
    }
}

fn success(desk: &Desk<'_>, result: &serde_json::Value) -> Answer {
    Answer::ok(
        json!({ "retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": desk.now_ms }),
    )
}

fn failure(desk: &Desk<'_>, code: i32, message: &str) -> Answer {
    Answer::ok(
        json!({ "retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": desk.now_ms }),
    )
}

/// Rows are start, open, high, low, close, volume, turnover; newest first.
fn kline(desk: &Desk<'_>, call: &Call) -> Answer {
    let step = match call.param_or("interval", "1").as_str() {
        "D" => DAY_MS,
        "W" => 7 * DAY_MS,
        "M" => 30 * DAY_MS,
        minutes => match minutes.parse::<i64>() {
            Ok(minutes @ 1..=720) => minutes * 60_000,
            _ => return failure(desk, 10_001, "params error: interval invalid"),
        },
    };
    let limit = call.number("limit").unwrap_or(200).clamp(1, 1000);
    let end = call.number("end").unwrap_or(desk.now_ms).min(desk.now_ms);
    let symbol = call.param_or("symbol", "");
    let bars = match call.number("start") {
        Some(start) => desk.market.between(&symbol, step, start, end, limit),
        None => desk.market.candles(&symbol, step, limit, end),
    };
    let Some(bars) = bars else { return failure(desk, 10_001, "Not supported symbols") };
    let rows: Vec<_> = bars
        .iter()
        .rev()
        .map(|bar| {
            json!([
                bar.start_ms.to_string(),
                decimal(bar.open),
                decimal(bar.high),
                decimal(bar.low),
                decimal(bar.close),
                decimal(bar.volume),
                decimal(bar.volume * bar.close)
            ])
        })
        .collect();
    success(desk, &json!({ "category": call.param_or("category", "spot"), "symbol": symbol, "list": rows }))
}
