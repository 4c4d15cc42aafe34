//! The budget of repeats of one integration: a provider in trouble is not given twice the load.
//!
//! Pure: time is an argument. Repeats are at most a tenth of the first attempts of the last ten seconds; one in each
//! second is always allowed, so that quiet integrations can repeat. Going on to another member is no repeat. Asking one
//! beside has a budget of its own: a tenth of the first attempts, after a handful that is saved up.

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
