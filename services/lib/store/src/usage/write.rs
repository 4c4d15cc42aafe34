//! Counts events: each once, many in one transaction.
//!
//! What an event changes is added to rows that are read first, because sketches add up here and not in the database. SQLite
//! has one writer; on PostgreSQL replicas take turns by an advisory lock. That an event was counted is known by the hour in
//! which it begins and 64 bits of its id: among a million events of an hour two are taken for one another once in 37
//! million hours.

use std::collections::{BTreeMap, HashSet};

use model::price::Plan;
use model::usage::UsageCounted;
use model::{EventId, IntegrationId, Timestamp};
use sha2::{Digest as _, Sha256};

use super::plan::{self, Sofar};
use super::{Facet, Step, Totals};
use crate::db::{Statement, Tx, Value, settle, values};
use crate::{Result, Store};

/// The advisory lock of those who count, `usagecnt` in ASCII.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_xact_lock(8463219685413056116)";
/// Rows that are read by one statement.
const ROWS_PER_READ: usize = 400;

/// The plans of integrations that have one, with what they include.
pub type Plans = BTreeMap<IntegrationId, Plan>;

/// What one row counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'e> {
    integration: &'e str,
    facet: Facet,
    step: Step,
    start: Timestamp,
    name: &'e str,
}

type Sums<'e> = BTreeMap<Key<'e>, Totals>;

impl Store {
    /// Counts events, each once: for each, whether it was new. All in one transaction, into the buckets in which they
    /// begin, however late they come. What a plan includes costs nothing.
    pub async fn count(&self, events: &[(EventId, UsageCounted)], plans: &Plans) -> Result<Vec<bool>> {
        settle(|| self.count_once(events, plans)).await
    }

    async fn count_once(&self, events: &[(EventId, UsageCounted)], plans: &Plans) -> Result<Vec<bool>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.db().begin().await?;
        if matches!(tx, Tx::Postgres(_)) {
            tx.all(ADVISORY_LOCK, &[]).await?;
        }
        let fresh = take(&mut tx, events).await?;
        let counted: Vec<&UsageCounted> =
            events.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|((_, usage), _)| usage).collect();
        let mut sofar = months(&mut tx, &counted, plans).await?;
        let sums = add_up(&counted, plans, &mut sofar);
        write(&mut tx, sums).await?;
        tx.commit().await?;
        Ok(fresh)
    }
}

/// The hour and the 64 bits by which an event is known.
fn seen(id: &EventId, usage: &UsageCounted) -> (i64, i64) {
    let hash = Sha256::digest(id.as_str());
    let mut bits = [0; 8];
    bits.copy_from_slice(&hash[..8]);
    (Step::Hour.floor(usage.from).as_secs() / 3600, i64::from_be_bytes(bits))
}

/// Marks events as counted, and says for each whether it was not before.
async fn take(tx: &mut Tx, events: &[(EventId, UsageCounted)]) -> Result<Vec<bool>> {
    let keys: Vec<(i64, i64)> = events.iter().map(|(id, usage)| seen(id, usage)).collect();
    let mut known: HashSet<(i64, i64)> = HashSet::new();
    for part in keys.chunks(ROWS_PER_READ) {
        let mut select = Statement::new("WITH wanted (hour, id) AS (VALUES ");
        for (number, (hour, id)) in part.iter().enumerate() {
            if number > 0 {
                select.push(", ");
            }
            select.bind_all(values![*hour, *id]);
        }
        select.push(
            ") SELECT s.hour, s.id FROM wanted CROSS JOIN usage_seen AS s
             WHERE s.hour = wanted.hour AND s.id = wanted.id",
        );
        let (sql, values) = select.finish();
        for row in tx.all(sql, &values).await? {
            known.insert((row.int("hour")?, row.int("id")?));
        }
    }
    // Those that were counted before there was this table.
    let before = tx.optional("SELECT 1 AS n FROM inbox WHERE consumer = 'meter' LIMIT 1", &[]).await?;
    if before.is_some() {
        let ids: Vec<Value> = events.iter().map(|(id, _)| id.into()).collect();
        let head = "SELECT event_id FROM inbox WHERE consumer = 'meter' AND event_id IN ";
        let counted = tx.each_in(head, &[], &ids, "").await?;
        let counted: HashSet<String> =
            counted.iter().map(|row| row.text("event_id")).collect::<Result<_>>()?;
        for ((id, _), key) in events.iter().zip(&keys) {
            if counted.contains(id.as_str()) {
                known.insert(*key);
            }
        }
    }
    let fresh: Vec<bool> = keys.iter().map(|key| known.insert(*key)).collect();
    let new = keys.iter().zip(&fresh).filter(|(_, fresh)| **fresh);
    let rows: Vec<Vec<Value>> = new.map(|((hour, id), _)| values![*hour, *id].to_vec()).collect();
    tx.insert("INSERT INTO usage_seen (hour, id) VALUES ", &rows, "").await?;
    Ok(fresh)
}

