//! Compares every five minutes what was observed with what is usual, and tells *health.compared* where it is worse.
//!
//! One replica does, the one that leads; it begins with what the database has of two weeks, so that a restart forgets nothing.
//! Told twice is harmless: the event's id is made of what it speaks of. It never says what an integration is: failover does.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::Term;
use metrics::counter;
use model::health::{Check, Health, HealthCompared};
use model::id::stable_hash;
use model::{Envelope, EventId, IntegrationId, ProviderId, Timestamp};
use store::{HealthSum, Slot};
use tokio_util::sync::CancellationToken;

use super::answer::spans_of;
use super::spans::Span;
use super::usual::Usual;
use crate::Meter;
use crate::telemetry::COMPARED;

/// The name under which replicas agree on who compares.
const LEADERSHIP: &str = "meter";
/// How long one who says nothing leads.
const LEASE: Duration = Duration::from_secs(15);
/// Of how long ago is learned what is usual.
const LEARN: Duration = Duration::from_secs(14 * 24 * 3600);
/// How long after five minutes are over they are looked at: observations need a while until they are here.
const LATE: Duration = Duration::from_secs(20);
/// How often it is looked whether five minutes are over.
const EVERY: Duration = Duration::from_secs(5);

const FIVE: Duration = Duration::from_millis(Slot::Five.millis().unsigned_abs());

/// What is usual, by integration and who observes.
type Known = BTreeMap<(IntegrationId, &'static str), Usual>;

/// Compares, whenever it is this replica's turn, until told to stop.
pub(super) async fn compare(meter: Meter, stopping: CancellationToken) {
    let leadership = meter.bus.lead(LEADERSHIP, LEASE);
    while let Some(term) = leadership.acquire(&stopping).await {
        let ended = tokio::select! {
            () = stopping.cancelled() => Ok(()),
            () = term.lost() => Ok(()),
            ended = Box::pin(lead(&meter, &term)) => ended,
        };
        term.resign().await;
        if let Err(error) = ended {
            tracing::warn!(
                error = format!("{error:#}"),
                "What is usual could not be compared; trying again."
            );
            stopping.run_until_cancelled(tokio::time::sleep(EVERY)).await;
        }
    }
}

async fn lead(meter: &Meter, term: &Term) -> anyhow::Result<()> {
    // Nobody is configured before the first configuration is here.
    let mut snapshots = meter.snapshot.clone();
    snapshots.wait_for(Option::is_some).await?;
    let mut next = Slot::Five.floor(Timestamp::now().minus(LATE));
    let mut known = learn(meter, next).await?;
    for told in known.values().filter_map(Usual::lasts) {
        tell(meter, told).await?;
    }
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        while Timestamp::now().minus(LATE) >= next.plus(FIVE) && term.valid() {
            let sums = meter.store.health_slot(Slot::Five, next).await?;
            look(meter, &mut known, &sums, next).await?;
            next = next.plus(FIVE);
        }
    }
}

/// Learns what is usual from what was observed before a moment.
async fn learn(meter: &Meter, before: Timestamp) -> anyhow::Result<Known> {
    let mut known = Known::new();
    let from = Slot::Five.floor(before.minus(LEARN));
    for (id, provider) in configured(meter) {
        let spans = spans_of(&meter.store, &id, from, before).await?;
        for sum in meter.store.health_sums(&id, Slot::Five, from, before).await? {
            let quiet = is_quiet(&spans, sum.start);
            usual(&mut known, &sum).add(&sum, &provider, quiet);
        }
    }
    Ok(known)
}

/// Looks at five minutes of all integrations.
async fn look(meter: &Meter, known: &mut Known, sums: &[HealthSum], start: Timestamp) -> anyhow::Result<()> {
    let configured = configured(meter);
    known.retain(|(id, _), _| configured.contains_key(id));
    for sum in sums {
        let Some(provider) = configured.get(&sum.integration) else { continue };
        let spans = spans_of(&meter.store, &sum.integration, start, start.plus(FIVE)).await?;
        if let Some(told) = usual(known, sum).add(sum, provider, is_quiet(&spans, start)) {
            tell(meter, &told).await?;
        }
    }
    Ok(())
}

fn configured(meter: &Meter) -> BTreeMap<IntegrationId, ProviderId> {
    let snapshot = meter.snapshot.borrow();
    let all = snapshot.iter().flat_map(|snapshot| snapshot.integrations.iter());
    all.filter(|(_, integration)| integration.enabled)
        .map(|(id, integration)| (id.clone(), integration.provider.clone()))
        .collect()
}

fn usual<'k>(known: &'k mut Known, sum: &HealthSum) -> &'k mut Usual {
    let source = match sum.check {
        Check::Probe => "probe",
        Check::Traffic => "traffic",
    };
    known.entry((sum.integration.clone(), source)).or_insert_with(|| Usual::new(sum.check))
}

/// Whether five minutes prove nothing: in a part of them it was down, or worked on, or it is not known what it was.
fn is_quiet(spans: &[Span], start: Timestamp) -> bool {
    let first = spans.partition_point(|span| span.to <= start);
    let within = spans[first..].iter().take_while(|span| span.from < start.plus(FIVE));
    within.clone().any(|span| matches!(span.health, Health::Down | Health::Maintenance | Health::Unknown))
}

async fn tell(meter: &Meter, told: &HealthCompared) -> anyhow::Result<()> {
    let about = format!("{}/{:?}", told.integration, told.check);
    let id = EventId::parse(format!("compared-{:016x}-{}", stable_hash(&about), told.at.as_millis()))?;
    let envelope = Envelope::new(id, meter.bus.source(), told.at, told.clone());
    let receipt = meter.bus.publish(&envelope).await?;
    if !receipt.duplicate {
        counter!(COMPARED, "outcome" => if told.worse { "worse" } else { "over" }).increment(1);
        let (id, detail) = (&told.integration, &told.detail);
        tracing::info!(integration.id = %id, worse = told.worse, "Compared {id} with its usual self: {detail}.");
    }
    Ok(())
}
