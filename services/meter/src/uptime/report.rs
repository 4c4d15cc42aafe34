//! From spans to the answer: time in each health, the ratio, incidents, bars and percentiles of a window.
//!
//! Pure. The ratio is of time in which it is known whether it worked: maintenance and unknown are left out, and so is what was
//! before the integration was known. It is rounded down, so that only what was never down is 1.

use std::time::Duration;

use model::Timestamp;
use model::health::{Check, Health};
use model::uptime::{Answers, Bar, Incident, TimeIn, Uptime, UptimeOf, UptimeWindow};
use model::usage::Sketch;
use store::{HealthSum, Slot};

use super::spans::Span;

/// Incidents that one answer names at most: the newest.
const INCIDENTS_MAX: usize = 100;
/// Bars at most: the days of 90 that begin within one.
const BARS_MAX: usize = 92;

/// Milliseconds in each health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Time {
    up: u64,
    degraded: u64,
    down: u64,
    maintenance: u64,
    unknown: u64,
}

impl Time {
    /// Of spans, as far as they lie within.
    fn of(spans: &[Span], from: Timestamp, to: Timestamp) -> Self {
        let mut time = Self::default();
        // Spans follow each other: those before `from` end before it.
        let first = spans.partition_point(|span| span.to <= from);
        for span in spans[first..].iter().take_while(|span| span.from < to) {
            let millis = millis(span.to.min(to).since(span.from.max(from)));
            *match span.health {
                Health::Up => &mut time.up,
                Health::Degraded => &mut time.degraded,
                Health::Down => &mut time.down,
                Health::Maintenance => &mut time.maintenance,
                Health::Unknown => &mut time.unknown,
            } += millis;
        }
        time
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of milliseconds of 90 days, to six digits")]
    fn ratio(self) -> Option<f64> {
        let answered = self.up + self.degraded;
        let known = answered + self.down;
        (known > 0).then(|| (answered * 1_000_000 / known) as f64 / 1e6)
    }

    fn worst(self) -> Health {
        match self {
            Self { down: 1.., .. } => Health::Down,
            Self { degraded: 1.., .. } => Health::Degraded,
            Self { up: 1.., .. } => Health::Up,
            Self { maintenance: 1.., .. } => Health::Maintenance,
            Self { .. } => Health::Unknown,
        }
    }

    fn in_secs(self) -> TimeIn {
        TimeIn {
            up_secs: secs(self.up),
            degraded_secs: secs(self.degraded),
            down_secs: secs(self.down),
            maintenance_secs: secs(self.maintenance),
            unknown_secs: secs(self.unknown),
        }
    }
}

/// The share of a span in which it was up, and the time by which that is known.
pub(super) fn up(spans: &[Span], from: Timestamp, to: Timestamp) -> Option<(f64, Duration)> {
    let time = Time::of(spans, from, to);
    Some((time.ratio()?, Duration::from_millis(time.up + time.degraded + time.down)))
}

/// What is answered. Sums are those of the window, of whatever slots; spans end at the window's end.
pub(super) fn report(question: &UptimeOf, spans: &[Span], sums: &[HealthSum]) -> Uptime {
    let (from, to) = (question.at.minus(question.window.length()), question.at);
    let known_from = spans.first().map(|first| first.from.max(from)).filter(|known| *known < to);
    let time = Time::of(spans, from, to);
    let mut incidents = incidents(spans, from, to);
    incidents.reverse();
    let incidents_total = incidents.len() as u64;
    incidents.truncate(INCIDENTS_MAX);
    Uptime {
        integration: question.integration.clone(),
        window: question.window,
        from,
        to,
        known_from,
        ratio: time.ratio(),
        excluded: vec![Health::Maintenance, Health::Unknown],
        time: time.in_secs(),
        incidents,
        incidents_total,
        prober: answers(sums, Check::Probe),
        gateway: answers(sums, Check::Traffic),
        bars: bars(spans, question.window, from, to),
    }
}

/// Runs of degraded and down that reach into the window, oldest first.
fn incidents(spans: &[Span], from: Timestamp, to: Timestamp) -> Vec<Incident> {
    let bad = |span: &Span| matches!(span.health, Health::Degraded | Health::Down);
    let runs = spans.chunk_by(|one, next| bad(one) && bad(next)).filter(|run| run.iter().all(bad));
    runs.filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        if last.to <= from || first.from >= to {
            return None;
        }
        let down = run.iter().filter(|span| span.health == Health::Down);
        let down_millis = down.clone().map(|span| millis(span.to.since(span.from))).sum();
        let worst = down.clone().next().unwrap_or(first);
        Some(Incident {
            from: first.from,
            to: (last.to < to).then_some(last.to),
            duration_secs: secs(millis(last.to.since(first.from))),
            down_secs: secs(down_millis),
            state: worst.health,
            reason: worst.reason,
        })
    })
    .collect()
}

fn bars(spans: &[Span], window: UptimeWindow, from: Timestamp, to: Timestamp) -> Vec<Bar> {
    let slot = if window == UptimeWindow::Day { Slot::Hour } else { Slot::Day };
    let length = Duration::from_millis(slot.millis().unsigned_abs());
    let starts = std::iter::successors(Some(slot.floor(from)), |start| Some(start.plus(length)));
    starts
        .take_while(|start| *start < to)
        .take(BARS_MAX)
        .map(|start| {
            let (from, to) = (start.max(from), start.plus(length).min(to));
            let time = Time::of(spans, from, to);
            Bar { from, to, ratio: time.ratio(), time: time.in_secs(), worst: time.worst() }
        })
        .collect()
}

fn answers(sums: &[HealthSum], check: Check) -> Answers {
    let (mut answers, mut latency) = (Answers::default(), Sketch::default());
    for sum in sums.iter().filter(|sum| sum.check == check) {
        answers.requests += sum.requests;
        answers.failures += sum.failures;
        latency.merge(&sum.latency);
    }
    let quantile = |per_mille| latency.per_mille(per_mille).map(in_millis);
    Answers { p50_ms: quantile(500), p95_ms: quantile(950), p99_ms: quantile(990), ..answers }
}

/// Microseconds as whole milliseconds, to the nearest.
pub(super) fn in_millis(micros: u64) -> u32 {
    u32::try_from(micros.saturating_add(500) / 1000).unwrap_or(u32::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of some months are far below 2^53")]
fn secs(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests;
