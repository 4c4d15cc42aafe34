//! Usage: counted once, and any span adds up.

use std::collections::BTreeMap;

use model::health::Reason;
use model::price::Plan;
use model::usage::{ModelCount, Tokens, UsageCounted};
use model::{EventId, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sha2::Digest as _;

use super::fresh::Fresh;
use super::on_both;
use super::words::{count, counted, event, integration};
use crate::{Facet, Plans, Step, Store, Totals};

on_both! {
    an_event_is_counted_once
    events_of_many_counters_add_up
    spans_equal_a_naive_sum
    a_history_has_the_steps_in_which_something_passed
    old_minutes_are_forgotten
    latencies_reasons_and_tokens_add_up
    each_integration_is_summed_up
    what_is_told_apart_is_the_whole_while_others_count
    what_a_plan_includes_costs_nothing
    what_was_counted_before_there_were_rollups_stays
    what_was_marked_one_by_one_stays_counted
    who_counts_beside_another_trusts_no_memory
    what_was_tallied_is_answered_once_it_is_folded
    what_was_tallied_counts_against_what_a_plan_includes
    what_was_forgotten_is_not_remembered
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
    assert_eq!(store.count(&events, &Plans::new()).await.unwrap(), [true, false, true]);
    assert_eq!(store.count(&events, &Plans::new()).await.unwrap(), [false, false, false]);
    assert_eq!(store.count(&[], &Plans::new()).await.unwrap(), Vec::<bool>::new());
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
        ..Totals::default()
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
                    store.count(&[(event(&format!("u-{counter}-{n}")), usage)], &Plans::new()).await.unwrap();
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
    let endpoints = named(store.usage_by(&integration("polygon"), Facet::Endpoint, from, to).await.unwrap());
    assert_eq!(endpoints, [("/b".to_owned(), 320), ("/a".to_owned(), 160)]);
    let actors = named(store.usage_by(&integration("polygon"), Facet::Caller, from, to).await.unwrap());
    assert_eq!(actors, [("user:bob".to_owned(), 400), ("user:ada".to_owned(), 80)]);
    assert_eq!(store.usage_by(&integration("other"), Facet::Caller, from, to).await.unwrap(), []);
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
        store.count(events, &Plans::new()).await.unwrap();
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
        store.count(&[(event(&format!("u{n}")), usage)], &Plans::new()).await.unwrap();
    }
    let history = async |from: &str, to: &str, step| -> Vec<(String, u64)> {
        let rows = store.usage_history(&integration("polygon"), time(from), time(to), step).await.unwrap();
        rows.into_iter().map(|(start, total)| (start.to_string()[..13].to_owned(), total.requests)).collect()
    };
    let days = history("2026-10-31T12:00:00Z", "2026-11-03T00:00:00Z", Step::Day).await;
    assert_eq!(days, [("2026-10-31T00".to_owned(), 2), ("2026-11-01T00".to_owned(), 4)]);
    let hours = history("2026-11-01T05:59:00Z", "2026-11-01T06:00:00Z", Step::Hour).await;
    assert_eq!(hours, [("2026-11-01T05".to_owned(), 2)]);
}

async fn old_minutes_are_forgotten(Fresh { store, .. }: Fresh) {
    let usage = counted("polygon", time("2026-11-21T10:00:30Z"), vec![count("/a", "user:ada", 7)]);
    store.count(&[(event("u1"), usage)], &Plans::new()).await.unwrap();
    assert_eq!(
        store
            .usage_purge(&integration("polygon"), Step::Minute, time("2026-11-21T10:00:00Z"), 10)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store
            .usage_purge(&integration("polygon"), Step::Minute, time("2026-11-21T10:01:00Z"), 2)
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        store
            .usage_purge(&integration("polygon"), Step::Minute, time("2026-11-21T10:01:00Z"), 10)
            .await
            .unwrap(),
        1
    );
    assert_eq!(requests(&store, "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z").await, 7, "the hour stays");
}

