//! Recorded use of one source, and its sums over any span.
//!
//! By the minute for as long as minutes are kept, by the hour before that. A span that ends within a bucket takes its
//! share of it, as if calls had come evenly; latencies do not divide, so a bucket that is touched counts.

use std::collections::BTreeMap;

use model::usage::Sketch;
use model::{IntegrationId, Timestamp};
use store::{Step, Store, Totals};

use super::figure::{Span, Sum, percentile, whole};
use super::plan::Source;

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// Recorded use, oldest first. No two buckets overlap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    buckets: Vec<Bucket>,
}

#[derive(Clone, Debug)]
struct Bucket {
    start: i64,
    length: i64,
    /// Requests, errors and cost of all buckets before.
    before: [f64; 3],
    own: [f64; 3],
    latency: Sketch,
}

/// From when on minutes are read, at a moment: from a full hour on, so that hours and minutes never overlap.
pub(crate) fn minutes_from(now: Timestamp) -> Timestamp {
    let oldest = now.minus(Step::Minute.kept()).as_millis() + HOUR_MS;
    Timestamp::from_millis(oldest - oldest.rem_euclid(HOUR_MS))
}

impl Record {
    /// Reads what was recorded of a source; `all` are the integrations that there are.
    pub(crate) async fn read(
        store: &Store,
        source: &Source,
        all: &[IntegrationId],
        span: Span,
        now: Timestamp,
    ) -> store::Result<Self> {
        let cut = minutes_from(now);
        let mut buckets: BTreeMap<(i64, i64), Totals> = BTreeMap::new();
        let parts = [
            (Step::Hour, HOUR_MS, span.from, span.to.min(cut)),
            (Step::Minute, MINUTE_MS, span.from.max(cut), span.to),
        ];
        for id in source.among(all) {
            for (step, length, from, to) in parts {
                if from >= to {
                    continue;
                }
                let rows = store.usage_history_of(id, source.facet, &source.name, from, to, step).await?;
                for (start, totals) in rows {
                    buckets.entry((start.as_millis(), length)).or_default().add(&totals);
                }
            }
        }
        Ok(Self::of(buckets.into_iter().map(|((start, length), totals)| (start, length, totals))))
    }

    /// A record of buckets in their order: when each began, how long it was (both in milliseconds), what passed.
    fn of(buckets: impl Iterator<Item = (i64, i64, Totals)>) -> Self {
        let mut before = [0.0; 3];
        let buckets = buckets.map(|(start, length, totals)| {
            let own = [totals.requests, totals.errors, totals.cost_micros].map(whole);
            let bucket = Bucket { start, length, before, own, latency: totals.latency };
            before = [before[0] + own[0], before[1] + own[1], before[2] + own[2]];
            bucket
        });
        Self { buckets: buckets.collect() }
    }

    /// Whether nothing is recorded.
    pub(crate) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// What passed in a span. Latencies are read only where they are asked for.
    pub(crate) fn sum(&self, span: Span, latencies: bool) -> Sum {
        let (from, to) = (self.until(span.from.as_millis()), self.until(span.to.as_millis()));
        let p95_ms = if latencies { self.p95_ms(span) } else { None };
        let [requests, errors, cost_micros] = [0, 1, 2].map(|n| (to[n] - from[n]).max(0.0));
        Sum { requests, errors, cost_micros, p95_ms }
    }

    /// What passed before a moment, since the record began.
    fn until(&self, at: i64) -> [f64; 3] {
        let next = self.buckets.partition_point(|bucket| bucket.start < at);
        let Some(last) = next.checked_sub(1).map(|last| &self.buckets[last]) else { return [0.0; 3] };
        #[expect(clippy::cast_precision_loss, reason = "a share of an hour at most")]
        let share = ((at - last.start) as f64 / last.length as f64).min(1.0);
        [0, 1, 2].map(|n| last.before[n] + last.own[n] * share)
    }

    fn p95_ms(&self, span: Span) -> Option<f64> {
        let (from, to) = (span.from.as_millis(), span.to.as_millis());
        let first = self.buckets.partition_point(|bucket| bucket.start + bucket.length <= from);
        let mut all = Sketch::default();
        for bucket in self.buckets[first..].iter().take_while(|bucket| bucket.start < to) {
            all.merge(&bucket.latency);
        }
        slow(&all)
    }
}

/// The time within which nineteen of twenty answers came, in milliseconds.
fn slow(latency: &Sketch) -> Option<f64> {
    latency.per_mille(percentile()).map(|micros| whole(micros) / 1_000.0)
}

impl From<&Totals> for Sum {
    fn from(totals: &Totals) -> Self {
        Self {
            requests: whole(totals.requests),
            errors: whole(totals.errors),
            cost_micros: whole(totals.cost_micros),
            p95_ms: slow(&totals.latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64, errors: u64, millis: u64) -> Totals {
        let mut totals = Totals { requests, errors, ..Totals::default() };
        totals.latency.add_times(millis * 1_000, requests);
        totals
    }

    fn span(from_minute: i64, to_minute: i64) -> Span {
        let at = |minute: i64| Timestamp::from_millis(minute * MINUTE_MS);
        Span { from: at(from_minute), to: at(to_minute) }
    }

    #[test]
    fn spans_add_up_over_hours_and_minutes() {
        let record = Record::of(
            [
                (0, HOUR_MS, totals(60, 6, 100)),
                (60 * MINUTE_MS, MINUTE_MS, totals(5, 5, 900)),
                (62 * MINUTE_MS, MINUTE_MS, totals(7, 0, 100)),
            ]
            .into_iter(),
        );
        let requests = |from, to| record.sum(span(from, to), false).requests.round();
        assert_eq!(requests(0, 60).to_bits(), 60_f64.to_bits());
        assert_eq!(requests(30, 60).to_bits(), 30_f64.to_bits(), "half of an hour");
        assert_eq!(requests(50, 63).to_bits(), 22_f64.to_bits());
        assert_eq!(requests(60, 62).to_bits(), 5_f64.to_bits());
        assert_eq!(requests(61, 62).to_bits(), 0_f64.to_bits());
        assert_eq!(requests(-10, 200).to_bits(), 72_f64.to_bits());
        let slow = record.sum(span(60, 61), true).p95_ms.expect("answers");
        assert!((880.0..920.0).contains(&slow), "{slow}");
        assert_eq!(record.sum(span(61, 62), true).p95_ms, None);
        assert!(Record::default().is_empty());
    }

    #[test]
    fn minutes_begin_with_an_hour_while_they_are_kept() {
        let now = Timestamp::parse("2026-11-21T10:02:30Z").expect("a time");
        let from = minutes_from(now);
        assert_eq!(from.to_string(), "2026-11-19T11:00:00.000Z");
        assert!(now.since(from) < Step::Minute.kept());
    }
}
