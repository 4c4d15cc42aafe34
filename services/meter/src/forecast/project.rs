//! The forecast itself: when a quota is used up, what there is at the reset, and how sure that is.
//!
//! Walks hour by hour from now, adding what each hour is expected to bring; within an hour evenly. Walks on for
//! as long again as the window is, so that a quota that lasts beyond its reset can say by how much.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::BUCKETS_MIN;
use super::history::{HOUR_SECS, History, cell};
use super::past;
use super::profile::{Method, Profile};

/// Hours walked ahead at most: two months of 31 days.
const HOURS_AHEAD_MAX: i64 = 2 * 31 * 24;

/// The quota's window and what it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// When it began.
    pub from: Timestamp,
    /// When it resets.
    pub until: Timestamp,
    /// What was used since it began, in the history's unit, the running hour included.
    pub used: f64,
    /// What may be used; `None` when only the amount at the reset is asked (a bill without a budget).
    pub limit: Option<f64>,
}

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Forecast {
    /// Too few hours are known: so many of `BUCKETS_MIN`.
    NotEnoughData {
        /// Hours known.
        known: usize,
    },
    /// Where it is heading.
    Known(Projection),
}

/// Where a figure is heading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    /// How it was made.
    pub method: Method,
    /// When the limit is reached, if before the reset; now when it is already.
    pub exhausts_at: Option<Timestamp>,
    /// When it would be reached if nothing were reset; `None` when not within two months.
    pub lasts_until: Option<Timestamp>,
    /// When it would be reached at the interval's high and low end, if nothing were reset (earliest, latest);
    /// `None` without an interval, and for an end that lies beyond two months.
    pub earliest: Option<Timestamp>,
    /// The other end.
    pub latest: Option<Timestamp>,
    /// The amount at the reset.
    pub at_reset: f64,
    /// Where four of five truths should lie; `None` when too few past forecasts could be checked.
    pub at_reset_interval: Option<Interval>,
}

/// A range that four of five truths should lie in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// One in ten is lower.
    pub low: f64,
    /// One in ten is higher.
    pub high: f64,
}

/// What a history says of the hours to come, whatever was used and may be. It holds until the next hour is known.
#[derive(Clone, Debug)]
pub struct Outlook {
    zone: TimeZone,
    profile: Profile,
    /// The share that a forecast of such a length may be off by; `None` when too few past ones could be checked.
    spread: Option<f64>,
}

/// What can be said at `now` of a window, from the hours in `history` that ended by then.
///
/// For windows of a day or longer: a shorter one is over before a forecast helps.
pub fn forecast(history: &History, window: &Window, now: Timestamp) -> Forecast {
    match Outlook::new(history, window.from, window.until, now) {
        Ok(outlook) => Forecast::Known(outlook.project(window, now)),
        Err(known) => Forecast::NotEnoughData { known },
    }
}

impl Outlook {
    /// What a history says at `now` of a window from `from` to `until`. `Err`: only so many hours of `BUCKETS_MIN` are known.
    pub fn new(
        history: &History,
        from: Timestamp,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Outlook, usize> {
        let (from, seconds, until) = (from.as_second(), now.as_second(), until.as_second());
        let known = history.between(i64::MIN, seconds).count();
        if known < BUCKETS_MIN {
            return Err(known);
        }
        // The running hour is not in the history: what has come of it is in `used` only.
        let as_of = history.ends().map_or(seconds, |ends| ends.min(seconds));
        let profile = Profile::at(history, from, as_of).ok_or(known)?;
        let spread = past::spread(history, profile.method, from, as_of, until.max(seconds));
        Ok(Outlook { zone: history.zone().clone(), profile, spread })
    }

    /// Where a figure is heading, of which so much was used by `now`.
    pub fn project(&self, window: &Window, now: Timestamp) -> Projection {
        let seconds = now.as_second();
        let walk = Walk { zone: &self.zone, profile: &self.profile, now: seconds };
        let rest = walk.sum(window.until.as_second().max(seconds));
        let reached = |ratio: f64| window.limit.and_then(|limit| walk.reaches(limit - window.used, ratio));
        let lasts_until = reached(1.0);
        let spread = self.spread;
        Projection {
            method: self.profile.method,
            exhausts_at: lasts_until.filter(|at| *at < window.until),
            lasts_until,
            earliest: spread.and_then(|spread| reached(1.0 + spread)),
            latest: spread.and_then(|spread| reached(1.0 - spread)),
            at_reset: window.used + rest,
            at_reset_interval: spread.map(|spread| Interval {
                low: window.used + rest * (1.0 - spread),
                high: window.used + rest * (1.0 + spread),
            }),
        }
    }
}

/// The way ahead from now.
struct Walk<'a> {
    zone: &'a TimeZone,
    profile: &'a Profile,
    now: i64,
}

impl Walk<'_> {
    /// The stretches ahead up to the hours' bound: when each ends (seconds), how long it is, and what it is expected to bring.
    fn ahead(&self) -> impl Iterator<Item = (i64, i64, f64)> {
        let first = self.now - self.now.rem_euclid(HOUR_SECS);
        (0..HOURS_AHEAD_MAX).map(move |hour| {
            let start = first + hour * HOUR_SECS;
            let (begins, ends) = (start.max(self.now), start + HOUR_SECS);
            let share = (ends - begins) as f64 / HOUR_SECS as f64;
            (ends, ends - begins, self.profile.hour(cell(self.zone, begins)) * share)
        })
    }

    /// What is expected from now to `end`.
    fn sum(&self, end: i64) -> f64 {
        let until_end = self.ahead().take_while(|(ends, lasts, _)| ends - lasts < end);
        until_end
            .map(|(ends, lasts, brings)| brings * ((ends.min(end) - (ends - lasts)) as f64 / lasts as f64))
            .sum()
    }

    /// When `left` is used up if every hour brings `ratio` times what is expected.
    fn reaches(&self, left: f64, ratio: f64) -> Option<Timestamp> {
        if left <= 0.0 {
            return Timestamp::from_second(self.now).ok();
        }
        let mut gone = 0.0;
        for (ends, lasts, brings) in self.ahead() {
            let brings = brings * ratio;
            if gone + brings >= left {
                let share = (left - gone) / brings;
                return Timestamp::from_second(ends - lasts + (lasts as f64 * share) as i64).ok();
            }
            gone += brings;
        }
        None
    }
}
