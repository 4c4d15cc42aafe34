//! Alert rules: which figure of what must stand where, for how long, before people hear of it. The shape is the body of
//! `POST /api/v1/rules`.
//!
//! A rule holds no state: what fires is the meter's. What a rule cannot be is in `check`, those that are there from the
//! start in `built_in`.

mod built_in;
mod check;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::alert::Severity;
use crate::id::Slug;
use crate::period::Period;
use crate::{IntegrationId, RouteId};

pub use built_in::{built_in, built_ins};
pub use check::Fault;
pub use trial::{FIRINGS_MAX, Firing, RuleTested, TestRule, WITHOUT_MAX, WithoutFigures};

/// The longest `for`, and the longest `resolve_after`: minutes are kept for two days.
pub const FOR_MAX: Period = Period::days(2);
/// The longest `window`: hours are kept for ninety days.
pub const WINDOW_MAX: Period = Period::days(90);

/// Failures below which a burn rate is chance, and the most calls that are waited for by default.
const FAILURES_MIN: f64 = 5.0;
const SAMPLE_MAX: f64 = 1e6;

/// An alert rule. Values that are left out are those of its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertRule)]
pub struct Rule {
    /// Its id, chosen by people.
    pub id: Slug,
    /// Which figure it is about.
    pub kind: RuleKind,
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it is looked at.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How bad it is; as its kind's own when absent: `critical` for `availability`, `error` for `exhausted` and `budget`,
    /// else `warning`. `budget`: from the whole amount on; shares below it are warnings at most.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// What it is about; everything when empty.
    #[serde(default)]
    pub select: Select,
    /// Where it begins, in the unit of its kind: see [`RuleKind`].
    #[serde(default)]
    pub threshold: Option<f64>,
    /// Where it ends, on the good side of `threshold`; the same when absent.
    #[serde(default)]
    pub resolve_at: Option<f64>,
    /// `availability` alone: how many times faster than allowed failures may come, over `window` and over a twelfth of it.
    #[serde(default)]
    pub burn: Option<f64>,
    /// The time over which the figure is taken, up to now. Kinds that have a window of their own have none here.
    #[serde(default)]
    pub window: Option<Period>,
    /// Calls in the window below which the figure says nothing. `availability`: also nothing before the first of them was a
    /// quarter of `window` ago; 50 when absent, or as many as need five failures to reach `burn`.
    #[serde(default)]
    pub min_requests: Option<u64>,
    /// How long it must stand there without a break. `anomaly`: over how long surprises are averaged, 5 to 60 minutes.
    #[serde(default, rename = "for")]
    pub wait: Option<Period>,
    /// How long it must be over without a break. `anomaly` has none: it is over after ten minutes as usual.
    #[serde(default)]
    pub resolve_after: Option<Period>,
}

/// The figure that a rule is about, and what its `threshold` is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// The share of a quota that is used is at least this (0 to 1); each quota's own `near` when absent.
    NearLimit,
    /// A quota is used up.
    Exhausted,
    /// The share of a budget that is spent is at least this (0 to 1); each budget's own thresholds when absent.
    Budget,
    /// A quota of a day or more, or a budget, is expected to reach this share of itself before it begins anew (1).
    ForecastBreach,
    /// Calls, errors, latency or cost are unlike what they were: the least surprise (2), in tenfold rareness, over `for`. 2
    /// is a false alarm in five weeks and figure, measured on public data; 1.5 finds more.
    Anomaly,
    /// The share of calls that failed, over `window`, is at least this (0 to 1).
    ErrorRate,
    /// The time to the answer's head, over `window`, in milliseconds, is at least this.
    ResponseTime,
    /// The share of time in which it was up, over `window`, is below this (0 to 1).
    Uptime,
    /// The share of calls that should succeed (0.99). Failures use up what is left to 1 `burn` times faster than
    /// allowed.
    Availability,
}

