//! From changes to spans: what an integration was from when to when.
//!
//! Pure. Changes come in the order in which they were decided, and the later one is right: where clocks were set back,
//! a span begins no earlier than the one before it, so that spans follow each other, none overlaps, and no time is missing or
//! counted twice. Where a change begins with another health than the last one ended with, something was never told: from the
//! last observation before it on, nothing is known.

use std::collections::BTreeMap;

use model::Timestamp;
use model::health::{Health, Reason};
use store::HealthChange;

/// A time in which an integration was one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Inclusive.
    pub(super) from: Timestamp,
    /// Exclusive.
    pub(super) to: Timestamp,
    /// What it was.
    pub(super) health: Health,
    /// Why.
    pub(super) reason: Option<Reason>,
}

/// The places of changes that do not begin with what the one before them ended with.
pub(super) fn breaks(changes: &[HealthChange]) -> impl Iterator<Item = usize> {
    changes
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0].became != pair[1].was)
        .map(|(place, _)| place + 1)
}

/// What it was from the first change until now. `last_seen`: for places of [`breaks`], when it was last observed before. `known_to`:
/// from then on nothing is known, because nobody looked. Spans without length are left out.
pub(super) fn spans(
    changes: &[HealthChange],
    last_seen: &BTreeMap<usize, Timestamp>,
    known_to: Timestamp,
    now: Timestamp,
) -> Vec<Span> {
    let mut spans = Vec::with_capacity(changes.len());
    let mut push = |from: Timestamp, to: Timestamp, health, reason| {
        if from < to {
            spans.push(Span { from, to, health, reason });
        }
    };
    let mut from = Timestamp::from_millis(i64::MIN);
    for (place, change) in changes.iter().enumerate() {
        from = from.max(change.since).min(now);
        let next = changes.get(place + 1);
        let to = next.map_or(now, |next| next.since.max(from).min(now));
        let known = match next {
            None => known_to,
            Some(next) if next.was == change.became => to,
            Some(_) => last_seen.get(&(place + 1)).copied().unwrap_or(change.at),
        };
        // Who is not known needs nobody who looks.
        let known = if change.became == Health::Unknown { to } else { known.max(from).min(to) };
        push(from, known, change.became, change.reason);
        push(known, to, Health::Unknown, Some(Reason::Stale));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uptime::tests::{change, minute};
    use Health::{Degraded, Down, Maintenance, Unknown, Up};
    use proptest::prelude::*;

    /// Spans as `health minutes`, known to the end.
    #[track_caller]
    fn check(changes: &[HealthChange], now: i64, expected: &[(Health, i64)]) {
        let found = spans(changes, &BTreeMap::new(), minute(now), minute(now));
        let found: Vec<_> = found
            .iter()
            .map(|span| (span.health, i64::try_from(span.to.since(span.from).as_secs()).unwrap() / 60))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_change_begins_a_span_and_ends_the_one_before() {
        let changes = [change(0, Unknown, Up), change(10, Up, Down), change(12, Down, Up)];
        check(&changes, 60, &[(Up, 10), (Down, 2), (Up, 48)]);
        check(&changes[..1], 0, &[]);
        check(&[], 60, &[]);
    }

    #[test]
    fn a_clock_that_was_set_back_counts_no_time_twice() {
        let changes = [change(0, Unknown, Up), change(30, Up, Down), change(5, Down, Up)];
        check(&changes, 60, &[(Up, 30), (Up, 30)]);
        let changes =
            [change(0, Unknown, Up), change(30, Up, Down), change(5, Down, Up), change(40, Up, Down)];
        check(&changes, 60, &[(Up, 30), (Up, 10), (Down, 20)]);
    }

    #[test]
    fn what_lies_ahead_has_not_been_yet() {
        check(&[change(0, Unknown, Up), change(90, Up, Down)], 60, &[(Up, 60)]);
    }

    #[test]
    fn what_was_never_told_is_not_known_since_the_last_observation() {
        // It was deleted and made again: between 20 and 50 nobody looked.
        let changes = [change(0, Unknown, Up), change(50, Unknown, Degraded)];
        assert_eq!(breaks(&changes).collect::<Vec<_>>(), [1]);
        let found = spans(&changes, &[(1, minute(20))].into(), minute(60), minute(60));
        let span = |from, to, health, reason| Span { from: minute(from), to: minute(to), health, reason };
        let expected =
            [span(0, 20, Up, None), span(20, 50, Unknown, Some(Reason::Stale)), span(50, 60, Degraded, None)];
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_is_known_while_nobody_looks() {
        let found = spans(&[change(0, Unknown, Down)], &BTreeMap::new(), minute(20), minute(60));
        assert_eq!(found.iter().map(|span| span.health).collect::<Vec<_>>(), [Down, Unknown]);
        assert_eq!(found[1].from, minute(20));
    }

    proptest! {
        #[test]
        fn spans_follow_each_other_and_no_time_is_missing_or_counted_twice(
            steps in prop::collection::vec((0_i64..500, prop::sample::select(vec![Up, Degraded, Down, Maintenance, Unknown]), any::<bool>()), 1..40),
            known_to in 0_i64..600,
        ) {
            let mut was = Unknown;
            let changes: Vec<_> = steps.iter().map(|(at, became, lost)| {
                let from = if *lost { Up } else { was };
                was = *became;
                change(*at, from, *became)
            }).collect();
            let found = spans(&changes, &BTreeMap::new(), minute(known_to), minute(400));
            prop_assert!(found.iter().all(|span| span.from < span.to));
            prop_assert!(found.windows(2).all(|pair| pair[0].to == pair[1].from));
            if let (Some(first), Some(last)) = (found.first(), found.last()) {
                prop_assert_eq!(first.from, minute(steps[0].0.min(400)));
                prop_assert_eq!(last.to, minute(400));
                prop_assert!(last.health == was || last.health == Unknown || steps.iter().any(|step| step.0 >= 400));
            }
        }
    }
}
