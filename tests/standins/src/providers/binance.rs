//! Binance (spot): public market data, signed account calls, weights counted by address.

use http::Method;
use serde_json::{Value, json};

use super::symbols::{DAY_MS, interval_ms, split};
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::decimal;
use crate::signing::{binance_hmac, binance_payload, fits_public_key};

/// How far a timestamp may lie ahead, in milliseconds.
const AHEAD_MAX_MS: i64 = 1000;
/// The window when the request names none, in milliseconds.
const WINDOW_MS: f64 = 5000.0;
/// The widest window, in milliseconds.
const WINDOW_MAX_MS: f64 = 60_000.0;

#[derive(Debug)]
pub(crate) struct Binance;

impl Provider for Binance {
    fn id(&self) -> &'static str {
        "binance"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["api_key", "api_secret"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::clock(6000, 60)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.header("x-mbx-apikey")
    }

    fn counted_by(&self, _call: &Call) -> String {
        "address".to_owned()
    }

    fn weight(&self, call: &Call) -> u64 {
        let one = call.param("symbol").is_some();
        match call.path.as_str() {
            "/api/v3/klines" => 2,
            "/api/v3/ticker/price" | "/api/v3/ticker/bookTicker" => {
                if one {
                    2
                } else {
                    4
                }
            }
            "/api/v3/ticker/24hr" => {
                if one {
                    2
                } else {
                    80
                }
            }
            "/api/v3/depth" => match call.number("limit").unwrap_or(100) {
                ..=100 => 5,
                101..=500 => 25,
                _ => 50,
            },
            "/api/v3/exchangeInfo" | "/api/v3/account" => 20,
            _ => 1,
        }
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        if !is_private(call) {
            return Ok(());
        }
        let given = self.credential(call);
        if given.as_deref().is_none_or(str::is_empty) {
            return Err(failure(400, -2014, "API-key format invalid."));
        }
        if !desk.accepts("api_key", given.as_deref()) {
            return Err(self.bad_key(desk, call));
        }
        let field = |name: &str| call.param(name).or_else(|| call.form(name));
        let Some(timestamp) = field("timestamp").and_then(|text| text.parse::<i64>().ok()) else {
            return Err(failure(
                400,
                -1102,
                "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.",
            ));
        };
        let Some(signature) = field("signature") else {
            return Err(failure(
                400,
                -1102,
                "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.",
            ));
        };
        check_time(desk, timestamp, field("recvWindow"))?;
        let payload = binance_payload(&call.query, &call.text());
        let public = desk.field("public_key_pem");
        let fits = if public.is_empty() {
            binance_hmac(desk.field("api_secret"), &payload) == signature.to_ascii_lowercase()
        } else {
            fits_public_key(public, &payload, &signature)
        };
        if fits { Ok(()) } else { Err(failure(400, -1022, "Signature for this request is not valid.")) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        failure(401, -2015, "Invalid API-key, IP, or permissions for action.")
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, tally: &Tally) -> Answer {
        let text = format!(
            "Too much request weight used; current limit is {} request weight per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
            tally.max
        );
        failure(429, -1003, &text).with("retry-after", tally.reset_secs())
    }

    fn label(&self, _desk: &Desk<'_>, answer: Answer, tally: &Tally) -> Answer {
        answer.with("x-mbx-used-weight", tally.used).with("x-mbx-used-weight-1m", tally.used)
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        match (&call.method, call.path.as_str()) {
            (&Method::GET, "/api/v3/ping") => Answer::ok(json!({})),
            (&Method::GET, "/api/v3/time") => Answer::ok(json!({ "serverTime": desk.now_ms })),
            (&Method::GET, "/sapi/v1/system/status") => Answer::ok(json!({ "status": 0, "msg": "normal" })),
            (&Method::GET, "/api/v3/exchangeInfo") => exchange_info(desk),
            (&Method::GET, "/api/v3/ticker/price") => {
                with_price(desk, call, |symbol, price| json!({ "symbol": symbol, "price": eight(price) }))
            }
            (&Method::GET, "/api/v3/ticker/bookTicker") => with_price(desk, call, |symbol, price| {
                json!({
                    "symbol": symbol, "bidPrice": eight(price * 0.9999), "bidQty": "4.31000000", "askPrice": eight(price * 1.0001), "askQty": "9.00000000"
                })
            }),
            (&Method::GET, "/api/v3/ticker/24hr") => with_price(desk, call, |symbol, price| {
                json!({
                    "symbol": symbol, "lastPrice": eight(price), "openPrice": eight(price * 0.99), "highPrice": eight(price * 1.01),
                    "lowPrice": eight(price * 0.98), "volume": "18421.55000000", "openTime": desk.now_ms - DAY_MS, "closeTime": desk.now_ms
                })
            }),
            (&Method::GET, "/api/v3/depth") => with_price(desk, call, |_, price| {
                let side = |step: f64| {
                    (1..=5)
                        .map(|level| json!([eight(price * (1.0 + step * f64::from(level))), "1.00000000"]))
                        .collect::<Vec<_>>()
                };
                json!({ "lastUpdateId": desk.sequence, "bids": side(-0.0001), "asks": side(0.0001) })
            }),
            (&Method::GET, "/api/v3/klines") => klines(desk, call),
            (&Method::GET, "/api/v3/account") => Answer::ok(json!({
                "makerCommission": 10, "takerCommission": 10, "canTrade": true, "canWithdraw": false, "canDeposit": true,
                "updateTime": desk.now_ms, "accountType": "SPOT", "permissions": ["SPOT"],
                "balances": [{ "asset": "BTC", "free": "0.50000000", "locked": "0.00000000" }, { "asset": "USDT", "free": "10000.00000000", "locked": "0.00000000" }]
            })),
            (&Method::POST, "/api/v3/order/test") => Answer::ok(json!({})),
            (&Method::POST, "/api/v3/order") => order(desk, call),
            (&Method::DELETE, "/api/v3/order") => cancelled(desk, call),
            (&Method::GET, "/api/v3/openOrders" | "/api/v3/myTrades" | "/api/v3/allOrders") => {
                Answer::ok(json!([]))
            }
            _ => Answer::html(404, "<html><body><h2>404 Not found</h2></body></html>"),
        }
    }
}

fn is_private(call: &Call) -> bool {
    const PUBLIC: [&str; 9] = [
        "/api/v3/ping",
        "/api/v3/time",
        "/api/v3/exchangeInfo",
        "/api/v3/ticker/price",
        "/api/v3/ticker/bookTicker",
        "/api/v3/ticker/24hr",
        "/api/v3/klines",
        "/api/v3/depth",
        "/sapi/v1/system/status",
    ];
    !PUBLIC.contains(&call.path.as_str())
}

fn failure(status: u16, code: i32, message: &str) -> Answer {
    Answer::json(status, json!({ "code": code, "msg": message }))
}

fn check_time(desk: &Desk<'_>, timestamp: i64, window: Option<String>) -> Result<(), Answer> {
    // Sixteen digits are microseconds.
    let sent_ms = if timestamp > 100_000_000_000_000 { timestamp / 1000 } else { timestamp };
    let window = window.map_or(Some(WINDOW_MS), |text| text.parse().ok());
    let Some(window) = window.filter(|ms| (0.0..=WINDOW_MAX_MS).contains(ms)) else {
        return Err(failure(400, -1131, "recvWindow must be less than 60000."));
    };
    if sent_ms >= desk.now_ms + AHEAD_MAX_MS {
        return Err(failure(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time."));
    }
    if (desk.now_ms - sent_ms) as f64 > window {
        return Err(failure(400, -1021, "Timestamp for this request is outside of the recvWindow."));
    }
    Ok(())
}

fn eight(price: f64) -> String {
    format!("{price:.8}")
}

fn with_price(desk: &Desk<'_>, call: &Call, shape: impl Fn(&str, f64) -> Value) -> Answer {
    let one = |symbol: &str| desk.market.price(symbol, desk.now_ms).map(|price| shape(symbol, price));
    match call.param("symbol") {
        Some(symbol) => one(&symbol).map_or_else(|| failure(400, -1121, "Invalid symbol."), Answer::ok),
        None => {
            Answer::ok(["BTCUSDT", "ETHUSDT", "LTCBTC"].iter().filter_map(|symbol| one(symbol)).collect())
        }
    }
}

fn klines(desk: &Desk<'_>, call: &Call) -> Answer {
    let symbol = call.param_or("symbol", "");
    let Some(step) = interval_ms(&call.param_or("interval", "")) else {
        return failure(400, -1120, "Invalid interval.");
    };
    let limit = call.number("limit").unwrap_or(500).clamp(1, 1000);
    let end = call.number("endTime").unwrap_or(desk.now_ms).min(desk.now_ms);
    let bars = match call.number("startTime") {
        Some(start) => desk.market.between(&symbol, step, start, end.min(start + step * (limit - 1)), limit),
        None => desk.market.candles(&symbol, step, limit, end),
    };
    let Some(bars) = bars else { return failure(400, -1121, "Invalid symbol.") };
    let rows = bars.iter().map(|bar| {
        json!([
            bar.start_ms,
            eight(bar.open),
            eight(bar.high),
            eight(bar.low),
            eight(bar.close),
            eight(bar.volume),
            bar.start_ms + step - 1,
            eight(bar.volume * bar.close),
            308,
            eight(bar.volume / 2.0),
            eight(bar.volume * bar.close / 2.0),
            "0"
        ])
    });
    Answer::ok(rows.collect())
}

fn exchange_info(desk: &Desk<'_>) -> Answer {
    let symbols: Vec<Value> = ["BTCUSDT", "ETHUSDT", "LTCBTC"]
        .iter()
        .map(|symbol| {
            let (base, quote) = split(symbol);
            json!({ "symbol": symbol, "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "baseAssetPrecision": 8, "quoteAssetPrecision": 8 })
        })
        .collect();
    Answer::ok(json!({
        "timezone": "UTC", "serverTime": desk.now_ms,
        "rateLimits": [
            { "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000 },
            { "rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100 },
            { "rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000 }
        ],
        "exchangeFilters": [], "symbols": symbols
    }))
}

/// Every order can be cancelled: the stand-in keeps none.
fn cancelled(desk: &Desk<'_>, call: &Call) -> Answer {
    let (id, own) = (call.number("orderId"), call.param("origClientOrderId"));
    if id.is_none() && own.is_none() {
        let text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!";
        return failure(400, -1102, text);
    }
    let symbol = call.param_or("symbol", "");
    let Some(price) = desk.market.price(&symbol, desk.now_ms) else {
        return failure(400, -1121, "Invalid symbol.");
    };
    Answer::ok(json!({
        "symbol": symbol, "origClientOrderId": own.unwrap_or_default(), "orderId": id.unwrap_or(1), "orderListId": -1,
        "clientOrderId": call.param_or("newClientOrderId", "stand-in"), "transactTime": desk.now_ms, "price": eight(price),
        "origQty": "1.00000000", "executedQty": "0.00000000", "cummulativeQuoteQty": "0.00000000", "status": "CANCELED",
        "timeInForce": "GTC", "type": "LIMIT", "side": "BUY"
    }))
}

fn order(desk: &Desk<'_>, call: &Call) -> Answer {
    let field = |name: &str| call.param(name).or_else(|| call.form(name)).unwrap_or_default();
    let price = field("price")
        .parse()
        .ok()
        .or_else(|| desk.market.price(&field("symbol"), desk.now_ms))
        .unwrap_or_default();
    Answer::ok(json!({
        "symbol": field("symbol"), "orderId": desk.sequence, "orderListId": -1, "clientOrderId": field("newClientOrderId"),
        "transactTime": desk.now_ms, "price": eight(price), "origQty": field("quantity"), "executedQty": decimal(0.0),
        "status": "NEW", "timeInForce": field("timeInForce"), "type": field("type"), "side": field("side")
    }))
    .with("x-mbx-order-count-10s", 1)
}
