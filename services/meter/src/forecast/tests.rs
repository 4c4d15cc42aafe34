//! The forecast as a whole: what is said of histories whose future is known.

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

use super::*;

const HOUR_SECS: i64 = 3_600;

fn zone() -> TimeZone {
    TimeZone::get("America/New_York").expect("the zone data is bundled")
}

fn midnight(day: Date) -> Timestamp {
    zone().to_timestamp(day.at(0, 0, 0, 0)).expect("a time of this century")
}

/// Office hours on weekdays, by the wall clock.
fn office(at: Timestamp) -> f64 {
    let local = zone().to_datetime(at);
    let open = local.weekday().to_monday_zero_offset() < 5 && (9..17).contains(&local.hour());
    if open { 100.0 } else { 10.0 }
}

fn told(from: Timestamp, until: Timestamp, amount: impl Fn(Timestamp) -> f64) -> History {
    let mut history = History::new(zone());
    for at in hours(from, until) {
        history.push(at, amount(at));
    }
    history
}

fn hours(from: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
    (from.as_second()..until.as_second())
        .step_by(HOUR_SECS as usize)
        .map(|second| Timestamp::from_second(second).expect("a time of this century"))
}

fn sum(from: Timestamp, until: Timestamp) -> f64 {
    hours(from, until).map(office).sum()
}

fn projection(history: &History, window: &Window, now: Timestamp) -> Projection {
    match forecast(history, window, now) {
        Forecast::Known(known) => known,
        Forecast::NotEnoughData { known } => panic!("only {known} hours are known"),
    }
}

#[test]
fn eleven_hours_are_not_enough() {
    let from = midnight(date(2026, 3, 1));
    let window = Window { from, until: midnight(date(2026, 4, 1)), used: 1.0, limit: Some(100.0) };
    let now = from + 11.hours();
    assert_eq!(forecast(&told(from, now, office), &window, now), Forecast::NotEnoughData { known: 11 });
}

#[test]
fn under_two_weeks_the_mean_since_the_reset_goes_on() {
    let from = midnight(date(2026, 2, 1));
    let now = from + 48.hours();
    let window = Window { from, until: from + 96.hours(), used: 480.0, limit: Some(600.0) };
    let known = projection(&told(from, now, |_| 10.0), &window, now);
    assert_eq!((known.method, known.at_reset), (Method::Mean, 960.0));
    assert_eq!(known.exhausts_at, Some(now + 12.hours()));
    assert_eq!(known.at_reset_interval, None);
}

#[test]
fn the_profile_knows_office_hours_across_the_change_to_summer_time() {
    let (begin, from, until) =
        (midnight(date(2026, 1, 1)), midnight(date(2026, 3, 1)), midnight(date(2026, 4, 1)));
    let now = midnight(date(2026, 3, 5));
    let total = sum(from, until);
    let window = Window { from, until, used: sum(from, now), limit: Some(0.85 * total) };
    let known = projection(&told(begin, now, office), &window, now);
    assert_eq!(known.method, Method::Profile);
    assert!((known.at_reset - total).abs() < 1e-6, "{} {total}", known.at_reset);
    let at = known.exhausts_at.expect("85 % of the month is used up within it");
    let used = sum(from, Timestamp::from_second(at.as_second() / HOUR_SECS * HOUR_SECS).expect("a time"));
    assert!((used - 0.85 * total).abs() <= 100.0, "{used}");
}

#[test]
fn a_week_without_data_changes_nothing() {
    let (begin, now) = (midnight(date(2026, 1, 1)), midnight(date(2026, 3, 5)));
    let gap = midnight(date(2026, 2, 10))..midnight(date(2026, 2, 17));
    let mut history = History::new(zone());
    for at in hours(begin, now).filter(|at| !gap.contains(at)) {
        history.push(at, office(at));
    }
    let window = Window { from: now, until: now + (240).hours(), used: 0.0, limit: None };
    let (with, without) =
        (projection(&history, &window, now), projection(&told(begin, now, office), &window, now));
    assert!((with.at_reset - without.at_reset).abs() < 1e-6);
}