/// What was counted so far of the months of integrations with a plan.
async fn months<'e>(
    tx: &mut Tx,
    counted: &[&'e UsageCounted],
    plans: &Plans,
) -> Result<BTreeMap<(&'e str, Timestamp), Sofar>> {
    let mut months = BTreeMap::new();
    for usage in counted.iter().filter(|usage| plans.contains_key(&usage.integration)) {
        let from = Step::month_of(usage.from);
        if months.contains_key(&(usage.integration.as_str(), from)) {
            continue;
        }
        let row = tx
            .one(
                "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) AS requests,
                   CAST(COALESCE(SUM(input_tokens + output_tokens), 0) AS BIGINT) AS tokens
                 FROM usage_rollups
                 WHERE integration = $1 AND facet = 0 AND step = 2 AND start_at >= $2 AND start_at < $3",
                &values![&usage.integration, from, Step::month_after(from)],
            )
            .await?;
        let sofar = Sofar { requests: row.count("requests")?, tokens: row.count("tokens")? };
        months.insert((usage.integration.as_str(), from), sofar);
    }
    Ok(months)
}

/// One sum a row, in the order of the table.
fn add_up<'e>(
    counted: &[&'e UsageCounted],
    plans: &Plans,
    months: &mut BTreeMap<(&'e str, Timestamp), Sofar>,
) -> Sums<'e> {
    let mut minutes = Sums::new();
    for usage in counted {
        let integration = usage.integration.as_str();
        let start = Step::Minute.floor(usage.from);
        let plan = plans.get(&usage.integration);
        let month = plan.map(|_| (integration, Step::month_of(usage.from)));
        for count in &usage.counts {
            let mut none = Sofar::default();
            let sofar = month.and_then(|month| months.get_mut(&month)).unwrap_or(&mut none);
            let billed = plan::bill(plan, sofar, count);
            let route = count.route.as_ref().map(|route| (Facet::Route, route.as_str()));
            let facets =
                [(Facet::All, ""), (Facet::Endpoint, &*count.endpoint), (Facet::Caller, &*count.actor)];
            let key = |facet, name| Key { integration, facet, step: Step::Minute, start, name };
            for (facet, name) in facets.into_iter().chain(route) {
                minutes.entry(key(facet, name)).or_default().add_count(count, billed.cost_micros);
            }
            for (model, cost) in count.models.iter().zip(billed.models) {
                minutes.entry(key(Facet::Model, &model.model)).or_default().add_model(model, cost);
            }
        }
    }
    let hours = longer(&minutes, Step::Hour);
    let days = longer(&hours, Step::Day);
    minutes.extend(hours);
    minutes.extend(days);
    minutes
}

/// The same by a longer step.
fn longer<'e>(sums: &Sums<'e>, step: Step) -> Sums<'e> {
    let mut longer = Sums::new();
    for (key, sum) in sums {
        longer.entry(Key { step, start: step.floor(key.start), ..*key }).or_default().add(sum);
    }
    longer
}

/// Adds sums to what the rows have.
async fn write(tx: &mut Tx, mut sums: Sums<'_>) -> Result<()> {
    let mut rows: Vec<(&Key<'_>, &mut Totals)> = sums.iter_mut().collect();
    for part in rows.chunks_mut(ROWS_PER_READ) {
        let mut select =
            Statement::new("WITH wanted (number, integration, facet, step, start_at, name) AS (VALUES ");
        for (number, (key, _)) in part.iter().enumerate() {
            if number > 0 {
                select.push(", ");
            }
            select.bind_all([Value::from(number as u64)].into_iter().chain(columns(key)));
        }
        select.push(
            ") SELECT wanted.number, requests, errors, cache_hits, request_bytes, response_bytes, latency_sum_ms,
               cost_micros, input_tokens, cached_tokens, cache_write_tokens, output_tokens, unpriced_answers, latency,
               reasons
             FROM wanted JOIN usage_rollups AS u ON u.integration = wanted.integration AND u.facet = wanted.facet
               AND u.step = wanted.step AND u.start_at = wanted.start_at AND u.name = wanted.name",
        );
        let (sql, values) = select.finish();
        for row in tx.all(sql, &values).await? {
            let number = usize::try_from(row.count("number")?).unwrap_or(usize::MAX);
            if let Some((_, sum)) = part.get_mut(number) {
                sum.add_row(&row)?;
            }
        }
    }
    let rows = rows.iter().map(|(key, sum)| Ok(columns(key).into_iter().chain(sum.columns()?).collect()));
    let rows: Vec<Vec<Value>> = rows.collect::<Result<_>>()?;
    tx.insert(
        "INSERT INTO usage_rollups (integration, facet, step, start_at, name, requests, errors, cache_hits,
           request_bytes, response_bytes, latency_sum_ms, cost_micros, input_tokens, cached_tokens, cache_write_tokens,
           output_tokens, unpriced_answers, latency, reasons) VALUES ",
        &rows,
        " ON CONFLICT (integration, facet, step, start_at, name) DO UPDATE SET
           requests = excluded.requests, errors = excluded.errors, cache_hits = excluded.cache_hits,
           request_bytes = excluded.request_bytes, response_bytes = excluded.response_bytes,
           latency_sum_ms = excluded.latency_sum_ms, cost_micros = excluded.cost_micros,
           input_tokens = excluded.input_tokens, cached_tokens = excluded.cached_tokens,
           cache_write_tokens = excluded.cache_write_tokens, output_tokens = excluded.output_tokens,
           unpriced_answers = excluded.unpriced_answers, latency = excluded.latency, reasons = excluded.reasons",
    )
    .await?;
    Ok(())
}

fn columns(key: &Key<'_>) -> [Value; 5] {
    values![key.integration, key.facet.number(), key.step.number(), key.start, key.name]
}
