//! Times as providers write them, read and written without a float.

use jiff::civil;
use jiff::tz::TimeZone;
use model::Timestamp;

use super::decimal::decimal;
use crate::TimeUnit;

/// A moment as an answer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) at: jiff::Timestamp,
    /// Whether only its day was told.
    pub(super) is_day: bool,
}

/// Reads a time. `zone` is of days and of times without one; `clock` is the time of day that a day stands for.
pub(super) fn read(text: &str, unit: TimeUnit, zone: &TimeZone, clock: civil::Time) -> Option<Moment> {
    let exact = |at| Some(Moment { at, is_day: false });
    match unit {
        TimeUnit::Secs => exact(since_1970(text, 9)?),
        TimeUnit::Millis => exact(since_1970(text, 6)?),
        TimeUnit::Micros => exact(since_1970(text, 3)?),
        TimeUnit::Nanos => exact(since_1970(text, 0)?),
        TimeUnit::Rfc3339 => exact(text.trim().parse().ok()?),
        TimeUnit::Date => of_day(day(text)?, zone, clock),
        TimeUnit::DateTime => {
            let text = text.trim();
            if text.len() <= 10 {
                return of_day(day(text)?, zone, clock);
            }
            let time: civil::DateTime = text.parse().ok()?;
            exact(time.to_zoned(zone.clone()).ok()?.timestamp())
        }
    }
}

/// The day at the beginning of a text.
pub(super) fn day(text: &str) -> Option<civil::Date> {
    text.trim().get(..10)?.parse().ok()
}

fn of_day(day: civil::Date, zone: &TimeZone, clock: civil::Time) -> Option<Moment> {
    let at = day.to_datetime(clock).to_zoned(zone.clone()).ok()?.timestamp();
    Some(Moment { at, is_day: true })
}

/// A number of units since 1970, where a unit is ten to the power of `power` nanoseconds.
fn since_1970(text: &str, power: usize) -> Option<jiff::Timestamp> {
    let plain = decimal(text)?;
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let kept = fraction.get(..power.min(fraction.len()))?;
    let nanos: i128 = format!("{whole}{kept:0<power$}").parse().ok()?;
    jiff::Timestamp::from_nanosecond(nanos).ok()
}

/// Writes a time as a provider wants it; days and times are UTC's.
pub(super) fn write(at: Timestamp, unit: TimeUnit) -> String {
    let millis = at.as_millis();
    match unit {
        TimeUnit::Secs => at.as_secs().to_string(),
        TimeUnit::Millis => millis.to_string(),
        TimeUnit::Micros => (i128::from(millis) * 1_000).to_string(),
        TimeUnit::Nanos => (i128::from(millis) * 1_000_000).to_string(),
        TimeUnit::Rfc3339 => jiff::Timestamp::from_second(at.as_secs()).unwrap_or_default().to_string(),
        TimeUnit::Date => at.to_jiff().strftime("%Y-%m-%d").to_string(),
        TimeUnit::DateTime => at.to_jiff().strftime("%Y-%m-%d %H:%M:%S").to_string(),
    }
}

/// A zone by its name; `UTC` where there is none.
pub(super) fn zone(name: Option<&str>) -> Option<TimeZone> {
    name.map_or(Some(TimeZone::UTC), |name| TimeZone::get(name.trim()).ok())
}

/// A time of day; midnight where there is none.
pub(super) fn clock(text: Option<&str>) -> Option<civil::Time> {
    text.map_or(Some(civil::Time::midnight()), |text| civil::Time::strptime("%H:%M", text).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, unit: TimeUnit, name: &str, clock_text: &str, wanted: &str) {
        let (zone, clock) = (zone(Some(name)).expect("a zone"), clock(Some(clock_text)).expect("a clock"));
        assert_eq!(read(text, unit, &zone, clock).expect("a time").at.to_string(), wanted, "{text}");
    }

    #[test]
    fn units_are_told_apart() {
        check("1605042000", TimeUnit::Secs, "UTC", "00:00", "2020-11-10T21:00:00Z");
        check("1589270451.504", TimeUnit::Secs, "UTC", "00:00", "2020-05-12T08:00:51.504Z");
        check("1605042000000", TimeUnit::Millis, "UTC", "00:00", "2020-11-10T21:00:00Z");
        check("1.605042e12", TimeUnit::Millis, "UTC", "00:00", "2020-11-10T21:00:00Z");
        check("1617901342969834000", TimeUnit::Nanos, "UTC", "00:00", "2021-04-08T17:02:22.969834Z");
        check(
            "2022-04-11T17:56:08.406302477Z",
            TimeUnit::Rfc3339,
            "UTC",
            "00:00",
            "2022-04-11T17:56:08.406302477Z",
        );
    }

    #[test]
    fn a_day_is_one_of_its_zone() {
        check("2026-08-14", TimeUnit::Date, "US/Eastern", "16:00", "2026-08-14T20:00:00Z");
        check(
            "2026-01-14T00:00:00.000Z",
            TimeUnit::Date,
            "America/New_York",
            "00:00",
            "2026-01-14T05:00:00Z",
        );
        check("2026-08-14 09:35:00", TimeUnit::DateTime, "US/Eastern", "00:00", "2026-08-14T13:35:00Z");
        check("2026-08-14", TimeUnit::DateTime, "UTC", "00:00", "2026-08-14T00:00:00Z");
    }

    #[test]
    fn times_are_written_in_the_unit_that_is_wanted() {
        let at = Timestamp::from_millis(1_605_042_000_123);
        for (unit, wanted) in [
            (TimeUnit::Secs, "1605042000"),
            (TimeUnit::Millis, "1605042000123"),
            (TimeUnit::Micros, "1605042000123000"),
            (TimeUnit::Nanos, "1605042000123000000"),
            (TimeUnit::Rfc3339, "2020-11-10T21:00:00Z"),
            (TimeUnit::Date, "2020-11-10"),
            (TimeUnit::DateTime, "2020-11-10 21:00:00"),
        ] {
            assert_eq!(write(at, unit), wanted);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", number in any::<f64>()) {
            for unit in [TimeUnit::Secs, TimeUnit::Millis, TimeUnit::Nanos, TimeUnit::Rfc3339, TimeUnit::Date, TimeUnit::DateTime] {
                let _ = read(&text, unit, &TimeZone::UTC, civil::Time::midnight());
                let _ = read(&number.to_string(), unit, &TimeZone::UTC, civil::Time::midnight());
            }
        }
    }
}
