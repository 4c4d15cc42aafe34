//! The schedule carried out: one task an integration, started and ended as the snapshot says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::Bucket;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use metrics::{counter, gauge};
use model::health::{Health, HealthNow, Observed};
use model::integration::Integration;
use model::snapshot::Snapshot;
use model::{IntegrationId, ProviderId, Timestamp};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::probe::{Unasked, With, probe};
use crate::question::About;
use crate::schedule::pacing::Pacing;
use crate::schedule::patience;
use crate::telemetry::{LAG, SKIPPED, SPARED, UNPAID};
use crate::{Prober, observe, question, schedule};

struct Running {
    configured: Arc<Integration>,
    key: Option<model::snapshot::KeyRef>,
    stop: CancellationToken,
}

/// Keeps one task an enabled integration until told to stop.
pub(crate) async fn run(prober: Prober, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut snapshots = prober.snapshot.clone();
    let mut running: HashMap<IntegrationId, Running> = HashMap::new();
    let mut lanes: HashMap<ProviderId, Arc<Semaphore>> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let now = snapshots.borrow_and_update().clone();
        if let Some(snapshot) = now {
            arrange(&prober, &snapshot, &mut running, &mut lanes, &mut tasks, &stopping);
        }
        tokio::select! {
            () = stopping.cancelled() => break,
            changed = snapshots.changed() => if changed.is_err() { break },
            Some(_) = tasks.join_next() => {}
        }
    }
    running.values().for_each(|one| one.stop.cancel());
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn arrange(
    prober: &Prober,
    snapshot: &Snapshot,
    running: &mut HashMap<IntegrationId, Running>,
    lanes: &mut HashMap<ProviderId, Arc<Semaphore>>,
    tasks: &mut JoinSet<()>,
    stopping: &CancellationToken,
) {
    let key_of = |it: &Integration| it.key.as_ref().and_then(|key| snapshot.keys.get(key)).cloned();
    running.retain(|id, one| {
        let same = snapshot
            .integrations
            .get(id)
            .is_some_and(|it| it.enabled && *it == *one.configured && key_of(it) == one.key);
        if !same {
            one.stop.cancel();
        }
        same
    });
    for (id, it) in snapshot.integrations.iter().filter(|(_, it)| it.enabled) {
        if running.contains_key(id) {
            continue;
        }
        let lane = lanes
            .entry(it.provider.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(prober.settings.prober_per_provider)));
        let one = Running { configured: Arc::new(it.clone()), key: key_of(it), stop: stopping.child_token() };
        let task =
            watch(prober.clone(), one.configured.clone(), one.key.clone(), lane.clone(), one.stop.clone());
        running.insert(id.clone(), one);
        tasks.spawn(task);
    }
}

/// Asks one integration again and again.
async fn watch(
    prober: Prober,
    it: Arc<Integration>,
    key: Option<model::snapshot::KeyRef>,
    lane: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let (mut pacing, every) = question::pacing(prober.catalogue, &prober.settings, &it);
    if pacing.leaves_out() {
        let paced = pacing.paced().as_secs();
        tracing::info!(integration.id = %it.id, every_secs = every.as_secs(), paced_secs = paced, "Limits count probes of {}: in the long run it is probed every {paced} s.", it.id);
    }
    let mut known = Known::default();
    // Whether the question at hand confirms the one before: those are not left out.
    let mut confirms = false;
    // The first question comes at once: somebody has just configured it, or the program has just started.
    let mut due = Timestamp::now();
    loop {
        let wait = due.since(Timestamp::now());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if !confirms && is_left_out(&prober, &it, every, &mut pacing, &known).await {
            let now = Timestamp::now();
            due = next(&it, every, now, now);
            continue;
        }
        let places = async { (prober.places.acquire().await, lane.acquire().await) };
        let _places = tokio::select! {
            () = stop.cancelled() => return,
            places = places => places,
        };
        gauge!(LAG).set(Timestamp::now().since(due).as_secs_f64());
        let unasked = round(&prober, &it, key.as_ref(), (every, pacing.paced()), &stop, &mut known).await;
        if stop.is_cancelled() {
            return;
        }
        let now = Timestamp::now();
        known.tell_unasked(&it, unasked.as_ref());
        let soon = match schedule::confirm(every, known.streak) {
            _ if unasked.is_some() => None,
            Some(soon) => Some(soon),
            None => is_doubted(&prober, &it, &mut known).await.then(|| schedule::soon(every)),
        };
        confirms = soon.is_some();
        due = soon.map_or_else(|| next(&it, every, due, now), |soon| now.plus(soon));
    }
}

/// What the answers so far say of the next ones.
#[derive(Default)]
struct Known {
    streak: schedule::Streak,
    /// The time of the last good answer.
    usual: Option<Duration>,
    /// Questions in a row that came soon because a good answer was doubted.
    doubts: u32,
    /// Whether the last question was not asked.
    is_unasked: bool,
}

