//! Those who wait for units of one limit: the higher priorities first, callers of one priority in turn, each as much as it
//! weighs.
//!
//! Among callers deficit round robin: one whose call is heavy lets others pass until it is its turn, and one with many calls
//! waits no longer than one with few. Among priorities the highest goes first, but a lower one that waits has a turn whenever
//! [`PASSED_MAX`] times as many units as it needs went to others, so that a ninth of all is its, and nobody waits for ever.
//! It is counted in units and not in time: what a limit gives may be much or little.
//!
//! Only the first of all asks for units, and keeps its turn; the others sleep until it is theirs. Bounded: who finds no place
//! is refused at once, or takes the place of the last that came of the lowest priority, if that is lower than its own. A
//! caller that goes away leaves its place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::token::Priority;
use tokio::sync::Notify;

use super::purse::Purse;

/// Calls that wait for one limit.
pub(crate) const WAITING_MAX: usize = 256;
/// Units that go to others before a lower priority has a turn, for each of its own.
const PASSED_MAX: i64 = 8;

/// The queue of one limit.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Counts how many wait: all that a call looks at.
    purse: Arc<Purse>,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// One a priority, the highest first.
    ranks: [Rank; Priority::ALL.len()],
    /// Whose turn it is, and in which rank.
    first: Option<(u64, usize)>,
    next: u64,
}

/// Those of one priority.
#[derive(Debug, Default)]
struct Rank {
    callers: VecDeque<Waiting>,
    /// Units that went to others while somebody waited here, less what came of it.
    passed: i64,
}

/// One caller's calls.
#[derive(Debug)]
struct Waiting {
    caller: String,
    /// Units that it may still take before the next caller's turn.
    credit: u64,
    calls: VecDeque<Call>,
}

#[derive(Debug)]
struct Call {
    number: u64,
    units: u64,
    turn: Arc<Turn>,
}

/// What a call waits for.
#[derive(Debug, Default)]
struct Turn {
    notify: Notify,
    /// Whether a higher priority has its place.
    is_displaced: AtomicBool,
}

/// A place in the queue; left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'q> {
    queue: &'q Queue,
    number: u64,
    turn: Arc<Turn>,
    /// How many go before, if nobody comes meanwhile.
    pub(crate) ahead: usize,
}

// === impl Queue ===

impl Queue {
    /// An empty one for a purse.
    pub(crate) fn new(purse: Arc<Purse>) -> Self {
        Self { purse, line: Mutex::default() }
    }

    /// Whether somebody waits: whoever comes then comes after.
    pub(crate) fn is_waited(&self) -> bool {
        self.purse.is_waited()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.purse.waiting.load(Relaxed)
    }

