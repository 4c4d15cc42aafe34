//! Counts of a span, and how a row keeps them.

use std::collections::BTreeMap;

use model::Timestamp;
use model::ask::{Figures, Latency};
use model::health::Reason;
use model::usage::{Count, ModelCount, Sketch, Tokens};

use crate::db::{Row, Value, values};
use crate::{Error, Result};

/// Counts of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that were sent to the provider.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// What was wrong with them, where that was said.
    pub reasons: BTreeMap<Reason, u64>,
    /// Answers that came from the cache instead.
    pub cache_hits: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of answer bodies.
    pub response_bytes: u64,
    /// Sum of the times to the answers' heads, in milliseconds.
    pub latency_sum_ms: u64,
    /// These times, of which percentiles are made. Fewer than answers where some were counted before there were sketches.
    pub latency: Sketch,
    /// What it cost, in millionths of a US dollar; what a plan includes cost nothing.
    pub cost_micros: u64,
    /// What language models used, and how many of their answers have no known cost.
    pub tokens: Tokens,
}

/// The numbers of a row, as they are added up by the database.
macro_rules! numbers {
    ($with:ident) => {
        $with!(
            requests,
            errors,
            cache_hits,
            request_bytes,
            response_bytes,
            latency_sum_ms,
            cost_micros,
            input_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
            unpriced_answers
        )
    };
}
pub(super) use numbers;

impl From<Totals> for Figures {
    fn from(totals: Totals) -> Self {
        let latency = Latency::of(&totals.latency);
        let Totals { requests, errors, reasons, cache_hits, request_bytes, response_bytes, .. } = totals;
        let Totals { cost_micros, tokens, .. } = totals;
        Self {
            requests,
            errors,
            reasons,
            cache_hits,
            request_bytes,
            response_bytes,
            cost_micros,
            tokens,
            latency,
        }
    }
}

impl Totals {
    /// Adds up what belongs to one span: rows, oldest first, by where `floor` says that the span of a moment begins.
    pub fn gathered(
        rows: Vec<(Timestamp, Self)>,
        floor: impl Fn(Timestamp) -> Timestamp,
    ) -> Vec<(Timestamp, Self)> {
        let mut spans: Vec<(Timestamp, Self)> = Vec::new();
        for (at, totals) in rows {
            let start = floor(at);
            match spans.last_mut() {
                Some((last, sum)) if *last == start => sum.add(&totals),
                _ => spans.push((start, totals)),
            }
        }
        spans
    }

    /// Adds what others counted.
    pub fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.errors += more.errors;
        for (reason, times) in &more.reasons {
            *self.reasons.entry(*reason).or_default() += times;
        }
        self.cache_hits += more.cache_hits;
        self.request_bytes += more.request_bytes;
        self.response_bytes += more.response_bytes;
        self.latency_sum_ms += more.latency_sum_ms;
        self.latency.merge(&more.latency);
        self.cost_micros += more.cost_micros;
        self.tokens.add(&more.tokens);
    }

    /// Adds an event's count, which cost so much.
    pub(super) fn add_count(&mut self, count: &Count, cost_micros: u64) {
        self.requests += count.requests;
        self.errors += count.errors;
        for (reason, times) in &count.reasons {
            *self.reasons.entry(*reason).or_default() += times;
        }
        self.cache_hits += count.cache_hits;
        self.request_bytes += count.request_bytes;
        self.response_bytes += count.response_bytes;
        self.latency_sum_ms += count.latency_sum_ms;
        self.latency.merge(&count.latency);
        self.cost_micros += cost_micros;
        self.tokens.add(&count.tokens);
    }

    /// Adds what a model used, which cost so much.
    pub(super) fn add_model(&mut self, model: &ModelCount, cost_micros: u64) {
        self.requests += model.answers;
        self.request_bytes += model.request_bytes;
        self.response_bytes += model.response_bytes;
        self.latency.merge(&model.latency);
        self.cost_micros += cost_micros;
        self.tokens.add(&model.tokens);
    }

    /// Adds a row: its numbers, reasons and latencies.
    pub(super) fn add_row(&mut self, row: &Row) -> Result<()> {
        self.add_numbers(row)?;
        if !self.latency.merge_bytes(&row.bytes("latency")?) {
            return Err(Error::corrupt("column `latency`", "it is no sketch"));
        }
        if !row.is("reasons", "") {
            for (reason, times) in row.json::<BTreeMap<Reason, u64>>("reasons")? {
                *self.reasons.entry(reason).or_default() += times;
            }
        }
        Ok(())
    }

    /// Adds a row's numbers only.
    pub(super) fn add_numbers(&mut self, row: &Row) -> Result<()> {
        self.requests += row.count("requests")?;
        self.errors += row.count("errors")?;
        self.cache_hits += row.count("cache_hits")?;
        self.request_bytes += row.count("request_bytes")?;
        self.response_bytes += row.count("response_bytes")?;
        self.latency_sum_ms += row.count("latency_sum_ms")?;
        self.cost_micros += row.count("cost_micros")?;
        self.tokens.add(&Tokens {
            input_tokens: row.count("input_tokens")?,
            cached_tokens: row.count("cached_tokens")?,
            cache_write_tokens: row.count("cache_write_tokens")?,
            output_tokens: row.count("output_tokens")?,
            unpriced_answers: row.count("unpriced_answers")?,
        });
        Ok(())
    }

    /// What a row keeps, in the order of its columns.
    pub(super) fn columns(&self) -> Result<[Value; 14]> {
        let reasons = match self.reasons.is_empty() {
            true => String::new(),
            false => {
                serde_json::to_string(&self.reasons).map_err(|error| Error::corrupt("reasons", error))?
            }
        };
        Ok(values![
            self.requests,
            self.errors,
            self.cache_hits,
            self.request_bytes,
            self.response_bytes,
            self.latency_sum_ms,
            self.cost_micros,
            self.tokens.input_tokens,
            self.tokens.cached_tokens,
            self.tokens.cache_write_tokens,
            self.tokens.output_tokens,
            self.tokens.unpriced_answers,
            self.latency.to_bytes().as_slice(),
            reasons
        ])
    }
}
