//! All limits of this gateway: what keeps each, and what time it is by the bus.
//!
//! A [`Pot`] is one limit as it is configured; it outlives changes of the configuration, so that nothing is leased twice and
//! nothing that was spent is forgotten. Where each caller, token or endpoint has a limit of its own, the pot has a part for
//! each. The lease task (`lease`) works through what is here; calls look at purses only.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use model::quota::clock::{Clock, Now};
use model::quota::{Limit, key};
use model::{IntegrationId, Timestamp};
use tokio::sync::Notify;

use super::keeper::{Keeper, Said};
use super::pause::Pauses;
use super::purse::Purse;
use super::queue::Queue;
use super::steady;
use crate::map::Map;

/// Callers or endpoints of one limit that are counted apart. Further ones are counted as one.
pub(crate) const PARTS_MAX: usize = 4_096;
/// The part of those that are not counted apart. No caller and no endpoint is called so.
const OTHERS: &str = "*";
/// For how long a silent bus is thought to be there, in milliseconds: a write takes that long where a server was lost.
const AWAY_MS: u64 = 5_000;

/// The limits of a gateway.
#[derive(Debug)]
pub(crate) struct Book {
    /// Whose leases these are: no other process has or had this name.
    gateway: String,
    /// Keepers that there ever were: a name is used once.
    number: AtomicU32,
    pots: Mutex<BTreeMap<String, Arc<Pot>>>,
    /// What was kept for a configuration that is gone, until it was given back.
    leaving: Mutex<Vec<Arc<Kept>>>,
    clock: Mutex<Clock>,
    /// Since when the bus does not answer, on the steady clock; 0: it does.
    silent_since_ms: AtomicU64,
    /// What providers want no calls for.
    pub(crate) pauses: Pauses,
    /// Rung when a purse runs low or empty.
    pub(super) bell: Notify,
}

/// One limit, with its parts.
#[derive(Debug)]
pub(crate) struct Pot {
    owner: String,
    name: String,
    /// As it is kept: the smallest of all that say how much it is.
    limit: Mutex<Limit>,
    /// What each integration says that counts for it, for as long as that holds.
    said: Mutex<BTreeMap<IntegrationId, (Weak<()>, Limit)>>,
    whole: Option<Arc<Kept>>,
    /// A call looks into it and waits for nobody; who adds one puts a new table there.
    parts: ArcSwap<Parts>,
    adding: Mutex<()>,
}

/// What is kept for each caller, token or endpoint.
type Parts = Map<Arc<str>, Arc<Kept>>;

/// What is kept of a limit, or of a part of one.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Under which key of the bucket.
    pub(super) key: String,
    /// What calls take from.
    pub(crate) purse: Arc<Purse>,
    /// Who waits for it.
    pub(crate) queue: Queue,
    /// Told whenever the ledger was asked, so that nobody waits for longer than it takes.
    pub(super) asked: Notify,
    pub(super) keeper: Mutex<Keeper>,
    /// When the next call may go while it is throttled, in microseconds of the steady clock.
    pub(super) next_us: AtomicU64,
    /// What the provider said that is used, until it is written down.
    pub(super) said: Mutex<Option<Said>>,
    /// When the call was sent of whose answer the provider's word was taken last, on the steady clock.
    pub(super) heard_ms: AtomicU64,
}

// === impl Book ===

impl Book {
    /// An empty one of a gateway.
    pub(crate) fn new(gateway: &str) -> Self {
        Self {
            gateway: gateway.to_owned(),
            number: AtomicU32::new(0),
            pots: Mutex::default(),
            leaving: Mutex::default(),
            clock: Mutex::default(),
            silent_since_ms: AtomicU64::new(0),
            pauses: Pauses::default(),
            bell: Notify::new(),
        }
    }

    /// The pot of a limit: the one that is there already, with what is new of the limit, or a new one, and what must be
    /// held for as long as this integration says how much it is. Where integrations with one key say different amounts, the smallest
    /// holds. Nothing when its name is too long for a key.
    pub(crate) fn pot(
        &self,
        by: &IntegrationId,
        owner: &str,
        limit: &Limit,
        has_parts: bool,
    ) -> Option<(Arc<Pot>, Arc<()>)> {
        let word = Arc::new(());
        let name = key::limit(limit, has_parts);
        let key = key::of(owner, &name, None)?;
        let mut pots = lock(&self.pots);
        if let Some(pot) = pots.get(&key) {
            lock(&pot.said).insert(by.clone(), (Arc::downgrade(&word), limit.clone()));
            pot.agree();
            return Some((pot.clone(), word));
        }
        let whole = (!has_parts).then(|| Arc::new(self.keep(key.clone(), limit)));
        let pot = Pot {
            owner: owner.to_owned(),
            name,
            limit: Mutex::new(limit.clone()),
            said: Mutex::new(BTreeMap::from([(by.clone(), (Arc::downgrade(&word), limit.clone()))])),
            whole,
            parts: ArcSwap::default(),
            adding: Mutex::default(),
        };
        Some((pots.entry(key).or_insert(Arc::new(pot)).clone(), word))
    }

