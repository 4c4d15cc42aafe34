//! The outbox: events that were decided in a transaction and wait to be published.
//!
//! A row keeps the exact bytes and the id of the event, so publishing it twice is one event. Rows are read by
//! "not yet published", never by "after the last one": in PostgreSQL a smaller number may be committed later.

use model::event::TYPE_PREFIX;
use model::subject::Subject;
use model::{Envelope, Event as _, EventId, Timestamp};

use crate::db::{Row, Tx, Value, settle, values};
use crate::{Error, Result, Store};

/// Writes events into the outbox of a transaction. One that is there already (same id) stays as it is.
pub(crate) async fn put(tx: &mut Tx, events: &[Envelope<Vec<u8>>], at: Timestamp) -> Result<()> {
    let audited = format!("{TYPE_PREFIX}{}", model::audit::AuditRecorded::TYPE);
    let rows: Vec<Vec<Value>> = events
        .iter()
        .map(|event| {
            values![
                &event.id,
                &event.source,
                &event.kind,
                event.subject.as_str(),
                event.correlation.as_deref(),
                event.time,
                event.data.as_slice(),
                at,
                event.kind == audited
            ]
            .to_vec()
        })
        .collect();
    tx.insert(
        "INSERT INTO outbox (event_id, source, event_type, subject, correlation, event_time, body, created_at,
                             unaudited) VALUES ",
        &rows,
        " ON CONFLICT (event_id) DO NOTHING",
    )
    .await
    .map(drop)
}

fn envelope(row: &Row) -> Result<Envelope<Vec<u8>>> {
    let subject = row.text("subject")?;
    Ok(Envelope {
        id: EventId::parse(row.text("event_id")?)
            .map_err(|error| Error::corrupt("column `event_id`", error))?,
        source: row.text("source")?,
        kind: row.text("event_type")?,
        time: row.time("event_time")?,
        subject: Subject::stored(subject.clone()).ok_or_else(|| {
            Error::corrupt("column `subject`", format_args!("`{subject}` is not a subject"))
        })?,
        correlation: row.opt_text("correlation")?,
        data: row.bytes("body")?,
    })
}

impl Store {
    /// Writes events in a transaction of their own: audit entries of reads and refusals. The same event again
    /// changes nothing.
    pub async fn append(&self, events: &[Envelope<Vec<u8>>], at: Timestamp) -> Result<()> {
        settle(|| async {
            let mut tx = self.db().begin().await?;
            put(&mut tx, events, at).await?;
            tx.commit().await
        })
        .await?;
        self.outbox_rang(events);
        Ok(())
    }

    /// The oldest events that were not published, with their numbers. At most `limit`.
    pub async fn outbox_pending(&self, limit: u32) -> Result<Vec<(i64, Envelope<Vec<u8>>)>> {
        self.db()
            .all(
                "SELECT seq, event_id, source, event_type, subject, correlation, event_time, body
                 FROM outbox WHERE published_at IS NULL ORDER BY seq LIMIT $1",
                &values![limit],
            )
            .await?
            .iter()
            .map(|row| Ok((row.int("seq")?, envelope(row)?)))
            .collect()
    }

    /// Marks exactly these as published, after their acknowledgement.
    pub async fn outbox_published(&self, seqs: &[i64], at: Timestamp) -> Result<()> {
        let seqs: Vec<Value> = seqs.iter().map(|seq| Value::from(*seq)).collect();
        settle(|| async {
            let mut tx = self.db().begin().await?;
            tx.each_in(
                "UPDATE outbox SET published_at = $1 WHERE published_at IS NULL AND seq IN ",
                &values![at],
                &seqs,
                "",
            )
            .await?;
            tx.commit().await
        })
        .await
    }

    /// When the oldest event that was not published was written. Absent when none waits.
    pub async fn outbox_oldest_pending(&self) -> Result<Option<Timestamp>> {
        self.db()
            .optional("SELECT created_at FROM outbox WHERE published_at IS NULL ORDER BY seq LIMIT 1", &[])
            .await?
            .map(|row| row.time("created_at"))
            .transpose()
    }

    /// Removes events that were published before, at most `limit`; says how many. An audit entry stays until it is
    /// in the audit log.
    pub async fn outbox_purge(&self, published_before: Timestamp, limit: u32) -> Result<u64> {
        self.db()
            .execute(
                "DELETE FROM outbox WHERE seq IN
                 (SELECT seq FROM outbox WHERE published_at IS NOT NULL AND published_at < $1 AND unaudited = 0
                  ORDER BY published_at LIMIT $2)",
                &values![published_before, limit],
            )
            .await
    }

    /// Resolves after the next transaction of this process that wrote events; at once when one did since the last
    /// call. For one relay a process: one waiter is woken.
    pub async fn outbox_wait(&self) {
        self.inner.written.notified().await;
    }

    pub(crate) fn outbox_rang(&self, events: &[Envelope<Vec<u8>>]) {
        if !events.is_empty() {
            self.inner.written.notify_one();
        }
    }
}
