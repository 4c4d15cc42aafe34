//! Calendar windows: where the window of a moment begins and ends, in its zone.
//!
//! Pure. Days have 23, 24 or 25 hours where the clocks change; a window ends when the next one begins, so
//! that none overlaps and none is missing. Seconds, minutes and hours are those of UTC: no zone in use has
//! clocks that differ by part of a minute, and an hour that a zone shifts by half is still an hour.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use model::Timestamp;
use model::integration::Window;

/// A window: its first moment, and the first one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Inclusive.
    pub(crate) from: Timestamp,
    /// Exclusive.
    pub(crate) to: Timestamp,
}

/// The window in which a moment lies. An unknown zone counts as UTC; the api lets none in.
pub(crate) fn at(now: Timestamp, per: Window, zone: &str) -> Span {
    let fixed = |millis: i64| {
        let from = now.as_millis().div_euclid(millis) * millis;
        Span { from: Timestamp::from_millis(from), to: Timestamp::from_millis(from + millis) }
    };
    match per {
        Window::Second => fixed(1000),
        Window::Minute => fixed(60_000),
        Window::Hour => fixed(3_600_000),
        Window::Day | Window::Week | Window::Month => calendar(now, per, zone),
    }
}

fn calendar(now: Timestamp, per: Window, zone: &str) -> Span {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let today = Zoned::new(now.to_jiff(), zone.clone()).date();
    let first = match per {
        Window::Month => today.first_of_month(),
        Window::Week => {
            let back = i64::from(today.weekday().to_monday_zero_offset());
            today.checked_sub(back.days()).unwrap_or(today)
        }
        Window::Second | Window::Minute | Window::Hour | Window::Day => today,
    };
    let next = match per {
        Window::Month => first.checked_add(1.month()),
        Window::Week => first.checked_add(7.days()),
        Window::Second | Window::Minute | Window::Hour | Window::Day => first.checked_add(1.day()),
    };
    Span { from: midnight(first, &zone), to: midnight(next.unwrap_or(Date::MAX), &zone) }
}

/// The first moment of a day: where midnight is skipped, the moment to which the clocks jump.
fn midnight(date: Date, zone: &TimeZone) -> Timestamp {
    date.to_zoned(zone.clone())
        .map(|zoned| zoned.timestamp().into())
        .unwrap_or(Timestamp::from_millis(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(now: &str, per: Window, zone: &str, from: &str, to: &str) {
        let parse = |text| Timestamp::parse(text).expect("a time");
        assert_eq!(
            at(parse(now), per, zone),
            Span { from: parse(from), to: parse(to) },
            "{now} {per:?} {zone}"
        );
    }

    #[test]
    fn a_day_is_the_zones() {
        check("2026-11-21T04:30:00Z", Window::Day, "UTC", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
        check(
            "2026-11-21T04:30:00Z",
            Window::Day,
            "America/New_York",
            "2026-11-20T05:00:00Z",
            "2026-11-21T05:00:00Z",
        );
    }

    #[test]
    fn a_day_has_25_hours_when_the_clocks_go_back() {
        check(
            "2026-11-01T12:00:00Z",
            Window::Day,
            "America/New_York",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        );
    }

    #[test]
    fn a_day_has_23_hours_when_the_clocks_go_forward() {
        check(
            "2026-03-08T12:00:00Z",
            Window::Day,
            "America/New_York",
            "2026-03-08T05:00:00Z",
            "2026-03-09T04:00:00Z",
        );
    }

    #[test]
    fn a_week_begins_on_monday_and_a_month_on_the_first() {
        check("2026-11-21T04:30:00Z", Window::Week, "UTC", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
        check(
            "2026-02-28T23:59:59.999Z",
            Window::Month,
            "UTC",
            "2026-02-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
        );
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_its_window_and_windows_follow_each_other(
            millis in 0i64..4_102_444_800_000,
            per in prop::sample::select(vec![Window::Second, Window::Minute, Window::Hour, Window::Day, Window::Week, Window::Month]),
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia"]),
        ) {
            let now = Timestamp::from_millis(millis);
            let span = at(now, per, zone);
            prop_assert!(span.from <= now && now < span.to);
            prop_assert_eq!(at(span.to, per, zone).from, span.to);
        }
    }
}
