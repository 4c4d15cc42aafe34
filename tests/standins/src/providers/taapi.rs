//! TAAPI.IO: indicators; the key is named `secret` and travels in the query or the bulk body.

use http::Method;
use serde_json::{Value, json};

use super::symbols::interval_ms;
use super::{Desk, Provider};
use crate::call::{Answer, Call};
use crate::limits::{Rule, Tally};
use crate::market::rounded;

/// Calculations in one bulk request.
const CALCULATIONS_MAX: usize = 20;

#[derive(Debug)]
pub(crate) struct Taapi;

impl Provider for Taapi {
    fn id(&self) -> &'static str {
        "taapi"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["secret"]
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(1, 15)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        if call.method == Method::POST {
            return call.json()?["secret"].as_str().map(str::to_owned);
        }
        call.param("secret")
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = self.credential(call);
        if desk.accepts("secret", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, _call: &Call) -> Answer {
        Answer::json(401, json!({ "error": "401: The secret key provided is invalid!" }))
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, _tally: &Tally) -> Answer {
        Answer::json(
            429,
            json!({ "error": "429: You have exceeded your request limit (TAAPI.IO rate-limit)!" }),
        )
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let segments = call.segments();
        match (&call.method, segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (&Method::POST, ["bulk"]) => bulk(desk, call),
            (&Method::GET, [indicator]) => {
                let (symbol, interval) = (call.param_or("symbol", ""), call.param_or("interval", ""));
                if call.param("exchange").is_none() || interval_ms(&interval).is_none() {
                    return Answer::json(
                        400,
                        json!({ "errors": ["exchange, symbol and interval are required"] }),
                    );
                }
                indicate(desk, indicator, &symbol).map_or_else(
                    || Answer::json(400, json!({ "errors": [format!("unknown symbol {symbol}")] })),
                    Answer::ok,
                )
            }
            _ => Answer::json(404, json!({ "error": "404: Not found" })),
        }
    }
}

fn indicate(desk: &Desk<'_>, indicator: &str, symbol: &str) -> Option<Value> {
    let price = desk.market.price(symbol, desk.now_ms)?;
    let before = desk.market.price(symbol, desk.now_ms - 3_600_000)?;
    let drift = (price / before - 1.0) * 1000.0;
    Some(match indicator {
        "rsi" | "mfi" | "stochrsi" => json!({ "value": rounded((50.0 + drift).clamp(0.0, 100.0)) }),
        "macd" => json!({ "valueMACD": drift, "valueMACDSignal": drift * 0.8, "valueMACDHist": drift * 0.2 }),
        _ => json!({ "value": rounded(price) }),
    })
}

fn bulk(desk: &Desk<'_>, call: &Call) -> Answer {
    let body = call.json().unwrap_or_default();
    let symbol = body["construct"]["symbol"].as_str().unwrap_or_default().to_owned();
    let wanted = body["construct"]["indicators"].as_array().cloned().unwrap_or_default();
    if wanted.len() > CALCULATIONS_MAX {
        return Answer::json(400, json!({ "errors": ["more than 20 calculations"] }));
    }
    let data: Vec<Value> = wanted
        .iter()
        .filter_map(|item| {
            let indicator = item["indicator"].as_str()?;
            let id = item["id"].as_str().unwrap_or(indicator);
            Some(json!({ "id": id, "indicator": indicator, "result": indicate(desk, indicator, &symbol)?, "errors": [] }))
        })
        .collect();
    Answer::ok(json!({ "data": data }))
}
