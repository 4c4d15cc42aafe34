//! An integration: a team's configured use of a provider. Its shape is the body of `POST /api/v1/integrations`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::auth::Auth;
use crate::cache::Caching;
use crate::merge::Merge;
use crate::operation::Operation;
use crate::price::{Plan, TokenPrice};
use crate::{IntegrationId, KeyId, ProviderId};

pub use crate::quota::Quota;

/// The provider id of an integration that brings its own address and scheme.
pub const CUSTOM_PROVIDER: &str = "custom";

/// A configured use of a provider. Holds no secret: `key` names one in the key store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Integration {
    /// Its id, chosen by people.
    pub id: IntegrationId,
    /// A provider of the catalogue, by id or alias, or `custom`.
    pub provider: ProviderId,
    /// A name for people; the provider's when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Which of the provider's environments: decides the base URL.
    #[serde(default = "production")]
    pub environment: String,
    /// The key to use. Absent: only what the provider offers without one.
    #[serde(default)]
    pub key: Option<KeyId>,
    /// Whether it may be called and probed.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Instead of the environment's base URL. Required for `custom`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Instead of the provider's scheme. Required for `custom`.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Headers added to every call. Credentials do not belong here.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Query parameters added to every call.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// How long a call may take to its answer's head, in milliseconds: 100 to 600,000.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u32,
    /// Further limits of time, beside `timeout_ms`.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Repeats at the same integration.
    #[serde(default)]
    pub retry: Retry,
    /// How it is probed; what is absent comes from the catalogue.
    #[serde(default)]
    pub probe: Probe,
    /// Limits that it must keep to. Absent: the catalogue's that hold for everybody, and those of the plan that
    /// `settings.plan` names.
    #[serde(default)]
    pub quotas: Vec<Quota>,
    /// Whether the catalogue's limits are kept to where `quotas` names none.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub preset_quotas: bool,
    /// What a call costs.
    #[serde(default)]
    pub cost: Cost,
    /// Which model to ask for instead of the one that a caller names, on routes that chat: by its name, else by `*`.
    /// A name that is not here passes as it is. At most 100; names of 1 to 200 characters.
    #[serde(default)]
    pub models: BTreeMap<String, String>,
    /// Canonical operations as this integration has them (`quote`, `candles`, `series`), instead of the catalogue's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operations: BTreeMap<String, Operation>,
    /// How answers are cached that were asked for past any route, below `/p`.
    #[serde(default, skip_serializing_if = "Caching::is_off")]
    pub cache: Caching,
    /// Endpoints whose single calls for one symbol are merged into one call for several when they come at the same time: by
    /// path below the base URL. At most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub merge: BTreeMap<String, Merge>,
    /// Words to select by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Settings of this provider alone.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// Limits of a call's steps, in milliseconds: 1 to 86,400,000. One that is absent does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// How long a connection may take to open: name, TCP and TLS.
    #[serde(default)]
    pub connect_ms: Option<u32>,
    /// How long the head of the answer may take on an open connection.
    #[serde(default)]
    pub first_byte_ms: Option<u32>,
    /// How long the whole call may take, to the last byte of the answer.
    #[serde(default)]
    pub total_ms: Option<u32>,
}

/// Repeats of a call that is safe to repeat, at the same integration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries in all, the first included: 1 to 10.
    #[serde(default = "attempts")]
    pub attempts: u8,
    /// Wait before the second try, in milliseconds; doubled each time, with full jitter. At most 60,000.
    #[serde(default = "backoff_ms")]
    pub backoff_ms: u32,
    /// Answers after which it is tried again, by their status: 400 to 599, at most 20. One that is here is no answer
    /// of a route as long as another member may have a better one, also where it says that the caller is wrong (409).
    /// Empty: those that mean trouble by the catalogue, such as 429 and 503. What is not answered is always tried
    /// again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: attempts(), backoff_ms: backoff_ms(), statuses: Vec::new() }
    }
}

/// Milliseconds from which on an answer is slow where neither an integration, nor the catalogue, nor a setting says.
pub const SLOW_MS: u32 = 2_000;

