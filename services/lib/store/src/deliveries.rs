//! Deliveries: one alert to one webhook. The rows are the truth; the `due` events only wake workers.
//!
//! Deliveries of a webhook keep their order: making one locks the webhook's lane first, so that the numbers of its rows
//! follow the order of their commits, also in PostgreSQL.

use std::collections::BTreeSet;

use model::alert::AlertRaised;
use model::delivery::{Attempt, Delivery, DeliveryState};
use model::webhook::WebhookState;
use model::{DeliveryId, Envelope, EventId, Timestamp, WebhookId};

use crate::alerts::{self, AlertWrite};
use crate::db::{Row, Statement, Tx, Value, settle, values};
use crate::inbox::{self, Consumer};
use crate::urgency::urgency;
use crate::{Error, Result, Store, attempts, outbox};

/// Deliveries in one page at most.
pub(crate) const PAGE_MAX: u32 = 1_000;
/// Everything that a [`Delivery`] is made of, and its alert.
macro_rules! select_delivery {
    ($rest:literal) => {
        concat!(
            "SELECT id, webhook, event, phase, fingerprint, title, state, attempts, created_at, due_at, ended_at, ",
            "failure, replay_of, alert FROM deliveries",
            $rest
        )
    };
}
pub(crate) use select_delivery;

/// A delivery to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDelivery {
    /// The delivery, pending.
    pub delivery: Delivery,
    /// The alert as its event said, for the message.
    pub alert: AlertRaised,
    /// The event that wakes a worker.
    pub due: Envelope<Vec<u8>>,
}

/// A delivery that should be tried now.
#[derive(Clone, Debug, PartialEq)]
pub struct DueDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// The alert as its event said.
    pub alert: AlertRaised,
}

