//! An integration's breaker, shared by all calls: one word tells most of them that there is nothing to look at.
//!
//! Says in the log and in metrics when it opens, recovers and closes, and when a provider's ban begins and ends: changes
//! only. Never waits. What its calls met is told elsewhere (`observe`): a breaker is one process's care, no verdict.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, counter, gauge};
use model::IntegrationId;
use model::health::Reason;

use super::{Breaker, Outcome, Standing};
use crate::telemetry;

/// What a level is called in the log and in metrics.
const LEVELS: [&str; 4] = ["closed", "half_open", "open", "blocked"];

/// A breaker that calls share.
pub(crate) struct Gate {
    id: IntegrationId,
    /// Whether there is anything to look at.
    troubled: AtomicBool,
    breaker: Mutex<(Breaker, Shown)>,
    states: [Gauge; LEVELS.len()],
    changes: [Counter; LEVELS.len()],
}

/// What was said last.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Shown {
    level: u8,
    /// What the provider refuses calls for.
    refused: Option<Reason>,
}

/// The one call that tries an integration again. Dropped without a word, another one may.
pub(crate) struct Permit {
    gate: Arc<Gate>,
    began: Instant,
}

impl Gate {
    /// A closed one.
    pub(crate) fn new(id: IntegrationId) -> Self {
        let states =
            LEVELS.map(|state| gauge!(telemetry::BREAKER, "integration" => id.to_string(), "state" => state));
        let changes = LEVELS.map(
            |state| counter!(telemetry::BREAKER_CHANGES, "integration" => id.to_string(), "state" => state),
        );
        changes.iter().for_each(|change| change.increment(0));
        let breaker = Mutex::new((Breaker::new(), Shown::default()));
        let gate = Self { id, troubled: AtomicBool::new(false), breaker, states, changes };
        gate.set(0);
        gate
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

    /// Looks whether time alone changed something: a wait is over, though nobody called since.
    pub(crate) fn look(&self, now: Instant) {
        if !self.is_clear() {
            self.show(&mut self.lock(), now);
        }
    }

    /// Says what changed.
    fn show(&self, inner: &mut (Breaker, Shown), now: Instant) {
        let (level, wait) = (inner.0.level(now), inner.0.wait_left(now));
        let shown = Shown { level, refused: wait.and_then(|(refused, _)| refused) };
        self.troubled.store(!inner.0.is_clear(), Ordering::Relaxed);
        if shown == inner.1 {
            return;
        }
        inner.1 = shown;
        self.set(level);
        let state = LEVELS[usize::from(level)];
        self.changes[usize::from(level)].increment(1);
        let reason = shown.refused.map(Reason::as_str);
        let wait_secs = wait.map(|(_, left)| left.as_secs());
        tracing::info!(integration.id = %self.id, state, reason, wait_secs, "The breaker of integration {} is {state}.", self.id);
    }

    fn set(&self, level: u8) {
        for (place, state) in self.states.iter().enumerate() {
            state.set(if place == usize::from(level) { 1.0 } else { 0.0 });
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Breaker, Shown)> {
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
