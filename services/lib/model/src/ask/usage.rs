//! What was used, as people ask for it. Percentiles are of all times together, never means of percentiles.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::forecast::Forecast;
use crate::health::Reason;
use crate::quota::Quota;
use crate::usage::{Sketch, Tokens};
use crate::{IntegrationId, KeyId, RouteId, Timestamp};

use super::QuotaUse;

/// A calendar window in which some moment lies: of UTC, or of a zone that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageWindow {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week; it begins on Monday.
    Week,
    /// A month.
    Month,
    /// The day and the 89 days before it.
    #[serde(rename = "90d")]
    Quarter,
}

/// How long the spans of a history are.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum UsageStep {
    /// A minute; kept for 2 days.
    Minute,
    /// An hour; kept for 90 days.
    Hour,
    /// A day in UTC; kept for 5 years.
    Day,
}

impl UsageWindow {
    /// All of them, shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter];

    /// As it is written in the query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "90d",
        }
    }

    /// Reads what is written in the query.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.as_str() == text)
    }

    /// The steps of its history unless asked for others.
    pub const fn step(self) -> UsageStep {
        match self {
            Self::Hour => UsageStep::Minute,
            Self::Day => UsageStep::Hour,
            Self::Week | Self::Month | Self::Quarter => UsageStep::Day,
        }
    }

    /// The shortest steps that its history may have: 2,160 of them at most.
    pub const fn step_min(self) -> UsageStep {
        match self {
            Self::Hour | Self::Day => UsageStep::Minute,
            Self::Week | Self::Month | Self::Quarter => UsageStep::Hour,
        }
    }

    /// The window of UTC in which a moment lies: its first moment, and the first one after it.
    pub fn span(self, at: Timestamp) -> (Timestamp, Timestamp) {
        let fixed = |secs: i64| {
            let from = Timestamp::from_millis(at.as_millis().div_euclid(secs * 1000) * secs * 1000);
            (from, from.plus(Duration::from_secs(secs.unsigned_abs())))
        };
        let (today, tomorrow) = fixed(86_400);
        let zoned = at.to_jiff().to_zoned(TimeZone::UTC);
        let back = |days: u64| today.minus(Duration::from_secs(days * 86_400));
        match self {
            Self::Hour => fixed(3_600),
            Self::Day => (today, tomorrow),
            Self::Week => {
                let from = back(zoned.weekday().to_monday_zero_offset().unsigned_abs().into());
                (from, from.plus(Duration::from_secs(7 * 86_400)))
            }
            Self::Month => {
                let first = zoned.date().first_of_month();
                let next = first.checked_add(1.month()).and_then(|next| next.to_zoned(TimeZone::UTC));
                let from = back(u64::from(zoned.day().unsigned_abs()) - 1);
                (from, next.map_or(tomorrow, |next| next.timestamp().into()))
            }
            Self::Quarter => (back(89), tomorrow),
        }
    }
}

impl UsageStep {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// As it is written in the query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Reads what is written in the query.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

/// `sb.ask.v1.meter.usage`: what an integration used. Answered with [`Usage`] or [`crate::ask::Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UsageOf {
    /// Which integration.
    pub integration: IntegrationId,
    /// The window in which `at` lies.
    pub window: UsageWindow,
    /// The zone of the window and of its days: an IANA name, UTC when absent. Its rows are known to be kept.
    #[serde(default)]
    pub zone: Option<String>,
    /// The steps of its history.
    pub step: UsageStep,
    /// The limits that gateways keep to.
    pub quotas: Vec<Quota>,
    /// Limits that are only shown.
    #[serde(default)]
    pub shown: Vec<Quota>,
    /// Whose key it uses: limits of a credential are kept by it.
    #[serde(default)]
    pub key: Option<KeyId>,
    /// What its plan costs a month, in millionths of a US dollar.
    #[serde(default)]
    pub plan_micros: Option<u64>,
    /// A moment of the window.
    pub at: Timestamp,
    /// The moment that counts as now.
    pub now: Timestamp,
}

/// What passed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = UsageFigures)]
pub struct Figures {
    /// Calls sent to the provider.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// What was wrong with them, by class. Those of before classes were counted are in none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub reasons: BTreeMap<Reason, u64>,
    /// Answers that came from the cache instead.
    #[serde(default)]
    pub cache_hits: u64,
    /// Bytes of request bodies.
    #[serde(default)]
    pub request_bytes: u64,
    /// Bytes of answer bodies.
    #[serde(default)]
    pub response_bytes: u64,
    /// What it cost as far as that is known, in millionths of a US dollar. What a plan includes costs nothing.
    pub cost_micros: u64,
    /// What language models used. `unpriced_answers` among them is how many answers have no known cost.
    #[serde(default)]
    pub tokens: Tokens,
    /// How long answers took; null when none was timed.
    #[serde(default)]
    pub latency: Option<Latency>,
}

/// How long answers took to begin, in milliseconds: of all of them, to 1.6 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = UsageLatency)]
pub struct Latency {
    /// Answers that were timed.
    pub answers: u64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 95 of 100 took no longer.
    pub p95_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
}

