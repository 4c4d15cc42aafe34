//! Attempts: a row before the request leaves, its outcome after. A program that dies between the two leaves `unknown`,
//! which is the truth. Two workers can never make the same attempt: the number is taken by compare-and-set.

use model::delivery::Attempt;
use model::{DeliveryId, Envelope, Timestamp, WebhookId};

use crate::db::{Db, Row, settle, values};
use crate::{Error, Result, Store, outbox};

/// Attempts of one delivery that are shown at most.
const ATTEMPTS_SHOWN_MAX: u32 = 1_000;

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It arrived.
    Delivered,
    /// It is tried again.
    Retry {
        /// When.
        due_at: Timestamp,
    },
    /// It is given up.
    Failed {
        /// Why, in a sentence.
        reason: String,
    },
}

/// The attempts of a delivery, first one first.
pub(crate) async fn of(db: &Db, delivery: &DeliveryId) -> Result<Vec<Attempt>> {
    db.all(
        "SELECT attempt, at, outcome, status_code, duration_ms, detail FROM attempts
         WHERE delivery = $1 ORDER BY attempt LIMIT $2",
        &values![delivery, ATTEMPTS_SHOWN_MAX],
    )
    .await?
    .iter()
    .map(attempt)
    .collect()
}

impl Store {
    /// Writes that an attempt begins: `attempt` is one more than the delivery has. Counts in the lane whether it passed
    /// an older delivery. [`Error::Stale`] when somebody else began it or the delivery does not wait any more: do not
    /// send.
    pub async fn attempt_begin(&self, delivery: &DeliveryId, attempt: u32, at: Timestamp) -> Result<()> {
        settle(|| async {
            let mut tx = self.db().begin().await?;
            let row = tx
                .optional(
                    "UPDATE deliveries SET attempts = $2
                     WHERE id = $1 AND state = 'pending' AND attempts = $3 RETURNING webhook, seq",
                    &values![delivery, attempt, attempt.saturating_sub(1)],
                )
                .await?
                .ok_or_else(|| Error::stale("delivery", delivery.as_str()))?;
            tx.execute(
                "INSERT INTO attempts (delivery, attempt, webhook, at, outcome, duration_ms)
                 VALUES ($1, $2, $3, $4, 'unknown', 0)",
                &values![delivery, attempt, row.text("webhook")?, at],
            )
            .await?;
            tx.execute(
                "UPDATE lanes SET overtaken = CASE WHEN EXISTS
                   (SELECT 1 FROM deliveries WHERE webhook = $1 AND state = 'pending' AND seq < $2)
                 THEN overtaken + 1 ELSE 0 END WHERE webhook = $1",
                &values![row.text("webhook")?, row.int("seq")?],
            )
            .await?;
            tx.commit().await
        })
        .await
    }

    /// Writes what came of an attempt: its row, the delivery's and the events in one transaction. [`Error::Stale`]
    /// when it is not the delivery's last attempt, or the delivery does not wait any more.
    pub async fn attempt_end(
        &self,
        delivery: &DeliveryId,
        attempt: &Attempt,
        next: Next,
        events: &[Envelope<Vec<u8>>],
        at: Timestamp,
    ) -> Result<()> {
        let (state, due_at, ended_at, failure) = match &next {
            Next::Delivered => ("delivered", None, Some(at), None),
            Next::Retry { due_at } => ("pending", Some(*due_at), None, None),
            Next::Failed { reason } => ("failed", None, Some(at), Some(reason.as_str())),
        };
        settle(|| async {
            let mut tx = self.db().begin().await?;
            let moved = tx
                .execute(
                    "UPDATE deliveries SET state = $3, due_at = $4, ended_at = $5, failure = $6
                     WHERE id = $1 AND state = 'pending' AND attempts = $2",
                    &values![delivery, attempt.attempt, state, due_at, ended_at, failure],
                )
                .await?;
            if moved == 0 {
                return Err(Error::stale("delivery", delivery.as_str()));
            }
            tx.execute(
                "UPDATE attempts SET outcome = $3, status_code = $4, duration_ms = $5, detail = $6
                 WHERE delivery = $1 AND attempt = $2",
                &values![
                    delivery,
                    attempt.attempt,
                    &attempt.outcome,
                    attempt.status_code.map(i64::from),
                    attempt.duration_ms,
                    attempt.detail.as_deref()
                ],
            )
            .await?;
            outbox::put(&mut tx, events, at).await?;
            tx.commit().await
        })
        .await?;
        self.outbox_rang(events);
        Ok(())
    }

    /// Attempts that arrived at a webhook since then (inclusive), for its rate.
    pub async fn sent_since(&self, webhook: &WebhookId, since: Timestamp) -> Result<u64> {
        self.db()
            .one(
                "SELECT COUNT(*) AS sent FROM attempts WHERE webhook = $1 AND at >= $2 AND outcome = 'delivered'",
                &values![webhook, since],
            )
            .await?
            .count("sent")
    }
}

fn attempt(row: &Row) -> Result<Attempt> {
    let status = row.opt_int("status_code")?.map(u16::try_from).transpose();
    Ok(Attempt {
        attempt: row.small("attempt")?,
        at: row.time("at")?,
        outcome: row.text("outcome")?,
        status_code: status.map_err(|error| Error::corrupt("column `status_code`", error))?,
        duration_ms: row.small("duration_ms")?,
        detail: row.opt_text("detail")?,
    })
}
