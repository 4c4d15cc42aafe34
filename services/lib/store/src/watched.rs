//! What alarms were fed: each integration's finished buckets of 5 minutes. Read back in order they make the same alarms.
//!
//! A bucket is written once and never changes: what alarms have seen, they have seen.

use std::collections::BTreeMap;

use model::{IntegrationId, Timestamp};

use crate::db::{Row, Value, settle, values};
use crate::{Error, Result, Store};

/// Buckets of one integration that are read at once: 15 days of 5 minutes.
const BUCKETS_MAX: u32 = 15 * 288;
/// Integrations that are told of at most.
const INTEGRATIONS_MAX: u32 = 100_000;

/// Whether a bucket proves something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aside {
    /// All of it is judged.
    #[default]
    No,
    /// Nothing is: maintenance, or traffic was just moved.
    All,
    /// Its calls and cost are not: traffic is not where it usually goes.
    Volume,
}

impl Aside {
    const fn number(self) -> u32 {
        match self {
            Self::No => 0,
            Self::All => 1,
            Self::Volume => 2,
        }
    }
}

/// What passed through an integration in 5 minutes, as alarms saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedBucket {
    /// When it began.
    pub start: Timestamp,
    /// Calls.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// The time that 95 of 100 answers did not exceed, in milliseconds. Absent when nothing answered.
    pub p95_ms: Option<u32>,
    /// What they cost, in millionths of a US dollar.
    pub cost_micros: u64,
    /// Whether it proves something.
    pub aside: Aside,
}

impl Store {
    /// Writes buckets that are not there yet; says how many were not.
    pub async fn watched_write(&self, id: &IntegrationId, buckets: &[WatchedBucket]) -> Result<u64> {
        let rows: Vec<Vec<Value>> = buckets
            .iter()
            .map(|bucket| {
                values![
                    id,
                    bucket.start,
                    bucket.requests,
                    bucket.errors,
                    bucket.p95_ms.map_or(-1, i64::from),
                    bucket.cost_micros,
                    bucket.aside.number()
                ]
                .to_vec()
            })
            .collect();
        settle(|| async {
            let mut tx = self.db().begin().await?;
            let written = tx
                .insert(
                    "INSERT INTO watched_buckets (integration, start_at, requests, errors, p95_ms, cost_micros, aside)
                     VALUES ",
                    &rows,
                    " ON CONFLICT DO NOTHING RETURNING start_at",
                )
                .await?;
            tx.commit().await?;
            Ok(written.len() as u64)
        })
        .await
    }

    /// An integration's buckets that began in `from..to`, oldest first, at most those of 15 days.
    pub async fn watched(
        &self,
        id: &IntegrationId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<WatchedBucket>> {
        self.db()
            .all(
                "SELECT start_at, requests, errors, p95_ms, cost_micros, aside FROM watched_buckets
                 WHERE integration = $1 AND start_at >= $2 AND start_at < $3 ORDER BY start_at LIMIT $4",
                &values![id, from, to, BUCKETS_MAX],
            )
            .await?
            .iter()
            .map(bucket)
            .collect()
    }

    /// When the last bucket of each integration began.
    pub async fn watched_last(&self) -> Result<BTreeMap<IntegrationId, Timestamp>> {
        self.db()
            .all(
                "SELECT integration, MAX(start_at) AS last FROM watched_buckets GROUP BY integration LIMIT $1",
                &values![INTEGRATIONS_MAX],
            )
            .await?
            .iter()
            .map(|row| Ok((row.word("integration")?, row.time("last")?)))
            .collect()
    }

    /// Forgets buckets that began before, at most `limit`; says how many.
    pub async fn watched_purge(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.db()
            .execute(
                "DELETE FROM watched_buckets WHERE (integration, start_at) IN
                 (SELECT integration, start_at FROM watched_buckets WHERE start_at < $1 ORDER BY start_at LIMIT $2)",
                &values![before, limit],
            )
            .await
    }
}

fn bucket(row: &Row) -> Result<WatchedBucket> {
    let aside = match row.small("aside")? {
        0 => Aside::No,
        1 => Aside::All,
        2 => Aside::Volume,
        other => return Err(Error::corrupt("column `aside`", format!("{other} is no such number"))),
    };
    Ok(WatchedBucket {
        start: row.time("start_at")?,
        requests: row.count("requests")?,
        errors: row.count("errors")?,
        p95_ms: u32::try_from(row.int("p95_ms")?).ok(),
        cost_micros: row.count("cost_micros")?,
        aside,
    })
}
