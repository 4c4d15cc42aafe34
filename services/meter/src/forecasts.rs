//! Forecasts of what was counted: where a limit's calls and a window's cost are heading.
//!
//! From the database's finished hours, read and weighed once an hour for each series and window, away from the threads that
//! answer; what was used since is added when somebody asks. An hour without a row had no calls, unless the integration is
//! probed: then the house did not run, and the hour is a gap. Never changes a count and tells nobody.

mod words;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use model::forecast::{Forecast, Missing};
use model::quota::Quota;
use model::{IntegrationId, Timestamp};
use store::{Facet, Step, Store};

use crate::Meter;
use crate::forecast::{History, Outlook, Window};
use crate::window::Span;

/// Forecasts that are kept at most; those of earlier hours go first.
const KEPT_MAX: usize = 10_000;
/// How far back hours are read: twelve weeks, as many as a history keeps.
const BACK: Duration = Duration::from_secs(84 * 24 * 3600);
/// How long after its end an hour is taken for finished: counts come within seconds.
const LATE: Duration = Duration::from_secs(60);
/// The shortest window that a forecast helps in. Days may have 23 hours.
pub(crate) const WINDOW_MIN: Duration = Duration::from_secs(23 * 3600);
/// Who calls when nobody else does.
const PROBER: &str = "system:prober";
const HOUR_MS: i64 = 3_600_000;

/// What is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Unit {
    /// Calls.
    Requests,
    /// Cost, in millionths of a US dollar.
    CostMicros,
}

/// Whose hours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Series {
    /// Which integrations, added up.
    pub(crate) integrations: Vec<IntegrationId>,
    /// Of which part of their calls: [`Facet::All`], or one caller's, route's, …
    pub(crate) facet: Facet,
    /// Which one; empty with [`Facet::All`].
    pub(crate) name: String,
    /// What is added up.
    pub(crate) unit: Unit,
}

impl Series {
    /// All calls of these integrations.
    pub(crate) fn of(integrations: &[IntegrationId], unit: Unit) -> Self {
        Self { integrations: integrations.to_vec(), facet: Facet::All, name: String::new(), unit }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    series: Series,
    span: (Timestamp, Timestamp),
    zone: String,
}

/// `Err`: so many hours are known, and they are too few.
pub(crate) type Weighed = Result<Outlook, usize>;
/// What was made, with the hour after which it is made anew.
type Made = (Timestamp, Arc<Weighed>);

/// Forecasts of this hour. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Forecasts {
    kept: Arc<Mutex<HashMap<Key, Made>>>,
}

impl Forecasts {
    /// What is expected of a series in a window of a zone, from the hours that are finished by now.
    pub(crate) async fn outlook(
        &self,
        store: &Store,
        series: &Series,
        span: Span,
        zone: &str,
        now: Timestamp,
    ) -> anyhow::Result<Arc<Weighed>> {
        let key = Key { series: series.clone(), span: (span.from, span.to), zone: zone.to_owned() };
        let hour = finished(now);
        if let Some((made, known)) = self.lock().get(&key)
            && *made == hour
        {
            return Ok(Arc::clone(known));
        }
        let history = history(store, series, zone, hour).await?;
        let (from, until, at) = (span.from.to_jiff(), span.to.to_jiff(), now.to_jiff());
        let weighed = tokio::task::spawn_blocking(move || Outlook::new(&history, from, until, at)).await?;
        let weighed = Arc::new(weighed);
        let mut kept = self.lock();
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (made, _)| *made == hour);
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, (hour, Arc::clone(&weighed)));
        Ok(weighed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Made>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the last finished hour ended.
pub(crate) fn finished(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.minus(LATE).as_millis().div_euclid(HOUR_MS) * HOUR_MS)
}

