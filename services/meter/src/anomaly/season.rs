//! What the same time of day was on the days before, and how far a value is from it.
//!
//! Expected is the median of the three buckets around the same time on each of the last five days; three of them
//! at least. Days are 24 hours: a series that follows wall clocks is an hour off for five days after a
//! change to or from summer time, which its own past calibrates like any other noise.
//! Never looks forward. Keeps five days of buckets, `BUCKETS_MAX` at most.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::order::median;

/// Days looked back.
const DAYS: i64 = 5;
const DAY_SECS: i64 = 86_400;
/// Buckets kept: five days of 5-minute buckets and some. Shorter buckets see fewer days.
const BUCKETS_MAX: usize = 1_536;
/// Earlier buckets below which nothing is expected.
const PEERS_MIN: usize = 3;
/// Residuals averaged into one: a single bucket is noise.
const SMOOTHED: usize = 6;

/// One view by time of day.
#[derive(Clone, Debug, Default)]
pub(super) struct Season {
    /// Earlier buckets, oldest first: when, in seconds, and what.
    earlier: VecDeque<(i64, f32)>,
    /// The last residuals, oldest first.
    residuals: VecDeque<f64>,
    /// Room for peers, kept between calls.
    peers: Vec<f64>,
}

/// What a season says of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Residual {
    /// What was expected; `None` when too little was seen at this time of day.
    pub(super) expected: Option<f64>,
    /// Mean distance of the last values from what was expected, with its sign.
    pub(super) smoothed: f64,
}

impl Season {
    /// Takes the next value (`at` later than all before) and says how far it is from what was expected.
    pub(super) fn residual(&mut self, at: Timestamp, value: f64) -> Residual {
        let now = at.as_second();
        let expected = self.expected(now);
        self.keep(now, value);
        if self.residuals.len() == SMOOTHED {
            self.residuals.pop_front();
        }
        self.residuals.push_back(expected.map_or(0.0, |expected| value - expected));
        let smoothed = self.residuals.iter().sum::<f64>() / self.residuals.len() as f64;
        Residual { expected, smoothed }
    }

    fn expected(&mut self, now: i64) -> Option<f64> {
        let first = self.earlier.front()?.0;
        self.peers.clear();
        for day in (1..=DAYS).map(|days| now - days * DAY_SECS).take_while(|day| *day >= first) {
            let place = self.earlier.partition_point(|(at, _)| *at < day);
            let around = place.saturating_sub(1)..(place + 2).min(self.earlier.len());
            self.peers.extend(self.earlier.range(around).map(|(_, value)| f64::from(*value)));
        }
        if self.peers.len() < PEERS_MIN {
            return None;
        }
        median(&mut self.peers)
    }

    fn keep(&mut self, now: i64, value: f64) {
        let oldest = now - (DAYS + 1) * DAY_SECS;
        while self.earlier.len() >= BUCKETS_MAX || self.earlier.front().is_some_and(|(at, _)| *at < oldest) {
            self.earlier.pop_front();
        }
        self.earlier.push_back((now, value as f32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_SECS: i64 = 3_600;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * HOUR_SECS).expect("a time of this century")
    }

    #[test]
    fn the_first_day_expects_nothing() {
        let mut season = Season::default();
        assert!((0..24).all(|hour| season.residual(at(hour), 5.0).expected.is_none()));
    }

    #[test]
    fn the_fourth_day_expects_the_third() {
        let mut season = Season::default();
        for hour in 0..72 {
            season.residual(at(hour), f64::from(u8::from(hour % 24 == 9)) * 90.0 + 10.0);
        }
        assert_eq!(season.residual(at(72), 40.0), Residual { expected: Some(10.0), smoothed: 5.0 });
    }

    #[test]
    fn memory_ends_at_its_bound() {
        let mut season = Season::default();
        for minute in 0..20_000 {
            let at = Timestamp::from_second(minute * 60).expect("a time of this century");
            season.residual(at, 1.0);
        }
        assert_eq!(season.earlier.len(), BUCKETS_MAX);
    }
}
