//! Usage: what passed, added up by minute, hour, day and month (UTC), so that any span is a sum of few rows.

mod buckets;

use std::collections::BTreeMap;

use model::usage::{Count, UsageCounted};
use model::{EventId, IntegrationId, Timestamp};

use crate::db::{Row, Statement, Value, settle};
use crate::inbox::{self, Consumer};
use crate::{Result, Store};

pub use buckets::Step;

/// Endpoints or actors that one answer names at most.
const NAMES_MAX: u32 = 100;
/// Points of one history at most: the minutes of the longest month.
const POINTS_MAX: u32 = 31 * 24 * 60;
/// The sums of the columns, as both databases give them.
macro_rules! sums {
    ($before:literal) => {
        concat!(
            "SELECT ",
            $before,
            "COALESCE(CAST(SUM(requests) AS BIGINT), 0) AS requests, ",
            "COALESCE(CAST(SUM(errors) AS BIGINT), 0) AS errors, ",
            "COALESCE(CAST(SUM(cache_hits) AS BIGINT), 0) AS cache_hits, ",
            "COALESCE(CAST(SUM(request_bytes) AS BIGINT), 0) AS request_bytes, ",
            "COALESCE(CAST(SUM(response_bytes) AS BIGINT), 0) AS response_bytes, ",
            "COALESCE(CAST(SUM(latency_sum_ms) AS BIGINT), 0) AS latency_sum_ms, ",
            "COALESCE(CAST(SUM(cost_micros) AS BIGINT), 0) AS cost_micros FROM usage_counts"
        )
    };
}

/// Counts of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that were sent to the provider.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Answers that came from the cache instead.
    pub cache_hits: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of answer bodies.
    pub response_bytes: u64,
    /// Sum of the times to the answers' heads, in milliseconds.
    pub latency_sum_ms: u64,
    /// What it cost, in millionths of a US dollar.
    pub cost_micros: u64,
}

impl Totals {
    fn add(&mut self, count: &Count) {
        self.requests += count.requests;
        self.errors += count.errors;
        self.cache_hits += count.cache_hits;
        self.request_bytes += count.request_bytes;
        self.response_bytes += count.response_bytes;
        self.latency_sum_ms += count.latency_sum_ms;
        self.cost_micros += count.cost_micros;
    }
}

/// What one row counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bucket<'e> {
    integration: &'e IntegrationId,
    step: Step,
    start: Timestamp,
    endpoint: &'e str,
    actor: &'e str,
}

impl Store {
    /// Counts events, each once: for each, whether it was new. All in one transaction.
    pub async fn count(&self, events: &[(EventId, UsageCounted)]) -> Result<Vec<bool>> {
        settle(|| self.count_once(events)).await
    }

