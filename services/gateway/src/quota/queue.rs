//! Those who wait for units of one limit, in a fair order: callers in turn, each as much as it weighs.
//!
//! Deficit round robin: a caller whose call is heavy lets others pass until it is its turn, and one with many calls waits no
//! longer than one with few. Only the first of all asks for units; the others sleep until it is their turn. Bounded: who
//! finds no place is refused at once. A caller that goes away leaves its place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Calls that wait for one limit.
pub(crate) const WAITING_MAX: usize = 256;

/// The queue of one limit.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// How many wait: all that a call looks at.
    count: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    callers: VecDeque<Waiting>,
    /// Whose turn it is.
    first: Option<u64>,
    next: u64,
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
    turn: Arc<Notify>,
}

/// A place in the queue; left when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'q> {
    queue: &'q Queue,
    number: u64,
    turn: Arc<Notify>,
    /// How many were there before.
    pub(crate) ahead: usize,
}

// === impl Queue ===

impl Queue {
    /// Whether somebody waits: whoever comes then comes after.
    pub(crate) fn is_waited(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Takes a place at the end of this caller's; nothing when all are taken.
    pub(crate) fn join(&self, caller: &str, units: u64) -> Option<Place<'_>> {
        let mut line = self.lock();
        let ahead = self.count.load(Relaxed);
        if ahead >= WAITING_MAX {
            return None;
        }
        let (number, turn) = (line.next, Arc::new(Notify::new()));
        line.next += 1;
        let call = Call { number, units, turn: turn.clone() };
        match line.callers.iter_mut().find(|waiting| waiting.caller == caller) {
            Some(waiting) => waiting.calls.push_back(call),
            None => {
                let calls = VecDeque::from([call]);
                line.callers.push_back(Waiting { caller: caller.to_owned(), credit: 0, calls });
            }
        }
        self.count.store(ahead + 1, Relaxed);
        line.call_next();
        Some(Place { queue: self, number, turn, ahead })
    }

    fn leave(&self, number: u64) {
        let mut line = self.lock();
        // Whoever had his turn comes after those who came meanwhile.
        let of = |waiting: &Waiting| waiting.calls.iter().any(|call| call.number == number);
        if line.first == Some(number)
            && let Some(caller) =
                line.callers.iter().position(of).and_then(|place| line.callers.remove(place))
        {
            line.callers.push_back(caller);
        }
        line.callers.retain_mut(|waiting| {
            waiting.calls.retain(|call| call.number != number);
            !waiting.calls.is_empty()
        });
        self.count.store(line.callers.iter().map(|waiting| waiting.calls.len()).sum(), Relaxed);
        if line.first == Some(number) {
            line.first = None;
            line.call_next();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Says whose turn it is, if nobody's.
    fn call_next(&mut self) {
        if self.first.is_some() || self.callers.is_empty() {
            return;
        }
        let heads = self.callers.iter().filter_map(|waiting| Some(waiting.calls.front()?.units));
        // One round gives each as much as the lightest needs: some round reaches the heaviest.
        let round = heads.min().unwrap_or(1).max(1);
        let rounds = |waiting: &Waiting| {
            let units = waiting.calls.front().map_or(0, |call| call.units);
            units.saturating_sub(waiting.credit).div_ceil(round)
        };
        let Some(least) = self.callers.iter().map(rounds).min() else { return };
        for waiting in &mut self.callers {
            waiting.credit = waiting.credit.saturating_add(round.saturating_mul(least));
        }
        let place = self
            .callers
            .iter()
            .position(|waiting| waiting.calls.front().is_some_and(|call| call.units <= waiting.credit));
        let Some(mut waiting) = place.and_then(|place| self.callers.remove(place)) else { return };
        if let Some(call) = waiting.calls.front() {
            waiting.credit -= call.units.min(waiting.credit);
            self.first = Some(call.number);
            call.turn.notify_one();
        }
        self.callers.push_back(waiting);
    }
}

impl Place<'_> {
    /// Ready when it is its turn; from then on it asks for units.
    pub(crate) async fn turn(&self) {
        self.turn.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// The order in which those get their turn who wait.
    fn order(calls: &[(&str, u64)]) -> Vec<String> {
        let queue = Queue::default();
        let mut places: Vec<_> = calls
            .iter()
            .map(|(caller, units)| (caller, queue.join(caller, *units).expect("a place")))
            .collect();
        let mut order = Vec::new();
        while !places.is_empty() {
            let first = places.iter().position(|(_, place)| place.turn().now_or_never().is_some());
            let (caller, place) = places.remove(first.expect("it is somebody's turn"));
            order.push((*caller).to_owned());
            drop(place);
        }
        assert!(!queue.is_waited());
        order
    }

    #[test]
    fn callers_take_turns_however_much_they_ask() {
        let calls = [("a", 1), ("a", 1), ("a", 1), ("b", 1), ("c", 1)];
        assert_eq!(order(&calls).concat(), "abcaa");
    }

    #[test]
    fn heavy_calls_let_light_ones_pass() {
        let mut calls = vec![("light", 1); 9];
        calls.extend([("heavy", 4), ("heavy", 4)]);
        let got = order(&calls);
        let second = got.iter().enumerate().filter(|(_, caller)| *caller == "heavy").nth(1);
        let before = got[..second.expect("two").0].iter().filter(|caller| *caller == "light").count();
        assert!((7..=9).contains(&before), "{got:?}");
    }

    #[test]
    fn who_finds_no_place_is_refused_and_who_leaves_makes_one() {
        let queue = Queue::default();
        let mut places: Vec<_> = (0..WAITING_MAX).map(|_| queue.join("a", 1).expect("a place")).collect();
        assert!(queue.join("b", 1).is_none());
        places.pop();
        assert_eq!(queue.join("b", 1).expect("a place").ahead, WAITING_MAX - 1);
    }
}
