//! The inbox: which consumer has taken which event, written in the transaction of the effect. An event that comes
//! again finds its row and changes nothing.

use std::collections::HashSet;

use model::{EventId, Timestamp};

use crate::db::{Tx, Value};
use crate::{Result, Store};

/// Who takes events.
#[derive(Clone, Copy)]
pub(crate) enum Consumer {
    /// Alert rows, whether by the api's own commit or by the event.
    Alerts,
    /// Deliveries made of alerts.
    Webhooks,
}

impl Consumer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Webhooks => "webhooks",
        }
    }
}

/// Marks the events as taken and gives back those that were not before.
pub(crate) async fn take(
    tx: &mut Tx,
    consumer: Consumer,
    events: &[&EventId],
    at: Timestamp,
) -> Result<HashSet<String>> {
    let rows: Vec<Vec<Value>> =
        events.iter().map(|event| vec![consumer.as_str().into(), Value::from(*event), at.into()]).collect();
    tx.insert(
        "INSERT INTO inbox (consumer, event_id, done_at) VALUES ",
        &rows,
        " ON CONFLICT DO NOTHING RETURNING event_id",
    )
    .await?
    .iter()
    .map(|row| row.text("event_id"))
    .collect()
}

impl Store {
    /// Forgets that events were taken before `before`: longer ago than any stream keeps them. At most `limit` rows;
    /// says how many.
    pub async fn inbox_purge(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.db()
            .execute(
                "DELETE FROM inbox WHERE (consumer, event_id) IN
                 (SELECT consumer, event_id FROM inbox WHERE done_at < $1 ORDER BY done_at LIMIT $2)",
                &crate::db::values![before, limit],
            )
            .await
    }
}
