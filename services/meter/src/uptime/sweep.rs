//! Keeps what is written down within its bounds, and begins where nothing was: by time alone, all of it safe to do again.
//!
//! An integration whose changes are all older than the stream keeps them begins with what the `health` bucket says it is. Every
//! replica sweeps; the second one finds nothing to do.

use std::time::Duration;

use bus::Bucket;
use model::health::{Health, HealthChanged, HealthNow};
use model::id::stable_hash;
use model::{EventId, IntegrationId, ProviderId, Timestamp};
use store::{HealthEvent, HealthFact, Slot, Store};
use tokio_util::sync::CancellationToken;

use super::Era;
use crate::Meter;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often the stream's birth is looked at, and what has no history begins one.
const EVERY: Duration = Duration::from_secs(60);
/// How often what is old goes.
const PURGE_EVERY: Duration = HOUR;
/// How long changes are kept: the longest window and two days.
const KEEP_CHANGES: Duration = DAY.saturating_mul(92);
/// How long 5 minutes, hours and days are: for comparing, for the longest window, and to look back.
const KEEP: [(Slot, Duration); 3] = [
    (Slot::Five, DAY.saturating_mul(15)),
    (Slot::Hour, DAY.saturating_mul(92)),
    (Slot::Day, DAY.saturating_mul(400)),
];
/// How long marks are kept: the stream keeps its messages for seven days.
const KEEP_MARKS: Duration = DAY.saturating_mul(8);
/// Rows that go in one transaction, and transactions of one kind in one sweep: an hour's rows of some thousand integrations.
const ROWS: u32 = 2_000;
const ROUNDS: u32 = 100;

pub(super) async fn sweep(meter: Meter, era: Era, stopping: CancellationToken) {
    // Nobody is configured before the first configuration is here.
    let mut snapshots = meter.snapshot.clone();
    let configured =
        stopping.run_until_cancelled(snapshots.wait_for(Option::is_some)).await.map(|seen| seen.is_ok());
    if configured != Some(true) {
        return;
    }
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut purged: Option<tokio::time::Instant> = None;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = begin(&meter, &era).await {
            tracing::debug!(
                error = format!("{error:#}"),
                "Integrations without history could not be looked at; trying again."
            );
        }
        if purged.is_some_and(|at| at.elapsed() < PURGE_EVERY) {
            continue;
        }
        let ids: Vec<IntegrationId> = {
            let snapshot = meter.snapshot.borrow();
            snapshot.iter().flat_map(|snapshot| snapshot.integrations.keys().cloned()).collect()
        };
        match purge(&meter.store, &ids, Timestamp::now()).await {
            Ok(()) => purged = Some(tokio::time::Instant::now()),
            Err(error) => tracing::warn!(%error, "Old history could not be forgotten; trying again."),
        }
    }
}

/// Begins the history of integrations that have none with what they are.
async fn begin(meter: &Meter, era: &Era) -> anyhow::Result<()> {
    let born = era.look(meter).await?;
    let Some(snapshot) = meter.snapshot.borrow().clone() else { return Ok(()) };
    let health = meter.bus.bucket(Bucket::Health).await?;
    for (id, integration) in &snapshot.integrations {
        let now = Timestamp::now();
        if !meter.store.health_changes(id, now).await?.is_empty() {
            continue;
        }
        let Some(found) = health.get::<HealthNow>(id.as_str()).await? else { continue };
        let settled = now.since(found.value.since) >= EVERY;
        // What changed just now is on its way.
        if let Some(event) = settled.then(|| first(&integration.provider, &found.value, now)).flatten() {
            meter.store.health_begin(born, &event).await?;
        }
    }
    Ok(())
}

/// A change from nothing known to what it is. It stands before all messages of the stream.
fn first(provider: &ProviderId, now: &HealthNow, at: Timestamp) -> Option<HealthEvent> {
    if now.health == Health::Unknown {
        return None;
    }
    let id = format!("uptime-{:016x}-{}", stable_hash(now.integration.as_str()), now.since.as_millis());
    let changed = HealthChanged {
        integration: now.integration.clone(),
        provider: provider.clone(),
        from: Health::Unknown,
        to: now.health,
        reason: now.reason,
        since: now.since,
        at: now.since,
        latency_ms: now.latency_ms,
        evidence: Vec::new(),
    };
    let fact = HealthFact::Changed(changed);
    Some(HealthEvent { sequence: 0, stored_at: at, event: EventId::parse(id).ok()?, fact })
}

pub(super) async fn purge(store: &Store, ids: &[IntegrationId], now: Timestamp) -> Result<(), store::Error> {
    for (slot, keep) in KEEP {
        for _ in 0..ROUNDS {
            if store.health_counts_purge(slot, now.minus(keep), ROWS).await? < u64::from(ROWS) {
                break;
            }
        }
    }
    for _ in 0..ROUNDS {
        if store.health_changes_purge(now.minus(KEEP_CHANGES), ROWS).await? < u64::from(ROWS) {
            break;
        }
    }
    store.health_marks_purge(now.minus(KEEP_MARKS), ROWS).await?;
    for id in ids {
        store.health_changes_cap(id).await?;
    }
    Ok(())
}
