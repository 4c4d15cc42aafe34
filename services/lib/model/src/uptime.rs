//! Uptime: what an integration was over a time, as people ask for it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::health::{Health, Reason};
use crate::{IntegrationId, Timestamp};

/// How far back one looks. Rolling: it ends now.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, ToSchema,
)]
pub enum UptimeWindow {
    /// The last 24 hours.
    #[serde(rename = "24h")]
    Day,
    /// The last 7 days.
    #[serde(rename = "7d")]
    Week,
    /// The last 30 days.
    #[serde(rename = "30d")]
    Month,
    /// The last 90 days.
    #[serde(rename = "90d")]
    Quarter,
}

impl UptimeWindow {
    /// All of them, shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Quarter];

    /// As it is written in the query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
        }
    }

    /// Reads what is written in the query.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.as_str() == text)
    }

    /// How long it is.
    pub const fn length(self) -> Duration {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
        };
        Duration::from_secs(days * 24 * 3600)
    }
}

/// `sb.ask.v1.meter.uptime`: what an integration was. Answered with [`Uptime`] or [`crate::ask::Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UptimeOf {
    /// Which integration.
    pub integration: IntegrationId,
    /// How far back.
    pub window: UptimeWindow,
    /// The moment that counts as now.
    pub at: Timestamp,
}

/// The body of `GET /api/v1/integrations/{id}/uptime`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Uptime {
    /// Which integration.
    pub integration: IntegrationId,
    /// How far back was asked.
    pub window: UptimeWindow,
    /// The window's start.
    pub from: Timestamp,
    /// The window's end: when it was asked.
    pub to: Timestamp,
    /// From when on something is known of this window: its start, or later for an integration that is younger. Null
    /// when nothing is.
    pub known_from: Option<Timestamp>,
    /// Time up or degraded by time up, degraded or down, 0 to 1, to six digits; null when none of these was.
    pub ratio: Option<f64>,
    /// Which healths the ratio leaves out: `maintenance` and `unknown`. So does it what was before `known_from`.
    pub excluded: Vec<Health>,
    /// Time in each health, from `known_from` on.
    pub time: TimeIn,
    /// What went wrong within the window, newest first, at most 100: each runs until it was up again, or nothing was
    /// known, or work was announced.
    pub incidents: Vec<Incident>,
    /// How many there were in all.
    pub incidents_total: u64,
    /// What probes met, and how long answers took.
    pub prober: Answers,
    /// What callers met. Their latencies are the means of a second each, weighed by calls.
    pub gateway: Answers,
    /// The window in pieces for a chart, oldest first: hours of 24 hours, else days (UTC). The first and the last are cut to
    /// the window.
    pub bars: Vec<Bar>,
}

/// Time in each health, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct TimeIn {
    /// Up.
    pub up_secs: f64,
    /// Degraded.
    pub degraded_secs: f64,
    /// Down.
    pub down_secs: f64,
    /// Being worked on.
    pub maintenance_secs: f64,
    /// Not known: not observed, or switched off.
    pub unknown_secs: f64,
}

/// A time in which something was wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Incident {
    /// When it began, which may be before the window.
    pub from: Timestamp,
    /// When it was over; null while it lasts.
    pub to: Option<Timestamp>,
    /// How long it was, or is so far, in seconds, the part before the window included.
    pub duration_secs: f64,
    /// How long of that it was down, in seconds.
    pub down_secs: f64,
    /// The worst that it was: `down` or `degraded`.
    pub state: Health,
    /// Why it was that, when it first was.
    pub reason: Option<Reason>,
}

/// What was observed by one of those who observe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Answers {
    /// Calls that were observed.
    pub requests: u64,
    /// Those with trouble.
    pub failures: u64,
    /// What half of the answers did not exceed, in milliseconds, right to 2 %; null without answers.
    pub p50_ms: Option<u32>,
    /// The same for 95 of 100.
    pub p95_ms: Option<u32>,
    /// The same for 99 of 100.
    pub p99_ms: Option<u32>,
}

/// A piece of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Bar {
    /// Where it begins.
    pub from: Timestamp,
    /// Where it ends.
    pub to: Timestamp,
    /// As the window's; null when nothing was known in it.
    pub ratio: Option<f64>,
    /// Time in each health.
    pub time: TimeIn,
    /// The worst health in it: what to colour it by. `unknown` when nothing was known.
    pub worst: Health,
}
