//! Usage: counted once, and any span adds up.

use std::collections::BTreeMap;

use model::usage::UsageCounted;
use model::{EventId, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::fresh::Fresh;
use super::on_both;
use super::words::{count, counted, event, integration};
use crate::{Step, Store, Totals};

on_both! {
    an_event_is_counted_once
    events_of_many_counters_add_up
    spans_equal_a_naive_sum
    a_history_has_the_steps_in_which_something_passed
    old_minutes_are_forgotten
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

async fn requests(store: &Store, from: &str, to: &str) -> u64 {
    store.usage_total(&integration("polygon"), time(from), time(to)).await.unwrap().requests
}

async fn an_event_is_counted_once(Fresh { store, .. }: Fresh) {
    let usage = counted("polygon", time("2026-11-21T10:00:30Z"), vec![count("/a", "user:ada", 7)]);
    let events = [(event("u1"), usage.clone()), (event("u1"), usage.clone()), (event("u2"), usage)];
    assert_eq!(store.count(&events).await.unwrap(), [true, false, true]);
    assert_eq!(store.count(&events).await.unwrap(), [false, false, false]);
    assert_eq!(store.count(&[]).await.unwrap(), Vec::<bool>::new());
    let (from, to) = (time("2026-11-21T10:00:00Z"), time("2026-11-21T10:01:00Z"));
    let total = store.usage_total(&integration("polygon"), from, to).await.unwrap();
    let expected = Totals {
        requests: 14,
        errors: 4,
        cache_hits: 6,
        request_bytes: 140,
        response_bytes: 14_000,
        latency_sum_ms: 588,
        cost_micros: 98,
    };
    assert_eq!(total, expected);
    assert_eq!(
        requests(&store, "2026-11-21T10:00:59Z", "2026-11-21T10:00:59.001Z").await,
        14,
        "whole minutes"
    );
    assert_eq!(requests(&store, "2026-11-21T10:01:00Z", "2026-11-21T10:05:00Z").await, 0);
    assert_eq!(requests(&store, "2026-11-21T10:05:00Z", "2026-11-21T10:00:00Z").await, 0);
}

async fn events_of_many_counters_add_up(Fresh { store, .. }: Fresh) {
    let counters: Vec<_> = (0..8)
        .map(|counter| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    let counts = vec![
                        count("/b", "user:ada", 1),
                        count("/a", "user:bob", 2),
                        count("/b", "user:bob", 3),
                    ];
                    let usage = counted("polygon", time("2026-11-21T10:00:30Z"), counts);
                    store.count(&[(event(&format!("u-{counter}-{n}")), usage)]).await.unwrap();
                }
            })
        })
        .collect();
    for counter in counters {
        counter.await.unwrap();
    }
    let (from, to) = (time("2026-11-01T00:00:00Z"), time("2026-12-01T00:00:00Z"));
    let named = |rows: Vec<(String, Totals)>| -> Vec<_> {
        rows.into_iter().map(|(name, total)| (name, total.requests)).collect()
    };
    let endpoints = named(store.usage_by_endpoint(&integration("polygon"), from, to).await.unwrap());
    assert_eq!(endpoints, [("/b".to_owned(), 320), ("/a".to_owned(), 160)]);
    let actors = named(store.usage_by_actor(&integration("polygon"), from, to).await.unwrap());
    assert_eq!(actors, [("user:bob".to_owned(), 400), ("user:ada".to_owned(), 80)]);
    assert_eq!(store.usage_by_actor(&integration("other"), from, to).await.unwrap(), []);
}

const MINUTE_MS: i64 = 60_000;
/// Some ten weeks from the end of January of a leap year.
const BEGINNING_MS: i64 = 1_706_400_000_000;
const LENGTH_MINUTES: i64 = 70 * 24 * 60;

async fn spans_equal_a_naive_sum(Fresh { store, .. }: Fresh) {
    let mut runner = TestRunner::deterministic();
    let counts = proptest::collection::vec((0..LENGTH_MINUTES, 1..50_u64), 300);
    let counts = counts.new_tree(&mut runner).unwrap().current();
    let mut naive: BTreeMap<i64, u64> = BTreeMap::new();
    let mut events: Vec<(EventId, UsageCounted)> = Vec::new();
    for (n, (minute, requests)) in counts.into_iter().enumerate() {
        *naive.entry(minute).or_default() += requests;
        let from = Timestamp::from_millis(BEGINNING_MS + minute * MINUTE_MS + 500);
        events.push((
            event(&format!("u{n}")),
            counted("polygon", from, vec![count("/a", "user:ada", requests)]),
        ));
    }
    for events in events.chunks(37) {
        store.count(events).await.unwrap();
    }
    let spans = (0..LENGTH_MINUTES, prop_oneof![0..90_i64, 0..3_000_i64, 0..LENGTH_MINUTES]);
    for _ in 0..200 {
        let (from, length) = spans.new_tree(&mut runner).unwrap().current();
        let moment = |minute| Timestamp::from_millis(BEGINNING_MS + minute * MINUTE_MS);
        let expected: u64 = naive.range(from..from + length).map(|(_, requests)| requests).sum();
        let total =
            store.usage_total(&integration("polygon"), moment(from), moment(from + length)).await.unwrap();
        assert_eq!(total.requests, expected, "{} minutes from {}", length, moment(from));
    }
}

async fn a_history_has_the_steps_in_which_something_passed(Fresh { store, .. }: Fresh) {
    for (n, when) in
        ["2026-10-31T23:59:59Z", "2026-11-01T00:00:00Z", "2026-11-01T05:10:00Z", "2026-11-03T00:00:00Z"]
            .iter()
            .enumerate()
    {
        let usage =
            counted("polygon", time(when), vec![count("/a", "user:ada", 1), count("/b", "user:ada", 1)]);
        store.count(&[(event(&format!("u{n}")), usage)]).await.unwrap();
    }
    let history = async |from: &str, to: &str, step| -> Vec<(String, u64)> {
        let rows = store.usage_history(&integration("polygon"), time(from), time(to), step).await.unwrap();
        rows.into_iter().map(|(start, total)| (start.to_string()[..13].to_owned(), total.requests)).collect()
    };
    let days = history("2026-10-31T12:00:00Z", "2026-11-03T00:00:00Z", Step::Day).await;
    assert_eq!(days, [("2026-10-31T00".to_owned(), 2), ("2026-11-01T00".to_owned(), 4)]);
    let months = history("2026-10-15T00:00:00Z", "2026-12-01T00:00:00Z", Step::Month).await;
    assert_eq!(months, [("2026-10-01T00".to_owned(), 2), ("2026-11-01T00".to_owned(), 6)]);
    let hours = history("2026-11-01T05:59:00Z", "2026-11-01T06:00:00Z", Step::Hour).await;
    assert_eq!(hours, [("2026-11-01T05".to_owned(), 2)]);
}

async fn old_minutes_are_forgotten(Fresh { store, .. }: Fresh) {
    let usage = counted("polygon", time("2026-11-21T10:00:30Z"), vec![count("/a", "user:ada", 7)]);
    store.count(&[(event("u1"), usage)]).await.unwrap();
    assert_eq!(store.usage_purge(Step::Minute, time("2026-11-21T10:00:00Z"), 10).await.unwrap(), 0);
    assert_eq!(store.usage_purge(Step::Minute, time("2026-11-21T10:01:00Z"), 10).await.unwrap(), 1);
    assert_eq!(requests(&store, "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z").await, 7, "the hour stays");
}
