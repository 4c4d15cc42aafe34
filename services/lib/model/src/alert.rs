//! Alerts: something that people should hear of, from raised to resolved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::id::Slug;
use crate::{AlertId, Timestamp};

/// How bad it is. PagerDuty knows exactly these four.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it today.
    Warning,
    /// Something is broken.
    Error,
    /// Wake someone.
    Critical,
}

impl Severity {
    /// All of them, mildest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The word used in subjects, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// An alert was raised. Raising an open one again (same fingerprint) updates it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct AlertRaised {
    /// The alert's id, the same in `resolved` and `acknowledged`.
    pub alert: AlertId,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of alert: `health`, `quota`, `price`, …
    pub alert_type: String,
    /// One line for people.
    pub title: String,
    /// The agent or person it comes from.
    #[serde(default)]
    pub persona: Option<String>,
    /// What it is about, or who raised it: an integration, a program.
    pub source: Slug,
    /// What makes two alerts the same. At most 255 characters.
    pub fingerprint: String,
    /// When it was raised.
    pub at: Timestamp,
    /// Words to select by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Anything else; the variables of templates.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// An alert is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct AlertResolved {
    /// The alert as it was raised.
    #[serde(flatten)]
    pub raised: AlertRaised,
    /// When it was over.
    pub resolved_at: Timestamp,
    /// Who or what resolved it: `failover`, `user:ada`.
    pub resolved_by: String,
}

/// Somebody takes care of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct AlertAcknowledged {
    /// The alert as it was raised.
    #[serde(flatten)]
    pub raised: AlertRaised,
    /// When.
    pub acknowledged_at: Timestamp,
    /// Who.
    pub acknowledged_by: String,
    /// What they said.
    #[serde(default)]
    pub note: Option<String>,
}

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It was raised.
    Raised,
    /// Somebody takes care.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Phase {
    /// The word used in subjects and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}