/// The hours of a series before a moment, on a zone's wall clock; an unknown zone counts as UTC. Twelve weeks at most. The
/// hour in which it began is left out: only part of it is known.
pub(crate) async fn history(
    store: &Store,
    series: &Series,
    zone: &str,
    until: Timestamp,
) -> anyhow::Result<History> {
    let from = until.minus(BACK);
    let mut hours: HashMap<i64, f64> = HashMap::new();
    let (mut ran, mut probed) = (BTreeSet::new(), false);
    for id in &series.integrations {
        probed |= store.usage_of(id, Facet::Caller, PROBER, from, until).await?.requests > 0;
        let all = store.usage_history(id, from, until, Step::Hour).await?;
        ran.extend(all.iter().map(|(start, _)| start.as_millis()));
        let own = match series.facet {
            Facet::All => all,
            facet => store.usage_history_of(id, facet, &series.name, from, until, Step::Hour).await?,
        };
        for (start, totals) in own {
            *hours.entry(start.as_millis()).or_default() += amount(&totals, series.unit);
        }
    }
    let mut history = History::new(TimeZone::get(zone).unwrap_or(TimeZone::UTC));
    let mut start = ran.first().map_or(i64::MAX, |first| first + HOUR_MS);
    while start < until.as_millis() {
        if !probed || ran.contains(&start) {
            let brought = hours.get(&start).copied().unwrap_or_default();
            history.push(Timestamp::from_millis(start).to_jiff(), brought);
        }
        start += HOUR_MS;
    }
    Ok(history)
}

#[expect(clippy::cast_precision_loss, reason = "amounts of an hour stay far below 2^53")]
fn amount(totals: &store::Totals, unit: Unit) -> f64 {
    match unit {
        Unit::Requests => totals.requests as f64,
        Unit::CostMicros => totals.cost_micros as f64,
    }
}

/// Where a limit is heading that counts the calls of these integrations: of its window, how much was used by now, and how
/// much is allowed.
pub(crate) async fn of_quota(
    meter: &Meter,
    of: &[IntegrationId],
    (quota, span, used, limit): (&Quota, Span, u64, u64),
    now: Timestamp,
) -> anyhow::Result<Forecast> {
    if span.to.since(span.from) < WINDOW_MIN {
        return Ok(words::missing(
            Missing::WindowTooShort,
            "the window is over before a forecast helps".to_owned(),
        ));
    }
    let series = Series::of(of, Unit::Requests);
    let weighed = meter.forecasts.outlook(&meter.store, &series, span, quota.zone(), now).await?;
    Ok(words::calls(&weighed, &window(span, used, Some(limit)), now))
}

/// Where everything is heading: when the first of the limits is used up, calls and cost at the end of the longest one's
/// window, or of the asked window (in its zone) where there is none of a day or more.
pub(crate) async fn overall(
    meter: &Meter,
    id: &IntegrationId,
    limits: &[(Quota, Span, Forecast)],
    asked: (Span, u64, &str),
    now: Timestamp,
) -> anyhow::Result<Forecast> {
    let long = limits.iter().filter(|(_, span, _)| span.to.since(span.from) >= WINDOW_MIN);
    let longest = long.max_by_key(|(_, span, _)| span.to.since(span.from));
    let (span, zone, mut forecast) = match longest {
        Some((quota, span, forecast)) => (*span, quota.zone(), forecast.clone()),
        None => {
            let (span, used, zone) = asked;
            let series = Series::of(std::slice::from_ref(id), Unit::Requests);
            let weighed = meter.forecasts.outlook(&meter.store, &series, span, zone, now).await?;
            (span, zone, words::calls(&weighed, &window(span, used, None), now))
        }
    };
    let first = limits.iter().filter(|(_, _, limit)| limit.exhausts_at.is_some());
    if let Some((_, _, first)) = first.min_by_key(|(_, _, limit)| limit.exhausts_at) {
        (forecast.exhausts_at, forecast.exhausts_between) = (first.exhausts_at, first.exhausts_between);
    }
    let spent = meter.store.usage_in_window(id, span.from, span.to, now).await?.cost_micros;
    let series = Series::of(std::slice::from_ref(id), Unit::CostMicros);
    let weighed = meter.forecasts.outlook(&meter.store, &series, span, zone, now).await?;
    words::cost(&mut forecast, &weighed, &window(span, spent, None), now);
    Ok(forecast)
}

/// Cost at the window's end, when that can be said.
pub(crate) fn cost_at_reset(weighed: &Weighed, span: Span, spent: u64, now: Timestamp) -> Option<u64> {
    let mut forecast = Forecast::default();
    words::cost(&mut forecast, weighed, &window(span, spent, None), now);
    forecast.cost_micros_at_reset
}

/// A window as the pure forecast knows it.
#[expect(clippy::cast_precision_loss, reason = "amounts stay far below 2^53")]
fn window(span: Span, used: u64, limit: Option<u64>) -> Window {
    window_of(span, used as f64, limit.map(|limit| limit as f64))
}

/// The same, of amounts that are no whole numbers.
pub(crate) fn window_of(span: Span, used: f64, limit: Option<f64>) -> Window {
    Window { from: span.from.to_jiff(), until: span.to.to_jiff(), used, limit }
}
