//! Limits and prices, by a clock of numbers.

use crate::limits::{Limits, Rule};
use crate::market::{Market, decimal, moment, rfc3339};

/// Weights at times (milliseconds) for one key, and how many of them fit.
fn check(rules: &[Rule], asked: &[(i64, u64)], expected: &str) {
    let mut limits = Limits::new(rules.to_vec());
    let row: Vec<&str> = asked
        .iter()
        .map(|(at, weight)| if limits.take("k", *weight, *at).is_ok() { "yes" } else { "no" })
        .collect();
    assert_eq!(row.join(" "), expected);
}

#[test]
fn a_rolling_window_begins_with_its_first_request() {
    check(&[Rule::rolling(2, 1)], &[(500, 1), (600, 1), (1400, 1), (1500, 1)], "yes yes no yes");
}

#[test]
fn a_clock_window_ends_with_the_clock() {
    check(&[Rule::clock(2, 1)], &[(500, 1), (600, 1), (999, 1), (1000, 1)], "yes yes no yes");
}

#[test]
fn a_decaying_counter_comes_back_bit_by_bit() {
    check(&[Rule::decay(2, 1000)], &[(0, 1), (0, 1), (500, 1), (1000, 1), (1000, 1)], "yes yes no yes no");
}

#[test]
fn a_refused_request_counts_against_no_limit() {
    check(&[Rule::rolling(10, 60), Rule::rolling(1, 1)], &[(0, 1), (1, 1), (1000, 1)], "yes no yes");
    check(&[Rule::rolling(5, 1)], &[(0, 4), (1, 4), (2, 1)], "yes no yes");
}

#[test]
fn keys_are_counted_apart() {
    let mut limits = Limits::new(vec![Rule::rolling(1, 60)]);
    assert!(
        limits.take("a", 1, 0).is_ok() && limits.take("b", 1, 0).is_ok() && limits.take("a", 1, 0).is_err()
    );
}

#[test]
fn prices_agree_for_one_seed_and_walk() {
    let at = 1_790_000_000_000;
    let (one, same, other) = (Market { seed: 1 }, Market { seed: 1 }, Market { seed: 2 });
    assert_eq!(one.price("BTCUSDT", at), same.price("btcusdt", at));
    assert_ne!(one.price("BTCUSDT", at), other.price("BTCUSDT", at));
    assert_ne!(one.price("BTCUSDT", at), one.price("BTCUSDT", at + 1000));
    assert_eq!(one.price("NOPE", at), None);
}

#[test]
fn candles_hold_their_prices_and_join() {
    let bars = Market { seed: 1 }.candles("IBM", 60_000, 50, 1_790_000_000_000).unwrap();
    assert_eq!(bars.len(), 50);
    assert!(bars.iter().all(|bar| bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close)));
    assert!(bars.windows(2).all(|pair| pair[1].start_ms - pair[0].start_ms == 60_000));
    let part = Market { seed: 1 }.between("IBM", 60_000, bars[10].start_ms, bars[20].start_ms, 100).unwrap();
    assert_eq!((part.len(), part[0]), (11, bars[10]));
}

#[test]
fn numbers_and_times_are_written_as_providers_do() {
    assert_eq!(
        (decimal(67_269.123_4), decimal(0.123_456_78)),
        ("67269.12".to_owned(), "0.123457".to_owned())
    );
    assert_eq!(rfc3339(1_582_196_400_000), "2020-02-20T11:00:00Z");
    assert_eq!(moment("1970-01-02"), Some(86_400_000));
}
