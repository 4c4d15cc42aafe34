//! What went wrong at one integration, and how callers are told.

use std::time::Duration;

use model::health::Reason;
use serde_json::{Value, json};

use super::Answer;
use crate::snapshot::Integration;

/// What went wrong at one integration.
pub(crate) struct Failure {
    /// What, as callers see it.
    pub(crate) reason: Reason,
    /// The same in words of ours, where more is known.
    pub(crate) why: Option<String>,
    /// Status of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// How long it took, in milliseconds.
    pub(crate) duration_ms: u64,
    /// Whether the provider may have done something.
    pub(crate) may_have_acted: bool,
    /// How long the provider asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The provider's own answer.
    pub(crate) answer: Option<Box<Answer>>,
}

impl Failure {
    /// As a member of a problem: no text of the provider, no address.
    pub(crate) fn to_json(&self, integration: &Integration) -> Value {
        let mut told = json!({
            "integration": integration.id.as_str(),
            "reason": self.reason.as_str(),
            "status": self.status,
            "duration_ms": self.duration_ms,
        });
        if let Some(why) = &self.why {
            told["detail"] = why.as_str().into();
        }
        told
    }

    pub(in crate::proxy) fn unsent(reason: Reason, duration_ms: u64) -> Self {
        let (why, status, retry_after, answer) = (None, None, None, None);
        Self { reason, why, status, duration_ms, may_have_acted: false, retry_after, answer }
    }
}
