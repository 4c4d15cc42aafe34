//! Webhooks: where alerts go, which ones, when and how fast.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::alert::Severity;
use crate::{Timestamp, WebhookId};

/// A configured destination, without its secrets (they are in the key store under its id).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Webhook {
    /// Its id, chosen by people.
    pub id: WebhookId,
    /// Whose rules apply.
    pub kind: WebhookKind,
    /// Where it goes, without what is secret: for Slack and Discord only scheme and host, for PagerDuty the service's address.
    pub url: String,
    /// Whether it gets deliveries.
    pub enabled: bool,
    /// Why it was disabled by the program: the channel is gone. Absent when people did it or it is enabled.
    #[serde(default)]
    pub disabled_reason: Option<String>,
    /// Liquid; the kind's own default when absent.
    #[serde(default)]
    pub template: Option<String>,
    /// Which alerts.
    #[serde(default)]
    pub filter: Filter,
    /// When. Always, when absent.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// How fast at most. Only the kind's own pace, when absent.
    #[serde(default)]
    pub rate: Option<Rate>,
}

/// Whose rules apply to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookKind {
    /// A Slack incoming webhook.
    Slack,
    /// A Discord webhook.
    Discord,
    /// PagerDuty's Events API v2.
    Pagerduty,
    /// Any endpoint; signed by Standard Webhooks 1.0.0.
    Http,
}

impl WebhookKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Slack, Self::Discord, Self::Pagerduty, Self::Http];

    /// The word used in bodies and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Pagerduty => "pagerduty",
            Self::Http => "http",
        }
    }
}

/// Which alerts a webhook gets. An empty list lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only these severities.
    #[serde(default)]
    pub severities: Vec<Severity>,
    /// Only these types.
    #[serde(default)]
    pub alert_types: Vec<String>,
    /// Only those of these agents or persons.
    #[serde(default)]
    pub personas: Vec<String>,
    /// Only those of these sources.
    #[serde(default)]
    pub sources: Vec<String>,
}

/// When a webhook may speak: on these days, from `from` (inclusive) to `to` (exclusive), on the clock of the zone.
/// When `to` is not after `from` the window crosses midnight and belongs to the day on which it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// An IANA zone.
    pub timezone: String,
    /// Days of the week; all when empty.
    #[serde(default)]
    pub days: Vec<Day>,
    /// `HH:MM`.
    pub from: String,
    /// `HH:MM`; `24:00` is the end of the day.
    pub to: String,
    /// What happens to alerts outside.
    #[serde(default)]
    pub outside: Outside,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the days say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// What happens to alerts outside of the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// They wait until the window opens.
    #[default]
    Hold,
    /// They are not delivered.
    Drop,
}

/// How fast a webhook may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// At most so many messages: 1 to 10,000.
    pub max: u32,
    /// In so many seconds: 1 to 86,400.
    pub per_secs: u32,
}

/// What a webhook's owner should know of its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct WebhookState {
    /// Deliveries that wait.
    pub pending: u64,
    /// When the last one arrived.
    pub last_delivered_at: Option<Timestamp>,
    /// When the last one failed.
    pub last_failed_at: Option<Timestamp>,
}
