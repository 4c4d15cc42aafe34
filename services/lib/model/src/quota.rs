//! Quotas: limits of a provider as people set them, as gateways keep them, and the ledger that all of them share.
//!
//! Pure. A [`Quota`] is the shape of a body; [`compile`] makes it a [`Limit`], or says with a pointer why it can never
//! work. `window` and `clock` say when, `ledger` is the record in the `quota` bucket, `key` its name there. Nobody spends
//! what the record does not show as his, so that all together never spend more than the limit, whatever is killed, cut
//! off, said twice or told the wrong time.

pub mod clock;
pub mod window;

mod check;
mod limit;
mod sense;

pub mod key;
pub mod ledger;
pub mod pause;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::integration::{Ratio, Window};

pub use check::{Fault, Why, compile, keep};
pub use limit::{AMOUNT_MAX, CALL_MS_MAX, ESTIMATE_MS, Limit, ROLLING_AMOUNT_MAX, Span, slack_ms};
pub use sense::contradictions;

/// Limits of one integration.
pub const QUOTAS_MAX: usize = 64;
/// Limits that one call can be under.
pub const LIMITS_MAX: usize = 8;
/// Weights of one limit.
pub const WEIGHTS_MAX: usize = 1_000;
/// Beginnings of paths of one limit.
pub const PATHS_MAX: usize = 100;
/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 63;

/// A limit of the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Its name, unique in the integration: 1 to 63 characters.
    pub name: String,
    /// Units allowed in a window, or calls at a time.
    pub requests: u64,
    /// The window.
    #[serde(default)]
    pub per: Option<Window>,
    /// The window, in seconds, when it has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_secs: Option<u32>,
    /// The zone by whose clock windows of a calendar begin: an IANA name. Those of a day and more need one.
    #[serde(default)]
    pub timezone: Option<String>,
    /// The share from which on it is near its limit: above 0, at most 1.
    #[serde(default = "near")]
    pub near: Ratio,
    /// The share from which on what is left of a calendar window is spread over the rest of it. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Ratio>,
    /// What is counted.
    #[serde(default, skip_serializing_if = "Unit::is_requests")]
    pub unit: Unit,
    /// How the window begins again. Absent: `rolling` up to a minute and without a name, `calendar` from an hour on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Units that may come at once: at most `requests`, but of a bucket. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// Whose use is counted together.
    #[serde(default, skip_serializing_if = "Scope::is_integration")]
    pub scope: Scope,
    /// Beginnings of paths that it is about, with `{placeholders}`. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// What calls weigh, by the beginning of their path. What is not named weighs 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<Weight>,
    /// What gateways do that are cut off from the bus, once they have spent what they hold. Absent: `local_estimate` for
    /// rolling limits up to a minute, else `fail_closed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<Away>,
}

/// What a call weighs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "QuotaWeight")]
#[schema(as = QuotaWeight)]
pub struct Weight {
    /// The path, with `{placeholders}`.
    pub path: String,
    /// Units of a call to it. 0: the limit is not about it.
    pub units: u64,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaUnit")]
#[schema(as = QuotaUnit)]
pub enum Unit {
    /// Calls, each by its weight.
    #[default]
    Requests,
    /// Tokens of questions, as a language model counts them.
    InputTokens,
    /// Tokens of answers.
    OutputTokens,
    /// Both.
    Tokens,
}

/// How a window begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaKind")]
#[schema(as = QuotaKind)]
pub enum Kind {
    /// Any stretch of that length counts.
    Rolling,
    /// At the full minute, hour, at midnight, on Monday, on the first.
    Calendar,
    /// Refills evenly.
    Bucket,
    /// No window: calls at a time.
    Concurrent,
}

/// Whose use a limit counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaScope")]
#[schema(as = QuotaScope)]
pub enum Scope {
    /// All of the integration.
    #[default]
    Integration,
    /// All integrations with the same key.
    Credential,
    /// Each caller by itself: a person, or a persona.
    Caller,
    /// Each token by itself.
    Token,
    /// Each endpoint by itself.
    Endpoint,
}

/// What a gateway does without the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaAway")]
#[schema(as = QuotaAway)]
pub enum Away {
    /// It refuses.
    FailClosed,
    /// It goes on with what an equal share of all gateways would be, if it held that much, and refuses after a quarter of
    /// an hour.
    LocalEstimate,
}

// === impl Quota ===

impl Quota {
    /// So many requests in a window.
    pub fn new(name: impl Into<String>, requests: u64, per: Option<Window>) -> Self {
        Self {
            name: name.into(),
            requests,
            per,
            window_secs: None,
            timezone: None,
            near: near(),
            throttle: None,
            unit: Unit::default(),
            kind: None,
            burst: None,
            scope: Scope::default(),
            paths: Vec::new(),
            weights: Vec::new(),
            away: None,
        }
    }

    /// The zone of its windows; where nobody says, UTC.
    pub fn zone(&self) -> &str {
        self.timezone.as_deref().filter(|zone| !zone.is_empty()).unwrap_or("UTC")
    }

    /// Whether it is about calls to a path, and what one weighs there. 0: it is not. `fit` says how well a path begins as
    /// a pattern says.
    pub fn weighs<F: Ord + Copy>(&self, path: &str, fit: impl Fn(&str, &str) -> Option<F>) -> u64 {
        if !self.paths.is_empty() && !self.paths.iter().any(|pattern| fit(pattern, path).is_some()) {
            return 0;
        }
        let fitting = self.weights.iter().filter_map(|w| Some((fit(&w.path, path)?, w.units)));
        fitting.max_by_key(|(fit, _)| *fit).map_or(1, |(_, units)| units)
    }

    /// Whether all calls of its integration count for it, and each as one: then calls that were counted are its use.
    pub fn counts_calls(&self) -> bool {
        self.unit == Unit::Requests
            && !self.scope.has_parts()
            && self.paths.is_empty()
            && self.weights.is_empty()
    }
}

impl Unit {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_requests(&self) -> bool {
        *self == Self::Requests
    }
}

impl Scope {
    /// Whether each caller, token or endpoint is counted by itself.
    pub fn has_parts(self) -> bool {
        !matches!(self, Self::Integration | Self::Credential)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_integration(&self) -> bool {
        *self == Self::Integration
    }
}

const fn near() -> Ratio {
    Ratio::from_millionths(800_000)
}
