//! Takes alerts from the bus: the alert's row, a delivery for each webhook that hears of it, and the events that wake
//! their workers, in one transaction.
//!
//! An event may come twice: the inbox in the same transaction makes the second time harmless. Alerts are taken one after
//! the other and a database that is away is waited for, so that no end of an alert overtakes its beginning. An alert
//! that is open and says nothing new makes no delivery.

use std::time::Duration;

use bus::{Message, Outcome};
use model::alert::Phase;
use model::delivery::{Delivery, DeliveryDue, DeliveryState};
use model::{DeliveryId, Envelope, EventId, Timestamp, WebhookId};
use store::{AlertRow, AlertWrite, NewDelivery};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::desk::Desk;
use crate::read::{Told, read};
use crate::select::{Plan, is_news, plan};

/// How long a database that is away is left alone before it is asked again.
const AWAY_PAUSE: Duration = Duration::from_secs(1);
/// Deliveries of a webhook that are looked through for what it last heard of an alert.
const HEARD_MAX: u32 = 100;

/// Takes one message of the stream of alerts.
pub(crate) async fn take(desk: &Desk, message: Message, stopping: &CancellationToken) -> Outcome {
    let mut told = match read(&message.envelope) {
        Ok(told) => told,
        Err(unreadable) => {
            warn!(event.id = %message.envelope.id, reason = %unreadable, "An alert cannot be read and becomes a dead letter.");
            return Outcome::Reject(unreadable.to_string());
        }
    };
    loop {
        match store_alert(desk, &message.envelope, &mut told).await {
            Ok(()) => return Outcome::Done,
            Err(error) if error.is_transient() => {
                warn!(event.id = %message.envelope.id, %error, "An alert cannot be stored now; trying again.");
                if stopping.run_until_cancelled(tokio::time::sleep(AWAY_PAUSE)).await.is_none() {
                    return Outcome::Retry;
                }
            }
            Err(error) => return Outcome::Reject(error.to_string()),
        }
    }
}

async fn store_alert(desk: &Desk, event: &Envelope<Vec<u8>>, told: &mut Told) -> store::Result<()> {
    let now = Timestamp::now();
    let known = known(desk, told).await?;
    if let Some(row) = &known
        && told.phase != Phase::Raised
        && !told.is_named
    {
        // Who ends an alert by hand knows its fingerprint and not what it said.
        told.alert = row.raised.clone();
    }
    let page = desk.book.page(&desk.store).await?;
    let mut deliveries = Vec::new();
    for webhook in page.webhooks.values() {
        let due_at = match plan(webhook, &told.alert, told.phase, &page.silences, now) {
            Plan::Deliver(at) => at,
            Plan::Leave(why) => {
                debug!(webhook.id = %webhook.id, event.id = %event.id, why, "An alert is not delivered to webhook {}.", webhook.id);
                continue;
            }
        };
        if is_heard(desk, &webhook.id, &event.id, told, known.as_ref()).await? {
            continue;
        }
        deliveries.extend(new_delivery(desk, &webhook.id, event, told, due_at, now));
    }
    let taken = desk.store.take_alert(&event.id, write(told), &deliveries, now).await?;
    if taken {
        for new in &deliveries {
            hurry(desk, &new.delivery.webhook, now).await?;
        }
        let alert = &told.alert;
        info!(
            event.id = %event.id, alert.id = %alert.alert, phase = told.phase.as_str(), severity = alert.severity.as_str(),
            source = %alert.source, deliveries = deliveries.len(),
            "An alert of {} was {}: {} deliveries.", alert.source, told.phase.as_str(), deliveries.len()
        );
        desk.bell.notify_one();
    }
    Ok(())
}

/// The alert's row as it is before or with this event.
async fn known(desk: &Desk, told: &Told) -> store::Result<Option<AlertRow>> {
    if told.phase == Phase::Raised || !told.is_named {
        return desk.store.open_alert(&told.alert.fingerprint).await;
    }
    desk.store.alert(&told.alert.alert).await
}

