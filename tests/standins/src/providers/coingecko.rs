//! CoinGecko: coins by id, a demo and a pro key that must not be mixed up.

use http::Method;
use serde_json::{Map, Value, json};

use super::symbols::DAY_MS;
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::rounded;

#[derive(Debug)]
pub(crate) struct CoinGecko;

impl Provider for CoinGecko {
    fn id(&self) -> &'static str {
        "coingecko"
    }

    fn base_path(&self) -> &'static str {
        "/api/v3"
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(100, 60)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        demo_key(call).or_else(|| pro_key(call))
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        if pro_key(call).is_some() && demo_key(call).is_none() {
            return Err(status(
                400,
                10010,
                "If you are using Pro API key, please change your root URL from api.coingecko.com to pro-api.coingecko.com",
            ));
        }
        // Keyless use is documented: no key is as good as the right one.
        match demo_key(call) {
            None => Ok(()),
            given if desk.accepts("api_key", given.as_deref()) => Ok(()),
            Some(_) => Err(self.bad_key(desk, call)),
        }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        status(401, 10002, "API Key Missing or invalid")
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, _tally: &Tally) -> Answer {
        status(
            429,
            429,
            "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing to subscribe to our API plans for higher rate limits.",
        )
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let segments = call.segments();
        match (&call.method, segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (&Method::GET, ["api", "v3", "ping"]) => Answer::ok(json!({ "gecko_says": "(V3) To the Moon!" })),
            (&Method::GET, ["api", "v3", "key"]) => Answer::ok(json!({
                "plan": "Demo", "rate_limit_request_per_minute": desk.usage.1, "monthly_call_credit": 10_000,
                "current_total_monthly_calls": desk.sequence, "current_remaining_monthly_calls": 10_000_u64.saturating_sub(desk.sequence)
            })),
            (&Method::GET, ["api", "v3", "simple", "price"]) => simple_price(desk, call),
            (&Method::GET, ["api", "v3", "coins", coin, "ohlc"]) => ohlc(desk, call, coin),
            (&Method::GET, ["api", "v3", "coins", coin, "market_chart"]) => chart(desk, call, coin),
            _ => Answer::json(
                404,
                json!({ "error": "Incorrect path. Please check https://www.coingecko.com/api/" }),
            ),
        }
    }
}

fn demo_key(call: &Call) -> Option<String> {
    call.header("x-cg-demo-api-key").or_else(|| call.param("x_cg_demo_api_key"))
}

fn pro_key(call: &Call) -> Option<String> {
    call.header("x-cg-pro-api-key").or_else(|| call.param("x_cg_pro_api_key"))
}

fn status(http: u16, code: u32, message: &str) -> Answer {
    Answer::json(http, json!({ "status": { "error_code": code, "error_message": message } }))
}

/// The market's symbol of a coin id and a currency.
fn symbol(coin: &str, currency: &str) -> String {
    let base = match coin {
        "bitcoin" => "BTC",
        "ethereum" => "ETH",
        "solana" => "SOL",
        "ripple" => "XRP",
        "dogecoin" => "DOGE",
        "litecoin" => "LTC",
        other => other,
    };
    format!("{base}-{currency}")
}

fn simple_price(desk: &Desk<'_>, call: &Call) -> Answer {
    let currencies = call.param_or("vs_currencies", "");
    if currencies.is_empty() {
        return Answer::json(422, json!({ "error": "Missing parameter vs_currencies" }));
    }
    let asked = |name: &str| call.param(name).as_deref() == Some("true");
    let mut coins = Map::new();
    for coin in call.param_or("ids", "").split(',').filter(|coin| !coin.is_empty()) {
        let mut row = Map::new();
        for currency in currencies.split(',') {
            let Some(price) = desk.market.price(&symbol(coin, currency), desk.now_ms) else { continue };
            let before = desk.market.price(&symbol(coin, currency), desk.now_ms - DAY_MS).unwrap_or(price);
            row.insert(currency.to_owned(), json!(rounded(price)));
            if asked("include_market_cap") {
                row.insert(format!("{currency}_market_cap"), json!((price * 19.8e6).round()));
            }
            if asked("include_24hr_vol") {
                row.insert(format!("{currency}_24h_vol"), json!((price * 4.2e5).round()));
            }
            if asked("include_24hr_change") {
                row.insert(format!("{currency}_24h_change"), json!((price / before - 1.0) * 100.0));
            }
        }
        if !row.is_empty() && asked("include_last_updated_at") {
            row.insert("last_updated_at".to_owned(), json!(desk.now_secs()));
        }
        if !row.is_empty() {
            coins.insert(coin.to_owned(), Value::Object(row));
        }
    }
    Answer::ok(Value::Object(coins))
}

fn ohlc(desk: &Desk<'_>, call: &Call, coin: &str) -> Answer {
    let (days, step) = span(call);
    let symbol = symbol(coin, &call.param_or("vs_currency", "usd"));
    let Some(bars) = desk.market.candles(&symbol, step, (days * DAY_MS / step).clamp(1, 400), desk.now_ms)
    else {
        return Answer::json(404, json!({ "error": "coin not found" }));
    };
    let rows: Vec<Value> = bars
        .iter()
        .map(|bar| {
            json!([
                bar.start_ms + step,
                rounded(bar.open),
                rounded(bar.high),
                rounded(bar.low),
                rounded(bar.close)
            ])
        })
        .collect();
    Answer::ok(Value::Array(rows))
}

fn chart(desk: &Desk<'_>, call: &Call, coin: &str) -> Answer {
    let (days, step) = span(call);
    let symbol = symbol(coin, &call.param_or("vs_currency", "usd"));
    let Some(bars) = desk.market.candles(&symbol, step, (days * DAY_MS / step).clamp(1, 400), desk.now_ms)
    else {
        return Answer::json(404, json!({ "error": "coin not found" }));
    };
    let row = |factor: f64| {
        bars.iter().map(|bar| json!([bar.start_ms, rounded(bar.close * factor)])).collect::<Vec<Value>>()
    };
    Answer::ok(json!({ "prices": row(1.0), "market_caps": row(19.8e6), "total_volumes": row(4.2e5) }))
}

/// Days asked for and the length of a bar, in milliseconds.
fn span(call: &Call) -> (i64, i64) {
    let days = call.number("days").unwrap_or(1).clamp(1, 365);
    (
        days,
        if days <= 2 {
            1_800_000
        } else if days <= 30 {
            14_400_000
        } else {
            4 * DAY_MS
        },
    )
}