#[test]
fn a_level_that_doubled_a_month_ago_doubles_the_forecast() {
    let (begin, now) = (midnight(date(2025, 12, 1)), midnight(date(2026, 3, 2)));
    let doubled = now - (29 * 24).hours();
    let history = told(begin, now, |at| office(at) * if at >= doubled { 2.0 } else { 1.0 });
    let until = midnight(date(2026, 3, 7));
    let known = projection(&history, &Window { from: now, until, used: 0.0, limit: None }, now);
    let expected = 2.0 * sum(now, until);
    assert!((known.at_reset / expected - 1.0).abs() < 0.05, "{} {expected}", known.at_reset);
}

#[test]
fn a_level_that_doubled_four_days_ago_is_seen_and_a_day_twice_as_busy_is_not_a_level() {
    let (begin, now) = (midnight(date(2025, 12, 1)), midnight(date(2026, 3, 6)));
    let until = midnight(date(2026, 3, 8));
    for (days, times) in [(4, 2.0), (1, 1.0)] {
        let busier = now - (24 * days).hours();
        let history = told(begin, now, |at| office(at) * if at >= busier { 2.0 } else { 1.0 });
        let known = projection(&history, &Window { from: now, until, used: 0.0, limit: None }, now);
        let expected = times * sum(now, until);
        assert!((known.at_reset / expected - 1.0).abs() < 0.05, "{} {expected}", known.at_reset);
    }
}

#[test]
fn what_is_used_up_is_used_up_now() {
    let (begin, now) = (midnight(date(2026, 2, 1)), midnight(date(2026, 2, 10)));
    let window = Window { from: begin, until: midnight(date(2026, 3, 1)), used: 50.0, limit: Some(50.0) };
    assert_eq!(projection(&told(begin, now, office), &window, now).exhausts_at, Some(now));
}

#[test]
fn a_quota_that_outlasts_its_reset_is_not_exhausted_but_has_an_end() {
    let (begin, now) = (midnight(date(2026, 2, 1)), midnight(date(2026, 2, 10)));
    let window = Window { from: begin, until: now + 24.hours(), used: 0.0, limit: Some(480.0) };
    let known = projection(&told(begin, now, |_| 10.0), &window, now);
    assert_eq!((known.exhausts_at, known.lasts_until), (None, Some(now + 48.hours())));
}

#[test]
fn nothing_ever_used_never_ends() {
    let (begin, now) = (midnight(date(2026, 1, 1)), midnight(date(2026, 3, 10)));
    let window = Window { from: begin, until: now + 24.hours(), used: 0.0, limit: Some(1.0) };
    let known = projection(&told(begin, now, |_| 0.0), &window, now);
    assert_eq!((known.lasts_until, known.at_reset), (None, 0.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_higher_limit_never_ends_earlier_and_the_interval_holds_the_forecast(
        amounts in prop::collection::vec(0.0..1_000.0f64, 12..900),
        limit in 1.0..100_000.0f64,
        more in 0.0..100_000.0f64,
    ) {
        let begin = midnight(date(2026, 1, 1));
        let mut history = History::new(zone());
        let mut now = begin;
        for amount in amounts {
            history.push(now, amount);
            now += 1.hour();
        }
        let window = |limit| Window { from: begin, until: now + 500.hours(), used: 0.0, limit: Some(limit) };
        let (less, more) = (projection(&history, &window(limit), now), projection(&history, &window(limit + more), now));
        if let (Some(earlier), Some(later)) = (less.lasts_until, more.lasts_until) {
            prop_assert!(earlier <= later);
        }
        if let Some(interval) = less.at_reset_interval {
            prop_assert!(interval.low <= less.at_reset && less.at_reset <= interval.high);
        }
        if let (Some(earliest), Some(at)) = (less.earliest, less.lasts_until) {
            prop_assert!(earliest <= at);
        }
    }
}
