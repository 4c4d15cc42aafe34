//! A provider's limits, and the headers in which its answers say what is left.

use model::integration::{Integration, Window};
use model::quota::{self, Kind, Quota, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Provider, endpoint};

/// One documented limit. Exactly one of `requests` and `weight`, and exactly one of `per` and `window_secs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderLimit)]
pub struct Limit {
    /// Its name, unique in the provider.
    pub name: String,
    /// Whose use is counted together.
    pub scope: LimitScope,
    /// Requests in a window.
    #[serde(default)]
    pub requests: Option<u64>,
    /// Units in a window, where calls weigh differently.
    #[serde(default)]
    pub weight: Option<u64>,
    /// The window.
    #[serde(default)]
    pub per: Option<Window>,
    /// The window, in seconds, when it has no name.
    #[serde(default)]
    pub window_secs: Option<u32>,
    /// How the window begins again.
    pub kind: LimitKind,
    /// Units that may come at once, where a bucket holds more than one window's worth.
    #[serde(default)]
    pub burst: Option<u64>,
    /// The zone of calendar windows of a day and more: an IANA name.
    #[serde(default)]
    pub timezone: Option<String>,
    /// The plan that it belongs to. Absent: every plan.
    #[serde(default)]
    pub plan: Option<String>,
    /// Beginnings of paths that it is about. Empty: all.
    #[serde(default)]
    pub paths: Vec<String>,
    /// What calls weigh. What is not named weighs 1.
    #[serde(default)]
    pub weights: Vec<Weight>,
    /// What to know about it.
    #[serde(default)]
    pub note: Option<String>,
    /// Whether no source was found for it.
    #[serde(default)]
    pub unsourced: bool,
}

/// What a call weighs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderWeight)]
pub struct Weight {
    /// The path, with `{placeholders}`.
    pub path: String,
    /// Units of a call to it.
    pub units: u32,
}

/// Whose use a limit counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderLimitScope)]
pub enum LimitScope {
    /// One key.
    Key,
    /// One address.
    Ip,
    /// One account, organisation or project, whatever key it uses.
    Account,
}

/// How a window begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderLimitKind)]
pub enum LimitKind {
    /// Any stretch of that length counts.
    Rolling,
    /// At the full minute, hour, at midnight, on the first.
    Calendar,
    /// Refills evenly: one window's worth in a window.
    Bucket,
}

/// Where answers say what is left of one limit. The same header name may serve several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderUsageHeaders)]
pub struct UsageHeaders {
    /// Which limit they speak of: `requests`, `tokens`, `weight_minute`, …
    pub name: String,
    /// Whose dialect it is.
    pub dialect: Dialect,
    /// The header with what is used.
    #[serde(default)]
    pub used: Option<String>,
    /// The header with what is left.
    #[serde(default)]
    pub remaining: Option<String>,
    /// The header with the limit.
    #[serde(default)]
    pub limit: Option<String>,
    /// The header with the time at which the window begins again.
    #[serde(default)]
    pub reset: Option<String>,
    /// How that time is written. Required with `reset`.
    #[serde(default)]
    pub reset_unit: Option<ResetUnit>,
    /// Whether no source was found for it.
    #[serde(default)]
    pub unsourced: bool,
}

/// A family of usage headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderDialect)]
pub enum Dialect {
    /// `RateLimit` and `RateLimit-Policy`.
    RateLimit,
    /// `X-RateLimit-Limit`, `-Remaining`, `-Reset`.
    XRateLimit,
    /// `x-ratelimit-…-requests`, `…-tokens`.
    Openai,
    /// `anthropic-ratelimit-…`.
    Anthropic,
    /// `X-MBX-USED-WEIGHT-1M`.
    Binance,
    /// `gw-ratelimit-…`.
    Kucoin,
    /// `X-Bapi-Limit…`.
    Bybit,
    /// `api-credits-…`.
    TwelveData,
}

/// How a header writes when a window begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderResetUnit)]
pub enum ResetUnit {
    /// Seconds from now.
    Secs,
    /// Milliseconds from now.
    Millis,
    /// Seconds since 1970.
    EpochSecs,
    /// Milliseconds since 1970.
    EpochMillis,
    /// As Go writes it: `6m0s`, `250ms`.
    Duration,
    /// RFC 3339.
    Rfc3339,
}

