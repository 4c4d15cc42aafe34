//! An integration's breaker, shared by all calls: one word tells most of them that there is nothing to look at.
//!
//! Says in the log and in a gauge when it opens and closes. Never waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Gauge, gauge};
use model::IntegrationId;
use model::health::Reason;

use super::{Breaker, Outcome, Standing};
use crate::telemetry;

/// What a level is called in the log.
const LEVELS: [&str; 4] = ["closed", "recovering", "open", "blocked"];

/// A breaker that calls share.
pub(crate) struct Gate {
    id: IntegrationId,
    /// Whether there is anything to look at.
    troubled: AtomicBool,
    breaker: Mutex<(Breaker, u8)>,
    gauge: Gauge,
}

/// The one call that tries an integration again. Dropped without a word, another one may.
pub(crate) struct Permit {
    gate: Arc<Gate>,
    began: Instant,
}

impl Gate {
    /// A closed one.
    pub(crate) fn new(id: IntegrationId) -> Self {
        let gauge = gauge!(telemetry::BREAKER, "integration" => id.to_string());
        gauge.set(0.0);
        Self { id, troubled: AtomicBool::new(false), breaker: Mutex::new((Breaker::new(), 0)), gauge }
    }

    /// Whether calls may go there without a further look.
    pub(crate) fn is_clear(&self) -> bool {
        !self.troubled.load(Ordering::Relaxed)
    }

    /// How the integration stands, and when it failed last. `well` is when somebody else saw it recover.
    pub(crate) fn standing(&self, now: Instant, well: Option<Instant>) -> (Standing, Option<Instant>) {
        if self.is_clear() {
            return (Standing::Sure, None);
        }
        let mut inner = self.lock();
        self.show(&mut inner, now);
        (inner.0.standing(now, rand::random(), well), inner.0.failed_at())
    }

    /// A call of a route begins. The permit if it is the one that tries; an error if another one does.
    pub(crate) fn enter(self: &Arc<Self>, now: Instant, well: Option<Instant>) -> Result<Option<Permit>, ()> {
        if self.is_clear() {
            return Ok(None);
        }
        let mut inner = self.lock();
        let is_probe = inner.0.enter(now, well)?;
        self.show(&mut inner, now);
        Ok(is_probe.then(|| Permit { gate: self.clone(), began: now }))
    }

    /// A call ended.
    pub(crate) fn saw(&self, reason: Option<Reason>, retry_after: Option<Duration>) {
        if reason.is_none() && self.is_clear() {
            return;
        }
        let (outcome, now) = (Outcome::of(reason, retry_after), Instant::now());
        if outcome == Outcome::Nothing || (outcome == Outcome::Good && self.is_clear()) {
            return;
        }
        let mut inner = self.lock();
        inner.0.saw(outcome, now, rand::random());
        self.show(&mut inner, now);
    }

    /// The ban that lasts, when the provider named its end: until then.
    pub(crate) fn banned_until(&self, now: Instant) -> Option<Instant> {
        match self.standing(now, None).0 {
            Standing::Shut(shut) if shut.refused == Some((Reason::Banned, true)) => Some(shut.until),
            _ => None,
        }
    }

    /// Says what changed.
    fn show(&self, inner: &mut (Breaker, u8), now: Instant) {
        let level = inner.0.level(now);
        self.troubled.store(!inner.0.is_clear(), Ordering::Relaxed);
        if level == inner.1 {
            return;
        }
        inner.1 = level;
        self.gauge.set(f64::from(level));
        let state = LEVELS[usize::from(level)];
        tracing::info!(integration.id = %self.id, state, "The breaker of integration {} is {state}.", self.id);
    }

    fn lock(&self) -> MutexGuard<'_, (Breaker, u8)> {
        // The machine is whole after every call, so a panic elsewhere spoils nothing.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (now, mut inner) = (Instant::now(), self.gate.lock());
        inner.0.left(self.began, now, rand::random());
        self.gate.show(&mut inner, now);
    }
}
