//! When the window of a quota ends. Pure.

use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use model::Timestamp;
use model::integration::Window;

/// The first moment of the next window. An unknown zone counts as UTC; the api lets none in.
pub(super) fn end(now: Timestamp, per: Window, zone: &str) -> Timestamp {
    let fixed = |millis: i64| Timestamp::from_millis((now.as_millis().div_euclid(millis) + 1) * millis);
    match per {
        Window::Second => fixed(1_000),
        Window::Minute => fixed(60_000),
        Window::Hour => fixed(3_600_000),
        Window::Day | Window::Week | Window::Month => {
            let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
            let today = Zoned::new(now.to_jiff(), zone.clone()).date();
            let next = match per {
                Window::Month => today.first_of_month().checked_add(1.month()),
                Window::Week => {
                    today.checked_add((7 - i64::from(today.weekday().to_monday_zero_offset())).days())
                }
                _ => today.tomorrow(),
            };
            let midnight = next.and_then(|next| next.to_zoned(zone));
            midnight.map_or(Timestamp::from_millis(i64::MAX), |zoned| zoned.timestamp().into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight_of_their_zone() {
        for (now, per, zone, wanted) in [
            ("2026-03-29T10:00:00Z", Window::Day, "Europe/Berlin", "2026-03-29T22:00:00Z"),
            ("2026-03-28T23:30:00Z", Window::Day, "UTC", "2026-03-29T00:00:00Z"),
            ("2026-03-29T10:00:00Z", Window::Week, "UTC", "2026-03-30T00:00:00Z"),
            ("2026-12-29T10:00:00Z", Window::Month, "America/New_York", "2027-01-01T05:00:00Z"),
            ("2026-12-29T10:00:07Z", Window::Minute, "UTC", "2026-12-29T10:01:00Z"),
        ] {
            let read = |text: &str| Timestamp::parse(text).expect("a time");
            assert_eq!(end(read(now), per, zone), read(wanted), "{now} {per:?} {zone}");
        }
    }
}
