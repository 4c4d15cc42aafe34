//! What lives longer than one revision of the configuration: an integration's counters, its waiting calls and its budgets.
//!
//! A new snapshot takes over the cells of the old one, so that a change of configuration forgets nothing.

mod counts;
mod lengths;
mod patience;
mod peak;
mod waiting;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use egress::lane;
use egress::skew::Skew;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use model::health::Reason;
use model::usage::Count;
use model::{IntegrationId, ProviderId};

use crate::budget::{Beside, Budget};
use crate::telemetry;
use crate::tokens::Used;
use counts::Counts;
pub(crate) use counts::Whose;
use lengths::Lengths;
pub(crate) use patience::Patience;
use waiting::Waiting;

/// One integration's cells.
pub(crate) struct Live {
    /// Which integration.
    pub(crate) id: IntegrationId,
    /// Its provider.
    pub(crate) provider: ProviderId,
    /// How far its clock is from ours.
    pub(crate) skew: Skew,
    counts: Mutex<Counts>,
    traffic: Mutex<Traffic>,
    waiting: Mutex<Waiting>,
    lengths: Mutex<Lengths>,
    budget: Mutex<Budget>,
    beside: Mutex<Beside>,
    meters: Meters,
}

/// What callers met since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Calls.
    pub(crate) requests: u32,
    /// Calls with trouble.
    pub(crate) failures: u32,
    /// Calls among both that have no answer yet and should have had one, while nobody was answered.
    pub(crate) overdue: u32,
    /// How often which trouble.
    pub(crate) reasons: BTreeMap<Reason, u32>,
    /// Status of the last answer.
    pub(crate) status_code: Option<u16>,
    /// Answers, and the sum of the times to their heads, in milliseconds.
    pub(crate) answers: u32,
    pub(crate) latency_sum_ms: u64,
}

/// One call to a provider, as it is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attempted {
    /// Whether the provider may have seen it.
    pub(crate) sent: bool,
    /// What was wrong.
    pub(crate) reason: Option<Reason>,
    /// Status of the answer.
    pub(crate) status: Option<u16>,
    /// Time to the head or to the failure.
    pub(crate) took: Duration,
    /// Bytes of the request's body.
    pub(crate) request_bytes: u64,
    /// What the call cost.
    pub(crate) cost_micros: u64,
}

/// What passed through a WebSocket since the last time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) messages_sent: u64,
    pub(crate) messages_received: u64,
}

/// Ready-made handles of metrics, so that a call looks nothing up.
struct Meters {
    classes: [Counter; 5],
    latency: Histogram,
    ok: Counter,
    echoes: Counter,
    beside: Counter,
    repeats: Counter,
    refused: Counter,
    idle: Gauge,
}

// === impl Live ===

impl Live {
    pub(crate) fn new(id: IntegrationId, provider: ProviderId, now: Instant) -> Self {
        let label = id.to_string();
        let class = |class: &'static str| counter!(telemetry::REQUESTS, "integration" => label.clone(), "code_class" => class);
        let meters = Meters {
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            latency: histogram!(telemetry::UPSTREAM_LATENCY, "integration" => label.clone()),
            ok: counter!(telemetry::ATTEMPTS, "integration" => label.clone(), "outcome" => "ok"),
            echoes: counter!(telemetry::ECHOES, "integration" => label.clone()),
            beside: counter!(telemetry::BESIDE, "integration" => label.clone()),
            repeats: counter!(telemetry::REPEATS, "integration" => label.clone(), "outcome" => "made"),
            refused: counter!(telemetry::REPEATS, "integration" => label.clone(), "outcome" => "refused"),
            idle: gauge!(telemetry::IDLE, "integration" => label.clone()),
        };
        for known in [&meters.ok, &meters.beside, &meters.repeats, &meters.refused] {
            known.increment(0);
        }
        Self {
            id,
            provider,
            skew: Skew::new(),
            counts: Mutex::default(),
            traffic: Mutex::default(),
            waiting: Mutex::default(),
            lengths: Mutex::default(),
            budget: Mutex::new(Budget::new(now)),
            beside: Mutex::default(),
            meters,
        }
    }

