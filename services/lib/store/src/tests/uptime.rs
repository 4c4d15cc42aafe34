//! Uptime: every message taken once, in whatever order; what is old goes, the last change stays.

use model::health::{Check, Health, HealthChanged, Observed, Reason};
use model::{ProviderId, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::fresh::Fresh;
use super::on_both;
use super::words::{event, integration};
use crate::{HealthEvent, HealthFact, Seen, Slot};

on_both! {
    a_message_is_taken_once_by_whomever_it_is_given
    a_stream_that_was_made_anew_is_another
    observations_add_up_in_slots_whatever_their_order
    changes_keep_the_order_of_the_stream
    what_is_old_goes_but_the_last_change
    the_last_observation_is_known
}

/// A moment so many minutes after a full day.
fn minute(minutes: i64) -> Timestamp {
    Timestamp::from_millis(1_790_035_200_000 + minutes * 60_000)
}

fn seen(sequence: u64, at: Timestamp, check: Check, requests: u32, failures: u32, ms: u32) -> HealthEvent {
    let observed = Observed {
        integration: integration("polygon"),
        provider: ProviderId::new("polygon").unwrap(),
        check,
        at,
        reason: (failures > 0).then_some(Reason::UpstreamError),
        requests,
        failures,
        status_code: Some(200),
        latency_ms: (requests > failures).then_some(ms),
        phases: None,
        every_secs: (check == Check::Probe).then_some(30),
        detail: None,
    };
    let fact = HealthFact::Observed(observed);
    HealthEvent { sequence, stored_at: at, event: event(&format!("o{sequence}")), fact }
}

fn changed(sequence: u64, at: Timestamp, from: Health, to: Health) -> HealthEvent {
    let changed = HealthChanged {
        integration: integration("polygon"),
        provider: ProviderId::new("polygon").unwrap(),
        from,
        to,
        reason: (to == Health::Down).then_some(Reason::Timeout),
        since: at,
        at,
        latency_ms: None,
        evidence: Vec::new(),
    };
    let fact = HealthFact::Changed(changed);
    HealthEvent { sequence, stored_at: at, event: event(&format!("c{sequence}-{}", at.as_millis())), fact }
}

async fn a_message_is_taken_once_by_whomever_it_is_given(Fresh { store, .. }: Fresh) {
    // Two blocks of marks, and as many replicas as want, each given all of it in an order of its own.
    let events: Vec<_> =
        (2000..2100).map(|n| seen(n, minute(0), Check::Probe, 1, u32::from(n % 4 == 0), 100)).collect();
    let takers: Vec<_> = (0..4_usize)
        .map(|taker| {
            let (store, mut events) = (store.clone(), events.clone());
            events.rotate_left(taker * 23);
            tokio::spawn(async move {
                let mut new = 0;
                for batch in events.chunks(17) {
                    let fresh = store.health_take(minute(0), batch).await.unwrap();
                    new += fresh.into_iter().filter(|fresh| *fresh).count();
                }
                new
            })
        })
        .collect();
    let mut new = 0;
    for taker in takers {
        new += taker.await.unwrap();
    }
    assert_eq!(new, 100);
    let twice = [events[0].clone(), events[0].clone()];
    assert_eq!(store.health_take(minute(0), &twice).await.unwrap(), [false, false]);
    for slot in Slot::ALL {
        let sums = store.health_sums(&integration("polygon"), slot, minute(0), minute(1)).await.unwrap();
        let all: Vec<_> = sums
            .iter()
            .map(|sum| (sum.observations, sum.requests, sum.failures, sum.latency.count()))
            .collect();
        assert_eq!(all, [(100, 100, 25, 75)], "{slot:?}");
    }
}

async fn a_stream_that_was_made_anew_is_another(Fresh { store, .. }: Fresh) {
    let one = [seen(7, minute(0), Check::Probe, 1, 0, 100)];
    assert_eq!(store.health_take(minute(0), &one).await.unwrap(), [true]);
    assert_eq!(store.health_take(minute(0), &one).await.unwrap(), [false]);
    assert_eq!(store.health_take(minute(9), &one).await.unwrap(), [true]);
    assert_eq!(store.health_marks_purge(minute(1), 10).await.unwrap(), 2);
}

async fn observations_add_up_in_slots_whatever_their_order(Fresh { store, .. }: Fresh) {
    let mut runner = TestRunner::deterministic();
    let one = (0..300_i64, prop::bool::ANY, 1..50_u32, 0..60_u32, 1..2000_u32);
    let values = prop::collection::vec(one, 200..201).new_tree(&mut runner).unwrap().current();
    let events: Vec<_> = (0..)
        .zip(&values)
        .map(|(n, (at, probe, requests, failures, ms))| {
            let check = if *probe { Check::Probe } else { Check::Traffic };
            seen(n, minute(*at), check, *requests, *failures, *ms)
        })
        .collect();
    for batch in events.chunks(33) {
        store.health_take(minute(0), batch).await.unwrap();
    }
    for slot in Slot::ALL {
        let sums = store.health_sums(&integration("polygon"), slot, minute(0), minute(1440)).await.unwrap();
        assert!(sums.is_sorted_by_key(|sum| sum.start));
        for sum in &sums {
            let here = |event: &&(i64, bool, u32, u32, u32)| {
                slot.floor(minute(event.0)) == sum.start && event.1 == (sum.check == Check::Probe)
            };
            let requests: u64 = values.iter().filter(here).map(|event| u64::from(event.2)).sum();
            let failures: u64 = values.iter().filter(here).map(|event| u64::from(event.3.min(event.2))).sum();
            let newest = values.iter().filter(here).map(|event| minute(event.0)).max();
            assert_eq!((sum.requests, sum.failures, Some(sum.last_at)), (requests, failures, newest));
            let fastest =
                values.iter().filter(here).filter(|event| event.2 > event.3).map(|event| event.4).min();
            let found = sum.latency.per_mille(0).map(|micros| micros / 1000);
            assert_eq!(found.is_some(), fastest.is_some());
            let (found, fastest) = (found.unwrap_or(0), u64::from(fastest.unwrap_or(0)));
            assert!(found.abs_diff(fastest) <= fastest / 50 + 1, "{found} {fastest}");
        }
        let all: u64 = sums.iter().map(|sum| sum.observations).sum();
        assert_eq!(all, 200);
    }
    let starts =
        store.health_sums(&integration("polygon"), Slot::Five, minute(0), minute(1440)).await.unwrap();
    let one = store.health_slot(Slot::Five, starts[0].start).await.unwrap();
    assert_eq!(one[0], starts[0]);
}

async fn changes_keep_the_order_of_the_stream(Fresh { store, .. }: Fresh) {
    use Health::{Degraded, Down, Unknown, Up};
    // The last comes first, and the clock of who decided was set back in between.
    for event in [
        changed(30, minute(5), Degraded, Up),
        changed(10, minute(0), Unknown, Up),
        changed(20, minute(9), Up, Degraded),
    ] {
        assert_eq!(store.health_take(minute(0), std::slice::from_ref(&event)).await.unwrap(), [true]);
        assert_eq!(store.health_take(minute(0), &[event]).await.unwrap(), [false]);
    }
    // Told again under the same id in a stream that was made anew: it is the same.
    let again = changed(30, minute(5), Degraded, Up);
    let moved = HealthEvent { sequence: 1, ..again };
    assert_eq!(
        store.health_take(minute(1), &[moved, changed(2, minute(11), Up, Down)]).await.unwrap(),
        [true; 2]
    );
    let became = async |from| -> Vec<_> {
        let rows = store.health_changes(&integration("polygon"), minute(from)).await.unwrap();
        rows.into_iter().map(|change| (change.became, change.reason)).collect()
    };
    let down = (Down, Some(Reason::Timeout));
    assert_eq!(became(0).await, [(Up, None), (Degraded, None), (Up, None), down]);
    assert_eq!(became(100).await.len(), 4, "what was before is there");
    assert_eq!(store.health_changes(&integration("other"), minute(0)).await.unwrap(), []);
    assert_eq!(store.health_changes_cap(&integration("polygon")).await.unwrap(), 0);
}

async fn what_is_old_goes_but_the_last_change(Fresh { store, .. }: Fresh) {
    use Health::{Down, Unknown, Up};
    let events = [
        changed(1, minute(0), Unknown, Up),
        changed(2, minute(1), Up, Down),
        changed(3, minute(2), Down, Up),
        seen(4, minute(3), Check::Probe, 1, 0, 10),
        seen(5, minute(500), Check::Probe, 1, 0, 10),
    ];
    store.health_take(minute(0), &events).await.unwrap();
    assert_eq!(store.health_changes_purge(minute(100), 1).await.unwrap(), 1);
    assert_eq!(store.health_changes_purge(minute(100), 10).await.unwrap(), 1);
    assert_eq!(store.health_changes_purge(minute(100), 10).await.unwrap(), 0);
    let left = store.health_changes(&integration("polygon"), minute(0)).await.unwrap();
    assert_eq!(left.iter().map(|change| change.became).collect::<Vec<_>>(), [Up]);
    assert_eq!(store.health_counts_purge(Slot::Five, minute(100), 10).await.unwrap(), 1);
    assert_eq!(store.health_counts_purge(Slot::Hour, minute(1440), 10).await.unwrap(), 2);
    assert_eq!(store.health_changes_purge(minute(100), 10).await.unwrap(), 1, "nobody asks for it any more");
}

async fn the_last_observation_is_known(Fresh { store, .. }: Fresh) {
    let events = [
        seen(1, minute(0), Check::Probe, 1, 0, 10),
        seen(2, minute(3), Check::Traffic, 4, 0, 10),
        seen(3, minute(61), Check::Traffic, 4, 0, 10),
    ];
    store.health_take(minute(0), &events).await.unwrap();
    let seen = async |before| store.health_seen(&integration("polygon"), minute(before)).await.unwrap();
    assert_eq!(seen(0).await, None);
    assert_eq!(seen(60).await, Some(Seen { at: minute(3), every_secs: 30 }));
    assert_eq!(seen(62).await.map(|seen| seen.at), Some(minute(61)));
}