impl RuleKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NearLimit,
        Self::Exhausted,
        Self::Budget,
        Self::ForecastBreach,
        Self::Anomaly,
        Self::ErrorRate,
        Self::ResponseTime,
        Self::Uptime,
        Self::Availability,
    ];

    /// The word used in bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NearLimit => "near_limit",
            Self::Exhausted => "exhausted",
            Self::Budget => "budget",
            Self::ForecastBreach => "forecast_breach",
            Self::Anomaly => "anomaly",
            Self::ErrorRate => "error_rate",
            Self::ResponseTime => "response_time",
            Self::Uptime => "uptime",
            Self::Availability => "availability",
        }
    }

    /// How bad it is where a rule says nothing: as bad as the built-in rule with the same values.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Availability => Severity::Critical,
            Self::Exhausted | Self::Budget => Severity::Error,
            Self::NearLimit
            | Self::ForecastBreach
            | Self::Anomaly
            | Self::ErrorRate
            | Self::ResponseTime
            | Self::Uptime => Severity::Warning,
        }
    }

    /// The `alert_type` of its alerts.
    pub const fn alert_type(self) -> &'static str {
        match self {
            Self::NearLimit | Self::Exhausted => "quota",
            kind => kind.as_str(),
        }
    }
}

/// What a rule is about. An integration is selected when it is named or a member of a named route (all are when neither
/// names any), and has all of the labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertRuleSelect)]
pub struct Select {
    /// Integrations.
    #[serde(default)]
    pub integrations: BTreeSet<IntegrationId>,
    /// Routes, for their members.
    #[serde(default)]
    pub routes: BTreeSet<RouteId>,
    /// Labels with their values.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Budgets, for the kinds `budget` and `forecast_breach`; all when empty.
    #[serde(default)]
    pub budgets: BTreeSet<Slug>,
}

impl Select {
    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an integration with these labels is selected; `member_of` says of which routes it is a member.
    pub fn takes(
        &self,
        integration: &IntegrationId,
        labels: &BTreeMap<String, String>,
        member_of: impl Fn(&RouteId) -> bool,
    ) -> bool {
        let all = self.integrations.is_empty() && self.routes.is_empty();
        let named = self.integrations.contains(integration) || self.routes.iter().any(member_of);
        (all || named) && self.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

impl Rule {
    /// The same rule with the values of its kind where it says none. Only what the kind has is filled in.
    #[must_use]
    pub fn filled(mut self) -> Self {
        let (wait, resolve_after) = match self.kind {
            RuleKind::NearLimit | RuleKind::Exhausted | RuleKind::Budget => (Period::secs(0), Some(5)),
            RuleKind::ForecastBreach => (Period::minutes(15), Some(30)),
            RuleKind::Anomaly => (Period::minutes(10), None),
            RuleKind::ErrorRate => (Period::minutes(2), Some(5)),
            RuleKind::ResponseTime => (Period::minutes(5), Some(5)),
            RuleKind::Uptime => (Period::secs(0), Some(15)),
            RuleKind::Availability => (Period::minutes(2), Some(5)),
        };
        self.severity.get_or_insert(self.kind.severity());
        self.wait.get_or_insert(wait);
        self.resolve_after = self.resolve_after.or(resolve_after.map(Period::minutes));
        let defaults = match self.kind {
            RuleKind::NearLimit | RuleKind::Exhausted | RuleKind::Budget => (None, None, None),
            RuleKind::ForecastBreach => (Some(1.0), None, None),
            RuleKind::Anomaly => (Some(2.0), None, None),
            RuleKind::ErrorRate => (Some(0.2), Some(Period::minutes(5)), Some(20)),
            RuleKind::ResponseTime => (Some(5_000.0), Some(Period::minutes(10)), Some(20)),
            RuleKind::Uptime => (Some(0.99), Some(Period::days(1)), None),
            RuleKind::Availability => (Some(0.99), Some(Period::hours(1)), Some(50)),
        };
        let (threshold, window, min_requests) = defaults;
        self.threshold = self.threshold.or(threshold);
        self.window = self.window.or(window);
        if self.kind == RuleKind::Availability {
            self.burn.get_or_insert(14.4);
        }
        self.min_requests = self.min_requests.or(min_requests.map(|min| self.sample().max(min)));
        self
    }

    /// How bad it is, by its own word or that of its kind.
    pub fn severity(&self) -> Severity {
        self.severity.unwrap_or(self.kind.severity())
    }

    /// Calls among which one failure or two are no burn rate: as many as need five of them to reach it.
    fn sample(&self) -> u64 {
        let (Some(burn), Some(threshold)) = (self.burn, self.threshold) else { return 0 };
        let failing = burn * (1.0 - threshold);
        if failing > 0.0 { whole((FAILURES_MIN / failing - 1e-9).ceil()) } else { 0 }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is bounded before")]
fn whole(calls: f64) -> u64 {
    calls.clamp(0.0, SAMPLE_MAX) as u64
}

const fn yes() -> bool {
    true
}
