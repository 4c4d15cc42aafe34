//! Windows over spans: borders, ratios, incidents, bars.

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::HealthChange;

use super::*;
use crate::uptime::spans::spans;
use crate::uptime::tests::{change, id, minute};
use Health::{Degraded, Down, Maintenance, Unknown, Up};

const DAY: i64 = 1440;

/// The last 24 hours at a minute.
fn day(changes: &[HealthChange], now: i64) -> Uptime {
    over(UptimeWindow::Day, changes, now)
}

fn over(window: UptimeWindow, changes: &[HealthChange], now: i64) -> Uptime {
    let question = UptimeOf { integration: id(), window, at: minute(now) };
    report(&question, &spans(changes, &BTreeMap::new(), minute(now), minute(now)), &[])
}

#[test]
fn an_outage_is_an_incident_and_costs_its_time() {
    let changes = [change(-DAY, Unknown, Up), change(0, Up, Down), change(144, Down, Up)];
    let uptime = day(&changes, DAY);
    assert_eq!((uptime.ratio, uptime.known_from), (Some(0.9), Some(minute(0))));
    assert_eq!((uptime.time.up_secs, uptime.time.down_secs), (77_760.0, 8_640.0));
    let incident = &uptime.incidents[0];
    assert_eq!((incident.from, incident.to), (minute(0), Some(minute(144))));
    assert_eq!((incident.state, incident.duration_secs, incident.down_secs), (Down, 8_640.0, 8_640.0));
    assert_eq!(uptime.incidents_total, 1);
}

#[test]
fn degraded_counts_as_answering_and_is_an_incident_all_the_same() {
    let uptime = day(&[change(0, Unknown, Up), change(60, Up, Degraded), change(90, Degraded, Up)], DAY);
    assert_eq!(uptime.ratio, Some(1.0));
    assert_eq!(uptime.incidents.iter().map(|one| one.state).collect::<Vec<_>>(), [Degraded]);
}

#[test]
fn an_outage_that_got_worse_and_better_is_one_incident_named_by_its_worst() {
    let mut changes = [
        change(0, Unknown, Up),
        change(10, Up, Degraded),
        change(20, Degraded, Down),
        change(40, Down, Degraded),
        change(45, Degraded, Up),
    ];
    changes[1].reason = Some(model::health::Reason::Slow);
    changes[2].reason = Some(model::health::Reason::Timeout);
    let uptime = day(&changes, DAY);
    assert_eq!(uptime.incidents.len(), 1);
    let incident = &uptime.incidents[0];
    assert_eq!((incident.state, incident.reason), (Down, Some(model::health::Reason::Timeout)));
    assert_eq!((incident.duration_secs, incident.down_secs), (35.0 * 60.0, 20.0 * 60.0));
}

#[test]
fn what_crosses_the_border_counts_inside_and_is_told_whole() {
    // Down from an hour before the window until an hour within.
    let changes = [change(-DAY, Unknown, Up), change(-60, Up, Down), change(60, Down, Up)];
    let uptime = day(&changes, DAY);
    assert_eq!(uptime.time.down_secs, 3600.0);
    assert_eq!(uptime.ratio, Some(0.958_333));
    assert_eq!((uptime.incidents[0].from, uptime.incidents[0].duration_secs), (minute(-60), 7200.0));
    // Over when the window began: none of it.
    let uptime = day(&changes, DAY + 60);
    assert_eq!((uptime.ratio, uptime.incidents_total), (Some(1.0), 0));
}

#[test]
fn one_that_lasts_has_no_end() {
    let uptime = day(&[change(0, Unknown, Up), change(DAY - 10, Up, Down)], DAY);
    assert_eq!((uptime.incidents[0].to, uptime.incidents[0].duration_secs), (None, 600.0));
}

#[test]
fn maintenance_and_unknown_are_left_out_and_end_an_incident() {
    let changes = [
        change(0, Unknown, Up),
        change(100, Up, Down),
        change(110, Down, Maintenance),
        change(200, Maintenance, Unknown),
        change(290, Unknown, Down),
        change(300, Down, Up),
    ];
    let uptime = day(&changes, 400);
    assert_eq!(uptime.ratio, Some(0.909_090));
    assert_eq!((uptime.time.maintenance_secs, uptime.time.unknown_secs), (5400.0, 5400.0));
    assert_eq!(uptime.incidents_total, 2);
    assert_eq!(uptime.incidents[0].from, minute(290), "newest first");
    assert_eq!(uptime.excluded, [Maintenance, Unknown]);
}

