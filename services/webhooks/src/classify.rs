//! Decides what a target's answer means: it arrived, try later, never this message, or never this webhook again.
//!
//! Pure. The body decides first and the status second, because channels say the same thing with different statuses.
//! Sources: Slack's, Discord's and PagerDuty's own pages on their webhooks; RFC 9110 for `Retry-After`; Standard
//! Webhooks 1.0.0 for everything else. A detail holds the answer's text only where that is the diagnosis, and is cut.

mod discord;
mod http_target;
mod pagerduty;
mod slack;

use std::time::Duration;

use http::HeaderMap;
use model::Timestamp;
use model::webhook::WebhookKind;

/// Characters of an answer's text that a detail may hold.
pub(crate) const DETAIL_CHARS_MAX: usize = 500;
/// How long we wait when a channel says "too fast" and not until when.
const THROTTLED_WAIT: Duration = Duration::from_secs(30);

/// A target's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// Its status.
    pub(crate) status: u16,
    /// Its header fields.
    pub(crate) headers: &'a HeaderMap,
    /// Its body, cut to the cap of the exchange.
    pub(crate) body: &'a [u8],
    /// When it came.
    pub(crate) at: Timestamp,
}

/// What an answer means for the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It arrived.
    Delivered,
    /// Later, perhaps.
    Retry,
    /// Never, with this message.
    Permanent,
    /// Never, for this webhook: a person must act.
    Gone,
}

impl Meaning {
    /// The word in attempts and metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Permanent => "permanent",
            Self::Gone => "gone",
        }
    }
}

/// The verdict on one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What it means.
    pub(crate) meaning: Meaning,
    /// What was wrong, in a sentence. Absent when nothing was.
    pub(crate) detail: Option<String>,
    /// How long the target wants to hear nothing of us, at least.
    pub(crate) pause: Option<Duration>,
    /// Whether the pause holds for all webhooks of the kind.
    pub(crate) everywhere: bool,
    /// Whether the same message without its layout may be taken.
    pub(crate) plainer: bool,
}

impl Verdict {
    fn new(meaning: Meaning, detail: Option<String>) -> Self {
        Self { meaning, detail, pause: None, everywhere: false, plainer: false }
    }

    fn delivered() -> Self {
        Self::new(Meaning::Delivered, None)
    }

    /// Later, perhaps.
    pub(crate) fn retry(detail: impl Into<String>) -> Self {
        Self::new(Meaning::Retry, Some(detail.into()))
    }

    /// Never, with this message.
    pub(crate) fn permanent(detail: impl Into<String>) -> Self {
        Self::new(Meaning::Permanent, Some(detail.into()))
    }

    fn gone(detail: impl Into<String>) -> Self {
        Self::new(Meaning::Gone, Some(detail.into()))
    }

    fn after(mut self, pause: Option<Duration>) -> Self {
        self.pause = pause;
        self
    }
}

/// Reads an answer by the rules of its kind.
pub(crate) fn classify(kind: WebhookKind, seen: &Seen<'_>) -> Verdict {
    match kind {
        WebhookKind::Slack => slack::classify(seen),
        WebhookKind::Discord => discord::classify(seen),
        WebhookKind::Pagerduty => pagerduty::classify(seen),
        WebhookKind::Http => http_target::classify(seen),
    }
}

/// Reads an exchange without an answer.
pub(crate) fn classify_failure(error: &egress::Error) -> Verdict {
    match error {
        egress::Error::Refused(refusal) => Verdict::permanent(format!("the target is refused: {refusal}")),
        error => Verdict::retry(error.to_string()),
    }
}

impl Seen<'_> {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn retry_after(&self) -> Option<Duration> {
        egress::retry_after(self.headers, self.at)
    }

    fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(self.body).ok()
    }

    /// Status and text, for people.
    fn says(&self) -> String {
        let text = String::from_utf8_lossy(self.body);
        let text: String = text.trim().chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect();
        if text.is_empty() {
            return format!("answered {}", self.status);
        }
        format!("answered {}: {text}", self.status)
    }

    /// What the status alone says, for bodies that no table knows.
    fn by_status(&self) -> Verdict {
        match self.status {
            200..300 => Verdict::delivered(),
            429 => Verdict::retry(self.says()).after(Some(self.retry_after().unwrap_or(THROTTLED_WAIT))),
            408 | 409 | 421 | 425 => Verdict::retry(self.says()).after(self.retry_after()),
            501 | 505 => Verdict::permanent(self.says()),
            500..600 => Verdict::retry(self.says()).after(self.retry_after()),
            300..400 => Verdict::permanent(format!("answered {}: redirects are not followed", self.status)),
            410 => Verdict::gone(self.says()),
            _ => Verdict::permanent(self.says()),
        }
    }
}

#[cfg(test)]
mod tests;
