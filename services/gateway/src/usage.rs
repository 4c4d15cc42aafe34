//! Tells what was counted: every second one event per integration that was called.
//!
//! An event's id is made of this gateway's instance, the span's start and the integration, and an event that may have
//! left keeps it: counting it twice changes nothing. While the bus is away events wait; of each integration and minute one
//! grows instead of many queueing, and beyond a bound minutes are merged. A crash loses what was not sent, one second at most
//! while the bus is there; leased quotas do not depend on it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::Bus;
use metrics::gauge;
use model::usage::{Count, UsageCounted};
use model::{Envelope, EventId, Timestamp};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::live::Live;
use crate::snapshot::Current;
use crate::telemetry;

/// How often what was counted is told, in milliseconds.
const FLUSH_MS: u64 = 1_000;
/// Events that wait for the bus. Beyond it, minutes of an integration are merged.
const WAITING_MAX: usize = 4_096;
/// Events that are sent together.
const BATCH_MAX: usize = 256;
/// How long the last events may take when the process stops, in milliseconds.
const LAST_MS: u64 = 5_000;
/// Pause after the bus did not take a batch, in milliseconds.
const AGAIN_MS: u64 = 500;
/// The most that one event holds, in bytes of JSON: with what stands around it, it stays below 64 KiB.
const PART_BYTES: usize = 48 * 1024;
const MINUTE_MS: i64 = 60_000;

/// Collects cells, and knows those that the configuration has forgotten.
pub(crate) struct Collector {
    counter: String,
    config: Current,
    known: Vec<Arc<Live>>,
    from: Timestamp,
}

/// Events on their way.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<VecDeque<UsageCounted>>);

