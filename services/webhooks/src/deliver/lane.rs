//! One lane: a webhook's deliveries, one after the other, the most urgent first and of these the oldest.
//!
//! Each is looked at again before it goes: the webhook may be gone, disabled, outside of its hours or at its pace. A row
//! is written before the request leaves, so a kill at any moment makes the attempt again under the same id.

use std::sync::Arc;
use std::time::Duration;

use model::alert::{AlertRaised, Phase};
use model::delivery::Delivery;
use model::secret::Fields;
use model::webhook::WebhookKind;
use model::{Timestamp, WebhookId};
use store::DueDelivery;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::record::{give_up, record};
use crate::attempt::attempt;
use crate::desk::Desk;
use crate::message::render;
use crate::rate::paces;
use crate::render::variables::FollowUp;
use crate::select::{Selected, Turn, select};

/// Deliveries of one turn; then other lanes may come first.
const TURN_MAX: u32 = 50;
/// How long a lane rests after a door failed.
const DOOR_PAUSE: Duration = Duration::from_secs(1);
/// How long a delivery waits when the key store does not answer.
const VAULT_PAUSE: Duration = Duration::from_secs(5);

/// Whether the lane goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Next,
    Stop,
}

/// Works on a lane that was claimed, and gives it back.
pub(super) async fn work(desk: Arc<Desk>, webhook: WebhookId, stopping: CancellationToken) -> WebhookId {
    if let Err(error) = turns(&desk, &webhook, &stopping).await {
        warn!(webhook.id = %webhook, %error, "Webhook {webhook} cannot be worked on now; trying again.");
        stopping.run_until_cancelled(sleep(DOOR_PAUSE)).await;
    }
    if let Err(error) = desk.store.lane_release(&webhook, desk.bus.source()).await {
        debug!(webhook.id = %webhook, %error, "A lane cannot be given back; it ends by itself.");
    }
    webhook
}

async fn turns(desk: &Desk, webhook: &WebhookId, stopping: &CancellationToken) -> store::Result<()> {
    for _ in 0..TURN_MAX {
        let now = Timestamp::now();
        let until = now.plus(desk.settings.lane_hold());
        if stopping.is_cancelled() || !desk.store.lane_extend(webhook, desk.bus.source(), until).await? {
            return Ok(());
        }
        let Some(due) = desk.store.lane_next(webhook, now).await? else { return Ok(()) };
        if step(desk, webhook, due, now).await? == Step::Stop {
            return Ok(());
        }
    }
    Ok(())
}

async fn step(desk: &Desk, webhook: &WebhookId, due: DueDelivery, now: Timestamp) -> store::Result<Step> {
    let DueDelivery { delivery, alert } = due;
    let page = desk.book.page(&desk.store).await?;
    let follow_up = follow_up(desk, &delivery, &alert).await?;
    let selected = match select(page.webhooks.get(webhook), delivery.id.clone(), alert, delivery.phase, now) {
        Turn::Go(selected) => *selected,
        Turn::Hold(at) => return hold(desk, &delivery, at).await,
        Turn::GiveUp(why) => {
            give_up(desk, page.webhooks.get(webhook), &delivery, &why).await?;
            return Ok(Step::Next);
        }
    };
    if selected.webhook().kind == WebhookKind::Discord
        && let Some(until) = desk.discord_pause(now)
    {
        desk.store.lane_pause(webhook, until).await?;
        return Ok(Step::Stop);
    }
    if let Some(at) = room_at(desk, &selected, now).await? {
        return hold(desk, &delivery, at).await;
    }
    let fields = match fields(desk, webhook).await {
        Ok(fields) => fields,
        Err(error) if error.is_transient() => {
            warn!(webhook.id = %webhook, %error, "The secrets of webhook {webhook} cannot be read now; trying again.");
            return hold(desk, &delivery, now.plus(VAULT_PAUSE)).await;
        }
        Err(error) => {
            let why = format!("its secrets cannot be read: {error}");
            give_up(desk, Some(selected.webhook()), &delivery, &why).await?;
            return Ok(Step::Next);
        }
    };
    send(desk, &delivery, selected, &follow_up, &fields).await
}

async fn send(
    desk: &Desk,
    delivery: &Delivery,
    selected: Selected,
    follow_up: &FollowUp,
    fields: &Fields,
) -> store::Result<Step> {
    let rendered = render(&desk.engine, selected, follow_up, Timestamp::now()).await;
    if let Some(fault) = rendered.fault() {
        warn!(
            webhook.id = %delivery.webhook, delivery.id = %delivery.id, code = fault.code,
            "The template of webhook {} failed; the default is sent.", delivery.webhook
        );
    }
    let number = delivery.attempts.saturating_add(1);
    match desk.store.attempt_begin(&delivery.id, number, Timestamp::now()).await {
        Ok(()) => {}
        Err(store::Error::Stale { .. }) => return Ok(Step::Stop),
        Err(error) => return Err(error),
    }
    let attempted = attempt(&desk.egress, rendered, fields, desk.settings.deadline()).await;
    record(desk, delivery, number, &attempted).await?;
    Ok(Step::Next)
}

async fn hold(desk: &Desk, delivery: &Delivery, at: Timestamp) -> store::Result<Step> {
    desk.hold(&delivery.id, at).await?;
    Ok(Step::Stop)
}

/// When the webhook's pace lets the next message go, if not now.
async fn room_at(desk: &Desk, selected: &Selected, now: Timestamp) -> store::Result<Option<Timestamp>> {
    let webhook = selected.webhook();
    let mut latest = None;
    for pace in paces(webhook.kind, webhook.rate) {
        let mut room = now.plus(pace.per);
        for point in pace.points(now) {
            let sent = desk.store.sent_since(&webhook.id, point).await?;
            if let Some(at) = pace.room_at(point, sent) {
                room = at;
                break;
            }
        }
        if room > now {
            latest = Some(latest.map_or(room, |before: Timestamp| before.max(room)));
        }
    }
    Ok(latest)
}

async fn fields(desk: &Desk, webhook: &WebhookId) -> Result<Fields, vault::Error> {
    desk.vault.read(&vault::Path::webhook(webhook), None).await.map(|read| read.fields)
}

/// Who acknowledged or resolved the alert, as its row says.
async fn follow_up(desk: &Desk, delivery: &Delivery, alert: &AlertRaised) -> store::Result<FollowUp> {
    if delivery.phase == Phase::Raised {
        return Ok(FollowUp::default());
    }
    let row = desk.store.alert(&alert.alert).await?;
    Ok(row.map_or_else(FollowUp::default, |row| match delivery.phase {
        Phase::Acknowledged => FollowUp { by: row.acknowledged_by, at: row.acknowledged_at, note: row.note },
        _ => FollowUp { by: row.resolved_by, at: row.resolved_at, note: None },
    }))
}
