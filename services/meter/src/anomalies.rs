//! Watches every integration's calls, errors, latency and cost, and tells when one behaves as it never has.
//!
//! One of the replicas watches. It feeds each finished bucket of 5 minutes to alarms, tells what they say, and then writes the
//! bucket down: whoever watches next is fed the same and knows the same, and what was told has a row that keeps it from
//! being told again. Judges only what was recorded, and nothing while an integration is worked on or traffic was just moved.
//! Holds so many series at most; the integrations with the fewest calls are left out, which is said.

mod figure;
mod gather;
mod quiet;
mod tell;
mod watch;

#[cfg(test)]
mod tests;

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
use model::rule::{Rule, RuleKind};
use model::{IntegrationId, RouteId, Timestamp};
use store::{AlertFilter, Facet, Step, Store, WatchedBucket};
use tokio_util::sync::CancellationToken;

use crate::Meter;
use crate::rules::Book;
use crate::telemetry::WATCHED;
use figure::Figure;
use gather::buckets_of;
use quiet::Quiet;
use watch::{Terms, Told, Watch};

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

/// What a rule would have told of an integration between two moments, from what is recorded (14 days). None: nothing is.
pub(crate) async fn recorded(
    store: &Store,
    id: &IntegrationId,
    (from, to): (Timestamp, Timestamp),
    rule: &Rule,
) -> anyhow::Result<Option<Vec<Found>>> {
    let recorded = store.watched(id, to.minus(BACK), to).await?;
    if recorded.is_empty() {
        return Ok(None);
    }
    let terms = Terms::of(rule);
    Ok(Some(tokio::task::spawn_blocking(move || watch::found(terms, &recorded, from)).await?))
}

/// By which rules an integration is watched: how bad each says it is, and from when on.
type Policy = BTreeMap<Slug, (Severity, Terms)>;

struct Watched {
    watch: Watch,
    policy: Policy,
    /// Alerts that this process told and has not resolved.
    told: BTreeMap<Told, AlertRaised>,
}

/// Who watches.
struct Watcher {
    meter: Meter,
    series_max: usize,
    /// From when on a bucket without counts had no calls. Before, it is not known whether anybody counted.
    since: Timestamp,
    quiet: Quiet,
    /// What is configured.
    book: Book,
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
            book: Book::default(),
            watched: BTreeMap::new(),
            chosen: Default::default(),
            fed: Default::default(),
        }
    }

    /// Feeds what is finished by now, and tells what follows.
    async fn look(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let (end, revision) = (floor(now.minus(LATE)), self.meter.store.revision().await?);
        if self.fed == (end, revision) {
            return Ok(());
        }
        if self.book.revision != revision {
            self.book = Book::of(self.meter.store.everything().await?);
        }
        let book = std::mem::take(&mut self.book);
        let outcome = self.each(&book, end, now).await;
        let revision = book.revision;
        self.book = book;
        outcome?;
        self.meter.store.watched_purge(now.minus(BACK), PURGE_MAX).await?;
        self.fed = (end, revision);
        Ok(())
    }

    async fn each(&mut self, book: &Book, end: Timestamp, now: Timestamp) -> anyhow::Result<()> {
        self.choose(book, now).await?;
        let ids: Vec<IntegrationId> = self.chosen.0.iter().cloned().collect();
        for id in &ids {
            let Some(integration) = book.integrations.get(id) else { continue };
            let policy = policy(book, integration);
            if self.watched.get(id).is_none_or(|watched| watched.policy != policy) {
                self.load(id, policy, end).await?;
            }
            self.feed(integration, book, end, now).await?;
        }
        self.end_others(book, now).await
    }

    /// Decides who is watched: everybody, or those with the most calls of the last day.
    async fn choose(&mut self, book: &Book, now: Timestamp) -> anyhow::Result<()> {
        let enabled = book.integrations.values().filter(|integration| integration.enabled);
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

    /// Makes the alarms that there were: fed what was written down.
    async fn load(&mut self, id: &IntegrationId, policy: Policy, end: Timestamp) -> anyhow::Result<()> {
        let recorded = self.meter.store.watched(id, end.minus(BACK), end).await?;
        let terms = policy.iter().map(|(rule, (_, terms))| (rule.clone(), *terms));
        let mut watch = Watch::new(terms.collect());
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
        book: &Book,
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
            let routes = book.routes.values().filter(|route| route.route.integrations.contains(id));
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
    async fn end_others(&self, book: &Book, now: Timestamp) -> anyhow::Result<()> {
        let filter = AlertFilter { alert_type: Some(tell::ALERT_TYPE.to_owned()), ..AlertFilter::default() };
        for row in self.meter.store.alerts_page(&filter, None, OPEN_MAX).await? {
            // An application may have alerts of this kind of its own.
            let ours = row.raised.alert.as_str().starts_with("anomaly-");
            if !ours || row.phase == Phase::Resolved {
                continue;
            }
            let lasts = self.watched.iter().any(|(id, watched)| {
                let lasting = watched.watch.lasting().keys();
                book.integrations.contains_key(id)
                    && lasting.into_iter().any(|told| tell::fingerprint(id, told) == row.raised.fingerprint)
            });
            if !lasts {
                tell::resolve(&self.meter, row.raised, now).await?;
            }
        }
        Ok(())
    }
}

/// The rules that an integration is watched by.
fn policy(book: &Book, integration: &Integration) -> Policy {
    let rules = book.rules.values().filter(|rule| rule.enabled && rule.kind == RuleKind::Anomaly);
    let rules = rules.filter(|rule| {
        let member = |route: &RouteId| book.is_member(&integration.id, route);
        rule.select.takes(&integration.id, &integration.labels, member)
    });
    rules.map(|rule| (rule.id.clone(), (rule.severity(), Terms::of(rule)))).collect()
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
    for (what, anomaly) in watch.lasting() {
        let Some((severity, _)) = policy.get(&what.1).filter(|_| !told.contains_key(what)) else { continue };
        // A predecessor may have told it, as begun a bucket earlier or later: it is the same one.
        let open = meter.store.open_alert(&tell::fingerprint(&integration.id, what)).await?;
        let raised = match open {
            Some(row) => row.raised,
            None => {
                let raised = tell::raised(integration, what, anomaly, *severity, now)?;
                tell::raise(meter, &raised, now).await?;
                raised
            }
        };
        told.insert(what.clone(), raised);
    }
    let over: Vec<Told> = told.keys().filter(|what| !watch.lasting().contains_key(*what)).cloned().collect();
    for what in over {
        if let Some(raised) = told.get(&what) {
            tell::resolve(meter, raised.clone(), now).await?;
            told.remove(&what);
        }
    }
    Ok(())
}

/// When the bucket of a moment began.
fn floor(at: Timestamp) -> Timestamp {
    let bucket = i64::try_from(BUCKET.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().div_euclid(bucket) * bucket)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
fn count(number: usize) -> f64 {
    number as f64
}