impl Known {
    /// Counts a question that could not be paid; the first of several is said.
    fn tell_unasked(&mut self, it: &Integration, why: Option<&Unasked>) {
        let was = std::mem::replace(&mut self.is_unasked, why.is_some());
        let Some(why) = why else { return };
        counter!(UNPAID, "integration" => it.id.to_string()).increment(1);
        if !was {
            tracing::info!(integration.id = %it.id, "Integration {} is not probed for now: {why}.", it.id);
        }
    }
}

/// Whether a question is left out because a limit counts it: callers' calls have just shown as much, or it would be one too
/// many of them. In trouble more are asked, and none is spared.
async fn is_left_out(
    prober: &Prober,
    it: &Integration,
    every: Duration,
    pacing: &mut Pacing,
    known: &Known,
) -> bool {
    if question::dues(prober.catalogue, None, it, About::Provider).is_empty() {
        return false;
    }
    let now = Timestamp::now();
    let slow = question::slow(prober.catalogue, &prober.settings, it);
    let since = now.as_millis().saturating_sub(i64::try_from(every.as_millis()).unwrap_or(i64::MAX));
    let is_well = prober.heard.is_well(&it.id, Timestamp::from_millis(since), slow);
    let asks_anyway = !is_well && !pacing.leaves_out();
    let in_trouble = !known.streak.is_calm() || (!asks_anyway && is_said_to_be_in_trouble(prober, it).await);
    if is_well && !in_trouble {
        counter!(SPARED, "integration" => it.id.to_string()).increment(1);
        return true;
    }
    !pacing.is_used(now, in_trouble)
}

/// Whether a good answer needs its confirmation soon, because callers met trouble between two questions: an end of an
/// outage that no question saw must not take three intervals to be known. Not more often in a row than any change.
async fn is_doubted(prober: &Prober, it: &Integration, known: &mut Known) -> bool {
    let doubted = known.streak.is_calm() && is_said_to_be_in_trouble(prober, it).await;
    known.doubts = if doubted { known.doubts.saturating_add(1) } else { 0 };
    (1..=schedule::CONFIRM_TIMES).contains(&known.doubts)
}

/// What failover says of it. While the bus is away nothing is doubted.
async fn is_said_to_be_in_trouble(prober: &Prober, it: &Integration) -> bool {
    let Ok(bucket) = prober.bus.bucket(Bucket::Health).await else { return false };
    let said = bucket.get::<HealthNow>(it.id.as_str()).await;
    said.is_ok_and(|found| {
        found.is_some_and(|found| matches!(found.value.health, Health::Down | Health::Degraded))
    })
}

/// One question, and while it waits for longer than usual, those that confirm it beside it: at most three, in one
/// place. Each is told as it ends, with the interval that is `paced`. Says why when the first was not asked; those beside it are left out in silence.
async fn round(
    prober: &Prober,
    it: &Integration,
    key: Option<&model::snapshot::KeyRef>,
    (every, paced): (Duration, Duration),
    stop: &CancellationToken,
    known: &mut Known,
) -> Option<Unasked> {
    let mut unasked = None;
    let ask = || async move { (Timestamp::now(), probe(prober, it, With::Active(key), Some(every)).await) };
    let mut asked = FuturesUnordered::from_iter([ask()]);
    let calm = known.streak.is_calm();
    let mut beside = 0;
    let mut patience = Instant::now() + patience::alone(every, known.usual, beside);
    loop {
        let answer = tokio::select! {
            answer = asked.next() => answer,
            () = tokio::time::sleep_until(patience), if calm && beside < patience::BESIDE_MAX => {
                asked.push(ask());
                beside += 1;
                patience = Instant::now() + patience::alone(every, known.usual, beside);
                continue;
            }
        };
        // Changed while it was being asked: what came of it speaks of a configuration that is no more.
        let (began, seen) = answer.filter(|_| !stop.is_cancelled())?;
        let seen = match seen {
            Ok((seen, took)) => (Observed { every_secs: u32::try_from(paced.as_secs()).ok(), ..seen }, took),
            Err(why) => {
                unasked = unasked.or_else(|| (beside == 0).then_some(why));
                if asked.is_empty() {
                    return unasked;
                }
                continue;
            }
        };
        known.streak = known.streak.after(seen.0.reason.is_some());
        if seen.0.reason.is_none() {
            known.usual = seen.1;
        }
        observe::tell(prober, it, &seen, began, question::endpoint(prober.catalogue, it)).await;
        if asked.is_empty() {
            return None;
        }
    }
}

/// The next start; starts that were missed because the probe took long are left out and counted.
fn next(it: &Integration, every: Duration, due: Timestamp, now: Timestamp) -> Timestamp {
    let missed = now.since(due).as_millis() / every.as_millis().max(1);
    if missed > 0 {
        counter!(SKIPPED).increment(u64::try_from(missed).unwrap_or(1));
    }
    schedule::next(it.id.as_str(), every, now, rand::random())
}
