//! Turns surprises into anomalies: one for each, once it lasts, with its evidence.
//!
//! Surprises are averaged over two buckets, so that what is mildly odd must last and only what is very odd need not.
//! After an anomaly began none begins for as long as the detector's widest view looks back: until then the same
//! buckets would be told twice. Quiet buckets (maintenance, a failover's switch) neither raise nor teach.
//! Never tells anybody: the caller does.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::detector::{Detector, Seen};

/// Most buckets that surprises can be averaged over.
const BUCKETS_MAX: usize = 12;
/// Buckets of calm that end an anomaly.
const CALM_BUCKETS: u32 = 2;
/// Buckets after an anomaly began in which none begins: the detector's widest view.
const REST_BUCKETS: u32 = 96;

/// When an anomaly is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensitivity {
    /// Least mean surprise, in tenfold rareness. 1.5: each view sees it once in thirty buckets, or one view once in 30,000.
    pub surprise: f64,
    /// Buckets over which surprises are averaged, 1 to 12: a lone odd one must be as many times as odd.
    pub buckets: usize,
    /// Least difference from the expected that matters to people, in the series' unit; 0 for any. With a difference asked for,
    /// nothing is unusual before something is expected: for the first day.
    pub matters_from: f64,
    /// Whether only more than expected is unusual: fewer errors are no trouble.
    pub higher_only: bool,
}

/// One series under watch.
#[derive(Clone, Debug, Default)]
pub struct Alarm {
    detector: Detector,
    judge: Judge,
}

/// Turns what a detector saw into anomalies. Several may judge the same detector's views.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    sensitivity: Sensitivity,
    /// The buckets that are judged together, latest last.
    latest: VecDeque<Seen>,
    /// Calm buckets in a row, while an anomaly lasts.
    calm: u32,
    /// Buckets before another may begin.
    rest: u32,
    lasts: bool,
}

/// Something unusual, with what shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// When the first surprising bucket began.
    pub since: Timestamp,
    /// The surprise that was judged, in tenfold rareness.
    pub surprise: f64,
    /// The latest value.
    pub value: f64,
    /// What was expected at this time of day, in the same unit; `None` before a day is known.
    pub expected: Option<f64>,
    /// How far off, in robust standard deviations; negative is lower than expected.
    pub deviations: Option<f64>,
}

/// What a bucket means.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing to say.
    Normal,
    /// An anomaly began.
    Began(Anomaly),
    /// The one that began goes on.
    Lasts,
    /// It is over.
    Ended,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Sensitivity { surprise: 1.5, buckets: 2, matters_from: 0.0, higher_only: false }
    }
}

impl Alarm {
    /// Watches a series.
    pub fn new(sensitivity: Sensitivity) -> Self {
        Alarm { detector: Detector::default(), judge: Judge::new(sensitivity) }
    }

    /// Takes the next bucket. `quiet`: something known is going on, so this bucket proves nothing.
    pub fn observe(&mut self, at: Timestamp, value: f64, quiet: bool) -> Verdict {
        if quiet {
            return self.judge.skip();
        }
        let seen = self.detector.observe(at, value);
        self.judge.judge(seen)
    }
}

impl Judge {
    /// Nothing was seen yet.
    pub fn new(sensitivity: Sensitivity) -> Self {
        let buckets = sensitivity.buckets.clamp(1, BUCKETS_MAX);
        Judge { sensitivity: Sensitivity { buckets, ..sensitivity }, ..Judge::default() }
    }

    /// Passes over a bucket that proves nothing.
    pub fn skip(&mut self) -> Verdict {
        self.latest.clear();
        self.judge(None)
    }

    /// Takes what the detector saw of the next bucket.
    pub fn judge(&mut self, seen: Option<Seen>) -> Verdict {
        match seen {
            Some(seen) => self.weigh(seen),
            None if self.lasts => Verdict::Lasts,
            None => Verdict::Normal,
        }
    }

    fn weigh(&mut self, seen: Seen) -> Verdict {
        if self.latest.len() == self.sensitivity.buckets {
            self.latest.pop_front();
        }
        self.latest.push_back(seen);
        self.rest = self.rest.saturating_sub(1);
        let surprise =
            self.latest.iter().map(|seen| seen.surprise).sum::<f64>() / self.sensitivity.buckets as f64;
        let unusual = surprise >= self.sensitivity.surprise && self.matters(&seen);
        self.calm = if unusual { 0 } else { self.calm.saturating_add(1) };
        match (self.lasts, unusual) {
            (true, _) if self.calm >= CALM_BUCKETS => {
                self.lasts = false;
                Verdict::Ended
            }
            (true, _) => Verdict::Lasts,
            (false, true) if self.rest == 0 => self.begin(surprise, &seen),
            (false, _) => Verdict::Normal,
        }
    }