/// Tells usage until the last call is `served`, and then the rest.
pub(crate) async fn tell(
    bus: Bus,
    config: Current,
    instance: &str,
    served: CancellationToken,
) -> anyhow::Result<()> {
    let waiting = Arc::new(Waiting::default());
    let done = CancellationToken::new();
    let sending = tokio::spawn(send(bus, instance.to_owned(), waiting.clone(), done.clone()));
    let mut collector = Collector::new(instance, config, Timestamp::now());
    let mut tick = interval(Duration::from_millis(FLUSH_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Calls under way are answered before the end; they count.
    while !served.is_cancelled() {
        tokio::select! {
            _ = tick.tick() => collector.collect(&waiting, Timestamp::now()),
            () = served.cancelled() => {}
        }
    }
    collector.collect(&waiting, Timestamp::now());
    done.cancel();
    sending.await?;
    Ok(())
}

// === impl Collector ===

impl Collector {
    pub(crate) fn new(instance: &str, config: Current, now: Timestamp) -> Self {
        Self { counter: format!("gateway/{instance}"), config, known: Vec::new(), from: now }
    }

    /// Moves what was counted since the last time to the events that wait.
    pub(crate) fn collect(&mut self, waiting: &Waiting, now: Timestamp) {
        let (from, to) = span(self.from, now);
        // Spans never begin at the same moment, so that ids differ.
        self.from = Timestamp::from_millis(now.as_millis().max(self.from.as_millis() + 1));
        for live in current(&self.config) {
            if !self.known.iter().any(|known| Arc::ptr_eq(known, &live)) {
                self.known.push(live);
            }
        }
        for live in &self.known {
            let counts = live.take_counts();
            if !counts.is_empty() {
                let (integration, provider) = (live.id.clone(), live.provider.clone());
                let counter = self.counter.clone();
                waiting.add(UsageCounted { integration, provider, counter, from, to, counts });
            }
        }
        // A cell that only we hold is of an integration that is gone, and its last call is over.
        self.known.retain(|live| Arc::strong_count(live) > 1);
    }
}

fn current(config: &Current) -> Vec<Arc<Live>> {
    let config = config.get();
    config.iter().flat_map(|config| config.integrations.values()).map(|i| i.live.clone()).collect()
}

/// A span whose ends lie in the same minute: that of its beginning, where most of it was.
fn span(from: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
    let minute_ends = (from.as_millis().div_euclid(MINUTE_MS) + 1) * MINUTE_MS - 1;
    let to = now.as_millis().clamp(from.as_millis(), minute_ends);
    (from, Timestamp::from_millis(to))
}

// === impl Waiting ===

impl Waiting {
    /// Adds an event, or lets one grow that did not leave yet.
    pub(crate) fn add(&self, event: UsageCounted) {
        let mut waiting = self.lock();
        let minute = |event: &UsageCounted| event.from.as_millis().div_euclid(MINUTE_MS);
        let full = waiting.len() >= WAITING_MAX;
        let fits = |old: &&mut UsageCounted| {
            old.integration == event.integration && (full || minute(old) == minute(&event))
        };
        match waiting.iter_mut().rev().find(fits) {
            Some(old) => merge(old, event),
            None => waiting.push_back(event),
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; some thousands at most")]
        gauge!(telemetry::UNSENT).set(waiting.len() as f64);
    }

    /// Takes the events that leave next; they do not grow any more.
    pub(crate) fn take(&self) -> Vec<UsageCounted> {
        let mut waiting = self.lock();
        let count = waiting.len().min(BATCH_MAX);
        let taken = waiting.drain(..count).collect();
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; some thousands at most")]
        gauge!(telemetry::UNSENT).set(waiting.len() as f64);
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<UsageCounted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds an event to an older one of the same integration. Its span stays in its minute.
fn merge(old: &mut UsageCounted, event: UsageCounted) {
    if old.from.as_millis().div_euclid(MINUTE_MS) == event.from.as_millis().div_euclid(MINUTE_MS) {
        old.to = old.to.max(event.to);
    }
    for count in event.counts {
        let same = |c: &&mut Count| {
            (&c.endpoint, &c.actor, &c.route) == (&count.endpoint, &count.actor, &count.route)
        };
        match old.counts.iter_mut().find(same) {
            Some(old) => old.add(&count),
            None => old.counts.push(count),
        }
    }
}

/// Parts of an event that are small enough to travel, most often one. Their counts are in the event's order, so that an
/// event that is cut again is cut alike.
fn parts(event: UsageCounted) -> Vec<UsageCounted> {
    let mut parts: Vec<UsageCounted> = Vec::new();
    let UsageCounted { integration, provider, counter, from, to, counts } = event;
    let mut room = 0;
    for count in counts {
        let bytes = bytes_of(&count);
        if parts.is_empty() || bytes > room {
            let (integration, provider, counter) = (integration.clone(), provider.clone(), counter.clone());
            parts.push(UsageCounted { integration, provider, counter, from, to, counts: Vec::new() });
            room = PART_BYTES;
        }
        room = room.saturating_sub(bytes);
        if let Some(part) = parts.last_mut() {
            part.counts.push(count);
        }
    }
    parts
}

/// About how large a count is as JSON, in bytes.
fn bytes_of(count: &Count) -> usize {
    serde_json::to_vec(count).map_or(PART_BYTES, |json| json.len() + 1)
}

// === sending ===

/// Sends what waits until `done`, and then the rest for a while. A batch that was not taken is sent again as it was.
async fn send(bus: Bus, instance: String, waiting: Arc<Waiting>, done: CancellationToken) {
    let mut batch: Vec<Envelope<Vec<u8>>> = Vec::new();
    let mut last: Option<Instant> = None;
    loop {
        if batch.is_empty() {
            let taken = waiting.take().into_iter().flat_map(|event| (0..).zip(parts(event)));
            batch = taken.filter_map(|(part, event)| envelope(&bus, &instance, event, part)).collect();
        }
        if done.is_cancelled() && last.is_none() {
            last = Some(Instant::now() + Duration::from_millis(LAST_MS));
        }
        if batch.is_empty() {
            if done.is_cancelled() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(FLUSH_MS / 10)) => {}
                () = done.cancelled() => {}
            }
            continue;
        }
        let sending = bus.publish_batch(&batch);
        let outcome = tokio::select! {
            outcome = sending => outcome.map_err(|error| error.is_transient()),
            () = over(&done, last) => {
                tracing::error!(events = batch.len(), "Usage was not told: the bus did not take it in time.");
                return;
            }
        };
        match outcome {
            Ok(()) => batch.clear(),
            Err(true) => tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await,
            Err(false) => {
                tracing::error!(
                    events = batch.len(),
                    "The bus refused usage events for good; they are dropped."
                );
                batch.clear();
            }
        }
    }
}

/// Ready when the process stops and the time for the last events is over.
async fn over(done: &CancellationToken, last: Option<Instant>) {
    done.cancelled().await;
    tokio::time::sleep_until(last.unwrap_or_else(|| Instant::now() + Duration::from_millis(LAST_MS))).await;
}

fn envelope(bus: &Bus, instance: &str, event: UsageCounted, part: u32) -> Option<Envelope<Vec<u8>>> {
    let id = identity(instance, &event, part);
    let time = event.to;
    let envelope = Envelope::new(id, bus.source(), time, event).to_bytes();
    envelope.inspect_err(|error| tracing::error!(%error, "A usage event cannot be written: {error}.")).ok()
}

/// The event's id: the same for the same instance, span, integration and part.
fn identity(instance: &str, event: &UsageCounted, part: u32) -> EventId {
    let mut text = format!("usage\n{instance}\n{}\n{}", event.from.as_millis(), event.integration);
    if part > 0 {
        text.push_str(&format!("\n{part}"));
    }
    let hash = hex::encode(Sha256::digest(text));
    EventId::parse(format!("use-{}", &hash[..40])).expect("44 letters, digits and `-`")
}

#[cfg(test)]
mod tests {
    use model::{IntegrationId, ProviderId};

    use super::*;

    fn event(from_ms: i64, requests: u64) -> UsageCounted {
        let count =
            Count { endpoint: "/a".to_owned(), actor: "user:ada".to_owned(), requests, ..Count::default() };
        let (from, to) = (Timestamp::from_millis(from_ms), Timestamp::from_millis(from_ms + 10));
        UsageCounted {
            integration: IntegrationId::new("a").expect("a slug"),
            provider: ProviderId::new("custom").expect("a slug"),
            counter: "gateway/x".to_owned(),
            from,
            to,
            counts: vec![count],
        }
    }

    #[test]
    fn a_span_stays_in_its_minute() {
        let of = |from, now| {
            let (from, to) = span(Timestamp::from_millis(from), Timestamp::from_millis(now));
            (from.as_millis(), to.as_millis())
        };
        assert_eq!(of(1_000, 2_000), (1_000, 2_000));
        assert_eq!(of(59_500, 60_500), (59_500, 59_999));
        assert_eq!(of(1_000, 500), (1_000, 1_000));
    }

    #[test]
    fn events_that_wait_grow_within_their_minute_and_lose_nothing() {
        let waiting = Waiting::default();
        for second in 0..120 {
            waiting.add(event(second * 1_000, 3));
        }
        let taken = waiting.take();
        assert_eq!(taken.len(), 2);
        assert_eq!(taken.iter().map(|event| event.counts[0].requests).sum::<u64>(), 360);
        for minute in 0..(WAITING_MAX as i64 + 100) {
            waiting.add(event(minute * MINUTE_MS, 1));
        }
        let mut sum = 0;
        loop {
            let taken = waiting.take();
            if taken.is_empty() {
                break;
            }
            sum += taken.iter().map(|event| event.counts[0].requests).sum::<u64>();
        }
        assert_eq!(sum, WAITING_MAX as u64 + 100);
    }

    #[test]
    fn a_large_event_travels_in_parts() {
        let mut large = event(1, 0);
        large.counts = (0..3_000)
            .map(|n| Count {
                endpoint: format!("/{n}"),
                actor: "user:ada".to_owned(),
                requests: 1,
                ..Count::default()
            })
            .collect();
        let parts = parts(large.clone());
        assert!(
            parts.len() > 1
                && parts.iter().all(|part| serde_json::to_vec(part).expect("JSON").len() < 64 * 1024)
        );
        let all: Vec<Count> = parts.into_iter().flat_map(|part| part.counts).collect();
        assert_eq!(all, large.counts);
        assert_eq!(super::parts(event(1, 1)), [event(1, 1)]);
    }

    #[test]
    fn ids_are_of_the_instance_the_span_and_the_integration() {
        let first = identity("x", &event(1, 1), 0);
        assert_eq!(first, identity("x", &event(1, 9), 0));
        assert_ne!(first, identity("y", &event(1, 1), 0));
        assert_ne!(first, identity("x", &event(2, 1), 0));
        assert_ne!(first, identity("x", &event(1, 1), 1));
    }
}
