//! FRED: a bad key is a 400, the default format is XML, and a missing value is a dot.

use http::Method;
use serde_json::{Value, json};

use super::symbols::month_ms;
use super::{Desk, Provider};
use crate::call::{Answer, Call, Content};
use crate::limits::{Rule, Tally};
use crate::market::{moment, stamp};

/// Observations a series has.
const OBSERVATIONS: i64 = 240;
/// Every how many observations one is missing.
const MISSING_EVERY: i64 = 60;

#[derive(Debug)]
pub(crate) struct Fred;

impl Provider for Fred {
    fn id(&self) -> &'static str {
        "fred"
    }

    fn base_path(&self) -> &'static str {
        "/fred"
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(120, 60)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        if is_v2(call) { call.authorization("bearer") } else { call.param("api_key") }
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = self.credential(call);
        if given.as_deref().is_none_or(str::is_empty) {
            return Err(failure(
                call,
                400,
                "Bad Request.  Variable api_key is not set.  Read https://fred.stlouisfed.org/docs/api/api_key.html for more information.",
            ));
        }
        if desk.accepts("api_key", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, call: &Call) -> Answer {
        failure(
            call,
            400,
            "Bad Request.  The value for variable api_key is not registered.  Read https://fred.stlouisfed.org/docs/api/api_key.html for more information.",
        )
    }

    fn throttled(&self, _desk: &Desk<'_>, call: &Call, _tally: &Tally) -> Answer {
        failure(call, 429, "Too Many Requests.  Exceeded Rate Limit")
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let series = call.param_or("series_id", "").to_ascii_uppercase();
        match (&call.method, call.path.as_str()) {
            (&Method::GET, "/fred/series" | "/fred/v2/series") => one_series(desk, call, &series),
            (&Method::GET, "/fred/series/observations" | "/fred/v2/series/observations") => {
                observations(desk, call, &series)
            }
            (&Method::GET, "/fred/releases") => shaped(
                call,
                json!({
                    "realtime_start": today(desk), "realtime_end": today(desk), "order_by": "release_id", "sort_order": "asc",
                    "count": 1, "offset": 0, "limit": 1000,
                    "releases": [{ "id": 53, "realtime_start": today(desk), "realtime_end": today(desk),
                                   "name": "Gross Domestic Product", "press_release": true }]
                }),
            ),
            _ => failure(call, 404, "Not Found"),
        }
    }
}

fn is_v2(call: &Call) -> bool {
    call.path.starts_with("/fred/v2/")
}

fn failure(call: &Call, status: u16, text: &str) -> Answer {
    if is_v2(call) {
        return Answer::json(status, json!({ "code": status, "message": text }));
    }
    if call.param("file_type").as_deref() == Some("json") {
        return Answer::json(status, json!({ "error_code": status, "error_message": text }));
    }
    xml(status, &format!("<error code=\"{status}\" message=\"{text}\" />"))
}

fn xml(status: u16, element: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n{element}\n");
    Answer { status, headers: Vec::new(), content: Content::Text("text/xml; charset=UTF-8", text) }
}

/// JSON when it was asked for; the service's default is XML.
fn shaped(call: &Call, body: Value) -> Answer {
    if is_v2(call) || call.param("file_type").as_deref() == Some("json") {
        return Answer::ok(body);
    }
    let attributes = body.as_object().into_iter().flatten().filter(|(_, value)| !value.is_array());
    let text: String = attributes
        .map(|(name, value)| format!(" {name}=\"{}\"", value.to_string().trim_matches('"')))
        .collect();
    xml(200, &format!("<answer{text} />"))
}

fn today(desk: &Desk<'_>) -> String {
    stamp(desk.now_ms, "%F")
}

fn one_series(desk: &Desk<'_>, call: &Call, series: &str) -> Answer {
    if desk.market.price(series, desk.now_ms).is_none() {
        return failure(call, 400, "Bad Request.  The series does not exist.");
    }
    shaped(
        call,
        json!({
            "realtime_start": today(desk), "realtime_end": today(desk),
            "seriess": [{
                "id": series, "realtime_start": today(desk), "realtime_end": today(desk), "title": format!("Series {series}"),
                "observation_start": "2006-01-01", "observation_end": today(desk), "frequency": "Monthly", "frequency_short": "M",
                "units": "Percent", "units_short": "%", "seasonal_adjustment": "Not Seasonally Adjusted",
                "seasonal_adjustment_short": "NSA", "last_updated": stamp(desk.now_ms, "%F 07:46:03-05"), "popularity": 80
            }]
        }),
    )
}

fn observations(desk: &Desk<'_>, call: &Call, series: &str) -> Answer {
    if desk.market.price(series, desk.now_ms).is_none() {
        return failure(call, 400, "Bad Request.  The series does not exist.");
    }
    let start = call.param("observation_start").and_then(|text| moment(&text)).unwrap_or(i64::MIN);
    let end = call.param("observation_end").and_then(|text| moment(&text)).unwrap_or(i64::MAX);
    let mut rows: Vec<Value> = (0..OBSERVATIONS)
        .rev()
        .map(|back| (back, month_ms(desk.now_ms, back)))
        .filter(|(_, at)| (start..=end).contains(at))
        .map(|(back, at)| {
            let level = desk.market.price(series, at).unwrap_or_default() / 40.0;
            let value = if back % MISSING_EVERY == MISSING_EVERY - 1 { ".".to_owned() } else { format!("{level:.2}") };
            json!({ "realtime_start": today(desk), "realtime_end": today(desk), "date": stamp(at, "%F"), "value": value })
        })
        .collect();
    let order = call.param_or("sort_order", "asc");
    if order == "desc" {
        rows.reverse();
    }
    let (count, limit) = (rows.len(), call.number("limit").unwrap_or(100_000).clamp(1, 100_000));
    let offset = call.number("offset").unwrap_or(0).max(0);
    let rows: Vec<Value> = rows
        .into_iter()
        .skip(usize::try_from(offset).unwrap_or(0))
        .take(usize::try_from(limit).unwrap_or(1))
        .collect();
    shaped(
        call,
        json!({
            "realtime_start": today(desk), "realtime_end": today(desk), "observation_start": "1776-07-04",
            "observation_end": "9999-12-31", "units": "lin", "output_type": 1, "file_type": "json",
            "order_by": "observation_date", "sort_order": order, "count": count, "offset": offset, "limit": limit,
            "observations": rows
        }),
    )
}
