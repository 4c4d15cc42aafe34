//! Calendar windows: where the window of a moment begins and ends, in its zone.
//!
//! Pure. Seconds, minutes and hours are those of UTC; days, weeks (from Monday) and months begin at the zone's midnight and
//! have the hours that the zone gives them. A window ends where the next one begins: none overlaps, none is missing,
//! and a later moment is never in an earlier window, not even where clocks go back across midnight.

use crate::Timestamp;
use crate::integration::Window as Per;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

/// A window: its first moment, and the first one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// Inclusive. Names the window: of two windows of one limit the later one begins later.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
}

/// The window in which a moment lies.
pub fn at(now: Timestamp, per: Per, zone: &TimeZone) -> Window {
    let fixed = |millis: i64| {
        let from = now.as_millis().div_euclid(millis).saturating_mul(millis);
        let to = from.saturating_add(millis);
        Window { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) }
    };
    match per {
        Per::Second => fixed(1_000),
        Per::Minute => fixed(60_000),
        Per::Hour => fixed(3_600_000),
        Per::Day | Per::Week | Per::Month => calendar(now, per, zone),
    }
}

fn calendar(now: Timestamp, per: Per, zone: &TimeZone) -> Window {
    let mut first = first(Zoned::new(now.to_jiff(), zone.clone()).date(), per);
    loop {
        let next = next(first, per);
        let window = Window { from: midnight(first, zone), to: midnight(next, zone) };
        // Where clocks go back across midnight a date comes twice: the second time it is still the next one's window.
        if now < window.to || next == Date::MAX {
            return window;
        }
        first = next;
    }
}

fn first(today: Date, per: Per) -> Date {
    match per {
        Per::Month => today.first_of_month(),
        Per::Week => {
            let back = i64::from(today.weekday().to_monday_zero_offset());
            today.checked_sub(back.days()).unwrap_or(today)
        }
        Per::Second | Per::Minute | Per::Hour | Per::Day => today,
    }
}

fn next(first: Date, per: Per) -> Date {
    let next = match per {
        Per::Month => first.checked_add(1.month()),
        Per::Week => first.checked_add(7.days()),
        Per::Second | Per::Minute | Per::Hour | Per::Day => first.tomorrow(),
    };
    next.unwrap_or(Date::MAX)
}

/// The first moment of a day: where midnight is skipped, the moment to which the clocks jump; where it comes twice, the
/// first.
fn midnight(date: Date, zone: &TimeZone) -> Timestamp {
    date.to_zoned(zone.clone()).map_or(Timestamp::from_millis(i64::MAX), |zoned| zoned.timestamp().into())
}

#[cfg(test)]
mod tests;