    async fn count_once(&self, events: &[(EventId, UsageCounted)]) -> Result<Vec<bool>> {
        let at = events.iter().map(|(_, usage)| usage.to).max().unwrap_or_default();
        let mut tx = self.db().begin().await?;
        let ids: Vec<&EventId> = events.iter().map(|(id, _)| id).collect();
        let mut new = inbox::take(&mut tx, Consumer::Meter, &ids, at).await?;
        let fresh: Vec<bool> = events.iter().map(|(id, _)| new.remove(id.as_str())).collect();
        let counted = events.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|((_, usage), _)| usage);
        let rows: Vec<Vec<Value>> =
            add_up(counted).iter().map(|(bucket, sum)| columns(bucket, sum)).collect();
        tx.insert(
            "INSERT INTO usage_counts (integration, step, start_at, endpoint, actor, requests, errors, cache_hits,
               request_bytes, response_bytes, latency_sum_ms, cost_micros) VALUES ",
            &rows,
            " ON CONFLICT (integration, step, start_at, endpoint, actor) DO UPDATE SET
               requests = usage_counts.requests + excluded.requests,
               errors = usage_counts.errors + excluded.errors,
               cache_hits = usage_counts.cache_hits + excluded.cache_hits,
               request_bytes = usage_counts.request_bytes + excluded.request_bytes,
               response_bytes = usage_counts.response_bytes + excluded.response_bytes,
               latency_sum_ms = usage_counts.latency_sum_ms + excluded.latency_sum_ms,
               cost_micros = usage_counts.cost_micros + excluded.cost_micros",
        )
        .await?;
        tx.commit().await?;
        Ok(fresh)
    }

    /// What passed from the minute of `from` to before `to`; a `to` within a minute includes that minute.
    pub async fn usage_total(
        &self,
        integration: &IntegrationId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Totals> {
        let Some(select) = within(sums!(""), integration, from, to) else { return Ok(Totals::default()) };
        let (sql, values) = select.finish();
        totals(&self.db().one(sql, &values).await?)
    }

    /// The same by endpoint, most requests first, at most 100.
    pub async fn usage_by_endpoint(
        &self,
        integration: &IntegrationId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(String, Totals)>> {
        self.usage_by(within(sums!("endpoint AS name, "), integration, from, to), " GROUP BY endpoint").await
    }

    /// The same by actor, most requests first, at most 100.
    pub async fn usage_by_actor(
        &self,
        integration: &IntegrationId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(String, Totals)>> {
        self.usage_by(within(sums!("actor AS name, "), integration, from, to), " GROUP BY actor").await
    }

    async fn usage_by(
        &self,
        select: Option<Statement>,
        group: &'static str,
    ) -> Result<Vec<(String, Totals)>> {
        let Some(mut select) = select else { return Ok(Vec::new()) };
        select.push(group).push(" ORDER BY 2 DESC, 1 LIMIT ").bind(NAMES_MAX);
        self.db().select(select).await?.iter().map(|row| Ok((row.text("name")?, totals(row)?))).collect()
    }

    /// Counts by step, oldest first, from the step of `from` to before `to`. Steps in which nothing passed are absent.
    /// At most 44,640: the oldest.
    pub async fn usage_history(
        &self,
        integration: &IntegrationId,
        from: Timestamp,
        to: Timestamp,
        step: Step,
    ) -> Result<Vec<(Timestamp, Totals)>> {
        let mut select = Statement::new(sums!("start_at, "));
        select.filter("integration = ", integration).filter("step = ", step.as_str());
        select.filter("start_at >= ", step.floor(from)).filter("start_at < ", to);
        select.push(" GROUP BY start_at ORDER BY start_at LIMIT ").bind(POINTS_MAX);
        self.db().select(select).await?.iter().map(|row| Ok((row.time("start_at")?, totals(row)?))).collect()
    }

    /// Forgets rows of a step that began before, at most `limit`; says how many. Spans that need them are then too
    /// small: forget minutes only where nobody asks for odd minutes any more.
    pub async fn usage_purge(&self, step: Step, before: Timestamp, limit: u32) -> Result<u64> {
        self.db()
            .execute(
                "DELETE FROM usage_counts WHERE (integration, step, start_at, endpoint, actor) IN
                 (SELECT integration, step, start_at, endpoint, actor FROM usage_counts
                  WHERE step = $1 AND start_at < $2 ORDER BY start_at LIMIT $3)",
                &crate::db::values![step.as_str(), before, limit],
            )
            .await
    }
}

/// One sum a bucket, in the order of the buckets: two writers lock them in the same order.
fn add_up<'e>(events: impl Iterator<Item = &'e UsageCounted>) -> BTreeMap<Bucket<'e>, Totals> {
    let mut sums: BTreeMap<Bucket<'e>, Totals> = BTreeMap::new();
    for usage in events {
        for count in &usage.counts {
            for step in Step::ALL {
                let bucket = Bucket {
                    integration: &usage.integration,
                    step,
                    start: step.floor(usage.from),
                    endpoint: &count.endpoint,
                    actor: &count.actor,
                };
                sums.entry(bucket).or_default().add(count);
            }
        }
    }
    sums
}

fn columns(bucket: &Bucket<'_>, sum: &Totals) -> Vec<Value> {
    crate::db::values![
        bucket.integration,
        bucket.step.as_str(),
        bucket.start,
        bucket.endpoint,
        bucket.actor,
        sum.requests,
        sum.errors,
        sum.cache_hits,
        sum.request_bytes,
        sum.response_bytes,
        sum.latency_sum_ms,
        sum.cost_micros
    ]
    .to_vec()
}

/// Selects the rows that cover a span; nothing when the span is empty.
fn within(
    text: &'static str,
    integration: &IntegrationId,
    from: Timestamp,
    to: Timestamp,
) -> Option<Statement> {
    let pieces = buckets::cover(from, to);
    let mut select = Statement::new(text);
    select.filter("integration = ", integration).and().push("(");
    for (index, piece) in pieces.iter().enumerate() {
        select.push(if index == 0 { "(step = " } else { " OR (step = " }).bind(piece.step.as_str());
        select.push(" AND start_at >= ").bind(piece.from).push(" AND start_at < ").bind(piece.to).push(")");
    }
    select.push(")");
    (!pieces.is_empty()).then_some(select)
}

fn totals(row: &Row) -> Result<Totals> {
    Ok(Totals {
        requests: row.count("requests")?,
        errors: row.count("errors")?,
        cache_hits: row.count("cache_hits")?,
        request_bytes: row.count("request_bytes")?,
        response_bytes: row.count("response_bytes")?,
        latency_sum_ms: row.count("latency_sum_ms")?,
        cost_micros: row.count("cost_micros")?,
    })
}