impl Store {
    /// Takes one event of the `ALERTS` stream: the alert's row, its deliveries and their `due` events in one
    /// transaction. False when the event was taken before: nothing was written.
    pub async fn take_alert(
        &self,
        event: &EventId,
        write: AlertWrite,
        deliveries: &[NewDelivery],
        at: Timestamp,
    ) -> Result<bool> {
        let due: Vec<Envelope<Vec<u8>>> = deliveries.iter().map(|new| new.due.clone()).collect();
        let taken = settle(|| async {
            let mut tx = self.db().begin().await?;
            if inbox::take(&mut tx, Consumer::Webhooks, &[event], at).await?.is_empty() {
                return Ok(false);
            }
            alerts::write_of_event(&mut tx, event, &write, at).await?;
            insert(&mut tx, deliveries).await?;
            outbox::put(&mut tx, &due, at).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await?;
        if taken {
            self.outbox_rang(&due);
        }
        Ok(taken)
    }

    /// A delivery with its alert and its attempts, first attempt first.
    pub async fn delivery(&self, id: &DeliveryId) -> Result<Option<(Delivery, AlertRaised, Vec<Attempt>)>> {
        let Some(row) = self.db().optional(select_delivery!(" WHERE id = $1"), &values![id]).await? else {
            return Ok(None);
        };
        let due = due(&row)?;
        Ok(Some((due.delivery, due.alert, attempts::of(self.db(), id).await?)))
    }

    /// Deliveries, the last made first, before the given one. At most `limit` and at most 1,000.
    pub async fn deliveries_page(
        &self,
        webhook: Option<&WebhookId>,
        state: Option<DeliveryState>,
        before: Option<(Timestamp, DeliveryId)>,
        limit: u32,
    ) -> Result<Vec<Delivery>> {
        let mut select = Statement::new(select_delivery!(""));
        select.filter_some("webhook = ", webhook).filter_some("state = ", state.map(DeliveryState::as_str));
        if let Some((at, id)) = before {
            select.and().push("(created_at, id) < ").bind_all(values![at, &id]);
        }
        select.push(" ORDER BY created_at DESC, id DESC LIMIT ").bind(limit.min(PAGE_MAX));
        self.db().select(select).await?.iter().map(|row| Ok(due(row)?.delivery)).collect()
    }

    /// Deliveries made from `from` (inclusive) to `to` (exclusive), in their order: what a replay of a range repeats.
    /// At most `limit` and at most 1,000.
    pub async fn deliveries_between(
        &self,
        webhook: Option<&WebhookId>,
        state: Option<DeliveryState>,
        from: Timestamp,
        to: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueDelivery>> {
        let mut select = Statement::new(select_delivery!(""));
        within(&mut select, webhook, state, from, to);
        select.push(" ORDER BY seq LIMIT ").bind(limit.min(PAGE_MAX));
        self.db().select(select).await?.iter().map(due).collect()
    }

    /// How many deliveries were made from `from` (inclusive) to `to` (exclusive).
    pub async fn deliveries_count(
        &self,
        webhook: Option<&WebhookId>,
        state: Option<DeliveryState>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<u64> {
        let mut select = Statement::new("SELECT COUNT(*) AS deliveries FROM deliveries");
        within(&mut select, webhook, state, from, to);
        let (sql, values) = select.finish();
        self.db().one(sql, &values).await?.count("deliveries")
    }

    /// What a webhook's owner should know of its state.
    pub async fn webhook_state(&self, webhook: &WebhookId) -> Result<WebhookState> {
        let row = self
            .db()
            .one(
                "SELECT (SELECT COUNT(*) FROM deliveries WHERE webhook = $1 AND state = 'pending') AS pending,
                   (SELECT MAX(ended_at) FROM deliveries WHERE webhook = $1 AND state = 'delivered') AS delivered,
                   (SELECT MAX(ended_at) FROM deliveries WHERE webhook = $1 AND state = 'failed') AS failed",
                &values![webhook],
            )
            .await?;
        Ok(WebhookState {
            pending: row.count("pending")?,
            last_delivered_at: row.opt_time("delivered")?,
            last_failed_at: row.opt_time("failed")?,
        })
    }

    /// Deliveries that wait, of all webhooks.
    pub async fn pending_total(&self) -> Result<u64> {
        self.db()
            .one("SELECT COUNT(*) AS pending FROM deliveries WHERE state = 'pending'", &[])
            .await?
            .count("pending")
    }

    /// When the delivery that waits longest was made.
    pub async fn oldest_pending(&self) -> Result<Option<Timestamp>> {
        self.db()
            .one("SELECT MIN(created_at) AS oldest FROM deliveries WHERE state = 'pending'", &[])
            .await?
            .opt_time("oldest")
    }

    /// Moves the due date of a delivery that waits: its webhook's schedule is closed. [`Error::Stale`] when it
    /// does not wait any more.
    pub async fn hold(&self, delivery: &DeliveryId, due_at: Timestamp) -> Result<()> {
        let held = self
            .db()
            .execute(
                "UPDATE deliveries SET due_at = $2 WHERE id = $1 AND state = 'pending'",
                &values![delivery, due_at],
            )
            .await?;
        if held == 1 { Ok(()) } else { Err(Error::stale("delivery", delivery.as_str())) }
    }

    /// Removes deliveries that ended before, with their attempts, at most `limit`; says how many.
    pub async fn deliveries_purge(&self, ended_before: Timestamp, limit: u32) -> Result<u64> {
        settle(|| async {
            let mut tx = self.db().begin().await?;
            let gone = tx
                .all(
                    "DELETE FROM deliveries WHERE seq IN
                     (SELECT seq FROM deliveries WHERE state <> 'pending' AND ended_at < $1 ORDER BY ended_at LIMIT $2)
                     RETURNING id",
                    &values![ended_before, limit],
                )
                .await?;
            let ids = gone.iter().map(|row| Ok(Value::from(row.text("id")?))).collect::<Result<Vec<_>>>()?;
            tx.each_in("DELETE FROM attempts WHERE delivery IN ", &[], &ids, "").await?;
            tx.commit().await?;
            Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
        })
        .await
    }
}

fn within(
    select: &mut Statement,
    webhook: Option<&WebhookId>,
    state: Option<DeliveryState>,
    from: Timestamp,
    to: Timestamp,
) {
    select.filter("created_at >= ", from).filter("created_at < ", to);
    select.filter_some("webhook = ", webhook).filter_some("state = ", state.map(DeliveryState::as_str));
}

/// Locks the lanes, always in the same order, and writes the deliveries.
pub(crate) async fn insert(tx: &mut Tx, deliveries: &[NewDelivery]) -> Result<()> {
    let lanes: BTreeSet<&WebhookId> = deliveries.iter().map(|new| &new.delivery.webhook).collect();
    let lanes: Vec<Vec<Value>> = lanes.into_iter().map(|webhook| vec![webhook.into()]).collect();
    tx.insert(
        "INSERT INTO lanes (webhook) VALUES ",
        &lanes,
        " ON CONFLICT (webhook) DO UPDATE SET webhook = excluded.webhook",
    )
    .await?;
    let rows = deliveries.iter().map(columns).collect::<Result<Vec<_>>>()?;
    tx.insert(
        "INSERT INTO deliveries (id, webhook, event, phase, fingerprint, title, state, attempts, created_at, due_at,
                                 ended_at, failure, replay_of, alert, urgency) VALUES ",
        &rows,
        "",
    )
    .await
    .map(drop)
}

fn columns(new: &NewDelivery) -> Result<Vec<Value>> {
    let delivery = &new.delivery;
    let alert = serde_json::to_string(&new.alert).map_err(|error| Error::corrupt("an alert", error))?;
    Ok(values![
        &delivery.id,
        &delivery.webhook,
        &delivery.event,
        delivery.phase.as_str(),
        &delivery.fingerprint,
        &delivery.title,
        delivery.state.as_str(),
        delivery.attempts,
        delivery.created_at,
        delivery.due_at,
        delivery.ended_at,
        delivery.failure.as_deref(),
        delivery.replay_of.as_ref().map(DeliveryId::as_str),
        alert,
        urgency(new.alert.severity)
    ]
    .to_vec())
}

pub(crate) fn due(row: &Row) -> Result<DueDelivery> {
    let delivery = Delivery {
        id: row.word("id")?,
        webhook: row.word("webhook")?,
        event: row.word("event")?,
        phase: row.word("phase")?,
        fingerprint: row.text("fingerprint")?,
        title: row.text("title")?,
        state: row.word("state")?,
        attempts: row.small("attempts")?,
        created_at: row.time("created_at")?,
        due_at: row.opt_time("due_at")?,
        ended_at: row.opt_time("ended_at")?,
        failure: row.opt_text("failure")?,
        replay_of: row.opt_word("replay_of")?,
    };
    Ok(DueDelivery { delivery, alert: row.json("alert")? })
}
