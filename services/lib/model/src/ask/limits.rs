//! How far the limits of an integration are used, as people ask for it.
//!
//! Of what counts whole calls in a calendar's windows the calls that were counted are told; of all that gateways lease, also
//! what they wrote into their ledgers last: some seconds ago.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::forecast::Forecast;
use crate::integration::{Ratio, Window};
use crate::quota::{Kind, Scope, Unit};

/// Callers, tokens or endpoints of one limit that are told of: those that used most of it.
pub const PARTS_TOLD_MAX: usize = 20;

/// A limit and what was used of it: in its current window, or at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct QuotaUse {
    /// The limit's name.
    pub name: String,
    /// Whether gateways keep to it. Of the catalogue's limits, those of a plan that nobody said it has are only shown.
    pub kept: bool,
    /// What is counted.
    pub unit: Unit,
    /// How units come again.
    pub kind: Kind,
    /// The window of a `calendar`.
    #[serde(default)]
    pub per: Option<Window>,
    /// The zone of these windows.
    #[serde(default)]
    pub timezone: Option<String>,
    /// How long after its use a unit comes again, of `rolling` and `bucket`, in milliseconds. Of a bucket whose bursts are smaller
    /// than its limit: a burst, in the time in which it fills again.
    #[serde(default)]
    pub window_ms: Option<u32>,
    /// Whose use is counted together.
    pub scope: Scope,
    /// Beginnings of paths that it is about. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Whether some paths weigh more or less than others.
    #[serde(default)]
    pub weighted: bool,
    /// Where `used` is from.
    pub source: Source,
    /// Used, with what is lost. Of a limit with parts: by the one that used most.
    pub used: u64,
    /// Allowed.
    pub limit: u64,
    /// What of it can still be used.
    pub left: u64,
    /// Used by allowed, to three digits.
    pub ratio: f64,
    /// The share from which on it is near.
    pub near: Ratio,
    /// Whether it is near.
    pub near_limit: bool,
    /// When the window ends. Null where there is none, because units come again one by one.
    pub resets_at: Option<Timestamp>,
    /// What gateways have of it; null while none has asked for any, and where each caller, token or endpoint has its own.
    #[serde(default)]
    pub leased: Option<LeasedUse>,
    /// Callers, tokens or endpoints that have a limit of their own by it, as far as they used any of it now.
    #[serde(default)]
    pub parts_total: u64,
    /// The 20 of them that used most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartUse>,
    /// Where it goes.
    #[serde(default)]
    pub forecast: Forecast,
}

/// Where the use of a limit is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaSource")]
#[schema(as = QuotaSource)]
pub enum Source {
    /// From calls that were counted, probes too; and from the ledger where that knows of more.
    Counted,
    /// From the ledger of what gateways lease.
    Leased,
}

/// What gateways have of a limit, by its ledger. All but `gateways` together is the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct LeasedUse {
    /// Spent in this window; without windows: what has not come again yet, at its most since gateways wrote last.
    pub spent: u64,
    /// Leased to gateways that live, and not spent.
    pub held: u64,
    /// Leased to gateways that are gone, spent or not: it counts as spent, until the window ends; without windows, for as
    /// long as such a gateway may be alive and cut off.
    pub lost: u64,
    /// Spent by others with the same key, as far as the provider's own count shows it.
    pub elsewhere: u64,
    /// What can still be leased.
    pub free: u64,
    /// Gateways that hold some of it.
    pub gateways: u32,
}

/// What one caller, token or endpoint used of its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct PartUse {
    /// The caller (`user:<name>`, `agent:<persona>`), the token's id, or the endpoint. `*`: those that are counted as one.
    pub part: String,
    /// Used, with what is lost.
    pub used: u64,
    /// What can still be used.
    pub left: u64,
    /// Used by allowed, to three digits.
    pub ratio: f64,
    /// Whether it is near.
    pub near_limit: bool,
    /// What gateways have of it.
    pub leased: LeasedUse,
}
