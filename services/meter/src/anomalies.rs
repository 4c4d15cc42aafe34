//! Watches every integration's calls, errors, latency and cost, and tells when one behaves as it never has.
//!
//! One of the replicas watches. It feeds each finished bucket of 5 minutes to alarms, tells what they say, and then writes the
//! bucket down: whoever watches next is fed the same and knows the same, and what was told has a row that keeps it from
//! being told again. Judges only what was recorded, and nothing while an integration is worked on or traffic was just moved.
//! Holds so many series at most; the integrations with the fewest calls are left out, which is said.

mod figure;
mod quiet;
mod tell;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::{Bucket, Change};
use futures_util::StreamExt;
use metrics::gauge;
use model::alert::{AlertRaised, Phase, Severity};
use model::health::HealthNow;
use model::id::Slug;
use model::integration::Integration;
use model::route::RouteNow;
use model::snapshot::Snapshot;
use model::{IntegrationId, RouteId, Timestamp};
use store::{AlertFilter, Facet, Step, Store, WatchedBucket};
use tokio_util::sync::CancellationToken;

use crate::Meter;
use crate::telemetry::WATCHED;
use figure::Figure;
use quiet::Quiet;
use watch::{Terms, Watch};

pub(crate) use watch::Found;

/// The length of a bucket.
pub(crate) const BUCKET: Duration = Duration::from_secs(300);
/// How far back alarms are fed, and buckets kept.
const BACK: Duration = Duration::from_secs(14 * 24 * 3600);
/// How long after its end a bucket is taken for finished: counts come within seconds.
const LATE: Duration = Duration::from_secs(60);
/// How often it is looked whether a bucket is finished.
const EVERY: Duration = Duration::from_secs(10);
/// How often it is decided again which integrations are watched.
const CHOOSE_EVERY: Duration = Duration::from_secs(3600);
/// Over which time the calls count by which they are chosen.
const CHOOSE_BY: Duration = Duration::from_secs(24 * 3600);
/// The lease of who watches.
const LEASE: Duration = Duration::from_secs(15);
/// Old buckets that are forgotten at once.
const PURGE_MAX: u32 = 2_000;
/// Open alerts that are looked through.
const OPEN_MAX: u32 = 1_000;

/// Watches until told to stop, whenever this process is the one who does.
pub(crate) async fn run(meter: Meter, series_max: usize, stopping: CancellationToken) -> anyhow::Result<()> {
    while let Some(term) = meter.bus.lead("anomalies", LEASE).acquire(&stopping).await {
        let mut watcher = Watcher::new(meter.clone(), series_max, Timestamp::now());
        let mut health = meter.bus.bucket(Bucket::Health).await?.watch::<HealthNow>();
        let mut routes = meter.bus.bucket(Bucket::Routes).await?.watch::<RouteNow>();
        let mut looks = tokio::time::interval(EVERY);
        // What is true now is known before the first look.
        looks.tick().await;
        loop {
            tokio::select! {
                () = stopping.cancelled() => {
                    term.resign().await;
                    return Ok(());
                }
                () = term.lost() => break,
                Some(change) = health.next() => match change {
                    Change::Put { value, .. } => watcher.quiet.health(&value),
                    Change::Deleted { key } => watcher.quiet.health_gone(&key),
                },
                Some(change) = routes.next() => match change {
                    Change::Put { value, .. } => watcher.quiet.route(&value),
                    Change::Deleted { key } => watcher.quiet.route_gone(&key),
                },
                _ = looks.tick() => {
                    if let Err(error) = watcher.look(Timestamp::now()).await {
                        tracing::warn!(error = format!("{error:#}"), "Anomalies could not be looked for; trying again.");
                    }
                }
            }
        }
    }
    Ok(())
}

/// What would have been told of an integration between two moments, from what is recorded (14 days).
#[expect(dead_code, reason = "dry runs of rules will read it")]
pub(crate) async fn recorded(
    store: &Store,
    id: &IntegrationId,
    (from, to): (Timestamp, Timestamp),
    surprise: f64,
    buckets: usize,
) -> anyhow::Result<Vec<Found>> {
    let recorded = store.watched(id, to.minus(BACK), to).await?;
    let terms = Terms { surprise, buckets };
    Ok(tokio::task::spawn_blocking(move || watch::found(terms, &recorded, from)).await?)
}

/// By which rule an integration is watched.
#[derive(Clone, Debug, PartialEq)]
struct Policy {
    terms: Terms,
    severity: Severity,
    rule: Option<Slug>,
}

