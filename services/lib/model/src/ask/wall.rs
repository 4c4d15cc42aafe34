//! Windows and steps of usage on a zone's wall clock.
//!
//! Pure. Rows are those of UTC: a zone's day is made of hours, and where its clocks are not whole hours from UTC, of minutes.
//! Which rows that takes is said here, so that whoever knows how long they are kept can say no.

use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::{UsageStep, UsageWindow};
use crate::Timestamp;
use crate::integration::Window as Per;
use crate::quota::window;

const HOUR_MS: i64 = 3_600_000;
const HOUR_SECS: i32 = 3_600;

impl UsageWindow {
    /// The window of a zone in which a moment lies: its first moment, and the first one after it.
    pub fn span_in(self, at: Timestamp, zone: &TimeZone) -> (Timestamp, Timestamp) {
        let of = |per| {
            let window = window::at(at, per, zone);
            (window.from, window.to)
        };
        match self {
            Self::Hour => {
                let from = hour(at, zone);
                (from, Timestamp::from_millis(from.as_millis().saturating_add(HOUR_MS)))
            }
            Self::Day => of(Per::Day),
            Self::Week => of(Per::Week),
            Self::Month => of(Per::Month),
            Self::Quarter => {
                let (today, tomorrow) = of(Per::Day);
                let date = today.to_jiff().to_zoned(zone.clone()).date();
                let first = date.checked_sub(89.days()).and_then(|first| first.to_zoned(zone.clone()));
                (first.map_or(today, |first| first.timestamp().into()), tomorrow)
            }
        }
    }
}

impl UsageStep {
    /// Where the step of a zone begins in which a moment lies.
    pub fn floor_in(self, at: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Minute => Timestamp::from_millis(at.as_millis() - at.as_millis().rem_euclid(60_000)),
            Self::Hour => hour(at, zone),
            Self::Day => window::at(at, Per::Day, zone).from,
        }
    }

    /// The longest rows of which steps of a zone can be made between two moments, their own bounds too.
    pub fn rows_in(self, from: Timestamp, to: Timestamp, zone: &TimeZone) -> Self {
        let offsets = [from, to].map(|at| zone.to_offset(at.to_jiff()).seconds());
        if offsets.iter().any(|offset| offset % HOUR_SECS != 0) {
            Self::Minute
        } else if *zone == TimeZone::UTC {
            self
        } else {
            self.min(Self::Hour)
        }
    }
}

/// The full hour on the wall before a moment.
fn hour(at: Timestamp, zone: &TimeZone) -> Timestamp {
    let offset = i64::from(zone.to_offset(at.to_jiff()).seconds()) * 1_000;
    Timestamp::from_millis((at.as_millis() + offset).div_euclid(HOUR_MS) * HOUR_MS - offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone")
    }

    #[track_caller]
    fn check(window: UsageWindow, name: &str, now: &str, from: &str, to: &str) {
        assert_eq!(window.span_in(at(now), &zone(name)), (at(from), at(to)), "{window:?} {name} {now}");
    }

    #[test]
    fn windows_begin_at_the_zones_midnight() {
        let now = "2026-11-01T03:30:00Z";
        check(UsageWindow::Day, "America/New_York", now, "2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z");
        check(UsageWindow::Week, "America/New_York", now, "2026-10-26T04:00:00Z", "2026-11-02T05:00:00Z");
        check(UsageWindow::Month, "America/New_York", now, "2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z");
        check(UsageWindow::Quarter, "America/New_York", now, "2026-08-03T04:00:00Z", "2026-11-01T04:00:00Z");
        check(UsageWindow::Day, "Asia/Kolkata", now, "2026-10-31T18:30:00Z", "2026-11-01T18:30:00Z");
        check(UsageWindow::Hour, "Asia/Kolkata", now, "2026-11-01T03:30:00Z", "2026-11-01T04:30:00Z");
        check(UsageWindow::Hour, "Europe/Berlin", now, "2026-11-01T03:00:00Z", "2026-11-01T04:00:00Z");
    }

    #[test]
    fn in_utc_they_are_what_they_were() {
        for now in ["2028-02-29T23:59:59.999Z", "2026-12-01T00:00:00Z", "2026-11-21T19:00:00Z"] {
            for window in UsageWindow::ALL {
                assert_eq!(window.span_in(at(now), &TimeZone::UTC), window.span(at(now)), "{window:?} {now}");
            }
        }
    }

    #[test]
    fn a_zones_spans_are_made_of_rows_that_end_where_they_do() {
        let (from, to) = (at("2026-11-01T00:00:00Z"), at("2026-11-02T00:00:00Z"));
        let rows = |name| UsageStep::ALL.map(|step| step.rows_in(from, to, &zone(name)));
        assert_eq!(rows("UTC"), UsageStep::ALL);
        assert_eq!(rows("America/New_York"), [UsageStep::Minute, UsageStep::Hour, UsageStep::Hour]);
        assert_eq!(rows("Asia/Kolkata"), [UsageStep::Minute; 3]);
        let now = at("2026-11-01T18:45:10Z");
        let floors = UsageStep::ALL.map(|step| step.floor_in(now, &zone("Asia/Kolkata")));
        let expected = ["2026-11-01T18:45:00Z", "2026-11-01T18:30:00Z", "2026-11-01T18:30:00Z"];
        assert_eq!(floors, expected.map(at));
    }
}
