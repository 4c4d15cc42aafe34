//! Increases by the hour, with the hour of the week each belongs to.
//!
//! Keeps `HOURS_MAX` of them, oldest dropped first. Never fills a gap.

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Hours kept: twelve weeks, eight for the profile and four in which past forecasts are checked.
const HOURS_MAX: usize = 12 * 168;
pub(super) const HOUR_SECS: i64 = 3_600;
/// Hours of a week.
pub(super) const CELLS: usize = 168;

/// One hour's increase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hour {
    /// When it began, in seconds.
    pub(super) start: i64,
    /// Its hour of the week on the quota's wall clock, Monday's first is 0.
    pub(super) cell: usize,
    /// What it brought.
    pub(super) amount: f64,
}

/// The increases of one series, hour by hour.
#[derive(Clone, Debug)]
pub struct History {
    zone: TimeZone,
    hours: VecDeque<Hour>,
}

impl History {
    /// An empty history on the wall clock of `zone`, the quota's.
    pub fn new(zone: TimeZone) -> Self {
        History { zone, hours: VecDeque::new() }
    }

    /// Takes a complete hour: when it began, and what it brought.
    ///
    /// Later than all before: an hour told twice, an older one, and an amount that is negative or no number change nothing
    /// and give `false`. An hour of which nothing is known is not told at all; one without traffic is told as 0.
    pub fn push(&mut self, start: Timestamp, amount: f64) -> bool {
        let seconds = start.as_second();
        let known = self.hours.back().is_some_and(|hour| seconds < hour.start + HOUR_SECS);
        if known || !amount.is_finite() || amount < 0.0 {
            return false;
        }
        if self.hours.len() == HOURS_MAX {
            self.hours.pop_front();
        }
        self.hours.push_back(Hour { start: seconds, cell: self.cell(seconds), amount });
        true
    }

    /// How many hours are known.
    pub fn len(&self) -> usize {
        self.hours.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// The hours that began in `from..until` (seconds), oldest first.
    pub(super) fn between(&self, from: i64, until: i64) -> impl Iterator<Item = &Hour> {
        let first = self.hours.partition_point(|hour| hour.start < from);
        let last = self.hours.partition_point(|hour| hour.start < until);
        self.hours.range(first..last.max(first))
    }

    /// When the oldest hour known began.
    pub(super) fn begins(&self) -> Option<i64> {
        self.hours.front().map(|hour| hour.start)
    }

    /// When the latest hour known ended.
    pub(super) fn ends(&self) -> Option<i64> {
        self.hours.back().map(|hour| hour.start + HOUR_SECS)
    }

    /// The quota's wall clock.
    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The hour of the week at a time, on the wall clock.
    pub(super) fn cell(&self, seconds: i64) -> usize {
        cell(&self.zone, seconds)
    }
}

/// The hour of the week at a time, on a wall clock.
pub(super) fn cell(zone: &TimeZone, seconds: i64) -> usize {
    let Ok(at) = Timestamp::from_second(seconds) else {
        return 0;
    };
    let local = zone.to_datetime(at);
    let day = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
    day * 24 + usize::from(local.hour().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_york() -> History {
        History::new(TimeZone::get("America/New_York").expect("the zone data is bundled"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time in the test is well formed")
    }

    #[test]
    fn an_hour_told_twice_counts_once() {
        let mut history = new_york();
        assert!(history.push(at("2026-03-02T05:00:00Z"), 3.0));
        assert!(!history.push(at("2026-03-02T05:00:00Z"), 3.0));
        assert!(!history.push(at("2026-03-02T04:00:00Z"), 3.0));
        assert!(!history.push(at("2026-03-02T06:00:00Z"), f64::NAN));
        assert!(!history.push(at("2026-03-02T06:00:00Z"), -1.0));
        assert_eq!(history.len(), 1);
    }

    #[test]
    fn the_hour_of_the_week_is_the_wall_clocks() {
        let history = new_york();
        let cell = |text| history.cell(at(text).as_second());
        assert_eq!(cell("2026-03-02T05:00:00Z"), 0, "Monday, midnight, in winter");
        assert_eq!(cell("2026-03-09T04:00:00Z"), 0, "Monday, midnight, in summer");
    }

    #[test]
    fn the_short_day_has_no_second_hour_and_the_long_one_has_its_first_twice() {
        let history = new_york();
        let cells = |text: &str, hours: i64| -> Vec<usize> {
            (0..hours).map(|hour| history.cell(at(text).as_second() + hour * HOUR_SECS) - 144).collect()
        };
        assert_eq!(cells("2026-03-08T05:00:00Z", 4), [0, 1, 3, 4]);
        assert_eq!(cells("2026-11-01T04:00:00Z", 4), [0, 1, 1, 2]);
    }

    #[test]
    fn memory_ends_at_its_bound() {
        let mut history = new_york();
        for hour in 0..5_000 {
            history.push(Timestamp::from_second(hour * HOUR_SECS).expect("a time of this century"), 1.0);
        }
        assert_eq!(history.len(), HOURS_MAX);
    }
}