struct Watched {
    watch: Watch,
    policy: Policy,
    /// Alerts that this process told and has not resolved.
    told: BTreeMap<Figure, AlertRaised>,
}

/// Who watches.
struct Watcher {
    meter: Meter,
    series_max: usize,
    /// From when on a bucket without counts had no calls. Before, it is not known whether anybody counted.
    since: Timestamp,
    quiet: Quiet,
    watched: BTreeMap<IntegrationId, Watched>,
    /// Who is watched, of so many, and when that was decided.
    chosen: (BTreeSet<IntegrationId>, usize, Timestamp),
    /// Until when buckets were fed, and under which revision of the configuration.
    fed: (Timestamp, u64),
}

impl Watcher {
    fn new(meter: Meter, series_max: usize, now: Timestamp) -> Self {
        Self {
            meter,
            series_max,
            since: now,
            quiet: Quiet::default(),
            watched: BTreeMap::new(),
            chosen: Default::default(),
            fed: Default::default(),
        }
    }

    /// Feeds what is finished by now, and tells what follows.
    async fn look(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let Some(snapshot) = self.meter.snapshot.borrow().clone() else { return Ok(()) };
        let end = floor(now.minus(LATE));
        if self.fed == (end, snapshot.revision) {
            return Ok(());
        }
        self.choose(&snapshot, now).await?;
        let ids: Vec<IntegrationId> = self.chosen.0.iter().cloned().collect();
        for id in &ids {
            let Some(integration) = snapshot.integrations.get(id) else { continue };
            let policy = self.policy(integration);
            if self.watched.get(id).is_none_or(|watched| watched.policy != policy) {
                self.load(id, policy, end).await?;
            }
            self.feed(integration, &snapshot, end, now).await?;
        }
        self.end_others(&snapshot, now).await?;
        self.meter.store.watched_purge(now.minus(BACK), PURGE_MAX).await?;
        self.fed = (end, snapshot.revision);
        Ok(())
    }

    /// Decides who is watched: everybody, or those with the most calls of the last day.
    async fn choose(&mut self, snapshot: &Snapshot, now: Timestamp) -> anyhow::Result<()> {
        let enabled = snapshot.integrations.values().filter(|integration| integration.enabled);
        let mut ids: Vec<IntegrationId> = enabled.map(|integration| integration.id.clone()).collect();
        let all = ids.len();
        let max = self.series_max / Figure::ALL.len();
        let (known, of, at) = &self.chosen;
        let stands = *of == all && known.iter().all(|id| ids.contains(id));
        if all > max && stands && now.since(*at) < CHOOSE_EVERY {
            return Ok(());
        }
        if all > max {
            let from = now.minus(CHOOSE_BY);
            let used = self.meter.store.usage_of_each(&ids, Facet::All, "", from, now).await?;
            let used: BTreeMap<IntegrationId, u64> =
                used.into_iter().map(|(id, totals)| (id, totals.requests)).collect();
            ids.sort_by_key(|id| std::cmp::Reverse(used.get(id).copied().unwrap_or_default()));
            ids.truncate(max);
            let dropped = all - max;
            tracing::warn!(
                dropped,
                watched = max,
                "{dropped} integrations with the fewest calls are not watched for anomalies: `meter-watched-series` allows {max}."
            );
        }
        self.chosen = (ids.into_iter().collect(), all, now);
        self.watched.retain(|id, _| self.chosen.0.contains(id));
        let series: usize = self.watched.values().map(|watched| watched.watch.series()).sum();
        gauge!(WATCHED, "state" => "watched").set(count(series));
        gauge!(WATCHED, "state" => "dropped").set(count((all - self.chosen.0.len()) * Figure::ALL.len()));
        Ok(())
    }

    fn policy(&self, _integration: &Integration) -> Policy {
        Policy { terms: Terms::DEFAULT, severity: Severity::Warning, rule: None }
    }

    /// Makes the alarms that there were: fed what was written down.
    async fn load(&mut self, id: &IntegrationId, policy: Policy, end: Timestamp) -> anyhow::Result<()> {
        let recorded = self.meter.store.watched(id, end.minus(BACK), end).await?;
        let mut watch = Watch::new(policy.terms);
        let watch = tokio::task::spawn_blocking(move || {
            recorded.iter().for_each(|bucket| drop(watch.feed(bucket)));
            watch
        })
        .await?;
        let told = self.watched.remove(id).map(|watched| watched.told).unwrap_or_default();
        self.watched.insert(id.clone(), Watched { watch, policy, told });
        Ok(())
    }