    fn begin(&mut self, surprise: f64, seen: &Seen) -> Verdict {
        self.lasts = true;
        self.rest = REST_BUCKETS;
        let first = self.latest.iter().find(|seen| seen.surprise >= self.sensitivity.surprise);
        Verdict::Began(Anomaly {
            since: first.unwrap_or(seen).at,
            surprise,
            value: seen.value,
            expected: seen.expected,
            deviations: seen.deviations,
        })
    }

    fn matters(&self, seen: &Seen) -> bool {
        let Sensitivity { matters_from, higher_only, .. } = self.sensitivity;
        let Some(expected) = seen.expected else { return matters_from <= 0.0 };
        let more = seen.value - expected;
        if higher_only { more > 0.0 && more >= matters_from } else { more.abs() >= matters_from }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bucket: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + bucket * 300).expect("a time of this century")
    }

    fn ordinary(bucket: i64) -> f64 {
        100.0 + ((bucket * 7919) % 13) as f64
    }

    /// Feeds a week of ordinary buckets, then the given ones; what is said of these, a letter each.
    fn check(matters_from: f64, values: &[(f64, bool)], expected: &str) {
        check_with(Sensitivity { matters_from, ..Sensitivity::default() }, values, expected);
    }

    fn check_with(sensitivity: Sensitivity, values: &[(f64, bool)], expected: &str) {
        let mut alarm = Alarm::new(sensitivity);
        for bucket in 0..2_016 {
            alarm.observe(at(bucket), ordinary(bucket), false);
        }
        let said = (2_016..)
            .zip(values)
            .map(|(bucket, (value, quiet))| letter(&alarm.observe(at(bucket), *value, *quiet)));
        assert_eq!(said.collect::<String>(), expected);
    }

    #[test]
    fn a_stop_is_told_once() {
        check(0.0, &[(0.0, false); 8], "Blllllll");
    }

    /// Feeds surprises as they are; what is said of them, a letter each.
    fn check_surprises(surprises: &[f64], expected: &str) {
        let mut alarm = Alarm::default();
        let said = (0..).zip(surprises).map(|(bucket, surprise)| {
            let surprise = *surprise;
            letter(&alarm.judge.weigh(Seen {
                at: at(bucket),
                value: 1.0,
                surprise,
                expected: None,
                deviations: None,
            }))
        });
        assert_eq!(said.collect::<String>(), expected);
    }

    fn letter(verdict: &Verdict) -> char {
        match verdict {
            Verdict::Normal => '.',
            Verdict::Began(_) => 'B',
            Verdict::Lasts => 'l',
            Verdict::Ended => 'E',
        }
    }

    #[test]
    fn what_is_mildly_odd_must_last_and_what_is_very_odd_need_not() {
        check_surprises(&[0.1, 2.0, 0.1, 2.0, 0.1], ".....");
        check_surprises(&[0.1, 2.0, 2.0, 2.0], "..Bl");
        check_surprises(&[0.1, 6.0], ".B");
    }

    #[test]
    fn two_calm_buckets_end_it_and_none_begins_before_the_rest_is_over() {
        check_surprises(&[2.0, 2.0, 0.1, 0.1, 6.0, 6.0], ".BlE..");
        let mut surprises = [0.1; 120];
        (surprises[0], surprises[90], surprises[110]) = (6.0, 6.0, 6.0);
        let mut said = ".".repeat(120);
        said.replace_range(0..4, "BllE");
        said.replace_range(110..114, "BllE");
        check_surprises(&surprises, &said);
    }

    #[test]
    fn quiet_buckets_raise_nothing_and_teach_nothing() {
        let mut values = [(0.0, true); 12];
        values[8..].fill((0.0, false));
        check(0.0, &values, "........Blll");
    }

    #[test]
    fn less_is_no_trouble_where_only_more_is() {
        let sensitivity = Sensitivity { higher_only: true, ..Sensitivity::default() };
        check_with(sensitivity, &[(0.0, false); 8], "........");
        check_with(sensitivity, &[(1_000.0, false); 3], "Bll");
    }

    #[test]
    fn what_matters_to_nobody_raises_nothing() {
        check(1_000.0, &[(0.0, false); 8], "........");
    }
}
