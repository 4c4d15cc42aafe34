//! Who goes first, and who goes at all.

use futures_util::FutureExt;
use model::quota::{Limit, Span};
use proptest::prelude::*;

use super::*;

const USUAL: Priority = Priority::Normal;

/// An empty one.
fn queue() -> Queue {
    let limit = Limit { name: "l".to_owned(), amount: 1, span: Span::Concurrent, replicas: None };
    Queue::new(Arc::new(Purse::new(&limit)))
}

/// The order in which those get their turn who wait.
fn order(calls: &[(&str, Priority, u64)]) -> Vec<usize> {
    let queue = queue();
    let join = |(place, (caller, priority, units)): (usize, &(&str, Priority, u64))| {
        (place, queue.join(caller, *priority, *units).expect("a place"))
    };
    let mut places: Vec<_> = calls.iter().enumerate().map(join).collect();
    let mut order = Vec::new();
    while !places.is_empty() {
        let first = places.iter().position(|(_, place)| place.turn().now_or_never() == Some(true));
        let (number, place) = places.remove(first.expect("it is somebody's turn"));
        order.push(number);
        drop(place);
    }
    assert!(!queue.is_waited());
    order
}

/// The same, by the callers' names.
fn callers(calls: &[(&str, Priority, u64)]) -> String {
    order(calls).into_iter().map(|number| calls[number].0).collect()
}

#[test]
fn callers_take_turns_however_much_they_ask() {
    let calls = ["a", "a", "a", "b", "c"].map(|caller| (caller, USUAL, 1));
    assert_eq!(callers(&calls), "abcaa");
}

#[test]
fn heavy_calls_let_light_ones_pass() {
    let mut calls = vec![("l", USUAL, 1); 9];
    calls.extend([("H", USUAL, 4), ("H", USUAL, 4)]);
    let got = callers(&calls);
    let second = got.rfind('H').expect("two");
    let before = got[..second].chars().filter(|caller| *caller == 'l').count();
    assert!((7..=9).contains(&before), "{got}");
}

#[test]
fn higher_priorities_go_first_and_the_turn_that_somebody_has_is_kept() {
    let calls = [
        ("l", Priority::Low, 1),
        ("l", Priority::Low, 1),
        ("n", Priority::Normal, 1),
        ("h", Priority::High, 1),
        ("i", Priority::High, 1),
        ("h", Priority::High, 1),
    ];
    assert_eq!(callers(&calls), "lhihnl");
}

#[test]
fn a_ninth_goes_to_lower_priorities_however_many_of_higher_ones_wait() {
    let mut calls = vec![("h", Priority::High, 1); 40];
    calls.extend([("n", Priority::Normal, 1); 4]);
    calls.extend([("l", Priority::Low, 1); 4]);
    // The first one had its turn before the others came. Then eight pass each of the lower ones, of which the upper goes first.
    let got = callers(&calls);
    assert_eq!(&got[..31], "hhhhhhhhhnlhhhhhhhnlhhhhhhhnlhh");
    // Heavy ones of a lower priority get no more: theirs comes when so many times as much has gone.
    let mut calls = vec![("h", Priority::High, 1); 60];
    calls.extend([("l", Priority::Low, 4); 2]);
    let got = callers(&calls);
    assert_eq!((got.find('l'), got.len()), (Some(33), 62));
}

#[test]
fn who_finds_no_place_is_refused_and_who_leaves_makes_one() {
    let queue = queue();
    let mut places: Vec<_> = (0..WAITING_MAX).map(|_| queue.join("a", USUAL, 1).expect("a place")).collect();
    assert!(queue.join("b", USUAL, 1).is_none());
    places.pop();
    assert_eq!(queue.join("b", USUAL, 1).expect("a place").ahead, WAITING_MAX - 1);
}

#[test]
fn a_higher_priority_takes_the_place_of_the_last_of_the_lowest() {
    let queue = queue();
    let first = queue.join("a", Priority::Low, 1).expect("a place");
    let low: Vec<_> = (0..2).map(|_| queue.join("a", Priority::Low, 1).expect("a place")).collect();
    let rest = WAITING_MAX - 3;
    let mut usual: Vec<_> = (0..rest).map(|_| queue.join("b", USUAL, 1).expect("a place")).collect();
    let sent_away = |place: &Place<'_>| place.turn().now_or_never() == Some(false);
    for (wanted, priority, displaced) in [
        (true, Priority::High, &low[1]),
        (true, Priority::Normal, &low[0]),
        // Nobody of a lower priority waits now but the one whose turn it is.
        (false, Priority::Normal, &first),
    ] {
        let place = queue.join("c", priority, 1);
        assert_eq!((place.is_some(), sent_away(displaced)), (wanted, wanted), "{priority:?}");
        assert_eq!(queue.len(), WAITING_MAX);
        usual.extend(place);
    }
    assert_eq!(first.turn().now_or_never(), None, "it was told once that it is its turn");
    let place = queue.join("c", Priority::High, 1).expect("a place");
    assert!(sent_away(usual.last().expect("some")), "the last that came, whoever it was");
    assert_eq!(place.ahead, 2, "the first one, and one of its own priority");
    assert!(queue.join("d", Priority::Low, 1).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Everybody has a turn once, and while somebody waits not more goes to others than eight times what it and those
    /// before it of its own priority need, and one call of each other priority.
    #[test]
    fn nobody_waits_for_ever(given in prop::collection::vec((0..4_usize, 0..3_usize, 1..6_u64), 1..120)) {
        let names = ["a", "b", "c", "d"];
        let calls: Vec<_> =
            given.iter().map(|(caller, rank, units)| (names[*caller], Priority::ALL[*rank], *units)).collect();
        let order = order(&calls);
        let mut seen = order.clone();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..calls.len()).collect::<Vec<_>>());
        for priority in Priority::ALL {
            let (mut others, mut own) = (0, 0);
            for (_, of, units) in order.iter().map(|number| calls[*number]) {
                if of == priority {
                    own += units;
                    let most = 8 * (own + 5) + 3 * 5 + own / 4;
                    prop_assert!(others <= most, "{:?}: {} went before {}", priority, others, own);
                } else {
                    others += units;
                }
            }
        }
    }

    /// Of two callers' calls that came together, the higher priority's goes before.
    #[test]
    fn a_higher_priority_does_not_wait_for_a_lower_one(low in 2..40_usize) {
        let mut calls = vec![("l", Priority::Low, 1); low];
        calls.push(("h", Priority::High, 1));
        let order = order(&calls);
        prop_assert_eq!(order[1], low);
    }
}