    /// Feeds an integration's finished buckets, tells, and writes them down.
    async fn feed(
        &mut self,
        integration: &Integration,
        snapshot: &Snapshot,
        end: Timestamp,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let id = &integration.id;
        let Some(watched) = self.watched.get_mut(id) else { return Ok(()) };
        let next = watched.watch.last().map_or(end.minus(BACK), |last| last.plus(BUCKET));
        let from = next.max(end.minus(Step::Minute.kept()));
        if from < end {
            let last = watched.watch.last();
            let mut buckets = buckets_of(&self.meter.store, id, from, end, self.since, last).await?;
            let routes = snapshot.routes.values().filter(|route| route.route.integrations.contains(id));
            let routes: Vec<&RouteId> = routes.map(|route| &route.route.id).collect();
            for bucket in &mut buckets {
                let (start, end) = (bucket.start, bucket.start.plus(BUCKET));
                bucket.aside = self.quiet.aside(id, routes.iter().copied(), start, end);
            }
            let mut watch = watched.watch.clone();
            let fed = tokio::task::spawn_blocking(move || {
                buckets.iter().for_each(|bucket| drop(watch.feed(bucket)));
                (watch, buckets)
            });
            let (fed, buckets) = fed.await?;
            let before = std::mem::replace(&mut watched.watch, fed);
            // First told, then written down: who dies in between does it again, and says nothing new.
            let told = tell_and_keep(&self.meter, integration, watched, &buckets, now).await;
            if told.is_err() {
                watched.watch = before;
            }
            return told;
        }
        reconcile(&self.meter, integration, watched, now).await
    }

    /// Resolves open alerts of what is no longer unusual, or no longer watched.
    async fn end_others(&self, snapshot: &Snapshot, now: Timestamp) -> anyhow::Result<()> {
        let filter = AlertFilter { alert_type: Some(tell::ALERT_TYPE.to_owned()), ..AlertFilter::default() };
        for row in self.meter.store.alerts_page(&filter, None, OPEN_MAX).await? {
            // An application may have alerts of this kind of its own.
            let ours = row.raised.alert.as_str().starts_with("anomaly-");
            if !ours || row.phase == Phase::Resolved {
                continue;
            }
            let lasts = self.watched.iter().any(|(id, watched)| {
                let lasting = watched.watch.lasting().keys();
                snapshot.integrations.contains_key(id)
                    && lasting
                        .into_iter()
                        .any(|figure| tell::fingerprint(id, *figure) == row.raised.fingerprint)
            });
            if !lasts {
                tell::resolve(&self.meter, row.raised, now).await?;
            }
        }
        Ok(())
    }
}

async fn tell_and_keep(
    meter: &Meter,
    integration: &Integration,
    watched: &mut Watched,
    buckets: &[WatchedBucket],
    now: Timestamp,
) -> anyhow::Result<()> {
    reconcile(meter, integration, watched, now).await?;
    meter.store.watched_write(&integration.id, buckets).await?;
    Ok(())
}

/// Tells what lasts and was not told, and resolves what was told and is over.
async fn reconcile(
    meter: &Meter,
    integration: &Integration,
    watched: &mut Watched,
    now: Timestamp,
) -> anyhow::Result<()> {
    let Watched { watch, policy, told } = watched;
    for (figure, anomaly) in watch.lasting() {
        if told.contains_key(figure) {
            continue;
        }
        let by = (policy.severity, policy.rule.as_ref());
        let raised = tell::raised(integration, *figure, anomaly, by, now)?;
        tell::raise(meter, &raised, now).await?;
        told.insert(*figure, raised);
    }
    let over: Vec<Figure> =
        told.keys().copied().filter(|figure| !watch.lasting().contains_key(figure)).collect();
    for figure in over {
        if let Some(raised) = told.get(&figure) {
            tell::resolve(meter, raised.clone(), now).await?;
            told.remove(&figure);
        }
    }
    Ok(())
}

/// An integration's buckets from a moment to another, from its minutes. A bucket without counts had no calls if the house was
/// counting then, and the integration had been called before; else it is a gap.
async fn buckets_of(
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

fn floor(at: Timestamp) -> Timestamp {
    let bucket = i64::try_from(BUCKET.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().div_euclid(bucket) * bucket)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
fn count(number: usize) -> f64 {
    number as f64
}
