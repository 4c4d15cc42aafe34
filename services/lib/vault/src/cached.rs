//! Keys at hand: reads through to the key store, and serves the last good value while that is away.
//!
//! A version never changes, so what can become wrong is only that it still exists. A value counts as fresh for a
//! minute; then the first who wants it asks again, waits for a moment, and takes the held value if the answer is slow
//! or the key store is away, up to the age that the settings allow. For one credential one question is under way at a
//! time, however many want it. A failure is remembered for a second, so that a dead key store is not asked by each
//! request. A version that is gone is dropped at once. Values are held as `Secret`s and written nowhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use model::secret::Fields;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::{Error, Path, Vault};

/// How long a held value is given out without asking again.
const FRESH: Duration = Duration::from_secs(60);
/// How long a failure is given out without asking again.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// How long someone who could have a held value waits for the answer about it.
const PATIENCE: Duration = Duration::from_millis(250);
/// Questions to the key store under way at a time.
const CALLS_MAX: usize = 32;

/// How much is held, and how long.
#[derive(Clone, Debug)]
pub struct CachedSettings {
    /// Versions held. Over it, the one that was not used for the longest time goes.
    pub entries_max: usize,
    /// How old a value may become while the key store is away, in seconds. 0: every read asks.
    pub max_stale_secs: u64,
}

impl Default for CachedSettings {
    fn default() -> Self {
        Self { entries_max: 4_096, max_stale_secs: 3_600 }
    }
}

/// Keys at hand. Clones share what they hold.
#[derive(Clone)]
pub struct Cached(Arc<Inner>);

struct Inner {
    vault: Vault,
    settings: CachedSettings,
    calls: Semaphore,
    state: Mutex<State>,
    /// Where questions are asked, whoever waits for them: a key store's connections live there.
    home: Handle,
}

type Place = (Path, u32);
type Outcome = Result<Arc<Fields>, Error>;

#[derive(Default)]
struct State {
    held: HashMap<Place, Held>,
    flights: HashMap<Place, Flight>,
    /// Counts uses and flights: later is more.
    ticks: u64,
}

/// What is known about one version.
struct Held {
    /// The last good value, and when it came.
    good: Option<(Arc<Fields>, Instant)>,
    /// Why there is none newer.
    failure: Option<Error>,
    /// When to ask again.
    ask_at: Instant,
    used: u64,
}

/// A question under way.
#[derive(Clone)]
struct Flight {
    number: u64,
    answer: Shared<BoxFuture<'static, Outcome>>,
}

impl Cached {
    /// Holds what is read from this key store. Questions are asked on the runtime that it is made on.
    pub fn new(vault: Vault, settings: CachedSettings) -> Self {
        let (calls, home) = (Semaphore::new(CALLS_MAX), Handle::current());
        Self(Arc::new(Inner { vault, settings, calls, state: Mutex::default(), home }))
    }

    /// The fields of one version. An error is the key store's, when nothing held may stand in for its answer.
    pub async fn fields(&self, path: &Path, version: u32) -> Result<Arc<Fields>, Error> {
        let place = (path.clone(), version);
        let now = Instant::now();
        let (flight, good) = {
            let mut state = self.0.state();
            state.ticks += 1;
            let used = state.ticks;
            let held = state.held.get_mut(&place).map(|held| {
                held.used = used;
                (held.good(now, self.0.max_stale()), held.failure.clone(), held.ask_at)
            });
            let good = match held {
                Some((Some(good), _, ask_at)) if now < ask_at => return Ok(good),
                Some((None, Some(failure), ask_at)) if now < ask_at => return Err(failure),
                Some((good, ..)) => good,
                None => None,
            };
            (self.0.flight(&mut state, &place), good)
        };
        let Some(good) = good else { return flight.answer.await };
        match tokio::time::timeout(PATIENCE, flight.answer).await {
            Ok(Err(error)) if !error.is_transient() => Err(error),
            Ok(Ok(fields)) => Ok(fields),
            Ok(Err(_)) | Err(_) => Ok(good),
        }
    }

    /// Drops all that is held of a credential: it was changed, revoked or removed. An answer that is under way is
    /// given to those who wait for it, and not held.
    pub fn forget(&self, path: &Path) {
        let mut state = self.0.state();
        state.held.retain(|(at, _), _| at != path);
        state.flights.retain(|(at, _), _| at != path);
    }
}

impl Held {
    fn good(&self, now: Instant, max_stale: Duration) -> Option<Arc<Fields>> {
        let (fields, since) = self.good.as_ref()?;
        (now.duration_since(*since) <= max_stale && !max_stale.is_zero()).then(|| fields.clone())
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn max_stale(&self) -> Duration {
        Duration::from_secs(self.settings.max_stale_secs)
    }

    /// The question about a version: the one under way, or a new one. It runs to its end by itself, so that nobody
    /// who stops waiting takes the answer from the others.
    fn flight(self: &Arc<Self>, state: &mut State, place: &Place) -> Flight {
        if let Some(flight) = state.flights.get(place) {
            return flight.clone();
        }
        let number = state.ticks;
        let (shared, asked) = (self.clone(), place.clone());
        let task = self.home.spawn(async move {
            let outcome = shared.ask(&asked).await;
            shared.land(asked, number, &outcome);
            outcome
        });
        let path = place.0.to_string();
        let answer = task.map(|done| match done {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Away { doing: "read", path, why: "was not waited for".to_owned() }),
        });
        let flight = Flight { number, answer: answer.boxed().shared() };
        state.flights.insert(place.clone(), flight.clone());
        flight
    }

    async fn ask(&self, (path, version): &Place) -> Outcome {
        let _permit = self.calls.acquire().await;
        self.vault.read(path, Some(*version)).await.map(|read| Arc::new(read.fields))
    }

    /// Holds what came of a question, unless the credential was forgotten meanwhile.
    fn land(&self, place: Place, number: u64, outcome: &Outcome) {
        let now = Instant::now();
        let mut state = self.state();
        if state.flights.get(&place).is_none_or(|flight| flight.number != number) {
            return;
        }
        state.flights.remove(&place);
        let before = state.held.remove(&place).and_then(|held| held.good);
        let used = state.ticks;
        let held = match outcome {
            Ok(fields) => {
                let fresh = FRESH.min(self.max_stale());
                Held { good: Some((fields.clone(), now)), failure: None, ask_at: now + fresh, used }
            }
            Err(error) => {
                let good = before.filter(|_| error.is_transient());
                Held { good, failure: Some(error.clone()), ask_at: now + FAILURE_PAUSE, used }
            }
        };
        while state.held.len() >= self.settings.entries_max.max(1) {
            let oldest = state.held.iter().min_by_key(|(_, held)| held.used).map(|(place, _)| place.clone());
            match oldest {
                Some(oldest) => drop(state.held.remove(&oldest)),
                None => break,
            }
        }
        state.held.insert(place, held);
    }
}

#[cfg(test)]
mod tests;