/// Whether a webhook heard all this before.
async fn is_heard(
    desk: &Desk,
    webhook: &WebhookId,
    event: &EventId,
    told: &Told,
    known: Option<&AlertRow>,
) -> store::Result<bool> {
    let Some(row) = known else { return Ok(false) };
    let by_this_event = row.last_event == *event;
    match told.phase {
        Phase::Raised if by_this_event && row.count == 1 => Ok(false),
        Phase::Raised if !by_this_event => Ok(!is_news(&told.alert, &row.raised)),
        // The api's commit wrote the row over already, so what was said before stands in the deliveries alone.
        Phase::Raised => heard_raised(desk, webhook, told).await,
        Phase::Acknowledged | Phase::Resolved => {
            Ok(!by_this_event && (row.phase == told.phase || row.phase == Phase::Resolved))
        }
    }
}

/// Whether the last word that a webhook got about an alert was this same one.
async fn heard_raised(desk: &Desk, webhook: &WebhookId, told: &Told) -> store::Result<bool> {
    let page = desk.store.deliveries_page(Some(webhook), None, None, HEARD_MAX).await?;
    let about = |delivery: &&Delivery| delivery.fingerprint == told.alert.fingerprint;
    let Some(last) = page.iter().filter(about).find(|delivery| delivery.phase != Phase::Acknowledged) else {
        return Ok(false);
    };
    if last.phase != Phase::Raised {
        return Ok(false);
    }
    let heard = desk.store.delivery(&last.id).await?;
    Ok(heard.is_some_and(|(_, heard, _)| !is_news(&told.alert, &heard)))
}

/// Brings the next attempt of a webhook's oldest delivery nearer, because another one waits behind it now. A pause that
/// its target asked for stays.
async fn hurry(desk: &Desk, webhook: &WebhookId, now: Timestamp) -> store::Result<()> {
    let soon = now.plus(Duration::from_millis(desk.settings.hurry_ms));
    let Some(oldest) = desk.store.lane_oldest(webhook).await? else { return Ok(()) };
    let delivery = oldest.delivery;
    if delivery.attempts > 0 && delivery.due_at.is_some_and(|at| at > soon) {
        desk.hold(&delivery.id, soon).await?;
    }
    Ok(())
}

fn new_delivery(
    desk: &Desk,
    webhook: &WebhookId,
    event: &Envelope<Vec<u8>>,
    told: &Told,
    due_at: Timestamp,
    now: Timestamp,
) -> Option<NewDelivery> {
    let id = DeliveryId::make(now, rand::random());
    let due = DeliveryDue { delivery: id.clone(), webhook: webhook.clone(), due_at };
    let due =
        desk.bus.envelope(due).because_of(event.correlation.clone().unwrap_or_else(|| event.id.to_string()));
    let delivery = Delivery {
        id,
        webhook: webhook.clone(),
        event: event.id.clone(),
        phase: told.phase,
        fingerprint: told.alert.fingerprint.clone(),
        title: told.alert.title.clone(),
        state: DeliveryState::Pending,
        attempts: 0,
        created_at: now,
        due_at: Some(due_at),
        ended_at: None,
        failure: None,
        replay_of: None,
    };
    Some(NewDelivery { delivery, alert: told.alert.clone(), due: due.to_bytes().ok()? })
}

fn write(told: &Told) -> AlertWrite {
    let by = told.follow_up.by.clone().unwrap_or_else(|| "application".to_owned());
    let at = told.follow_up.at.unwrap_or(told.alert.at);
    let alert = told.alert.alert.clone();
    match told.phase {
        Phase::Raised => AlertWrite::Raise(told.alert.clone()),
        Phase::Acknowledged => AlertWrite::Acknowledge { alert, by, at, note: told.follow_up.note.clone() },
        Phase::Resolved => AlertWrite::Resolve { alert, by, at },
    }
}
