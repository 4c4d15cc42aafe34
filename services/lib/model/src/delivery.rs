//! Deliveries: one alert to one webhook, made of attempts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::alert::Phase;
use crate::{DeliveryId, EventId, Timestamp, WebhookId};

/// Where a delivery is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits for its (next) attempt.
    Pending,
    /// It arrived.
    Delivered,
    /// It was given up; it can be replayed.
    Failed,
}

impl DeliveryState {
    /// The word used in answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// One alert to one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Delivery {
    /// Its id, the same for every attempt; receivers see it as `webhook-id`.
    pub id: DeliveryId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Because of which event.
    pub event: EventId,
    /// What the event said of the alert.
    pub phase: Phase,
    /// The alert's fingerprint.
    pub fingerprint: String,
    /// One line for people.
    pub title: String,
    /// Where it is in its life.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the next attempt is due. Absent when there will be none.
    pub due_at: Option<Timestamp>,
    /// When it arrived or was given up.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// Why it was given up.
    #[serde(default)]
    pub failure: Option<String>,
    /// The delivery that this one repeats.
    #[serde(default)]
    pub replay_of: Option<DeliveryId>,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Attempt {
    /// Counts from 1 within the delivery.
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// `delivered`, `retry`, `permanent`, `gone`, or `unknown` while it runs or when the program died in it.
    pub outcome: String,
    /// Status code of the answer. Absent when nothing answered.
    pub status_code: Option<u16>,
    /// How long it took, in milliseconds.
    pub duration_ms: u32,
    /// What was wrong, in a sentence; the answer's body only where it is the diagnosis, cut to 500 characters.
    pub detail: Option<String>,
}

/// A delivery should be tried. The row in the database is the truth; this only wakes a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct DeliveryDue {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// When it is due.
    pub due_at: Timestamp,
}

/// A delivery was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct DeliveryAttempted {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Because of which event.
    pub event: EventId,
    /// The try.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// When the next try is due. Absent when there will be none.
    pub next_at: Option<Timestamp>,
}

/// A delivery was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct DeliveryFailed {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Because of which event.
    pub event: EventId,
    /// Tries that were made.
    pub attempts: u32,
    /// Why, in a sentence.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Whether the webhook was disabled because of it.
    pub webhook_disabled: bool,
}
