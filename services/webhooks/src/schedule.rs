//! Decides when a webhook may speak, on the clock of its own zone. Pure: the moment is an argument.
//!
//! A window belongs to the day on which it begins and may cross midnight. Where the clock jumps over a beginning or an
//! end, the first moment after the jump counts; where it shows a time twice, the first one does. A window that a
//! jump swallows whole does not open on that day.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use model::Timestamp;
use model::webhook::{Day, Schedule};

/// Days that are searched for the next opening: a week, and the days on both sides for zones and jumps.
const SEARCH_DAYS: i32 = 9;

/// Whether the window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// It is.
    Open,
    /// It opens at this moment.
    OpensAt(Timestamp),
    /// It never opens.
    Never,
}

/// Why a schedule cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    /// No such zone.
    #[error("`{0}` is not an IANA time zone")]
    Zone(String),
    /// Not a time of the day.
    #[error("`{0}` is not a time of the day such as 09:30")]
    Time(String),
}

/// Looks at the window at this moment.
pub(crate) fn window(schedule: &Schedule, now: Timestamp) -> Result<Window, Wrong> {
    let zone = TimeZone::get(&schedule.timezone)
        .map_err(|_| Wrong::Zone(schedule.timezone.chars().take(80).collect()))?;
    let (from, to) = (Clock::parse(&schedule.from)?, Clock::parse(&schedule.to)?);
    let now = now.to_jiff();
    let today = now.to_zoned(zone.clone()).date();
    let mut opens: Option<jiff::Timestamp> = None;
    for offset in -1..SEARCH_DAYS {
        let Some(day) = shift(today, offset) else { continue };
        if !schedule.days.is_empty() && !schedule.days.iter().any(|d| weekday(*d) == day.weekday()) {
            continue;
        }
        let closing_day = if to > from { Some(day) } else { shift(day, 1) };
        let start = from.on(day, &zone);
        let end = closing_day.and_then(|day| to.on(day, &zone));
        let (Some(start), Some(end)) = (start, end) else { continue };
        if start <= now && now < end {
            return Ok(Window::Open);
        }
        if start > now && start < end && opens.is_none_or(|at| start < at) {
            opens = Some(start);
        }
    }
    Ok(opens.map_or(Window::Never, |at| Window::OpensAt(at.into())))
}

/// A time of the day in minutes; 24:00 is the next midnight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Clock(i16);

impl Clock {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = || Wrong::Time(text.chars().take(20).collect());
        let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
        let number = |part: &str| {
            let fits = part.len() == 2 && part.bytes().all(|c| c.is_ascii_digit());
            fits.then(|| part.parse::<i16>().ok()).flatten().ok_or_else(wrong)
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        if minutes > 59 || hours > 24 || (hours == 24 && minutes > 0) {
            return Err(wrong());
        }
        Ok(Self(hours * 60 + minutes))
    }

    fn on(self, day: Date, zone: &TimeZone) -> Option<jiff::Timestamp> {
        let (day, minutes) = if self.0 == 24 * 60 { (shift(day, 1)?, 0) } else { (day, self.0) };
        let hour = i8::try_from(minutes / 60).ok()?;
        let minute = i8::try_from(minutes % 60).ok()?;
        let time = Time::new(hour, minute, 0, 0).ok()?;
        let ambiguous = zone.to_ambiguous_timestamp(day.to_datetime(time));
        let jump = match ambiguous.offset() {
            jiff::tz::AmbiguousOffset::Gap { .. } => {
                ambiguous.later().ok().and_then(|at| start_of_offset(zone, at))
            }
            _ => None,
        };
        jump.or_else(|| ambiguous.compatible().ok())
    }
}

/// The moment at which the zone's present offset began: the first one after a jump.
fn start_of_offset(zone: &TimeZone, at: jiff::Timestamp) -> Option<jiff::Timestamp> {
    zone.preceding(at + 1.nanosecond()).next().map(|transition| transition.timestamp())
}

fn shift(day: Date, days: i32) -> Option<Date> {
    day.checked_add(Span::new().try_days(days).ok()?).ok()
}

const fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::webhook::Outside;
    use proptest::prelude::*;

    fn schedule(zone: &str, days: &[Day], from: &str, to: &str) -> Schedule {
        Schedule {
            timezone: zone.to_owned(),
            days: days.to_vec(),
            from: from.to_owned(),
            to: to.to_owned(),
            outside: Outside::Hold,
        }
    }

    fn check(schedule: &Schedule, now: &str, expected: &str) {
        let now = Timestamp::parse(now).expect("a time");
        let found = match window(schedule, now).expect("a valid schedule") {
            Window::Open => "open".to_owned(),
            Window::OpensAt(at) => at.to_string().replace(".000Z", "Z"),
            Window::Never => "never".to_owned(),
        };
        assert_eq!(found, expected, "at {now}");
    }

    const WEEK: [Day; 5] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri];

    #[test]
    fn trading_hours_follow_new_york_through_its_winter_and_summer() {
        let hours = schedule("America/New_York", &WEEK, "09:30", "16:00");
        check(&hours, "2026-01-14T14:29:59Z", "2026-01-14T14:30:00Z"); // Wednesday, EST
        check(&hours, "2026-01-14T14:30:00Z", "open");
        check(&hours, "2026-01-14T20:59:59Z", "open");
        check(&hours, "2026-01-14T21:00:00Z", "2026-01-15T14:30:00Z");
        check(&hours, "2026-07-15T13:30:00Z", "open"); // EDT
        check(&hours, "2026-03-06T22:00:00Z", "2026-03-09T13:30:00Z"); // Friday before the jump
    }

    #[test]
    fn a_window_across_midnight_belongs_to_the_day_it_begins_on() {
        let night = schedule("UTC", &[Day::Fri], "22:00", "06:00");
        check(&night, "2026-01-16T21:59:00Z", "2026-01-16T22:00:00Z"); // Friday
        check(&night, "2026-01-17T05:59:00Z", "open"); // Saturday morning
        check(&night, "2026-01-17T06:00:00Z", "2026-01-23T22:00:00Z");
        check(&night, "2026-01-16T05:00:00Z", "2026-01-16T22:00:00Z"); // Friday morning is not Friday's night
    }

    #[test]
    fn the_end_of_the_day_can_be_written_and_equal_ends_mean_a_whole_day() {
        let evening = schedule("Europe/Berlin", &[], "18:00", "24:00");
        check(&evening, "2026-01-14T22:59:59Z", "open");
        check(&evening, "2026-01-14T23:00:00Z", "2026-01-15T17:00:00Z");
        check(&schedule("UTC", &[], "08:00", "08:00"), "2026-01-14T07:59:00Z", "open");
    }

    #[test]
    fn a_beginning_that_the_clock_jumps_over_is_the_first_moment_after_the_jump() {
        let early = schedule("Europe/Berlin", &[], "02:30", "05:00");
        check(&early, "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"); // 02:00 becomes 03:00
        check(&early, "2026-03-29T01:00:00Z", "open");
        let swallowed = schedule("Europe/Berlin", &[], "02:10", "02:50");
        check(&swallowed, "2026-03-29T00:59:00Z", "2026-03-30T00:10:00Z");
    }

    #[test]
    fn an_hour_that_comes_twice_is_open_from_its_first_time() {
        let hour = schedule("Europe/Berlin", &[], "02:00", "03:00");
        check(&hour, "2026-10-25T00:00:00Z", "open");
        check(&hour, "2026-10-25T01:30:00Z", "open");
        check(&hour, "2026-10-25T02:00:00Z", "2026-10-26T01:00:00Z");
    }

    #[test]
    fn nonsense_is_named() {
        let now = Timestamp::from_millis(0);
        assert_eq!(
            window(&schedule("Mars/Base", &[], "00:00", "24:00"), now),
            Err(Wrong::Zone("Mars/Base".to_owned()))
        );
        for bad in ["9:30", "24:01", "12:60", "", "aa:bb", "+1:00"] {
            assert_eq!(
                window(&schedule("UTC", &[], bad, "24:00"), now),
                Err(Wrong::Time(bad.to_owned())),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_opens_later_is_open_then(
            millis in 0_i64..4_102_444_800_000, zone in prop::sample::select(&["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"][..]),
            from in 0_u32..1440, to in 0_u32..=1440,
        ) {
            let text = |m: u32| format!("{:02}:{:02}", m / 60, m % 60);
            let schedule = schedule(zone, &WEEK, &text(from), &text(to));
            let now = Timestamp::from_millis(millis);
            match window(&schedule, now).expect("a valid schedule") {
                Window::OpensAt(at) => {
                    prop_assert!(at > now);
                    prop_assert_eq!(window(&schedule, at).expect("valid"), Window::Open);
                }
                Window::Open => {}
                Window::Never => prop_assert!(false, "opens every working day"),
            }
        }
    }
}
