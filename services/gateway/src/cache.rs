//! Answers kept for a while: what may be said again without asking, or when nobody else answers.
//!
//! Only whole 200 answers to GET, where a route or an integration asks for it. An entry is bound to the integration that it
//! came from, as configured then: a change of that ends it (T16). Bytes are bounded by what entries really take. The key
//! holds no secret.

pub(crate) mod condition;
pub(crate) mod drops;
pub(crate) mod flight;
pub(crate) mod kept;
pub(crate) mod key;
pub(crate) mod lines;
pub(crate) mod rules;
pub(crate) mod said;
pub(crate) mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{CONTENT_LENGTH, SET_COOKIE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{StatusCode, Version};
use metrics::{Counter, counter, gauge};
use model::IntegrationId;
use model::cache::CacheInvalidated;
use quick_cache::sync::Cache as Map;
use quick_cache::{OptionsBuilder, Weighter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::map::Hashing;
use crate::telemetry;
use flight::Flights;
use kept::Kept;
use key::Key;
use writes::{Since, Writes};

/// The largest body that is kept, in bytes.
const ENTRY_BYTES_MAX: u64 = 1024 * 1024;
/// An entry takes at most this part of the whole.
const ENTRIES_MIN: u64 = 64;
/// Shards of the map; a shard must be larger than an entry.
const SHARDS: usize = 16;
/// For how many entries the map is made; it grows.
const ENTRIES_EXPECTED: usize = 1_024;
/// Answers that are fetched anew behind at a time.
const BEHIND_MAX: usize = 64;

/// All kept answers. Clones share them.
#[derive(Clone)]
pub(crate) struct Cache(Arc<Shared>);

struct Shared {
    map: Map<Key, Arc<Kept>, Weight, Hashing>,
    entry_bytes_max: u64,
    flights: Flights,
    /// Counts invalidations: an answer that was asked for before one is not kept after it.
    drops: AtomicU64,
    writes: Writes,
    behind: Arc<Semaphore>,
    meters: Meters,
}

/// A moment, as far as it goes for what ends kept answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    drops: u64,
    writes: u64,
}

/// How fetches behind callers ended.
pub(crate) struct Meters {
    pub(crate) done: Counter,
    pub(crate) failed: Counter,
    pub(crate) left: Counter,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Kept>> for Weight {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        kept.bytes(key) as u64
    }
}

impl Cache {
    /// Holds at most so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(ENTRIES_EXPECTED)
            .weight_capacity(bytes_max)
            .shards(SHARDS)
            .build()
            .expect("both sizes are given");
        let map = Map::with_options(options, Weight, Default::default(), Default::default());
        Self(Arc::new(Shared {
            map,
            entry_bytes_max: (bytes_max / ENTRIES_MIN).min(ENTRY_BYTES_MAX),
            flights: Flights::default(),
            drops: AtomicU64::new(0),
            writes: Writes::new(),
            behind: Arc::new(Semaphore::new(BEHIND_MAX)),
            meters: Meters::new(),
        }))
    }

    /// The answer kept for a call, whatever its age.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Kept>> {
        self.0.map.get(key).filter(|kept| self.is_current(kept))
    }

    /// Whether nothing was written to an answer's address since it was asked for.
    pub(crate) fn is_current(&self, kept: &Kept) -> bool {
        self.0.writes.none(kept.since)
    }

    /// Calls that are under way.
    pub(crate) fn flights(&self) -> &Flights {
        &self.0.flights
    }

    /// Counts fetches behind callers.
    pub(crate) fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// The largest body that is kept, in bytes.
    pub(crate) fn body_bytes_max(&self) -> usize {
        usize::try_from(self.0.entry_bytes_max).unwrap_or(usize::MAX)
    }

    /// Now. To be taken before a provider is asked for an answer that may be kept.
    pub(crate) fn moment(&self) -> Moment {
        self.0.writes.begin();
        Moment { drops: self.0.drops.load(Ordering::Acquire), writes: self.0.writes.last() }
    }

    /// Which writes end an answer to this path of an integration that was asked for at this moment.
    pub(crate) fn since(&self, integration: &IntegrationId, path: &str, moment: Moment) -> Since {
        self.0.writes.since(integration, path, moment.writes)
    }

    /// Something was written to a path of an integration: what was asked for before is not true any more.
    pub(crate) fn wrote(&self, integration: &IntegrationId, path: &str) {
        self.0.writes.mark(integration, path);
    }

    /// Keeps an answer that was asked for at this moment, unless something was invalidated since or it is too large.
    pub(crate) fn keep(&self, key: &Key, kept: &Arc<Kept>, asked: Moment) {
        let invalidated = || self.0.drops.load(Ordering::Acquire) != asked.drops;
        if invalidated() || kept.bytes(key) as u64 > self.0.entry_bytes_max {
            return;
        }
        self.0.map.insert(key.clone(), kept.clone());
        if invalidated() {
            self.0.map.remove(key);
        }
    }

    /// Drops one answer: it is known not to be true any more.
    pub(crate) fn remove(&self, key: &Key) {
        self.0.map.remove(key);
    }

    /// Drops what is not to be used any more, and what is being asked for now when it comes.
    pub(crate) fn invalidate(&self, which: &CacheInvalidated) {
        self.0.drops.fetch_add(1, Ordering::AcqRel);
        self.0.flights.forget();
        self.0.map.retain(|key, kept| {
            kept.origin.integration != which.integration || !which.matches(key.path(), key.query())
        });
    }

    /// A place for a fetch behind, if there is one.
    pub(crate) fn behind(&self) -> Option<OwnedSemaphorePermit> {
        self.0.behind.clone().try_acquire_owned().ok()
    }

    /// Tells how much is kept.
    pub(crate) fn measure(&self) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; both stay far below 2^53")]
        {
            gauge!(telemetry::CACHE_BYTES).set(self.0.map.weight() as f64);
            gauge!(telemetry::CACHE_ENTRIES).set(self.0.map.len() as f64);
        }
    }
}

impl Meters {
    fn new() -> Self {
        let behind = |outcome: &'static str| counter!(telemetry::CACHE_BEHIND, "outcome" => outcome);
        Self { done: behind("done"), failed: behind("failed"), left: behind("left") }
    }
}

/// Whether an answer, as it came, will be known to be whole at its end, and is for no session: one that ends with its
/// connection could have been cut anywhere, unless it was read to its end and understood.
pub(crate) fn is_whole(head: &Parts, understood: bool) -> bool {
    let framed = understood
        || head.version == Version::HTTP_2
        || head.headers.contains_key(CONTENT_LENGTH)
        || head.headers.contains_key(TRANSFER_ENCODING)
        || head.status == StatusCode::NOT_MODIFIED;
    framed && !head.headers.contains_key(SET_COOKIE)
}

#[cfg(test)]
mod tests;