/// How an integration is asked how it is. An absent part comes from the catalogue, else from the program's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// `GET` or `HEAD` (default `GET`).
    #[serde(default)]
    pub method: Option<String>,
    /// Path below the base URL, its query included.
    #[serde(default)]
    pub path: Option<String>,
    /// Seconds from start to start: 1 to 86,400.
    #[serde(default)]
    pub every_secs: Option<u32>,
    /// Milliseconds until it counts as no answer: 50 to 60,000.
    #[serde(default)]
    pub timeout_ms: Option<u32>,
    /// Milliseconds from which on an answer is slow.
    #[serde(default)]
    pub slow_ms: Option<u32>,
}

/// A calendar window. Begins at the full second, minute, hour; at midnight; on Monday; on the first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day of the zone: 23, 24 or 25 hours.
    Day,
    /// A week from Monday.
    Week,
    /// A month.
    Month,
}

impl Window {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// Its length in seconds; a day has 24 hours here, and a month 30 days.
    pub const fn secs(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_592_000,
        }
    }
}

/// A share between 0 and 1, kept in millionths so that it compares exactly; written as a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    /// So many millionths.
    pub const fn from_millionths(millionths: u32) -> Self {
        Self(millionths)
    }

    /// In millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// Whether `used` of `limit` has reached this share.
    pub const fn reached(self, used: u64, limit: u64) -> bool {
        used as u128 * 1_000_000 >= limit as u128 * self.0 as u128
    }
}

impl Serialize for Ratio {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(f64::from(self.0) / 1e6)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let ratio = f64::deserialize(from)?;
        if !(ratio > 0.0 && ratio <= 1.0) {
            return Err(serde::de::Error::custom("must be above 0 and at most 1"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and a million"
        )]
        Ok(Self((ratio * 1e6).round() as u32))
    }
}

impl JsonSchema for Ratio {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ratio".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 })
    }
}

impl utoipa::PartialSchema for Ratio {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Number)
            .maximum(Some(1.0))
            .into()
    }
}

impl ToSchema for Ratio {}

/// What calls cost, in millionths of a US dollar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// For one request; 0 is as the catalogue has it. At most 1,000 dollars.
    #[serde(default)]
    pub per_request_micros: u64,
    /// What tokens of models cost, before what the catalogue says of them. At most 200, none twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<TokenPrice>,
    /// A plan by the month with what it includes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

fn production() -> String {
    "production".to_owned()
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_yes(value: &bool) -> bool {
    *value
}

const fn timeout_ms() -> u32 {
    10_000
}

const fn attempts() -> u8 {
    2
}

const fn backoff_ms() -> u32 {
    200
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_body_is_read() {
        let body = serde_json::json!({"id":"polygon-main","provider":"polygon","name":"Polygon","environment":"production",
            "key":"polygon-prod","enabled":true,"base_url":null,"headers":{},"timeout_ms":10000,
            "retry":{"attempts":2,"backoff_ms":200},
            "probe":{"path":"/v1/marketstatus/now","every_secs":30,"timeout_ms":5000,"slow_ms":1500},
            "quotas":[{"name":"minute","requests":5,"per":"minute"},
                      {"name":"month","requests":50000,"per":"month","timezone":"UTC","near":0.8}],
            "cost":{"per_request_micros":0},"params":{}});
        let read: Integration = serde_json::from_value(body).expect("the body of the contract");
        assert_eq!(read.quotas[0].near, Ratio(800_000));
        assert_eq!(crate::quota::compile(&read.quotas, 4).expect("they can be met").len(), 2);
        assert_eq!(read.retry, Retry::default());
    }

    #[test]
    fn a_ratio_is_reached_exactly() {
        assert!(Ratio(800_000).reached(4, 5));
        assert!(!Ratio(800_000).reached(799, 1000));
        assert!(serde_json::from_str::<Ratio>("0").is_err());
        assert_eq!(serde_json::to_string(&Ratio(800_000)).expect("serialises"), "0.8");
    }
}