// === impl Limit ===

impl Limit {
    /// How much fits into a window.
    pub fn amount(&self) -> u64 {
        self.requests.or(self.weight).unwrap_or(0)
    }

    /// The window's length, in seconds; a month has 30 days here.
    pub fn window_secs(&self) -> u32 {
        self.per.map_or(self.window_secs.unwrap_or(0), Window::secs)
    }

    /// What a call to a path (its query ignored) takes from this limit; 0 when the limit is not about it.
    pub fn units(&self, path: &str) -> u32 {
        let path = endpoint::without_query(path);
        if !self.paths.is_empty() && !self.paths.iter().any(|p| endpoint::fit(p, path).is_some()) {
            return 0;
        }
        let fitting = self.weights.iter().filter_map(|w| Some((endpoint::fit(&w.path, path)?, w.units)));
        fitting.max_by_key(|(fit, _)| *fit).map_or(1, |(_, units)| units)
    }

    /// As an integration's quota.
    pub fn as_quota(&self) -> Quota {
        let weights = self.weights.iter();
        Quota {
            window_secs: self.window_secs,
            timezone: self.timezone.clone().or_else(|| self.per.map(|_| "UTC".to_owned())),
            kind: Some(match self.kind {
                LimitKind::Rolling => Kind::Rolling,
                // Where a window has no name nobody says when it begins: then any stretch of its length counts.
                LimitKind::Calendar if self.per.is_none() => Kind::Rolling,
                LimitKind::Calendar => Kind::Calendar,
                LimitKind::Bucket => Kind::Bucket,
            }),
            burst: self.burst,
            paths: self.paths.clone(),
            weights: weights
                .map(|weight| quota::Weight { path: weight.path.clone(), units: weight.units.into() })
                .collect(),
            ..Quota::new(self.name.clone(), self.amount(), self.per)
        }
    }
}

impl Provider {
    /// The limits of a plan, those of every plan included. `None`: the plan that new accounts have.
    pub fn limits_of<'a>(&'a self, plan: Option<&'a str>) -> impl Iterator<Item = &'a Limit> {
        let plan = plan.or(self.cost.default_plan.as_deref());
        self.limits.iter().filter(move |l| l.plan.is_none() || l.plan.as_deref() == plan)
    }

    /// The quotas that are shown of an integration which names none: those that counted calls tell of, of a window with a
    /// name.
    pub fn preset_quotas(&self) -> Vec<Quota> {
        let quotas = self.limits_of(None).map(Limit::as_quota);
        quotas.filter(|quota| quota.per.is_some() && quota.counts_calls()).collect()
    }

    /// The quotas that an integration keeps to: its own, or where it names none those of the catalogue.
    pub fn quotas_of(&self, it: &Integration) -> Vec<Quota> {
        let plan = it.settings.get("plan").and_then(serde_json::Value::as_str);
        match it.quotas.is_empty() {
            true if it.preset_quotas => self.kept_quotas(plan),
            _ => it.quotas.clone(),
        }
    }

    /// Whose calls end together when the provider wants none for a time: those with one credential where it counts one of the
    /// limits, else those of the integration.
    pub fn refuses_together(&self, it: &Integration) -> Scope {
        let shared = self.quotas_of(it).iter().any(|quota| quota.scope == Scope::Credential);
        if shared { Scope::Credential } else { Scope::Integration }
    }

    /// The quotas that an integration keeps to which names none: those of everybody, and those of its plan. Which plan a key
    /// is of nobody knows until somebody says; to keep to a smaller one would refuse calls that were paid for. Providers count
    /// by key, account or address: integrations with the same key count together.
    pub fn kept_quotas(&self, plan: Option<&str>) -> Vec<Quota> {
        let kept = self.limits.iter().filter(|l| l.plan.is_none() || l.plan.as_deref() == plan);
        let shared = |limit: &Limit| Quota { scope: Scope::Credential, ..limit.as_quota() };
        kept.filter(|limit| !limit.unsourced).map(shared).collect()
    }
}
