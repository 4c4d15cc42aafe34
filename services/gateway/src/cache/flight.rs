//! One call for equal calls at the same time: one leads, the others follow it and take its answer if it may be shared.
//!
//! When a leader ends without an answer one of its followers leads. How long a follower waits is its own affair; it can
//! always go alone. The table is in shards, and a shard is held for a look only.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::kept::Kept;
use super::key::Key;
use crate::map::{Hashing, Map};

/// Shards of the table.
const SHARDS: usize = 16;
/// Leaders that may fail in a row; then each follower goes alone.
const LEADERS_MAX: u32 = 3;

/// All calls that are under way for keys. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Table>);

#[derive(Default)]
struct Table {
    hasher: Hashing,
    shards: [Mutex<Map<Key, Arc<Flight>>>; SHARDS],
}

#[derive(Default)]
struct Flight {
    state: Mutex<State>,
    news: Notify,
    /// How many follow.
    followers: Arc<AtomicU32>,
}

#[derive(Default)]
struct State {
    at: Stage,
    leaders: u32,
}

#[derive(Clone, Default)]
enum Stage {
    #[default]
    Led,
    /// The leader ended without an answer.
    Vacant,
    /// There is an answer for everybody.
    Landed(Arc<Kept>),
    /// Each must go alone.
    Apart,
}

/// What a call does.
pub(crate) enum Joined {
    /// It is the first: it calls.
    Leads(Lead),
    /// Somebody calls already.
    Follows(Follow),
}

/// What came of following.
pub(crate) enum Followed {
    /// An answer.
    Landed(Arc<Kept>),
    /// The leader failed, and this one leads.
    Leads(Lead),
    /// Nothing to share, or not in time: it goes alone.
    Alone,
}

/// Whoever holds it calls for all. Dropped without a word, one of the followers leads.
pub(crate) struct Lead {
    flights: Flights,
    key: Key,
    flight: Arc<Flight>,
    said: bool,
}

/// A place among those who wait.
pub(crate) struct Follow {
    flights: Flights,
    key: Key,
    flight: Arc<Flight>,
}

impl Flights {
    /// Joins the call for a key, or begins it.
    pub(crate) fn join(&self, key: &Key) -> Joined {
        let mut shard = self.shard(key);
        let Some(flight) = shard.get(key).cloned() else {
            let flight = Arc::new(Flight::default());
            shard.insert(key.clone(), flight.clone());
            return Joined::Leads(self.lead(key, flight));
        };
        let mut state = lock(&flight.state);
        if matches!(state.at, Stage::Vacant) {
            state.at = Stage::Led;
            drop(state);
            return Joined::Leads(self.lead(key, flight));
        }
        drop(state);
        flight.followers.fetch_add(1, Ordering::AcqRel);
        Joined::Follows(Follow { flights: self.clone(), key: key.clone(), flight })
    }

    /// Lets nobody join what is under way: its answers are from before. Those who wait already get them.
    pub(crate) fn forget(&self) {
        for shard in &self.0.shards {
            lock(shard).clear();
        }
    }

    /// How many follow, over all.
    #[cfg(test)]
    pub(crate) fn followers(&self) -> u32 {
        let of = |flight: &Arc<Flight>| flight.followers.load(Ordering::Acquire);
        self.0.shards.iter().map(|shard| lock(shard).values().map(of).sum::<u32>()).sum()
    }

    /// How many calls are led.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn lead(&self, key: &Key, flight: Arc<Flight>) -> Lead {
        Lead { flights: self.clone(), key: key.clone(), flight, said: false }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Map<Key, Arc<Flight>>> {
        let hash = usize::try_from(self.0.hasher.hash_one(key) % SHARDS as u64).expect("below 16");
        lock(&self.0.shards[hash])
    }

    /// Takes a flight out of the table, if it is still the one of its key.
    fn remove(shard: &mut Map<Key, Arc<Flight>>, key: &Key, flight: &Arc<Flight>) {
        if shard.get(key).is_some_and(|there| Arc::ptr_eq(there, flight)) {
            shard.remove(key);
        }
    }
}

impl Lead {
    /// There is an answer for all who follow.
    pub(crate) fn land(self, kept: &Arc<Kept>) {
        self.say(Stage::Landed(kept.clone()));
    }

    /// The answer is for its own caller only.
    pub(crate) fn apart(self) {
        self.say(Stage::Apart);
    }

    /// How many wait for it; counts on.
    pub(crate) fn followers(&self) -> Arc<AtomicU32> {
        self.flight.followers.clone()
    }

    /// Whether somebody waits for it.
    pub(crate) fn is_followed(&self) -> bool {
        self.flight.followers.load(Ordering::Acquire) > 0
    }

    fn say(mut self, stage: Stage) {
        self.said = true;
        Flights::remove(&mut self.flights.shard(&self.key), &self.key, &self.flight);
        lock(&self.flight.state).at = stage;
        self.flight.news.notify_waiters();
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.said {
            return;
        }
        let mut shard = self.flights.shard(&self.key);
        let mut state = lock(&self.flight.state);
        state.leaders += 1;
        // Whoever joins holds the shard.
        if !self.is_followed() || state.leaders >= LEADERS_MAX {
            state.at = Stage::Apart;
            Flights::remove(&mut shard, &self.key, &self.flight);
            self.flight.news.notify_waiters();
        } else {
            state.at = Stage::Vacant;
            self.flight.news.notify_one();
        }
    }
}

impl Follow {
    /// Waits, but not longer than this.
    pub(crate) async fn until(self, end: Instant) -> Followed {
        let flight = &self.flight;
        loop {
            let mut news = std::pin::pin!(flight.news.notified());
            // From here on nothing that is said is missed.
            news.as_mut().enable();
            {
                let mut state = lock(&flight.state);
                match &state.at {
                    Stage::Landed(kept) => return Followed::Landed(kept.clone()),
                    Stage::Apart => return Followed::Alone,
                    Stage::Vacant => {
                        state.at = Stage::Led;
                        drop(state);
                        return Followed::Leads(self.flights.lead(&self.key, flight.clone()));
                    }
                    Stage::Led => {}
                }
            }
            if timeout_at(end, news).await.is_err() {
                return Followed::Alone;
            }
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let mut shard = self.flights.shard(&self.key);
        let followers = self.flight.followers.fetch_sub(1, Ordering::AcqRel) - 1;
        if !matches!(lock(&self.flight.state).at, Stage::Vacant) {
            return;
        }
        if followers == 0 {
            Flights::remove(&mut shard, &self.key, &self.flight);
        } else {
            // It may have been this one that was woken.
            self.flight.news.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks hold is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
