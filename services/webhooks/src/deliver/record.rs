//! Writes down what came of an attempt, and what follows: done, tried again, given up, or the webhook disabled.
//!
//! The attempt, the delivery and the events that tell of them are one transaction.

use std::time::Duration;

use model::delivery::{Attempt, Delivery, DeliveryAttempted, DeliveryFailed};
use model::webhook::Webhook;
use model::{Envelope, Event, Timestamp};
use store::Next;
use tracing::{debug, info, warn};

use super::disable::disable;
use crate::attempt::Attempted;
use crate::backoff::{ASKED_MAX, next_at};
use crate::classify::{DETAIL_CHARS_MAX, Meaning};
use crate::compose::text;
use crate::desk::Desk;
use crate::telemetry;

/// Records an attempt.
pub(super) async fn record(
    desk: &Desk,
    delivery: &Delivery,
    number: u32,
    attempted: &Attempted,
) -> store::Result<()> {
    let webhook = attempted.selected.webhook();
    let verdict = &attempted.verdict;
    let now = Timestamp::now();
    telemetry::attempted(webhook, verdict.meaning.as_str(), attempted.duration);
    if let Some(pause) = verdict.pause {
        let until = now.plus(pause.min(ASKED_MAX));
        desk.store.lane_pause(&webhook.id, until).await?;
        if verdict.everywhere {
            desk.pause_discord(until);
        }
    }
    let detail = verdict.detail.clone().unwrap_or_else(|| "no reason was given".to_owned());
    let mut disabled = false;
    let next = match verdict.meaning {
        Meaning::Delivered => Next::Delivered,
        Meaning::Permanent => Next::Failed { reason: detail },
        Meaning::Gone => {
            disabled = disable(desk, &webhook.id, &detail).await?;
            Next::Failed { reason: detail }
        }
        Meaning::Retry => {
            let pauses = &desk.settings.pauses_secs;
            match next_at(pauses, number, delivery.created_at, verdict.pause, now, rand::random()) {
                Some(due_at) => Next::Retry { due_at },
                None => Next::Failed { reason: format!("given up after {number} attempts: {detail}") },
            }
        }
    };
    let attempt = Attempt {
        attempt: number,
        at: attempted.at,
        outcome: verdict.meaning.as_str().to_owned(),
        status_code: attempted.status_code,
        duration_ms: u32::try_from(attempted.duration.as_millis()).unwrap_or(u32::MAX),
        detail: verdict.detail.as_deref().map(|detail| text::cut(detail, DETAIL_CHARS_MAX)),
    };
    log(delivery, &attempt, &next);
    let due_at = match &next {
        Next::Retry { due_at } => Some(*due_at),
        _ => None,
    };
    end(desk, delivery, attempt, next, disabled, now).await?;
    if let Some(due_at) = due_at {
        let asked = verdict.pause.unwrap_or_default().min(ASKED_MAX);
        let soon = now.plus(Duration::from_millis(desk.settings.hurry_ms).max(asked));
        hurry(desk, delivery, due_at, soon).await?;
    }
    Ok(())
}

/// Brings the next attempt nearer when others wait behind this delivery, never nearer than its target asked. Looked at
/// after the attempt was written, so that of this and an alert that comes at the same moment one sees the other.
async fn hurry(desk: &Desk, delivery: &Delivery, due_at: Timestamp, soon: Timestamp) -> store::Result<()> {
    if due_at > soon && desk.store.webhook_state(&delivery.webhook).await?.pending > 1 {
        desk.hold(&delivery.id, soon).await?;
    }
    Ok(())
}

/// Gives a delivery up without asking its target.
pub(super) async fn give_up(
    desk: &Desk,
    webhook: Option<&Webhook>,
    delivery: &Delivery,
    why: &str,
) -> store::Result<()> {
    let now = Timestamp::now();
    let number = delivery.attempts.saturating_add(1);
    match desk.store.attempt_begin(&delivery.id, number, now).await {
        Ok(()) => {}
        Err(store::Error::Stale { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    if let Some(webhook) = webhook {
        telemetry::attempted(webhook, Meaning::Permanent.as_str(), Duration::ZERO);
    }
    let attempt = Attempt {
        attempt: number,
        at: now,
        outcome: Meaning::Permanent.as_str().to_owned(),
        status_code: None,
        duration_ms: 0,
        detail: Some(text::cut(why, DETAIL_CHARS_MAX)),
    };
    let next = Next::Failed { reason: why.to_owned() };
    log(delivery, &attempt, &next);
    end(desk, delivery, attempt, next, false, now).await
}

async fn end(
    desk: &Desk,
    delivery: &Delivery,
    attempt: Attempt,
    next: Next,
    webhook_disabled: bool,
    now: Timestamp,
) -> store::Result<()> {
    let (id, webhook, event) = (&delivery.id, &delivery.webhook, &delivery.event);
    let mut events: Vec<Envelope<Vec<u8>>> = Vec::new();
    let attempted = DeliveryAttempted {
        delivery: id.clone(),
        webhook: webhook.clone(),
        event: event.clone(),
        attempt: attempt.clone(),
        next_at: match &next {
            Next::Retry { due_at } => Some(*due_at),
            _ => None,
        },
    };
    events.extend(told(desk, delivery, attempted));
    if let Next::Failed { reason } = &next {
        let failed = DeliveryFailed {
            delivery: id.clone(),
            webhook: webhook.clone(),
            event: event.clone(),
            attempts: attempt.attempt,
            reason: reason.clone(),
            at: now,
            webhook_disabled,
        };
        events.extend(told(desk, delivery, failed));
    }
    match desk.store.attempt_end(id, &attempt, next, &events, now).await {
        // Somebody else ended it: what we know is one request more than necessary.
        Err(store::Error::Stale { .. }) => Ok(()),
        ended => ended,
    }
}

fn told<T: Event>(desk: &Desk, delivery: &Delivery, fact: T) -> Option<Envelope<Vec<u8>>> {
    let envelope = desk.bus.envelope(fact).because_of(delivery.event.as_str());
    envelope.to_bytes().inspect_err(|error| warn!(%error, "An event cannot be written as JSON.")).ok()
}

fn log(delivery: &Delivery, attempt: &Attempt, next: &Next) {
    let (id, webhook, number) = (&delivery.id, &delivery.webhook, attempt.attempt);
    match next {
        Next::Delivered => {
            debug!(delivery.id = %id, webhook.id = %webhook, attempt = number, duration_ms = attempt.duration_ms, "Delivered to webhook {webhook}.");
        }
        Next::Retry { due_at } => {
            info!(delivery.id = %id, webhook.id = %webhook, attempt = number, status_code = attempt.status_code, next_at = %due_at, "Webhook {webhook} did not take a message; it is tried again.");
        }
        Next::Failed { .. } => {
            warn!(delivery.id = %id, webhook.id = %webhook, attempt = number, status_code = attempt.status_code, outcome = %attempt.outcome, "A delivery to webhook {webhook} is given up; it can be replayed.");
        }
    }
}
