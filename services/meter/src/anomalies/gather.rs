//! An integration's buckets, added up from its counted minutes.
//!
//! Knows that a bucket without counts is not always one without calls. Never judges.

use std::collections::BTreeMap;

use model::{IntegrationId, Timestamp};
use store::{Step, Store, WatchedBucket};

use super::{BUCKET, floor};

/// An integration's buckets from a moment to another, from its minutes. A bucket without counts had no calls if the house was
/// counting then, and the integration had been called before; else it is a gap.
pub(super) async fn buckets_of(
    store: &Store,
    id: &IntegrationId,
    from: Timestamp,
    to: Timestamp,
    counting_since: Timestamp,
    known: Option<Timestamp>,
) -> anyhow::Result<Vec<WatchedBucket>> {
    let mut sums: BTreeMap<Timestamp, store::Totals> = BTreeMap::new();
    for (minute, totals) in store.usage_history(id, from, to, Step::Minute).await? {
        sums.entry(floor(minute)).or_default().add(&totals);
    }
    let mut buckets = Vec::new();
    let mut start = floor(from);
    while start < to {
        let called = known.is_some() || !buckets.is_empty();
        match sums.get(&start) {
            Some(totals) => buckets.push(bucket(start, totals)),
            None if called && start >= counting_since => {
                buckets.push(bucket(start, &store::Totals::default()));
            }
            None => {}
        }
        start = start.plus(BUCKET);
    }
    Ok(buckets)
}

fn bucket(start: Timestamp, totals: &store::Totals) -> WatchedBucket {
    WatchedBucket {
        start,
        requests: totals.requests,
        errors: totals.errors,
        p95_ms: p95_ms(totals),
        cost_micros: totals.cost_micros,
        aside: store::Aside::No,
    }
}

/// The time that 95 of 100 answers did not exceed. Absent when none was timed.
fn p95_ms(totals: &store::Totals) -> Option<u32> {
    let micros = totals.latency.per_mille(950)?;
    Some(u32::try_from(micros.div_ceil(1_000)).unwrap_or(u32::MAX))
}