async fn latencies_reasons_and_tokens_add_up(Fresh { store, .. }: Fresh) {
    for (n, minute) in [0, 1, 61].into_iter().enumerate() {
        let mut with = count("/a", "user:ada", 100);
        with.route = Some(model::RouteId::new("quotes").unwrap());
        (0..100).for_each(|ms| with.latency.add((ms + 1) * 1_000));
        with.reasons.insert(Reason::Timeout, 2);
        let tokens = Tokens { input_tokens: 7, unpriced_answers: 1, ..Tokens::default() };
        with.tokens = tokens;
        with.add_model(&ModelCount {
            model: "other".to_owned(),
            answers: 1,
            tokens,
            ..ModelCount::default()
        });
        let from = Timestamp::from_millis(time("2026-11-21T10:00:30Z").as_millis() + minute * MINUTE_MS);
        let usage = counted("polygon", from, vec![with, count("/b", "user:bob", 1)]);
        store.count(&[(event(&format!("u{n}")), usage)], &Plans::new()).await.unwrap();
    }
    let (from, to) = (time("2026-11-21T00:00:00Z"), time("2026-11-22T00:00:00Z"));
    let id = integration("polygon");
    let total = store.usage_total(&id, from, to).await.unwrap();
    assert_eq!((total.requests, total.latency.count(), total.reasons[&Reason::Timeout]), (303, 300, 6));
    assert_eq!((total.tokens.input_tokens, total.tokens.unpriced_answers), (21, 3));
    let p95 = total.latency.per_mille(950).unwrap();
    assert!(p95.abs_diff(95_000) <= 950, "{p95}");
    let routes = store.usage_by(&id, Facet::Route, from, to).await.unwrap();
    assert_eq!((routes.len(), routes[0].0.as_str(), routes[0].1.requests), (1, "quotes", 300));
    let models = store.usage_by(&id, Facet::Model, from, to).await.unwrap();
    assert_eq!(
        (models[0].0.as_str(), models[0].1.requests, models[0].1.tokens.input_tokens),
        ("other", 3, 21)
    );
    let hours = store.usage_history_of(&id, Facet::Endpoint, "/a", from, to, Step::Hour).await.unwrap();
    let hours: Vec<_> = hours.iter().map(|(_, sum)| (sum.requests, sum.latency.count())).collect();
    assert_eq!(hours, [(200, 200), (100, 100)]);
}

async fn each_integration_is_summed_up(Fresh { store, .. }: Fresh) {
    let ids = ["a", "b", "c"].map(integration);
    for (n, id) in ["a", "b", "b"].into_iter().enumerate() {
        let mut with = count("/a", "user:ada", 5);
        with.latency.add(5_000);
        let from = Timestamp::from_millis(time("2026-11-01T22:59:30Z").as_millis() + n as i64 * 3_600_000);
        store
            .count(&[(event(&format!("u{n}")), counted(id, from, vec![with]))], &Plans::new())
            .await
            .unwrap();
    }
    let (from, to) = (time("2026-11-01T22:00:00Z"), time("2026-11-03T00:00:00Z"));
    let each = store.usage_of_each(&ids, Facet::All, "", from, to).await.unwrap();
    let each: Vec<_> =
        each.iter().map(|(id, sum)| (id.as_str(), sum.requests, sum.latency.count())).collect();
    assert_eq!(each, [("a", 5, 1), ("b", 10, 2)]);
    let days = store.usage_history_of_all(&ids, from, to, Step::Day).await.unwrap();
    let days: Vec<_> = days.iter().map(|(at, sum)| (*at, sum.requests)).collect();
    assert_eq!(days, [(time("2026-11-01T00:00:00Z"), 10), (time("2026-11-02T00:00:00Z"), 5)]);
    assert_eq!(store.usage_history_of_all(&[], from, to, Step::Day).await.unwrap(), []);
    let ada = store.usage_of_each(&ids, Facet::Caller, "user:ada", from, to).await.unwrap();
    assert_eq!(ada.iter().map(|(_, sum)| sum.cost_micros).sum::<u64>(), 105);
    assert_eq!(store.usage_of_each(&ids, Facet::Caller, "user:eve", from, to).await.unwrap(), []);
    assert_eq!(store.usage_integrations().await.unwrap(), ids[..2]);
}

