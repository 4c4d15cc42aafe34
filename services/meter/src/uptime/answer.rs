//! Answers what an integration was: the body of `GET /integrations/{id}/uptime`.

use std::collections::BTreeMap;
use std::time::Duration;

use model::uptime::{Uptime, UptimeOf, UptimeWindow};
use model::{IntegrationId, Timestamp, subject};
use store::{HealthSum, Slot, Store};
use tokio_util::sync::CancellationToken;

use super::report::report;
use super::spans::{Span, breaks, spans};
use crate::Meter;
use crate::answer::answered;

/// Intervals without an observation after which nothing is known, as failover has it; and how long that is at least, because
/// an observation needs a while until it is here.
const STALE_INTERVALS: u32 = 3;
const STALE_MIN: Duration = Duration::from_secs(600);
/// Changes that do not fit the one before them, of which the last observation is looked up: the newest.
const BREAKS_MAX: usize = 100;

/// Answers until told to stop.
pub(super) async fn answers(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    let bus = meter.bus.clone();
    let answer = move |question: UptimeOf| {
        let store = meter.store.clone();
        async move { answered("what it was", uptime(&store, question).await) }
    };
    bus.answer(&subject::ask("meter", "uptime"), "meter", answer).until(stopping).await?;
    Ok(())
}

pub(super) async fn uptime(store: &Store, question: UptimeOf) -> Result<Uptime, store::Error> {
    let from = question.at.minus(question.window.length());
    let spans = spans_of(store, &question.integration, from, question.at).await?;
    let sums = sums(store, &question, from).await?;
    Ok(report(&question, &spans, &sums))
}

/// What it was until now, from a moment on and some changes before that.
pub(super) async fn spans_of(
    store: &Store,
    id: &IntegrationId,
    from: Timestamp,
    now: Timestamp,
) -> Result<Vec<Span>, store::Error> {
    let changes = store.health_changes(id, from).await?;
    let mut last_seen = BTreeMap::new();
    let broken: Vec<usize> = breaks(&changes).collect();
    for place in broken.into_iter().rev().take(BREAKS_MAX) {
        if let Some(seen) = store.health_seen(id, changes[place].since).await? {
            last_seen.insert(place, seen.at);
        }
    }
    let seen = store.health_seen(id, now).await?;
    let known_to = seen.map_or(now, |seen| {
        let patience = Duration::from_secs(u64::from(seen.every_secs)) * STALE_INTERVALS;
        if now.since(seen.at) > patience.max(STALE_MIN) { seen.at } else { now }
    });
    Ok(spans(&changes, &last_seen, known_to, now))
}

/// What was observed in the window: by the hour, and by the day in the middle of long ones. The hour in which it begins counts
/// whole.
async fn sums(store: &Store, question: &UptimeOf, from: Timestamp) -> Result<Vec<HealthSum>, store::Error> {
    let (id, to) = (&question.integration, question.at);
    let first = Slot::Hour.floor(from);
    if matches!(question.window, UptimeWindow::Day | UptimeWindow::Week) {
        return store.health_sums(id, Slot::Hour, first, to).await;
    }
    let day = Duration::from_millis(Slot::Day.millis().unsigned_abs());
    let (morning, midnight) = (Slot::Day.floor(from).plus(day), Slot::Day.floor(to));
    let mut sums = store.health_sums(id, Slot::Hour, first, morning).await?;
    sums.extend(store.health_sums(id, Slot::Day, morning, midnight).await?);
    sums.extend(store.health_sums(id, Slot::Hour, midnight, to).await?);
    Ok(sums)
}
