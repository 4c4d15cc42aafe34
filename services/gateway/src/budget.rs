//! The budget of repeats of one integration: a provider in trouble is not given twice the load.
//!
//! Pure: time is an argument. Repeats are at most a tenth of the first attempts of the last ten seconds; one in each
//! second is always allowed, so that quiet integrations can repeat. Asking one beside has a budget of its own: a tenth
//! of the first attempts, after a handful that is saved up.
//!
//! A route has a budget for everything that its calls do once they are in trouble: repeats, and going on to a member
//! that is known to fail. Going on to one that is believed to answer is free: breakers end the belief after a few
//! failures. So every caller's call is at most 1.1 calls while all members fail, and one that works again is found.

use std::time::Instant;

/// Seconds that count.
const WINDOW_SECS: usize = 10;
/// First attempts for one repeat.
const FIRSTS_PER_REPEAT: u64 = 10;

/// Attempts beside a first one that may be saved up.
const BESIDE_MAX: u64 = 10;

/// What is left for attempts beside a first one that is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside {
    /// First attempts that were not used up yet.
    firsts: u64,
}

impl Default for Beside {
    fn default() -> Self {
        Self { firsts: BESIDE_MAX * FIRSTS_PER_REPEAT }
    }
}

impl Beside {
    /// Notes a first attempt.
    pub(crate) fn first(&mut self) {
        self.firsts = (self.firsts + 1).min(BESIDE_MAX * FIRSTS_PER_REPEAT);
    }

    /// Takes an attempt beside, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        let left = self.firsts.checked_sub(FIRSTS_PER_REPEAT);
        self.firsts = left.unwrap_or(self.firsts);
        left.is_some()
    }
}

/// Calls of a route that may be made at once when trouble begins, before the tenth is all there is.
const EXTRA_SAVED: u64 = 32;

/// What the calls of a route in trouble may do besides their first attempt. Calls without trouble are not counted.
#[derive(Clone, Debug)]
pub(crate) struct Extra {
    budget: Budget,
    saved: u64,
}

impl Extra {
    pub(crate) fn new(now: Instant) -> Self {
        Self { budget: Budget::new(now), saved: EXTRA_SAVED }
    }

    /// A call is in trouble.
    pub(crate) fn first(&mut self, now: Instant) {
        if self.budget.is_quiet(now) {
            self.saved = EXTRA_SAVED;
        }
        self.budget.first(now);
    }

    /// Takes a further attempt if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.budget.repeat(now) {
            return true;
        }
        let left = self.saved.checked_sub(1);
        self.saved = left.unwrap_or_default();
        left.is_some()
    }
}

/// First attempts and repeats of the last seconds.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    start: Instant,
    /// The second, since `start`, that the last cell written belongs to.
    second: u64,
    cells: [Cell; WINDOW_SECS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    firsts: u64,
    repeats: u64,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self { start: now, second: 0, cells: [Cell::default(); WINDOW_SECS] }
    }

    /// Notes a first attempt.
    pub(crate) fn first(&mut self, now: Instant) {
        self.at(now).firsts += 1;
    }

    /// Takes a repeat if there is one.
    pub(crate) fn repeat(&mut self, now: Instant) -> bool {
        let unused = self.at(now).repeats == 0;
        let (firsts, repeats) = self.cells.iter().fold((0, 0), |(f, r), c| (f + c.firsts, r + c.repeats));
        let allowed = unused || (repeats + 1) * FIRSTS_PER_REPEAT <= firsts;
        self.at(now).repeats += u64::from(allowed);
        allowed
    }

    /// Whether nothing was noted lately.
    fn is_quiet(&mut self, now: Instant) -> bool {
        self.at(now);
        self.cells.iter().all(|cell| cell.firsts == 0)
    }

    /// The cell of this second; those of seconds that nobody called in are emptied.
    fn at(&mut self, now: Instant) -> &mut Cell {
        let second = now.saturating_duration_since(self.start).as_secs().max(self.second);
        let passed = (second - self.second).min(WINDOW_SECS as u64);
        for step in 0..passed {
            self.cells[place(second - step)] = Cell::default();
        }
        self.second = second;
        &mut self.cells[place(second)]
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % WINDOW_SECS as u64).expect("below ten")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many repeats are allowed when everything fails: so many calls a second, evenly, for so long.
    fn allowed(per_sec: u64, secs: u64) -> u64 {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        (0..per_sec * secs)
            .filter(|n| {
                let now = start + Duration::from_micros(1_000_000 / per_sec * n);
                budget.first(now);
                budget.repeat(now)
            })
            .count() as u64
    }

    #[test]
    fn repeats_are_a_tenth_of_first_attempts() {
        assert_eq!(allowed(10, 20), 20);
        let many = allowed(1_000, 20);
        assert!((1_900..=2_010).contains(&many), "{many}");
    }

    #[test]
    fn a_quiet_integration_repeats_once_a_second() {
        assert_eq!(allowed(1, 10), 10);
        assert_eq!(allowed(3, 10), 10);
    }

    #[test]
    fn a_slow_provider_does_not_double_the_calls() {
        let mut beside = Beside::default();
        let taken = |beside: &mut Beside, firsts: u64| {
            (0..firsts)
                .filter(|_| {
                    beside.first();
                    beside.take()
                })
                .count()
        };
        assert_eq!(taken(&mut beside, 10), 10);
        let many = taken(&mut beside, 10_000);
        assert!((990..=1_010).contains(&many), "{many}");
    }

    /// Further attempts that calls of a route get when each asks for two, so many calls a second, for so long.
    fn extra(extra: &mut Extra, from: Instant, per_sec: u64, secs: u64) -> u64 {
        let at = |n: u64| from + Duration::from_micros(1_000_000 / per_sec * n);
        let calls = (0..per_sec * secs).map(at);
        calls.fold(0, |sum, now| {
            extra.first(now);
            sum + u64::from(extra.take(now)) + u64::from(extra.take(now))
        })
    }

    #[test]
    fn calls_in_a_storm_are_a_tenth_more() {
        let start = Instant::now();
        let mut storm = Extra::new(start);
        let first = extra(&mut storm, start, 100, 10);
        assert!((100..=100 + EXTRA_SAVED + 1).contains(&first), "{first}");
        let later = extra(&mut storm, start + Duration::from_secs(10), 100, 100);
        assert!((900..=1_000).contains(&later), "{later}");
        let mut slow = Extra::new(start);
        let few = extra(&mut slow, start, 10, 1_000);
        assert!((1_000..=1_000 + EXTRA_SAVED).contains(&few), "{few}");
    }

    #[test]
    fn a_handful_is_saved_up_while_all_is_well() {
        let start = Instant::now();
        let mut storm = Extra::new(start);
        extra(&mut storm, start, 100, 10);
        let later = start + Duration::from_secs(60);
        storm.first(later);
        let taken = (0..1_000).filter(|_| storm.take(later)).count() as u64;
        assert_eq!(taken, EXTRA_SAVED + 1);
    }

    #[test]
    fn what_was_long_ago_counts_no_more() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        for _ in 0..1_000 {
            budget.first(start);
        }
        let later = start + Duration::from_secs(60);
        assert!(budget.repeat(later));
        assert!(!budget.repeat(later));
    }
}
