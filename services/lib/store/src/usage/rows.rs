//! The rows of roll-ups: what is in them, what is added, and what this process still knows of them.
//!
//! What an event changes is added to rows that are known, because sketches add up here and not in the database. Rows that were
//! written last are remembered, so that they need not be read again. A number in the database says how often rows were written:
//! only who finds it as he left it may trust his memory, whoever else counts or forgets rows. It holds in the transaction in
//! which it is read, because those who count take turns.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;
use model::Timestamp;

use super::{Facet, Step, Totals};
use crate::db::{Statement, Tx, Value, values};
use crate::{Error, Result};

/// Rows that are read by one statement.
const ROWS_PER_READ: usize = 400;
/// Rows that are remembered at most, each with one or two KiB.
const REMEMBERED_MAX: usize = 12_000;

/// What one row counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key<'e> {
    pub(super) integration: Cow<'e, str>,
    pub(super) facet: Facet,
    pub(super) step: Step,
    pub(super) start: Timestamp,
    pub(super) name: Cow<'e, str>,
}

/// What is added, or what rows have.
pub(super) type Sums<'e> = HashMap<Key<'e>, Totals, RandomState>;

impl<'e> Key<'e> {
    fn owned(self) -> Key<'static> {
        let Self { integration, facet, step, start, name } = self;
        let (integration, name) = (Cow::Owned(integration.into_owned()), Cow::Owned(name.into_owned()));
        Key { integration, facet, step, start, name }
    }

    /// The same span of everything: what has a row before any other.
    pub(super) fn whole(&self) -> Key<'e> {
        Key { facet: Facet::All, name: Cow::Borrowed(""), ..self.clone() }
    }

    fn columns(&self) -> [Value; 5] {
        values![&*self.integration, self.facet.number(), self.step.number(), self.start, &*self.name]
    }
}

/// Rows as they were written last.
#[derive(Default)]
pub(crate) struct Remembered {
    turn: i64,
    rows: Sums<'static>,
}

impl Remembered {
    /// What is remembered, and may be trusted in this transaction. It must be given back when that is committed.
    pub(super) async fn begin(&mut self, tx: &mut Tx) -> Result<Self> {
        let known = std::mem::take(self);
        let turn = tx.one("SELECT turn FROM usage_turn WHERE id = 1", &[]).await?.int("turn")?;
        Ok(if turn == known.turn { known } else { Self { turn, rows: Sums::default() } })
    }

    /// Adds sums to what the rows have, and writes them; what is remembered then, once that is committed.
    pub(super) async fn write(self, tx: &mut Tx, sums: &Sums<'_>) -> Result<Self> {
        let mut rows: Sums<'_> = self.rows;
        if sums.is_empty() {
            return Ok(Self { turn: self.turn, rows: owned(rows) });
        }
        read(tx, sums, &mut rows).await?;
        for (key, sum) in sums {
            match rows.get_mut(key) {
                Some(row) => row.add(sum),
                None => drop(rows.insert(key.clone(), sum.clone())),
            }
        }
        // Neighbours together: they lie on the same page.
        let mut keys: Vec<&Key<'_>> = sums.keys().collect();
        keys.sort_unstable();
        let mut written = Vec::with_capacity(keys.len());
        for key in &keys {
            let row = rows.get(*key).ok_or_else(|| Error::corrupt("a sum", "it is not there"))?;
            written.push(columns(key, row)?);
        }
        tx.insert_kept(INSERT, &written, UPDATE).await?;
        let turn = turn(tx).await?;
        if rows.len() > REMEMBERED_MAX {
            let now: Sums<'_> =
                keys.into_iter().take(REMEMBERED_MAX).filter_map(|key| rows.remove_entry(key)).collect();
            rows = now;
        }
        // Whoever forgets rows does not wait for those who count.
        let rows = if turn == self.turn + 1 { owned(rows) } else { Sums::default() };
        Ok(Self { turn, rows })
    }
}

/// Says that rows were written; how often they were by now.
pub(super) async fn turn(tx: &mut Tx) -> Result<i64> {
    tx.one("UPDATE usage_turn SET turn = turn + 1 WHERE id = 1 RETURNING turn", &[]).await?.int("turn")
}

fn owned(rows: Sums<'_>) -> Sums<'static> {
    rows.into_iter().map(|(key, row)| (key.owned(), row)).collect()
}

/// Reads the rows that sums are added to and that are not known. Only where there is a row of everything are there others.
async fn read<'e>(tx: &mut Tx, sums: &Sums<'e>, rows: &mut Sums<'e>) -> Result<()> {
    let missing: Vec<&Key<'e>> = sums.keys().filter(|key| !rows.contains_key(*key)).collect();
    let wholes: BTreeSet<Key<'e>> =
        missing.iter().map(|key| key.whole()).filter(|key| !rows.contains_key(key)).collect();
    select(tx, wholes.into_iter().collect(), rows).await?;
    let others = missing.into_iter().filter(|key| key.facet != Facet::All && rows.contains_key(&key.whole()));
    let others = others.cloned().collect();
    select(tx, others, rows).await
}

async fn select<'e>(tx: &mut Tx, keys: Vec<Key<'e>>, rows: &mut Sums<'e>) -> Result<()> {
    for part in keys.chunks(ROWS_PER_READ) {
        let mut select =
            Statement::new("WITH wanted (number, integration, facet, step, start_at, name) AS (VALUES ");
        for (number, key) in part.iter().enumerate() {
            if number > 0 {
                select.push(", ");
            }
            select.bind_all([Value::from(number as u64)].into_iter().chain(key.columns()));
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
            let Some(key) = part.get(number) else { continue };
            let mut totals = Totals::default();
            totals.add_row(&row)?;
            rows.insert(key.clone(), totals);
        }
    }
    Ok(())
}

const INSERT: &str =
    "INSERT INTO usage_rollups (integration, facet, step, start_at, name, requests, errors, cache_hits,
       request_bytes, response_bytes, latency_sum_ms, cost_micros, input_tokens, cached_tokens, cache_write_tokens,
       output_tokens, unpriced_answers, latency, reasons) VALUES ";
const UPDATE: &str = " ON CONFLICT (integration, facet, step, start_at, name) DO UPDATE SET
       requests = excluded.requests, errors = excluded.errors, cache_hits = excluded.cache_hits,
       request_bytes = excluded.request_bytes, response_bytes = excluded.response_bytes,
       latency_sum_ms = excluded.latency_sum_ms, cost_micros = excluded.cost_micros,
       input_tokens = excluded.input_tokens, cached_tokens = excluded.cached_tokens,
       cache_write_tokens = excluded.cache_write_tokens, output_tokens = excluded.output_tokens,
       unpriced_answers = excluded.unpriced_answers, latency = excluded.latency, reasons = excluded.reasons";

fn columns(key: &Key<'_>, row: &Totals) -> Result<[Value; 19]> {
    let [a, b, c, d, e] = key.columns();
    let [f, g, h, i, j, k, l, m, n, o, p, q, r, s] = row.columns()?;
    Ok([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s])
}
