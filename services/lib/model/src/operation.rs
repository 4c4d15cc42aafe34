//! What a provider can be asked under a name that is the same for all: how a call is written there, and where its answer
//! holds what was asked.
//!
//! Data of the catalogue and of integrations, in one language; `catalogue` checks it and carries it out. Holds no secret.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A canonical operation: the call it becomes. `{name}` in path and query stands for a parameter; `{base}` and `{quote}`
/// for the two parts of a symbol such as `BTC-USD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderOperation)]
pub struct Operation {
    /// `GET` or `POST`.
    #[serde(default = "get")]
    pub method: String,
    /// Below the base URL; begins with `/`.
    pub path: String,
    /// Query parameters. One whose placeholder has no value is left out.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Environments that have it. Empty: all.
    #[serde(default)]
    pub environments: Vec<String>,
    /// The plan from which on it is allowed. Absent: every plan.
    #[serde(default)]
    pub plan: Option<String>,
    /// What to know about its answer.
    #[serde(default)]
    pub note: Option<String>,
    /// Whether no source was found for a part of it.
    #[serde(default)]
    pub unsourced: bool,
    /// Where its answer holds what was asked. Absent: the answer is passed as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Reading>,
}

/// A parameter of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderParameter)]
pub struct Parameter {
    /// Its name: `symbol`, `from`, `to`, `interval`, `series_id`, `model`, …
    pub name: String,
    /// Whether the operation cannot do without. Of candles, `from` and `to` are then made up: the last days before now.
    #[serde(default)]
    pub required: bool,
    /// What is taken when it is not given, as the provider writes it.
    #[serde(default)]
    pub default: Option<String>,
    /// How this provider writes it, by an example.
    #[serde(default)]
    pub example: Option<String>,
    /// The canonical parameter that its value comes from, when that has another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// How this provider writes each value; it has no other. An empty text leaves the parameter out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// How this provider writes a time. Absent: RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeUnit>,
    /// How this provider writes a pair such as `BTC-USD`. Absent: it has shares and the like, but no pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<Pair>,
    /// The case of its letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<Case>,
    /// A parameter beside which it stays at its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<String>,
}

/// How a provider writes a pair of currencies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OperationPair)]
pub struct Pair {
    /// What stands before it.
    #[serde(default)]
    pub prefix: String,
    /// What stands between its parts.
    #[serde(default)]
    pub join: String,
    /// Parts that have another name here, by their common name in upper case: `BTC` is `XBT`.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
}

/// The case of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OperationCase)]
pub enum Case {
    /// `ABC`.
    Upper,
    /// `abc`.
    Lower,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OperationTimeUnit)]
pub enum TimeUnit {
    /// Seconds since 1970, a fraction allowed.
    Secs,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970.
    Nanos,
    /// RFC 3339.
    #[default]
    Rfc3339,
    /// `2026-11-21`, whatever follows it: a day.
    Date,
    /// `2026-11-21 09:30:00`, or a day.
    DateTime,
}

/// How the times of an answer are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OperationTime)]
pub struct Time {
    /// The unit.
    #[serde(default)]
    pub unit: TimeUnit,
    /// The zone of days and of times without one: an IANA name. Absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where the answer names the zone; before `zone`, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_at: Option<String>,
    /// The time of day that a day stands for, such as `16:00`. Absent: its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
}

/// Where an answer holds what was asked.
///
/// A place is a JSON pointer, `/result/list/0/lastPrice`. In it `Time Series*` is the first name that begins so, `*Zone`
/// the first that ends so, `*` the first element that is a list or an object, and `{symbol}` what was sent for a
/// parameter. A field is several of these with ` | ` between them, and the first that is there counts: a place; `@key`, the
/// name under which a row stands; `{symbol}`, as it was asked; anything else stands for itself, such as `USD`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OperationReading)]
pub struct Reading {
    /// Places that must hold one of these texts (`null`, `true` and numbers count as written): else it is no answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requires: BTreeMap<String, Vec<String>>,
    /// Places that all hold one of these texts when there is nothing to tell of what was asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nothing: BTreeMap<String, Vec<String>>,
    /// The place of the rows: a list, or an object whose values they are. Fields of rows are looked up in each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// Whether the place of the rows is an object of lists, one a field, instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub columns: bool,
    /// The symbol, as the provider has it. Absent: as it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// The currency of prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// A quote's price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// A quote's time. Absent: when the answer was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// A row's beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// A row's first price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
    /// A row's highest price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<String>,
    /// A row's lowest price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<String>,
    /// A row's last price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<String>,
    /// A row's volume. Absent: it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// An observation's day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// An observation's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// How times are written.
    #[serde(default)]
    pub time: Time,
    /// Texts that stand for a value that is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// How much of its rows one answer has. Absent: all that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
}

/// How much of its rows one answer of a provider has. Whether an answer is all that was asked for is told by these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OperationPage)]
pub struct Page {
    /// The most rows of an answer; a `limit` above it is not sent. One with so many, or with as many as `limit` says,
    /// is perhaps not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u32>,
    /// The place that holds something when there are more rows. Absent: their number says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<String>,
    /// Which rows an answer has when they do not all fit. Absent: what is missing says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps: Option<Keeps>,
    /// Whether a span of more candles is refused. The newest part of it is asked for then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refuses_more: bool,
}

/// Which rows an answer has when they do not all fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OperationKeeps)]
pub enum Keeps {
    /// The last ones before the end.
    Newest,
    /// The first ones from the beginning on, where one was asked for; else the last ones.
    Oldest,
}

fn get() -> String {
    "GET".to_owned()
}
