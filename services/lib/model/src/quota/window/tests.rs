//! Windows against tables, and against a walk through the zone's own minutes.

use proptest::prelude::*;

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a zone of the bundled database")
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

fn check(now: &str, per: Per, name: &str, from: &str, to: &str) {
    let wanted = Window { from: time(from), to: time(to) };
    assert_eq!(at(time(now), per, &zone(name)), wanted, "{now} {per:?} {name}");
}

#[test]
fn a_day_has_the_hours_that_its_zone_gives_it() {
    for (now, name, hours) in [
        ("2026-03-29T10:00:00Z", "Europe/Berlin", 23),
        ("2026-10-25T10:00:00Z", "Europe/Berlin", 25),
        ("2026-03-08T12:00:00Z", "America/New_York", 23),
        ("2026-11-01T12:00:00Z", "America/New_York", 25),
        ("2026-06-01T12:00:00Z", "Asia/Kolkata", 24),
        // Midnight itself is skipped, and comes twice.
        ("2018-11-04T12:00:00Z", "America/Sao_Paulo", 23),
        ("2018-02-17T20:00:00Z", "America/Sao_Paulo", 25),
        ("2026-11-01T12:00:00Z", "America/Havana", 25),
    ] {
        let window = at(time(now), Per::Day, &zone(name));
        let length = window.to.as_millis() - window.from.as_millis();
        assert_eq!(length, hours * HOUR_MS, "{now} {name}");
    }
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    let berlin = "Europe/Berlin";
    check("2026-03-29T10:00:00Z", Per::Week, berlin, "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z");
    check("2026-12-31T22:59:59Z", Per::Month, berlin, "2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z");
    check("2026-02-10T00:00:00Z", Per::Month, "UTC", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
    check("2026-02-10T00:00:59.999Z", Per::Minute, "UTC", "2026-02-10T00:00:00Z", "2026-02-10T00:01:00Z");
}

#[test]
fn a_day_that_a_zone_leaves_out_has_no_window() {
    let samoa = "Pacific/Apia";
    check("2011-12-30T09:59:00Z", Per::Day, samoa, "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z");
    check("2011-12-30T10:00:00Z", Per::Day, samoa, "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z");
}

#[test]
fn a_date_that_comes_back_for_an_hour_is_not_a_window_again() {
    // At 00:01 the clocks went back to 23:01 of the day before.
    let newfoundland = "America/St_Johns";
    check("2010-11-07T02:30:30Z", Per::Day, newfoundland, "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z");
    check("2010-11-07T03:00:00Z", Per::Day, newfoundland, "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z");
}

/// Where windows begin within some days, found minute by minute: a date (or its week, or month) seen for the first time.
fn walk(start: i64, per: Per, zone: &TimeZone, minutes: i64) -> Vec<i64> {
    let named = |millis: i64| {
        let date = Zoned::new(Timestamp::from_millis(millis).to_jiff(), zone.clone()).date();
        match per {
            Per::Month => date.first_of_month(),
            Per::Week => first(date, Per::Week),
            _ => date,
        }
    };
    let mut latest = named(start);
    let mut begins = Vec::new();
    for minute in 1..minutes {
        let millis = start + minute * 60_000;
        let name = named(millis);
        if name > latest {
            latest = name;
            begins.push(millis);
        }
    }
    begins
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_window_is_where_a_walk_through_the_zone_finds_it(
        day in 14_600_i64..22_000, // 2009 to 2030
        name in prop::sample::select(vec![
            "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Kolkata",
            "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca", "Asia/Gaza", "Asia/Kathmandu",
        ]),
        per in prop::sample::select(vec![Per::Day, Per::Week, Per::Month]),
        minute in 0_i64..(4 * 1440),
    ) {
        let zone = zone(name);
        let start = day * 24 * HOUR_MS;
        let begins = walk(start, per, &zone, 4 * 1440);
        let now = start + minute * 60_000;
        let window = at(Timestamp::from_millis(now), per, &zone);
        prop_assert!(window.from.as_millis() <= now && now < window.to.as_millis());
        // A walk that begins in a date that came back may see its own name late; it still sees each begin at most once.
        if let Some(last) = begins.iter().rfind(|begin| **begin <= now) {
            prop_assert_eq!(window.from.as_millis(), *last);
        }
        if let Some(next) = begins.iter().find(|begin| **begin > now) {
            prop_assert_eq!(window.to.as_millis(), *next);
        }
    }

    #[test]
    fn windows_follow_each_other_without_gap_and_never_go_back(
        millis in 1_230_000_000_000_i64..1_900_000_000_000,
        ahead in 0_i64..(40 * 24 * HOUR_MS),
        name in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "America/Sao_Paulo", "Pacific/Apia"]),
        per in prop::sample::select(vec![
            Per::Second, Per::Minute, Per::Hour, Per::Day, Per::Week, Per::Month,
        ]),
    ) {
        let zone = zone(name);
        let window = at(Timestamp::from_millis(millis), per, &zone);
        prop_assert_eq!(at(window.to, per, &zone).from, window.to);
        prop_assert_eq!(at(window.from, per, &zone), window);
        prop_assert!(at(Timestamp::from_millis(millis + ahead), per, &zone).from >= window.from);
    }
}
