//! Uptime: every change of an integration's health, and what was observed of it, counted by 5 minutes, hour and day (UTC).
//!
//! Events come from a stream that may deliver one again; [`marks`] knows which were taken. Changes keep the order of the
//! stream, which is the order in which they were decided, whatever clocks say. What is old goes, but an integration's
//! last change stays as long as it is observed: without it nobody knew what it has been since.

mod counts;
mod marks;

use model::health::{Health, HealthChanged, Observed, Reason};
use model::{EventId, IntegrationId, Timestamp};

use crate::db::{Row, Tx, Value, settle, values};
use crate::{Result, Store};

pub use counts::{HealthSum, Seen, Slot};

/// Changes of one integration that are kept and read at most: the newest.
pub const CHANGES_MAX: u32 = 20_000;
/// Changes before a moment that are read along with those after it, so that what was going on then has its beginning.
const BEFORE: u32 = 100;

/// A message of the stream `HEALTH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    /// Its number in the stream.
    pub sequence: u64,
    /// When the stream took it.
    pub stored_at: Timestamp,
    /// The event's id.
    pub event: EventId,
    /// What it says.
    pub fact: HealthFact,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthFact {
    /// An observation.
    Observed(Observed),
    /// A change.
    Changed(HealthChanged),
}

/// A change of health, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    /// What it was.
    pub was: Health,
    /// What it became.
    pub became: Health,
    /// Why; absent when it is up, or for no reason that was given.
    pub reason: Option<Reason>,
    /// When what caused it began, by the clock that decided.
    pub since: Timestamp,
    /// When it was decided, by the same clock.
    pub at: Timestamp,
}

impl Store {
    /// Takes messages of a stream that was made at `era`, each once, however often it comes: for each, whether it was new.
    /// All in one transaction.
    pub async fn health_take(&self, era: Timestamp, events: &[HealthEvent]) -> Result<Vec<bool>> {
        settle(|| async {
            let mut tx = self.db().begin().await?;
            let fresh = marks::take(&mut tx, era, events).await?;
            let new = || events.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(event, _)| event);
            counts::add(&mut tx, new()).await?;
            change(&mut tx, era, new()).await?;
            tx.commit().await?;
            Ok(fresh)
        })
        .await
    }

    /// Begins the history of an integration with a change that no message told; its number must be below every message's.
    pub async fn health_begin(&self, era: Timestamp, event: &HealthEvent) -> Result<()> {
        settle(|| async {
            let mut tx = self.db().begin().await?;
            change(&mut tx, era, std::iter::once(event)).await?;
            tx.commit().await
        })
        .await
    }

    /// Changes of an integration decided at a moment or later, and up to a hundred before that, in their order; the newest
    /// 20,000.
    pub async fn health_changes(&self, id: &IntegrationId, from: Timestamp) -> Result<Vec<HealthChange>> {
        let mut tx = self.db().snapshot().await?;
        let later = tx
            .all(
                "SELECT was, became, reason, since, at, era, sequence FROM health_changes
                 WHERE integration = $1 AND at >= $2 ORDER BY era DESC, sequence DESC LIMIT $3",
                &values![id, from, CHANGES_MAX],
            )
            .await?;
        let (era, sequence) = match later.last() {
            Some(oldest) => (oldest.int("era")?, oldest.int("sequence")?),
            None => (i64::MAX, i64::MAX),
        };
        let before = tx
            .all(
                "SELECT was, became, reason, since, at FROM health_changes
                 WHERE integration = $1 AND (era, sequence) < ($2, $3) ORDER BY era DESC, sequence DESC LIMIT $4",
                &values![id, era, sequence, BEFORE],
            )
            .await?;
        before.iter().rev().chain(later.iter().rev()).map(read).collect()
    }

    /// Forgets marks of messages taken before `marks`, at most `limit`; says how many. A message may come again for as long
    /// as its stream keeps it.
    pub async fn health_marks_purge(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.db()
            .execute(
                "DELETE FROM health_marks WHERE (era, block) IN
                 (SELECT era, block FROM health_marks WHERE at < $1 ORDER BY at LIMIT $2)",
                &values![before, limit],
            )
            .await
    }

    /// Forgets changes decided before, at most `limit`; says how many. The last one before stays, unless nothing was
    /// observed since.
    pub async fn health_changes_purge(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.db()
            .execute(
                "DELETE FROM health_changes WHERE event_id IN
                 (SELECT event_id FROM health_changes AS old WHERE at < $1 AND
                    (EXISTS (SELECT 1 FROM health_changes AS newer WHERE newer.integration = old.integration
                        AND newer.at < $1 AND (newer.era, newer.sequence) > (old.era, old.sequence))
                     OR NOT EXISTS (SELECT 1 FROM health_counts WHERE health_counts.integration = old.integration
                        AND slot = 'hour' AND start_at >= $1))
                  ORDER BY at LIMIT $2)",
                &values![before, limit],
            )
            .await
    }

    /// Forgets the oldest changes of an integration that has more than 20,000; says how many.
    pub async fn health_changes_cap(&self, id: &IntegrationId) -> Result<u64> {
        self.db()
            .execute(
                "DELETE FROM health_changes WHERE integration = $1 AND (era, sequence) <=
                 (SELECT era, sequence FROM health_changes WHERE integration = $1
                  ORDER BY era DESC, sequence DESC LIMIT 1 OFFSET $2)",
                &values![id, CHANGES_MAX],
            )
            .await
    }
}

/// Writes changes down.
async fn change(tx: &mut Tx, era: Timestamp, events: impl Iterator<Item = &HealthEvent>) -> Result<()> {
    let rows: Vec<Vec<Value>> = events
        .filter_map(|event| match &event.fact {
            HealthFact::Observed(_) => None,
            HealthFact::Changed(changed) => Some(
                values![
                    &changed.integration,
                    era,
                    event.sequence,
                    &event.event,
                    changed.from.as_str(),
                    changed.to.as_str(),
                    changed.reason.map(Reason::as_str),
                    changed.since,
                    changed.at
                ]
                .to_vec(),
            ),
        })
        .collect();
    tx.insert(
        "INSERT INTO health_changes (integration, era, sequence, event_id, was, became, reason, since, at) VALUES ",
        &rows,
        " ON CONFLICT DO NOTHING",
    )
    .await
    .map(drop)
}

fn read(row: &Row) -> Result<HealthChange> {
    Ok(HealthChange {
        was: row.word("was")?,
        became: row.word("became")?,
        reason: row.opt_word("reason")?,
        since: row.time("since")?,
        at: row.time("at")?,
    })
}
