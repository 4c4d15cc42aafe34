//! Lanes: one for each webhook, held by one worker at a time, so that deliveries keep their order and a slow target
//! has one request in flight. A lane is taken by compare-and-set and ends by itself when its holder dies. Which delivery
//! has its turn is said in `urgency`.

use model::{Timestamp, WebhookId};

use crate::db::{Row, values};
use crate::deliveries::{DueDelivery, due, select_delivery};
use crate::urgency::{OVERTAKEN_MAX, impatient, impatient_since, urgent};
use crate::{Result, Store};

/// Lanes that are looked at for the next due date, more than anyone has webhooks.
const LANES_MAX: u32 = 10_000;

impl Store {
    /// Webhooks whose next delivery is due, whose lane nobody holds and which do not pause; those that wait longest
    /// first.
    pub async fn lanes_due(&self, now: Timestamp, limit: u32) -> Result<Vec<WebhookId>> {
        self.db()
            .all(
                concat!(
                    "SELECT webhook FROM
                       (SELECT lanes.webhook AS webhook,
                          (SELECT MIN(due_at) FROM deliveries
                           WHERE due_at <= $1 AND (seq = ",
                    impatient!("lanes.webhook", "$2", "$3"),
                    " OR seq = ",
                    urgent!("lanes.webhook"),
                    ")) AS due_at
                        FROM lanes
                        WHERE (holder IS NULL OR held_until <= $1) AND (paused_until IS NULL OR paused_until <= $1))
                       AS free
                     WHERE due_at IS NOT NULL ORDER BY due_at, webhook LIMIT $4"
                ),
                &values![now, impatient_since(now), OVERTAKEN_MAX, limit],
            )
            .await?
            .iter()
            .map(|row| row.word("webhook"))
            .collect()
    }

    /// Takes a lane until then, when nobody holds it or its holder's time is over. Whoever holds it may take it again.
    pub async fn lane_claim(
        &self,
        webhook: &WebhookId,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        let claimed = self
            .db()
            .execute(
                "INSERT INTO lanes (webhook, holder, held_until) VALUES ($1, $2, $3)
                 ON CONFLICT (webhook) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
                 WHERE lanes.holder IS NULL OR lanes.holder = excluded.holder OR lanes.held_until <= $4",
                &values![webhook, holder, until, now],
            )
            .await?;
        Ok(claimed == 1)
    }

    /// Holds a lane longer. False when somebody else has taken it: stop.
    pub async fn lane_extend(&self, webhook: &WebhookId, holder: &str, until: Timestamp) -> Result<bool> {
        let extended = self
            .db()
            .execute(
                "UPDATE lanes SET held_until = $3 WHERE webhook = $1 AND holder = $2",
                &values![webhook, holder, until],
            )
            .await?;
        Ok(extended == 1)
    }

    /// Gives a lane back. Nothing happens when somebody else holds it.
    pub async fn lane_release(&self, webhook: &WebhookId, holder: &str) -> Result<()> {
        self.db()
            .execute(
                "UPDATE lanes SET holder = NULL, held_until = NULL WHERE webhook = $1 AND holder = $2",
                &values![webhook, holder],
            )
            .await
            .map(drop)
    }

    /// The whole webhook waits until then: its target said so. An earlier end of a pause is not taken.
    pub async fn lane_pause(&self, webhook: &WebhookId, until: Timestamp) -> Result<()> {
        self.db()
            .execute(
                "INSERT INTO lanes (webhook, paused_until) VALUES ($1, $2)
                 ON CONFLICT (webhook) DO UPDATE SET paused_until = excluded.paused_until
                 WHERE lanes.paused_until IS NULL OR lanes.paused_until < excluded.paused_until",
                &values![webhook, until],
            )
            .await
            .map(drop)
    }

    /// The delivery of a webhook whose turn it is, when it is due and the webhook does not pause: the most urgent one
    /// behind the earlier ones of its own alert, or the oldest one when it was passed too often. The others wait.
    pub async fn lane_next(&self, webhook: &WebhookId, now: Timestamp) -> Result<Option<DueDelivery>> {
        let next = self
            .db()
            .optional(
                concat!(
                    select_delivery!(
                        " WHERE NOT EXISTS (SELECT 1 FROM lanes WHERE lanes.webhook = $1 AND paused_until > $2)
                            AND due_at <= $2 AND seq = COALESCE((SELECT old.seq FROM deliveries old
                                WHERE old.due_at <= $2 AND old.seq = "
                    ),
                    impatient!("$1", "$3", "$4"),
                    "), ",
                    urgent!("$1"),
                    ")"
                ),
                &values![webhook, now, impatient_since(now), OVERTAKEN_MAX],
            )
            .await?;
        next.as_ref().map(due).transpose()
    }

    /// The oldest waiting delivery of a webhook, whenever it is due.
    pub async fn lane_oldest(&self, webhook: &WebhookId) -> Result<Option<DueDelivery>> {
        let oldest = self
            .db()
            .optional(
                select_delivery!(" WHERE webhook = $1 AND state = 'pending' ORDER BY seq LIMIT 1"),
                &values![webhook],
            )
            .await?;
        oldest.as_ref().map(due).transpose()
    }

    /// When the next lane can be worked on: its next delivery is due, it does not pause, and it is free or its holder's
    /// time is over. Absent when nothing waits. A delivery that loses its patience later is not foreseen.
    pub async fn lanes_next_due(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let rows = self
            .db()
            .all(
                concat!(
                    "SELECT holder, held_until, paused_until,
                       (SELECT MIN(due_at) FROM deliveries WHERE seq = ",
                    impatient!("lanes.webhook", "$1", "$2"),
                    " OR seq = ",
                    urgent!("lanes.webhook"),
                    ") AS due_at FROM lanes LIMIT $3"
                ),
                &values![impatient_since(now), OVERTAKEN_MAX, LANES_MAX],
            )
            .await?;
        let mut next = None;
        for row in &rows {
            if let Some(at) = workable(row)? {
                next = Some(next.map_or(at, |next: Timestamp| next.min(at)));
            }
        }
        Ok(next)
    }
}

fn workable(row: &Row) -> Result<Option<Timestamp>> {
    let Some(due) = row.opt_time("due_at")? else { return Ok(None) };
    let paused = row.opt_time("paused_until")?.unwrap_or(due);
    let held = row.opt_text("holder")?.and(row.opt_time("held_until")?).unwrap_or(due);
    Ok(Some(due.max(paused).max(held)))
}