impl Latency {
    /// What a sketch says; nothing when it is empty.
    pub fn of(sketch: &Sketch) -> Option<Self> {
        let ms = |per_mille| sketch.per_mille(per_mille).map(millis);
        Some(Self {
            answers: sketch.count(),
            p50_ms: ms(500).filter(|_| !sketch.is_empty())?,
            p95_ms: ms(950)?,
            p99_ms: ms(990)?,
        })
    }
}

/// Microseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a sketch ends at 71 minutes")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// The body of `GET /api/v1/integrations/{id}/usage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Usage {
    /// Which integration.
    pub integration: IntegrationId,
    /// Which window was asked for.
    pub window: UsageWindow,
    /// The zone in which it and its days begin.
    #[serde(default = "utc")]
    pub zone: String,
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
    /// In all.
    #[serde(flatten)]
    pub figures: Figures,
    /// What the plan costs a month, in millionths of a US dollar; not in `cost_micros`. Null without a plan.
    #[serde(default)]
    pub plan_micros: Option<u64>,
    /// Every limit as it is now, whatever window was asked for.
    pub quotas: Vec<QuotaUse>,
    /// By endpoint, most calls first, at most 100.
    pub endpoints: Vec<EndpointUse>,
    /// By caller, most calls first, at most 100: `user:<name>`, `agent:<persona>`, `system:prober`.
    #[serde(default)]
    pub callers: Vec<CallerUse>,
    /// By language model, most answers first, at most 100. `other` are those without a price, and more than 16 a second.
    #[serde(default)]
    pub models: Vec<ModelUse>,
    /// By route, most calls first, at most 100. Calls past any route are in none.
    #[serde(default)]
    pub routes: Vec<RouteUse>,
    /// How long the spans of `history` are.
    pub step: UsageStep,
    /// By time, oldest first; only spans in which something passed.
    pub history: Vec<SpanUse>,
    /// Where it goes: calls and cost at the end of the longest limit's window (of the asked window without limits), and
    /// when the first limit of a day or more is used up.
    pub forecast: Forecast,
}

/// What passed of one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct EndpointUse {
    /// The endpoint.
    pub endpoint: String,
    /// What passed.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What one caller sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct CallerUse {
    /// The caller: an actor.
    pub caller: String,
    /// What passed.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What came through one route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RouteUse {
    /// The route.
    pub route: RouteId,
    /// What passed.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What one language model used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ModelUse {
    /// The model.
    pub model: String,
    /// Answers.
    pub answers: u64,
    /// What they used.
    pub tokens: Tokens,
    /// What they cost as far as that is known, in millionths of a US dollar: `unpriced_answers` of its tokens have no known
    /// cost. Null where no answer has one, which is not nothing.
    pub cost_micros: Option<u64>,
    /// Bytes of questions' bodies.
    #[serde(default)]
    pub request_bytes: u64,
    /// Bytes of answers' bodies.
    #[serde(default)]
    pub response_bytes: u64,
    /// How long answers took to begin; null when none was timed.
    #[serde(default)]
    pub latency: Option<Latency>,
}

/// What passed in one span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct SpanUse {
    /// When it began.
    pub start: Timestamp,
    /// What passed.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The body of `GET /api/v1/usage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct UsageOfAll {
    /// Which window was asked for.
    pub window: UsageWindow,
    /// The zone in which it and its days begin.
    #[serde(default = "utc")]
    pub zone: String,
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
    /// All integrations together; their reasons are told of one integration.
    #[serde(flatten)]
    pub figures: Figures,
    /// By integration, most calls first; those in which nothing passed are left out.
    pub integrations: Vec<IntegrationUse>,
    /// How long the spans of `history` are.
    pub step: UsageStep,
    /// By time, oldest first; only spans in which something passed. Latencies are told of one integration.
    pub history: Vec<SpanUse>,
}

/// What passed through one integration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct IntegrationUse {
    /// Which integration.
    pub integration: IntegrationId,
    /// What passed.
    #[serde(flatten)]
    pub figures: Figures,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(window: UsageWindow, at: &str, from: &str, to: &str) {
        let parse = |text| Timestamp::parse(text).expect("a time");
        assert_eq!(window.span(parse(at)), (parse(from), parse(to)), "{window:?} {at}");
    }

    #[test]
    fn windows_are_those_of_the_calendar() {
        let at = "2028-02-29T23:59:59.999Z";
        check(UsageWindow::Hour, at, "2028-02-29T23:00:00Z", "2028-03-01T00:00:00Z");
        check(UsageWindow::Day, at, "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z");
        check(UsageWindow::Week, at, "2028-02-28T00:00:00Z", "2028-03-06T00:00:00Z");
        check(UsageWindow::Month, at, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
        check(UsageWindow::Month, "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check(UsageWindow::Quarter, at, "2027-12-02T00:00:00Z", "2028-03-01T00:00:00Z");
    }

    #[test]
    fn figures_are_beside_their_name() {
        let span = SpanUse { start: Timestamp::from_millis(0), figures: Figures::default() };
        let json = serde_json::to_value(&span).expect("JSON");
        assert_eq!((&json["requests"], &json["latency"]), (&0.into(), &serde_json::Value::Null));
        assert_eq!(serde_json::from_value::<SpanUse>(json).expect("reads"), span);
    }
}
