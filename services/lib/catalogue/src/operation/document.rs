//! The canonical documents: what every provider's answer becomes. `schemas/operations/` is made from here.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Kind;

/// Where schemas have their addresses.
const SCHEMA_BASE: &str = "https://signalbox.invalid/schemas/operations/";
/// A decimal number as a text: the provider's own digits, without an exponent.
const DECIMAL: &str = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$";

/// What one unit of something is worth now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quote {
    /// What was asked for, as it was asked.
    pub symbol: String,
    /// The price, a decimal number with the provider's own digits.
    #[schemars(transform = decimal)]
    pub price: String,
    /// The currency of the price, in upper case. Null when neither the provider nor the symbol says it.
    pub currency: Option<String>,
    /// The moment of the price: RFC 3339, UTC.
    #[schemars(transform = moment)]
    pub timestamp: String,
    /// Where the moment comes from.
    pub timestamp_source: TimestampSource,
    /// The provider that answered, as the catalogue names it; `custom` for one that it does not know.
    pub provider: String,
    /// The integration that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
}

/// Where a quote's moment comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampSource {
    /// The provider says it.
    Provider,
    /// The provider says the day only; it is the market's close on that day.
    Day,
    /// The provider does not say it: the answer was received then.
    Received,
}

/// Prices over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candles {
    /// What was asked for, as it was asked.
    pub symbol: String,
    /// How long a candle is: `1m`, `5m`, `15m`, `30m`, `1h`, `4h`, `1d` or `1w`.
    pub interval: String,
    /// The currency of the prices, in upper case. Null when neither the provider nor the symbol says it.
    pub currency: Option<String>,
    /// The candles, oldest first.
    pub candles: Vec<Candle>,
    /// Whether there are perhaps more of what was asked for than the provider gives at once. Absent: that is all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// What to ask for to get the rest. Absent: nothing is missing, or the provider does not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// The provider that answered, as the catalogue names it.
    pub provider: String,
    /// The integration that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
}

/// A part of what was asked for that an answer does not have: the same question with these parameters gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Next {
    /// The `from` of the next question. Absent: it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The `to` of the next question. Absent: it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Prices of one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candle {
    /// When it begins: RFC 3339, UTC.
    #[schemars(transform = moment)]
    pub start: String,
    /// The first price.
    #[schemars(transform = decimal)]
    pub open: String,
    /// The highest price.
    #[schemars(transform = decimal)]
    pub high: String,
    /// The lowest price.
    #[schemars(transform = decimal)]
    pub low: String,
    /// The last price.
    #[schemars(transform = decimal)]
    pub close: String,
    /// How much was traded, in units of what was asked for. Null when the provider does not say it.
    #[schemars(transform = decimal)]
    pub volume: Option<String>,
}

/// A statistic over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The provider's own name of the series.
    pub series_id: String,
    /// The observations, oldest first.
    pub observations: Vec<Observation>,
    /// Whether there are perhaps more of what was asked for than the provider gives at once. Absent: that is all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// What to ask for to get the rest. Absent: nothing is missing, or the provider does not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// The provider that answered, as the catalogue names it.
    pub provider: String,
    /// The integration that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// Its day: `2026-11-21`.
    #[schemars(transform = day)]
    pub date: String,
    /// Its value, a decimal number with the provider's own digits. Null when it is missing.
    #[schemars(transform = decimal)]
    pub value: Option<String>,
}

/// JSON Schema (2020-12) of what an operation answers.
pub fn schema(kind: Kind) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = match kind {
        Kind::Quote => generator.into_root_schema_for::<Quote>(),
        Kind::Candles => generator.into_root_schema_for::<Candles>(),
        Kind::Series => generator.into_root_schema_for::<Series>(),
    };
    schema.insert("$id".to_owned(), format!("{SCHEMA_BASE}{}.json", kind.as_str()).into());
    schema.to_value()
}

fn decimal(schema: &mut Schema) {
    schema.insert("pattern".to_owned(), DECIMAL.into());
}

fn moment(schema: &mut Schema) {
    schema.insert("format".to_owned(), "date-time".into());
}

fn day(schema: &mut Schema) {
    schema.insert("format".to_owned(), "date".into());
}