    fn keep(&self, key: String, limit: &Limit) -> Kept {
        let gateway = format!("{}-{}", self.gateway, self.number.fetch_add(1, Relaxed));
        let keeper = Keeper::new(limit.clone(), &gateway);
        Kept {
            key,
            purse: keeper.purse().clone(),
            queue: Queue::new(keeper.purse().clone()),
            asked: Notify::new(),
            keeper: Mutex::new(keeper),
            next_us: AtomicU64::new(0),
            said: Mutex::default(),
            heard_ms: AtomicU64::new(0),
        }
    }

    /// Lets go of the pots that no configuration has any more; what they hold is given back. Of the others it is heard again
    /// how much they are.
    pub(crate) fn tidy(&self) {
        let mut pots = lock(&self.pots);
        pots.values().for_each(|pot| pot.agree());
        // Whoever has a pot holds it; here nobody can get a new one meanwhile.
        let gone: Vec<String> =
            pots.iter().filter(|(_, pot)| Arc::strong_count(pot) == 1).map(|(key, _)| key.clone()).collect();
        for pot in gone.iter().filter_map(|key| pots.remove(key)) {
            lock(&self.leaving).extend(pot.all());
        }
    }

    /// All that is kept.
    pub(super) fn all(&self) -> Vec<Arc<Kept>> {
        lock(&self.pots).values().flat_map(|pot| pot.all()).collect()
    }

    /// What is to be given back, once.
    pub(super) fn take_leaving(&self) -> Vec<Arc<Kept>> {
        std::mem::take(&mut *lock(&self.leaving))
    }

    /// The time; nothing before the bus was heard.
    pub(super) fn now(&self) -> Option<Now> {
        lock(&self.clock).read(steady::now_ms(), Timestamp::now())
    }

    /// Takes the bus's own time, asked for and received at these moments of the steady clock.
    pub(super) fn hear(&self, asked_ms: u64, received_ms: u64, bus: Timestamp) {
        lock(&self.clock).hear(asked_ms, received_ms, bus, Timestamp::now());
    }

    /// Notes whether the bus answers.
    pub(super) fn answers(&self, does: bool) {
        if does {
            self.silent_since_ms.store(0, Relaxed);
        } else if self.silent_since_ms.load(Relaxed) == 0 {
            self.silent_since_ms.store(steady::now_ms(), Relaxed);
        }
    }

    /// Whether no grant can be hoped for: the bus has been silent for long.
    pub(crate) fn is_away(&self, now_ms: u64) -> bool {
        let since = self.silent_since_ms.load(Relaxed);
        since > 0 && now_ms.saturating_sub(since) > AWAY_MS
    }

    /// Says that a purse runs low.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }
}

// === impl Pot ===

impl Pot {
    /// What a call takes from; `part` names its caller, token or endpoint where each has its own.
    pub(crate) fn kept(&self, book: &Book, part: &str) -> Arc<Kept> {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        if let Some(kept) = self.parts.load().get(part) {
            return kept.clone();
        }
        let _adding = lock(&self.adding);
        let parts = self.parts.load_full();
        let room = parts.len() < PARTS_MAX || parts.contains_key(part);
        let key = key::of(&self.owner, &self.name, Some(part)).filter(|_| room);
        let (part, key) = match key {
            Some(key) => (part, key),
            None => {
                (OTHERS, key::of(&self.owner, &self.name, Some(OTHERS)).expect("shorter than its pot's name"))
            }
        };
        if let Some(kept) = parts.get(part) {
            return kept.clone();
        }
        // Held until it is there: whoever changes the limit then finds it.
        let limit = lock(&self.limit);
        let kept = Arc::new(book.keep(key, &limit));
        let mut parts = (*parts).clone();
        parts.insert(part.into(), kept.clone());
        self.parts.store(Arc::new(parts));
        kept
    }

    /// What all share; nothing where each has its own.
    pub(crate) fn whole(&self) -> Option<&Arc<Kept>> {
        self.whole.as_ref()
    }

    /// Takes the smallest amount of those that are said.
    fn agree(&self) {
        let mut said = lock(&self.said);
        said.retain(|_, (word, _)| word.strong_count() > 0);
        let Some((_, limit)) = said.values().min_by_key(|(_, limit)| limit.amount) else { return };
        let mut known = lock(&self.limit);
        if (known.amount, known.replicas) != (limit.amount, limit.replicas) {
            *known = limit.clone();
            self.all().iter().for_each(|kept| lock(&kept.keeper).set_limit(limit));
        }
    }

    fn all(&self) -> Vec<Arc<Kept>> {
        let parts = self.parts.load();
        self.whole.iter().chain(parts.values()).cloned().collect()
    }
}

// === impl Kept ===

impl Kept {
    /// Notes what the provider says that is used.
    pub(super) fn say(&self, used: u64) {
        if let Some(said) = lock(&self.keeper).said(used) {
            *lock(&self.said) = Some(said);
        }
    }

    /// Whether the provider said something that is not written down.
    pub(super) fn is_told(&self) -> bool {
        lock(&self.said).is_some()
    }

    /// It is written down, unless more was said meanwhile.
    pub(super) fn wrote(&self, said: Option<Said>) {
        let mut known = lock(&self.said);
        if *known == said {
            *known = None;
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks hold is whole after every statement, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