#[test]
fn a_young_integration_counts_since_it_is_known() {
    let uptime = over(UptimeWindow::Quarter, &[change(0, Unknown, Up), change(50, Up, Down)], 100);
    assert_eq!((uptime.known_from, uptime.ratio), (Some(minute(0)), Some(0.5)));
    assert_eq!(uptime.time.unknown_secs, 0.0);
    assert_eq!(uptime.bars.len(), 91);
    assert_eq!(uptime.bars[0].worst, Unknown);
    assert_eq!(uptime.bars[90].worst, Down);
}

#[test]
fn nothing_known_is_no_ratio() {
    let uptime = day(&[], DAY);
    assert_eq!((uptime.ratio, uptime.known_from, uptime.incidents_total), (None, None, 0));
    assert!(uptime.bars.iter().all(|bar| bar.ratio.is_none() && bar.worst == Unknown));
    let uptime = day(&[change(0, Unknown, Maintenance)], DAY);
    assert_eq!((uptime.ratio, uptime.known_from), (None, Some(minute(0))));
}

#[test]
fn only_what_was_never_down_is_one() {
    let mut changes = [change(-90 * DAY, Unknown, Up), change(0, Up, Down), change(0, Down, Up)];
    changes[2].since = minute(0).plus(Duration::from_millis(1));
    let uptime = over(UptimeWindow::Quarter, &changes, 10);
    assert_eq!(uptime.ratio, Some(0.999_999));
}

#[test]
fn bars_are_hours_of_a_day_and_days_of_all_else() {
    let changes = [change(-7 * DAY, Unknown, Up), change(90, Up, Down), change(100, Down, Up)];
    let bars = day(&changes, DAY + 30).bars;
    assert_eq!(bars.len(), 25);
    assert_eq!((bars[0].from, bars[0].to), (minute(30), minute(60)));
    assert_eq!((bars[1].worst, bars[1].ratio), (Down, Some(0.833_333)));
    assert_eq!((bars[24].from, bars[24].to), (minute(DAY), minute(DAY + 30)));
    let bars = over(UptimeWindow::Week, &changes, DAY).bars;
    assert_eq!(bars.len(), 7, "a window that begins at midnight");
    assert_eq!((bars[6].from, bars[6].worst), (minute(0), Down));
}

proptest! {
    #[test]
    fn parts_add_up(
        steps in prop::collection::vec((-3000_i64..3000, prop::sample::select(vec![Up, Degraded, Down, Maintenance, Unknown])), 0..30),
        window in prop::sample::select(UptimeWindow::ALL.to_vec()),
        now in 0_i64..3000,
    ) {
        let mut was = Unknown;
        let changes: Vec<_> = steps.iter().map(|(at, became)| {
            let change = change(*at, was, *became);
            was = *became;
            change
        }).collect();
        let uptime = over(window, &changes, now);
        let all = |time: &TimeIn| time.up_secs + time.degraded_secs + time.down_secs + time.maintenance_secs + time.unknown_secs;
        let known = uptime.known_from.map_or(0.0, |from| secs(millis(uptime.to.since(from))));
        prop_assert!((all(&uptime.time) - known).abs() < 0.01);
        let bars: f64 = uptime.bars.iter().map(|bar| all(&bar.time)).sum();
        prop_assert!((bars - known).abs() < 0.01);
        prop_assert!(uptime.bars.windows(2).all(|pair| pair[0].to == pair[1].from));
        prop_assert_eq!(uptime.bars.first().map(|bar| bar.from), Some(uptime.from));
        prop_assert_eq!(uptime.bars.last().map(|bar| bar.to), Some(uptime.to));
        if let Some(ratio) = uptime.ratio {
            prop_assert!((0.0..=1.0).contains(&ratio));
            prop_assert_eq!(ratio == 1.0, uptime.time.down_secs == 0.0);
        }
        for incident in &uptime.incidents {
            let end = incident.to.unwrap_or(uptime.to);
            prop_assert!(incident.from < end && end > uptime.from && incident.down_secs <= incident.duration_secs);
            prop_assert_eq!(incident.state == Down, incident.down_secs > 0.0);
        }
        prop_assert!(uptime.incidents.windows(2).all(|pair| pair[1].to.is_some_and(|end| end <= pair[0].from)));
    }
}