    /// Counts a call to the provider.
    pub(crate) fn attempted(&self, whose: Whose<'_>, call: &Attempted) {
        let failed = call.reason.is_some_and(|reason| reason != Reason::BadRequest);
        match call.reason {
            None => self.meters.ok.increment(1),
            Some(reason) => {
                let labels = [("integration", self.id.to_string()), ("outcome", reason.as_str().to_owned())];
                counter!(telemetry::ATTEMPTS, &labels).increment(1);
            }
        }
        let took_ms = u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX);
        if call.sent {
            self.count(whose, |count| {
                count.requests += 1;
                if let Some(reason) = call.reason {
                    count.errors += 1;
                    *count.reasons.entry(reason).or_default() += 1;
                }
                count.request_bytes += call.request_bytes;
                if call.status.is_some() {
                    count.latency_sum_ms += took_ms;
                    count.latency.add(u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX));
                }
                count.cost_micros += call.cost_micros;
            });
        }
        if call.status.is_some() {
            self.meters.latency.record(call.took.as_secs_f64());
        }
        let mut traffic = lock(&self.traffic);
        traffic.requests = traffic.requests.saturating_add(1);
        if failed {
            traffic.failures = traffic.failures.saturating_add(1);
        }
        if let Some(reason) = call.reason.filter(|_| failed) {
            *traffic.reasons.entry(reason).or_default() += 1;
        }
        if call.status.is_some() {
            traffic.status_code = call.status;
            traffic.answers = traffic.answers.saturating_add(1);
            traffic.latency_sum_ms += took_ms;
        }
    }

    /// Counts a call whose caller went away before its answer: the provider may have seen it.
    pub(crate) fn gone(&self, whose: Whose<'_>, request_bytes: u64, cost_micros: u64) {
        self.count(whose, |count| {
            count.requests += 1;
            count.request_bytes += request_bytes;
            count.cost_micros += cost_micros;
        });
    }

    /// Counts what was found out after the head: bytes of the answer, and whether it broke off.
    pub(crate) fn ended(&self, whose: Whose<'_>, response_bytes: u64, broke_off: Option<Reason>) {
        self.count(whose, |count| {
            count.response_bytes += response_bytes;
            if let Some(reason) = broke_off {
                count.errors += 1;
                *count.reasons.entry(reason).or_default() += 1;
            }
        });
        if let Some(reason) = broke_off {
            let mut traffic = lock(&self.traffic);
            // The call itself was counted with its head; it may be in an observation that is gone already.
            traffic.requests = traffic.requests.max(traffic.failures.saturating_add(1));
            traffic.failures = traffic.failures.saturating_add(1);
            *traffic.reasons.entry(reason).or_default() += 1;
        }
    }

    /// Counts what a language model used.
    pub(crate) fn used(&self, whose: Whose<'_>, used: &Used) {
        self.count(whose, |count| {
            count.cost_micros = count.cost_micros.saturating_add(used.count.cost_micros);
            count.tokens.add(&used.count.tokens);
            count.add_model(&used.count);
            if let Some(model) = &used.unpriced {
                count.add_unpriced(model);
            }
        });
    }

    /// Notes how long a whole answer was whose caller did not say how long it may be, in tokens.
    pub(crate) fn had_length(&self, endpoint: &str, tokens: u64) {
        lock(&self.lengths).saw(endpoint, tokens);
    }

    /// How many tokens such an answer is likely to have at most; nothing where that is not known.
    pub(crate) fn length(&self, endpoint: &str) -> Option<u64> {
        lock(&self.lengths).usual(endpoint)
    }

    /// Counts what passed through a WebSocket.
    pub(crate) fn passed(&self, whose: Whose<'_>, passed: &Passed) {
        self.count(whose, |count| {
            count.request_bytes += passed.request_bytes;
            count.response_bytes += passed.response_bytes;
            count.messages_sent += passed.messages_sent;
            count.messages_received += passed.messages_received;
        });
    }

    /// Counts an answer from the cache.
    pub(crate) fn cached(&self, whose: Whose<'_>) {
        self.count(whose, |count| count.cache_hits += 1);
    }

    /// Counts an answer to a caller.
    pub(crate) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.meters.classes[class].increment(1);
    }

    /// Says how many connections are open and not used.
    pub(crate) fn idle_connections(&self, count: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; there are thousands at most")]
        self.meters.idle.set(count as f64);
    }

    /// Counts places that held the key.
    pub(crate) fn echoed(&self, places: u64) {
        self.meters.echoes.increment(places);
    }

    /// A call is sent. Its number, and the patience with it.
    pub(crate) fn waits(&self, endpoint: &str, slow: Duration, timeout: Duration) -> (u64, Patience) {
        lock(&self.waiting).begin(endpoint, slow, timeout, lane::now().into_std())
    }

    /// The patience with a call that goes together with others.
    pub(crate) fn patience(&self, endpoint: &str, slow: Duration, timeout: Duration) -> Patience {
        lock(&self.waiting).patience(endpoint, slow, timeout)
    }

    /// A call is not waited for any more. `good` is its endpoint, when it was answered well.
    pub(crate) fn waited(&self, number: u64, answered: bool, good: Option<&str>) {
        lock(&self.waiting).end(number, answered, good, lane::now().into_std());
    }

    /// Whether it takes calls and answers none.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        lock(&self.waiting).is_silent(now)
    }

    /// Whether another member may be asked beside a call that waits here: as long as there is a budget for it and the
    /// other one's limits are not `scarce`, and always where nobody is answered, for that is going on.
    pub(crate) fn may_ask_beside(&self, now: Instant, scarce: bool) -> bool {
        let may = (!scarce && lock(&self.beside).take()) || self.is_silent(now);
        self.meters.beside.increment(u64::from(may));
        may
    }

    /// Notes a first attempt.
    pub(crate) fn first(&self, now: Instant) {
        lock(&self.budget).first(now);
        lock(&self.beside).first();
    }

    /// Whether the budget has a repeat left; takes it.
    pub(crate) fn may_repeat(&self, now: Instant) -> bool {
        let may = lock(&self.budget).repeat(now);
        (if may { &self.meters.repeats } else { &self.meters.refused }).increment(1);
        may
    }

    /// What was counted since the last time; nothing is counted twice.
    pub(crate) fn take_counts(&self) -> Vec<Count> {
        let mut counts = std::mem::take(&mut *lock(&self.counts)).all;
        counts.sort_by(|a, b| (&a.endpoint, &a.actor, &a.route).cmp(&(&b.endpoint, &b.actor, &b.route)));
        counts
    }

    /// Whether nothing was counted since the last time.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.counts).all.is_empty()
    }

    /// What callers met since the last time, and what those who wait meet now; nothing when nobody called.
    pub(crate) fn take_traffic(&self, now: Instant) -> Option<Traffic> {
        let overdue = lock(&self.waiting).overdue(now);
        let mut traffic = std::mem::take(&mut *lock(&self.traffic));
        if overdue > 0 {
            traffic.overdue = overdue;
            traffic.requests = traffic.requests.saturating_add(overdue);
            traffic.failures = traffic.failures.saturating_add(overdue);
            *traffic.reasons.entry(Reason::Timeout).or_default() += overdue;
        }
        (traffic.requests > 0).then_some(traffic)
    }

    fn count(&self, whose: Whose<'_>, add: impl FnOnce(&mut Count)) {
        add(lock(&self.counts).of(whose));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks hold is whole after every statement, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
