//! Questions between services, by NATS request and reply: the trial and the real thing are one code path.
//!
//! A question carries no secret. A key that is being tried is put into the key store under `trials/<id>`
//! first, and taken out again after the answer.

mod limits;
mod usage;
mod wall;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use crate::forecast::Forecast;
use crate::health::{Health, Observed, Reason};
use crate::integration::Integration;
use crate::webhook::WebhookKind;
use crate::{IntegrationId, Timestamp, WebhookId};
pub use limits::{LeasedUse, PARTS_TOLD_MAX, PartUse, QuotaUse, Source};
pub use usage::{
    CallerUse, EndpointUse, Figures, IntegrationUse, Latency, ModelUse, RouteUse, SpanUse, Usage, UsageOf,
    UsageOfAll, UsageStep, UsageWindow,
};

/// `sb.ask.v1.prober.ping`: ask this configured integration now. Answered with [`Pong`] or [`Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ping {
    /// Which integration.
    pub integration: IntegrationId,
}

/// `sb.ask.v1.prober.test`: try this configuration. Answered with [`Pong`] or [`Refused`]; publishes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TestIntegration {
    /// The configuration, not stored.
    pub integration: Integration,
    /// `trials/<id>` in the key store, when a key is tried with it.
    pub trial: Option<String>,
    /// A stored key's version to try instead of the active one.
    pub version: Option<u32>,
}

/// The answer of a probe: the body of `GET /api/v1/integrations/{id}/ping`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Pong {
    /// Which integration.
    pub integration: IntegrationId,
    /// What this one answer says.
    pub health: Health,
    /// `green`, `yellow`, `red`, `grey`.
    pub colour: String,
    /// Time to the whole answer, in milliseconds. Absent when nothing answered.
    pub latency_ms: Option<u32>,
    /// When.
    pub checked_at: Timestamp,
    /// Status code of the answer. Absent when nothing answered.
    pub status_code: Option<u16>,
    /// What was wrong.
    pub reason: Option<Reason>,
    /// A sentence for people.
    pub detail: Option<String>,
}

impl From<&Observed> for Pong {
    fn from(seen: &Observed) -> Self {
        let health = seen.reason.map_or(Health::Up, Reason::health);
        Self {
            integration: seen.integration.clone(),
            health,
            colour: health.colour().to_owned(),
            latency_ms: seen.latency_ms,
            checked_at: seen.at,
            status_code: seen.status_code,
            reason: seen.reason,
            detail: seen.detail.clone(),
        }
    }
}

/// `sb.ask.v1.webhooks.render`: render a template. Answered with [`Rendered`] or [`Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Render {
    /// Liquid.
    pub template: String,
    /// What it may name.
    pub variables: Map<String, Value>,
    /// Partials by name.
    pub partials: Map<String, Value>,
    /// Unknown variables are empty instead of an error.
    pub lenient: bool,
}

/// What a template became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Rendered {
    /// The text.
    pub output: String,
}

/// `sb.ask.v1.webhooks.preview`: what a webhook would send for an alert. Answered with [`Previewed`] or [`Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Preview {
    /// Whose rules apply.
    pub kind: WebhookKind,
    /// Liquid; the kind's default when absent.
    pub template: Option<String>,
    /// The alert, as `alert.raised` has it; an example when absent.
    pub alert: Option<Value>,
}

/// What would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Previewed {
    /// The exact body.
    pub body: String,
    /// Its media type.
    pub content_type: String,
    /// What would be cut or refused by the channel, in sentences.
    pub warnings: Vec<String>,
}

/// `sb.ask.v1.webhooks.test`: send an example now, once. Answered with [`Tested`] or [`Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TestWebhook {
    /// Which webhook.
    pub webhook: WebhookId,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Tested {
    /// Whether it arrived.
    pub delivered: bool,
    /// `delivered`, `retry`, `permanent` or `gone`, as an attempt's outcome.
    pub outcome: String,
    /// Status code of the answer. Absent when nothing answered.
    pub status_code: Option<u16>,
    /// How long it took, in milliseconds.
    pub duration_ms: u32,
    /// What was wrong, in a sentence.
    pub detail: Option<String>,
}

/// `sb.ask.v1.webhooks.admit`: may this address be a target? Answered with [`Admitted`] or [`Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admit {
    /// The path in the key store below which the address stands as field `url`: `trials/<id>`.
    pub trial: String,
}

/// The address may be a target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admitted {}

/// `sb.ask.v1.prober.admit`: may this base URL be called? Answered with [`Admitted`] or [`Refused`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdmitUrl {
    /// The base URL of an integration; not a secret.
    pub url: String,
}

/// Why a question was not answered: the caller's fault, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Refused {
    /// A word for programs: `unknown_integration`, `invalid_template`, `target_refused`.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
    /// Where in the template, counted from 1.
    #[serde(default)]
    pub line: Option<u32>,
    /// Where in the line, counted from 1.
    #[serde(default)]
    pub column: Option<u32>,
    /// Near matches.
    #[serde(default)]
    pub near: Vec<String>,
}

/// An answer: what was asked for, or why not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// What was asked for.
    Ok(T),
    /// Why not.
    Refused(Refused),
}
