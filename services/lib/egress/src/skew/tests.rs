//! Clocks that differ, drift and jump, seen through answers with whole seconds.

use super::*;
use http::HeaderValue;
use proptest::prelude::*;

/// Simulated milliseconds at which a run begins.
const START_MS: i64 = 1_700_000_000_000;

/// One exchange: our clock when the request begins, the ways there and back, and by how much their clock is ahead.
fn exchange(skew: &Skew, now_ms: i64, there_ms: i64, back_ms: i64, offset_ms: i64) {
    let theirs = now_ms + there_ms + offset_ms;
    skew.observe(theirs.div_euclid(1000) * 1000, now_ms, now_ms + there_ms + back_ms);
}

#[test]
fn nothing_is_corrected_while_both_clocks_may_be_right() {
    let skew = Skew::new();
    assert_eq!(skew.offset_ms(), 0);
    for i in 0..500 {
        exchange(&skew, START_MS + i * 137, 20 + i % 40, 10 + i % 30, 0);
        assert_eq!(skew.offset_ms(), 0);
    }
}

#[test]
fn one_answer_is_enough_for_a_clock_that_is_far_off() {
    let skew = Skew::new();
    exchange(&skew, START_MS, 30, 30, -7_200_000);
    assert!((skew.offset_ms() + 7_200_000).abs() <= 530, "{}", skew.offset_ms());
}

#[test]
fn headers_teach_unless_they_come_from_a_cache() {
    let date = |text: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static(text));
        headers
    };
    let skew = Skew::new();
    let mut aged = date("Tue, 14 Nov 2023 23:13:20 GMT");
    aged.insert(AGE, HeaderValue::from_static("17"));
    skew.learn(&aged, START_MS, START_MS + 50);
    skew.learn(&date("yesterday"), START_MS, START_MS + 50);
    skew.learn(&HeaderMap::new(), START_MS, START_MS + 50);
    assert_eq!(skew.offset_ms(), 0);
    aged.insert(AGE, HeaderValue::from_static("0"));
    skew.learn(&aged, START_MS, START_MS + 50);
    assert_eq!(skew.offset_ms(), 3_600_475);
}

#[test]
fn what_says_too_little_is_not_heard() {
    let skew = Skew::new();
    skew.observe(START_MS + 60_000, START_MS, START_MS + EXCHANGE_MS_MAX + 1);
    skew.observe(START_MS + 60_000, START_MS, START_MS - 1);
    skew.observe(i64::MAX, START_MS, START_MS);
    skew.observe(i64::MIN, START_MS, START_MS);
    assert_eq!(skew.offset_ms(), 0);
}

#[test]
fn ends_survive_being_packed() {
    for low in [-END_MS_MAX, -1, 0, 1, END_MS_MAX - 1] {
        let interval = Interval { low, high: low + EXCHANGE_MS_MAX + GRAIN_MS };
        assert_eq!(unpack(pack(interval)), Some(interval));
    }
    assert_eq!(unpack(0), None);
}

#[test]
fn many_threads_learn_at_once() {
    let skew = Skew::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let skew = &skew;
            scope.spawn(move || {
                for i in 0..500 {
                    exchange(skew, START_MS + i * 211 + thread * 53, 20, 20, 5_000);
                }
            });
        }
    });
    assert!((skew.offset_ms() - 5_000).abs() <= 100, "{}", skew.offset_ms());
}

proptest! {
    #[test]
    fn the_estimate_converges_and_follows_a_jump(
        offset_ms in -600_000_i64..600_000,
        jump_ms in prop_oneof![-900_000_i64..-3_000, 3_000_i64..900_000],
        calls in proptest::collection::vec((0_i64..3_000, 5_i64..80, 5_i64..80), 300),
    ) {
        let skew = Skew::new();
        let mut now_ms = START_MS;
        for (pause, there, back) in &calls {
            exchange(&skew, now_ms, *there, *back, offset_ms);
            now_ms += pause + there + back;
        }
        prop_assert!((skew.offset_ms() - offset_ms).abs() <= 100, "{} for {offset_ms}", skew.offset_ms());
        let jumped = offset_ms + jump_ms;
        for (i, (pause, there, back)) in calls.iter().enumerate() {
            exchange(&skew, now_ms, *there, *back, jumped);
            now_ms += pause + there + back;
            let error = (skew.offset_ms() - jumped).abs();
            // At once as near as one answer can tell; soon as near as before.
            prop_assert!(error <= 1_160, "{error} after {i} answers");
            prop_assert!(i < 60 || error <= 250, "{error} after {i} answers");
        }
        prop_assert!((skew.offset_ms() - jumped).abs() <= 100);
    }
}