async fn what_is_told_apart_is_the_whole_while_others_count(Fresh { store, url }: Fresh) {
    let (polygon, from) = (integration("polygon"), time("2026-11-21T10:00:00Z"));
    let to = time("2026-11-21T11:00:00Z");
    let other = Store::open(&url).await.unwrap();
    let asked = std::sync::atomic::AtomicBool::new(false);
    let counting = async {
        let mut n = 0_u64;
        while !asked.load(std::sync::atomic::Ordering::Relaxed) {
            let usage = counted("polygon", from, vec![count(["/a", "/b"][(n % 2) as usize], "user:ada", 3)]);
            other.count(&[(event(&format!("u{n}")), usage)], &Plans::new()).await.unwrap();
            n += 1;
        }
    };
    let asking = async {
        let mut seen = BTreeMap::new();
        while seen.len() < 30 {
            let apart = store.usage_apart(&polygon, from, to, Step::Minute).await.unwrap();
            let sum = |of: &[(String, Totals)]| of.iter().map(|(_, sum)| sum.requests).sum::<u64>();
            let parts = [sum(&apart.endpoints), sum(&apart.callers)];
            assert_eq!(parts, [apart.total.requests; 2]);
            assert_eq!(apart.history.iter().map(|(_, sum)| sum.requests).sum::<u64>(), apart.total.requests);
            seen.insert(apart.total.requests, ());
        }
        asked.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    tokio::join!(counting, asking);
    other.close().await;
}

async fn what_a_plan_includes_costs_nothing(Fresh { store, .. }: Fresh) {
    let plan = Plan { per_month_micros: 9, included_requests: Some(10), included_tokens: None };
    let plans = Plans::from([(integration("polygon"), plan)]);
    let cost = async |when: &str| {
        let (from, to) = (time(when), Timestamp::from_millis(time(when).as_millis() + 27 * 86_400_000));
        store.usage_total(&integration("polygon"), from, to).await.unwrap().cost_micros
    };
    for (n, when) in
        ["2026-11-05T10:00:00Z", "2026-11-20T10:00:00Z", "2026-10-31T23:59:59Z"].iter().enumerate()
    {
        let usage =
            counted("polygon", time(when), vec![count("/a", "user:ada", 4), count("/b", "user:ada", 4)]);
        let events = [(event(&format!("u{n}")), usage)];
        assert_eq!(store.count(&events, &plans).await.unwrap(), [true]);
        assert_eq!(store.count(&events, &plans).await.unwrap(), [false]);
    }
    // 16 in November, of which 6 beyond, at 7 each; the late 8 of October are within its own 10.
    assert_eq!((cost("2026-11-01T00:00:00Z").await, cost("2026-10-05T00:00:00Z").await), (42, 0));
    let (from, to) = (time("2026-11-01T00:00:00Z"), time("2026-12-01T00:00:00Z"));
    let endpoints = store.usage_by(&integration("polygon"), Facet::Endpoint, from, to).await.unwrap();
    let costs: Vec<_> = endpoints.iter().map(|(name, sum)| (name.as_str(), sum.cost_micros)).collect();
    assert_eq!(costs, [("/a", 14), ("/b", 28)]);
}

/// Takes the database back to before it had roll-ups, with counts and a taken event in it, and opens it.
async fn what_was_counted_before_there_were_rollups_stays(Fresh { store, url }: Fresh) {
    let first = match store.kind() {
        "sqlite" => include_str!("../../migrations/sqlite/0001_first.sql"),
        _ => include_str!("../../migrations/postgres/0001_first.sql"),
    };
    let begin = first.find("CREATE TABLE usage_counts").unwrap();
    let end = begin + first[begin..].find(';').unwrap();
    let mut tx = store.db().begin().await.unwrap();
    for back in [&first[begin..end], "DROP TABLE usage_rollups", "DELETE FROM migrations WHERE version = 3"] {
        tx.execute(back, &[]).await.unwrap();
    }
    let minute = time("2026-11-21T10:00:00Z").as_millis();
    for (endpoint, actor) in [("/a", "user:ada"), ("/a", "user:bob"), ("/b", "user:bob")] {
        for (step, length) in [("minute", 60_000), ("hour", 3_600_000), ("day", 86_400_000), ("month", 1)] {
            let start = if step == "month" {
                time("2026-11-01T00:00:00Z").as_millis()
            } else {
                minute - minute % length
            };
            let row = "INSERT INTO usage_counts VALUES ('polygon', $1, $2, $3, $4, 5, 1, 0, 0, 0, 42, 7)";
            tx.execute(row, &crate::db::values![step, start, endpoint, actor]).await.unwrap();
        }
    }
    tx.execute("INSERT INTO inbox VALUES ('meter', 'old', $1)", &crate::db::values![minute]).await.unwrap();
    tx.commit().await.unwrap();

    let again = Store::open(&url).await.unwrap();
    let usage = counted("polygon", time("2026-11-21T10:00:30Z"), vec![count("/a", "user:ada", 7)]);
    let events = [(event("old"), usage.clone()), (event("new"), usage)];
    assert_eq!(again.count(&events, &Plans::new()).await.unwrap(), [false, true]);
    for (from, to) in
        [("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"), ("2026-11-21T10:00:00Z", "2026-11-21T10:01:00Z")]
    {
        let total = again.usage_total(&integration("polygon"), time(from), time(to)).await.unwrap();
        assert_eq!((total.requests, total.errors), (22, 5));
        let by = again.usage_by(&integration("polygon"), Facet::Caller, time(from), time(to)).await.unwrap();
        assert_eq!(
            by.iter().map(|(name, sum)| (name.as_str(), sum.requests)).collect::<Vec<_>>(),
            [("user:ada", 12), ("user:bob", 10)]
        );
    }
    again.close().await;
}

/// Takes the database back to when each event had a row of its own, with two of them marked, and opens it.
async fn what_was_marked_one_by_one_stays_counted(Fresh { store, url }: Fresh) {
    let third = match store.kind() {
        "sqlite" => include_str!("../../migrations/sqlite/0003_usage.sql"),
        _ => include_str!("../../migrations/postgres/0003_usage.sql"),
    };
    let table = &third[third.find("CREATE TABLE usage_seen").unwrap()..];
    let from = time("2026-11-21T10:00:30Z");
    let mut tx = store.db().begin().await.unwrap();
    for back in [table, "DROP TABLE usage_marks", "DELETE FROM migrations WHERE version = 9"] {
        tx.execute(back, &[]).await.unwrap();
    }
    for marked in ["u1", "u2"] {
        let bits: [u8; 8] = sha2::Sha256::digest(marked)[..8].try_into().unwrap();
        let bits = (u64::from_be_bytes(bits) >> 13).cast_signed();
        let (hour, second) = (from.as_secs() / 3600, from.as_secs() % 3600);
        let row = "INSERT INTO usage_seen VALUES ($1, $2)";
        tx.execute(row, &crate::db::values![hour, second << 51 | bits]).await.unwrap();
    }
    tx.commit().await.unwrap();

    let again = Store::open(&url).await.unwrap();
    let usage = counted("polygon", from, vec![count("/a", "user:ada", 7)]);
    let events = ["u1", "u2", "u3"].map(|id| (event(id), usage.clone()));
    assert_eq!(again.count(&events, &Plans::new()).await.unwrap(), [false, false, true]);
    assert_eq!(again.count(&events, &Plans::new()).await.unwrap(), [false; 3]);
    again.close().await;
}

/// Two processes count events of the same minutes in turns, some of them twice and some of them together.
async fn who_counts_beside_another_trusts_no_memory(Fresh { store, url }: Fresh) {
    let other = Store::open(&url).await.unwrap();
    let mut naive = Totals::default();
    for n in 0..40_u64 {
        let second = i64::try_from(n % 7 * 20).unwrap();
        let from = Timestamp::from_millis(time("2026-11-21T10:58:30Z").as_millis() + second * 1000);
        let mut one = count(["/a", "/b"][usize::from(n % 3 == 0)], "user:ada", n + 1);
        one.latency.add_times(1_000 * (n + 1), n + 1);
        naive.requests += one.requests;
        naive.latency.merge(&one.latency);
        let first = (event(&format!("u{n}")), counted("polygon", from, vec![one.clone()]));
        let again = (event(&format!("u{}", n / 2)), counted("polygon", from, vec![one]));
        let again_from =
            time("2026-11-21T10:58:30Z").as_millis() + i64::try_from(n / 2 % 7 * 20).unwrap() * 1000;
        let again = (again.0, UsageCounted { from: Timestamp::from_millis(again_from), ..again.1 });
        let counter = [&store, &store, &other][usize::try_from(n % 3).unwrap()];
        let fresh = counter.count(&[first.clone(), again], &Plans::new()).await.unwrap();
        assert_eq!(fresh, [true, false], "{n}");
        assert_eq!(store.count(&[first], &Plans::new()).await.unwrap(), [false], "{n}");
    }
    let (from, to) = (time("2026-11-21T10:00:00Z"), time("2026-11-21T12:00:00Z"));
    let days = (time("2026-11-21T00:00:00Z"), time("2026-11-22T00:00:00Z"));
    for (from, to) in [(from, to), days, (time("2026-11-21T10:58:00Z"), time("2026-11-21T11:02:00Z"))] {
        let total = store.usage_total(&integration("polygon"), from, to).await.unwrap();
        assert_eq!((total.requests, &total.latency), (naive.requests, &naive.latency));
        let each = other.usage_of_each(&[integration("polygon")], Facet::All, "", from, to).await.unwrap();
        assert_eq!((each[0].1.requests, &each[0].1.latency), (naive.requests, &naive.latency));
        let by = other.usage_by(&integration("polygon"), Facet::Endpoint, from, to).await.unwrap();
        assert_eq!(by.iter().map(|(_, sum)| sum.requests).sum::<u64>(), naive.requests);
    }
    other.close().await;
}

async fn what_was_forgotten_is_not_remembered(Fresh { store, .. }: Fresh) {
    let usage = counted("polygon", time("2026-11-21T10:00:30Z"), vec![count("/a", "user:ada", 7)]);
    let late = [(event("u1"), usage.clone()), (event("u2"), usage)];
    store.count(&late[..1], &Plans::new()).await.unwrap();
    let gone =
        store.usage_purge(&integration("polygon"), Step::Minute, time("2026-11-22T00:00:00Z"), 100).await;
    assert_eq!(gone.unwrap(), 3);
    store.count(&late[1..], &Plans::new()).await.unwrap();
    let minute = requests(&store, "2026-11-21T10:00:00Z", "2026-11-21T10:01:00Z").await;
    let hour = requests(&store, "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z").await;
    assert_eq!((minute, hour), (7, 14));
}

async fn what_was_tallied_is_answered_once_it_is_folded(Fresh { store, url }: Fresh) {
    let other = Store::open(&url).await.unwrap();
    let none = Plans::new();
    let usage = |when: &str, endpoint| counted("polygon", time(when), vec![count(endpoint, "user:ada", 3)]);
    let one = [
        (event("u1"), usage("2026-11-21T10:00:30Z", "/a")),
        (event("u1"), usage("2026-11-21T10:00:30Z", "/a")),
        (event("u2"), usage("2026-11-21T09:59:30Z", "/b")),
    ];
    assert_eq!(store.usage_tally(&one, &none).await.unwrap(), [true, false, true]);
    assert_eq!(other.usage_tally(&one, &none).await.unwrap(), [false, false, false]);
    assert_eq!(other.count(&one, &none).await.unwrap(), [false, false, false]);
    let late = [(event("u3"), usage("2026-11-20T10:00:30Z", "/a"))];
    assert_eq!(other.usage_tally(&late, &none).await.unwrap(), [true]);
    let (from, to) = ("2026-11-20T00:00:00Z", "2026-11-22T00:00:00Z");
    assert_eq!(requests(&store, from, to).await, 0);
    // Whoever folds takes what all have tallied, once.
    assert!(store.usage_fold().await.unwrap());
    assert!(!store.usage_fold().await.unwrap());
    assert!(!other.usage_fold().await.unwrap());
    assert_eq!(requests(&other, from, to).await, 9);
    assert_eq!(requests(&other, "2026-11-21T09:59:00Z", "2026-11-21T10:00:00Z").await, 3);
    assert_eq!(requests(&other, "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z").await, 3);
    assert_eq!(requests(&other, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z").await, 3);
    let by = store.usage_by(&integration("polygon"), Facet::Endpoint, time(from), time(to)).await.unwrap();
    let by: Vec<_> = by.iter().map(|(name, total)| (name.as_str(), total.requests)).collect();
    assert_eq!(by, [("/a", 6), ("/b", 3)]);
}

async fn what_was_tallied_counts_against_what_a_plan_includes(Fresh { store, .. }: Fresh) {
    let plan = Plan { per_month_micros: 0, included_requests: Some(10), included_tokens: None };
    let plans = Plans::from([(integration("polygon"), plan)]);
    let at = time("2026-11-21T10:00:30Z");
    // Counted while there was no plan.
    let before = [(event("u1"), counted("polygon", at, vec![count("/a", "user:ada", 10)]))];
    store.usage_tally(&before, &Plans::new()).await.unwrap();
    let usage = counted("polygon", at, vec![count("/a", "user:ada", 5)]);
    store.usage_tally(&[(event("u2"), usage.clone())], &plans).await.unwrap();
    assert!(!store.usage_fold().await.unwrap(), "what has a plan is not put off");
    let (from, to) = (time("2026-11-21T00:00:00Z"), time("2026-11-22T00:00:00Z"));
    let total = store.usage_total(&integration("polygon"), from, to).await.unwrap();
    let costs = before[0].1.counts[0].cost_micros + usage.counts[0].cost_micros;
    assert_eq!((total.requests, total.cost_micros), (15, costs), "ten were included and are used up");
}