    /// Takes a place at the end of this caller's; nothing when all are taken by those of no lower priority.
    pub(crate) fn join(&self, caller: &str, priority: Priority, units: u64) -> Option<Place<'_>> {
        let mut line = self.lock();
        let rank = rank(priority);
        if self.len() >= WAITING_MAX && !line.displace(rank) {
            return None;
        }
        let before = line.first.is_some_and(|(_, first)| first > rank);
        let ahead = line.ranks[..=rank].iter().map(Rank::len).sum::<usize>() + usize::from(before);
        let (number, turn) = (line.next, Arc::new(Turn::default()));
        line.next += 1;
        let call = Call { number, units, turn: turn.clone() };
        let callers = &mut line.ranks[rank].callers;
        match callers.iter_mut().find(|waiting| waiting.caller == caller) {
            Some(waiting) => waiting.calls.push_back(call),
            None => {
                let calls = VecDeque::from([call]);
                callers.push_back(Waiting { caller: caller.to_owned(), credit: 0, calls });
            }
        }
        self.purse.waiting.store(line.len(), Relaxed);
        line.call_next();
        Some(Place { queue: self, number, turn, ahead })
    }

    fn leave(&self, number: u64) {
        let mut line = self.lock();
        if let Some((first, rank)) = line.first.filter(|(first, _)| *first == number) {
            // Whoever had his turn comes after those who came meanwhile.
            let callers = &mut line.ranks[rank].callers;
            let of = |waiting: &Waiting| waiting.calls.iter().any(|call| call.number == first);
            if let Some(caller) = callers.iter().position(of).and_then(|place| callers.remove(place)) {
                callers.push_back(caller);
            }
            line.first = None;
        }
        line.ranks.iter_mut().for_each(|rank| drop(rank.remove(number)));
        self.purse.waiting.store(line.len(), Relaxed);
        line.call_next();
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Line ===

impl Line {
    fn len(&self) -> usize {
        self.ranks.iter().map(Rank::len).sum()
    }

    /// Says whose turn it is, if nobody's.
    fn call_next(&mut self) {
        if self.first.is_some() {
            return;
        }
        let due = self.ranks.iter().position(Rank::is_due);
        let Some(rank) = due.or_else(|| self.ranks.iter().position(Rank::waits)) else { return };
        let Some((number, units)) = self.ranks[rank].call_next() else { return };
        self.first = Some((number, rank));
        let units = i64::try_from(units).unwrap_or(i64::MAX);
        for (place, other) in self.ranks.iter_mut().enumerate() {
            other.passed = match (place == rank, other.waits()) {
                (true, true) if due.is_some() => {
                    other.passed.saturating_sub(units.saturating_mul(PASSED_MAX))
                }
                (false, true) => other.passed.saturating_add(units),
                _ => 0,
            };
        }
    }

    /// Sends away the last that came of the lowest priority below this one. Not whose turn it is. Says whether there was one.
    fn displace(&mut self, above: usize) -> bool {
        let first = self.first.map(|(number, _)| number);
        let last = |rank: &Rank| rank.numbers().filter(|number| Some(*number) != first).max();
        let mut lower = self.ranks[above + 1..].iter_mut().rev();
        let gone = lower.find_map(|rank| rank.remove(last(rank)?));
        gone.inspect(|call| {
            call.turn.is_displaced.store(true, Relaxed);
            call.turn.notify.notify_one();
        })
        .is_some()
    }
}

// === impl Rank ===

impl Rank {
    fn len(&self) -> usize {
        self.callers.iter().map(|waiting| waiting.calls.len()).sum()
    }

    fn waits(&self) -> bool {
        !self.callers.is_empty()
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        self.callers.iter().flat_map(|waiting| waiting.calls.iter().map(|call| call.number))
    }

    /// What the lightest weighs of those that are next of their callers.
    fn lightest(&self) -> u64 {
        let heads = self.callers.iter().filter_map(|waiting| Some(waiting.calls.front()?.units));
        heads.min().unwrap_or(1).max(1)
    }

    /// Whether so much went to others that it has a turn.
    fn is_due(&self) -> bool {
        let lightest = i64::try_from(self.lightest()).unwrap_or(i64::MAX);
        self.waits() && self.passed >= lightest.saturating_mul(PASSED_MAX)
    }

    /// Takes a call out of it.
    fn remove(&mut self, number: u64) -> Option<Call> {
        let mut removed = None;
        self.callers.retain_mut(|waiting| {
            let place = waiting.calls.iter().position(|call| call.number == number);
            removed = place.and_then(|place| waiting.calls.remove(place)).or(removed.take());
            !waiting.calls.is_empty()
        });
        removed
    }

    /// Gives the turn to one of its calls: its number, and what it weighs.
    fn call_next(&mut self) -> Option<(u64, u64)> {
        // One round gives each as much as the lightest needs: some round reaches the heaviest.
        let round = self.lightest();
        let rounds = |waiting: &Waiting| {
            let units = waiting.calls.front().map_or(0, |call| call.units);
            units.saturating_sub(waiting.credit).div_ceil(round)
        };
        let least = self.callers.iter().map(rounds).min()?;
        for waiting in &mut self.callers {
            waiting.credit = waiting.credit.saturating_add(round.saturating_mul(least));
        }
        let place = self
            .callers
            .iter()
            .position(|waiting| waiting.calls.front().is_some_and(|call| call.units <= waiting.credit));
        let mut waiting = place.and_then(|place| self.callers.remove(place))?;
        let called = waiting.calls.front().map(|call| {
            call.turn.notify.notify_one();
            (call.number, call.units)
        });
        waiting.credit -= called.map_or(0, |(_, units)| units.min(waiting.credit));
        self.callers.push_back(waiting);
        called
    }
}

// === impl Place ===

impl Place<'_> {
    /// Ready when it is its turn: from then on it asks for units. `false`: a higher priority has its place.
    pub(crate) async fn turn(&self) -> bool {
        self.turn.notify.notified().await;
        !self.turn.is_displaced.load(Relaxed)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.leave(self.number);
    }
}

/// Where its rank is.
const fn rank(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

#[cfg(test)]
mod tests;
