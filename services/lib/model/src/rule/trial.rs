//! What a rule would have done: asked of the meter before it is saved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rule;
use crate::alert::Severity;
use crate::id::Slug;
use crate::period::Period;
use crate::{IntegrationId, Timestamp};

/// Firings that one answer has at most; further ones are counted.
pub const FIRINGS_MAX: usize = 500;

/// Things without figures that one answer names at most; further ones are counted.
pub const WITHOUT_MAX: usize = 100;

/// `sb.ask.v1.meter.test-rule`: when would this rule have fired? Answered with [`RuleTested`] or [`crate::ask::Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TestRule {
    /// The rule, not stored.
    pub rule: Rule,
    /// How far back.
    pub window: Period,
    /// The moment that counts as now.
    pub at: Timestamp,
}

/// The body of `POST /api/v1/rules:test`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = AlertRuleTested)]
pub struct RuleTested {
    /// The rule as it was looked at: with the values of its kind.
    pub rule: Rule,
    /// In a sentence: `would have fired 3 times in the last 7d`.
    pub summary: String,
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// From when on figures are known by the minute. Before, an hour's calls count as spread over it evenly.
    pub minutes_from: Timestamp,
    /// Seconds between the moments that were looked at.
    pub step_secs: u32,
    /// Things that it is about.
    pub targets: u64,
    /// Those whose figure said nothing at any moment of that time.
    pub targets_without_figures: u64,
    /// Which these are, and why; at most 100.
    #[serde(default)]
    pub without_figures: Vec<WithoutFigures>,
    /// How often it would have fired.
    pub fired: u64,
    /// When, oldest first, at most 500.
    pub firings: Vec<Firing>,
}

/// Something that a rule is about, whose figure says nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = AlertRuleWithoutFigures)]
pub struct WithoutFigures {
    /// Which integration.
    pub integration: Option<IntegrationId>,
    /// Which of its quotas.
    pub quota: Option<String>,
    /// Which budget.
    pub budget: Option<Slug>,
    /// Why, in a sentence for people.
    pub why: String,
}

/// One time that a rule would have fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = AlertRuleFiring)]
pub struct Firing {
    /// About which integration.
    pub integration: Option<IntegrationId>,
    /// About which of its quotas.
    pub quota: Option<String>,
    /// About which budget.
    pub budget: Option<Slug>,
    /// Which figure, of an `anomaly`: `requests`, `error_rate`, `latency` or `cost`.
    pub figure: Option<String>,
    /// How bad at its worst.
    pub severity: Severity,
    /// When it would have been raised.
    pub from: Timestamp,
    /// When it would have been resolved; null when it would still be open.
    pub to: Option<Timestamp>,
    /// The worst value in that time, in the unit of the rule's threshold (`availability`: of its burn rate; `anomaly`: as it began).
    pub peak: f64,
}
