//! Retention: what is older than its step is kept is forgotten, a bounded number of rows at a time.

use model::{IntegrationId, Timestamp};

use super::{Facet, Step, rows};
use crate::db::{settle, values};
use crate::{Result, Store};

impl Store {
    /// Every integration that something is kept of, also those that are gone.
    pub async fn usage_integrations(&self) -> Result<Vec<IntegrationId>> {
        let mut found = Vec::new();
        let mut after = String::new();
        // From one to the next by the key, instead of a walk through all rows.
        loop {
            let next = self
                .db()
                .optional(
                    "SELECT integration FROM usage_rollups WHERE integration > $1 ORDER BY integration LIMIT 1",
                    &values![&after],
                )
                .await?;
            let Some(row) = next else { return Ok(found) };
            after = row.text("integration")?;
            found.push(row.word("integration")?);
        }
    }

    /// Forgets rows of an integration and step that began before, at most `limit`; says how many.
    pub async fn usage_purge(
        &self,
        id: &IntegrationId,
        step: Step,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64> {
        let mut gone = 0;
        // What tells of everything goes last: where it is there, so may be others.
        for facet in Facet::EVERY.into_iter().rev() {
            let left = limit.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX));
            let (step, facet) = (step.number(), facet.number());
            let there = self
                .db()
                .optional(
                    "SELECT 1 AS n FROM usage_rollups
                     WHERE integration = $1 AND facet = $2 AND step = $3 AND start_at < $4 LIMIT 1",
                    &values![id, facet, step, before],
                )
                .await?;
            if left == 0 || there.is_none() {
                continue;
            }
            gone += settle(|| async {
                let mut tx = self.db().begin().await?;
                let gone = tx
                    .execute(
                        "DELETE FROM usage_rollups WHERE (integration, facet, step, start_at, name) IN
                         (SELECT integration, facet, step, start_at, name FROM usage_rollups
                          WHERE integration = $1 AND facet = $2 AND step = $3 AND start_at < $4
                          ORDER BY start_at LIMIT $5)",
                        &values![id, facet, step, before, left],
                    )
                    .await?;
                rows::turn(&mut tx).await?;
                tx.commit().await?;
                Ok(gone)
            })
            .await?;
        }
        Ok(gone)
    }

    /// Forgets that events were counted which began before, those of at most `limit` seconds; of how many it did. They must be
    /// older than any stream keeps them.
    pub async fn usage_seen_purge(&self, before: Timestamp, limit: u32) -> Result<u64> {
        settle(|| async {
            self.db()
                .execute(
                    "DELETE FROM usage_marks WHERE second IN
                     (SELECT second FROM usage_marks WHERE second < $1 ORDER BY second LIMIT $2)",
                    &values![before.as_secs(), limit],
                )
                .await
        })
        .await
    }
}
