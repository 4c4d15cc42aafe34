//! What word of a comparison makes of an integration: degraded at most, never for longer than it counts.

use model::health::Health::{Degraded, Down, Maintenance, Unknown, Up};
use proptest::prelude::*;

use super::*;
use crate::tests::{AT_ONCE, compared, id, probe, second, word};
use model::ProviderId;

/// What becomes of one that was up: `slow`, `errors` and `over` are words of the meter, `wait` half an hour without one.
#[track_caller]
fn check(words: &str, expected: &[(Health, Option<Reason>)]) -> Vec<Action> {
    let new = State::new(id("polygon-main"), ProviderId::new("polygon").expect("a slug"), second(0));
    let mut state = decide(&new, &probe(1, None), &AT_ONCE).0;
    let (mut found, mut said, mut at) = (Vec::new(), Vec::new(), 1_000);
    for text in words.split_whitespace() {
        at += 10;
        let (next, actions) = match text {
            "slow" => compare(&state, &compared(at, true, Reason::Slow), second(at), &AT_ONCE),
            "errors" => compare(&state, &compared(at, true, Reason::MoreErrors), second(at), &AT_ONCE),
            "over" => compare(&state, &compared(at, false, Reason::Slow), second(at), &AT_ONCE),
            "wait" => {
                at += 1800;
                state = decide(&state, &word(at, "ok"), &AT_ONCE).0;
                tick(&state, second(at), &AT_ONCE)
            }
            text => decide(&state, &word(at, text), &AT_ONCE),
        };
        found.push((next.health, next.reason));
        said.extend(actions);
        state = next;
    }
    assert_eq!(found, expected, "{words}");
    said
}

const GOOD: (Health, Option<Reason>) = (Up, None);
const SLOW: (Health, Option<Reason>) = (Degraded, Some(Reason::Slow));
const ERRORS: (Health, Option<Reason>) = (Degraded, Some(Reason::MoreErrors));

#[test]
fn worse_than_usual_is_degraded_until_it_is_over() {
    let said = check("ok ok slow ok calls ok over ok", &[GOOD, GOOD, SLOW, SLOW, SLOW, SLOW, GOOD, GOOD]);
    let [Action::Announce(worse), Action::Raise(raised), Action::Announce(better), Action::Resolve(_)] =
        &said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!((worse.from, worse.to, worse.since), (Up, Degraded, second(730)));
    assert_eq!(worse.latency_ms, Some(950));
    assert!(worse.evidence[0].contains("usually 205 ms"), "{:?}", worse.evidence);
    assert_eq!(raised.title, "polygon-main is degraded (slow).");
    assert_eq!(raised.data["compared"]["usual_p95_ms"], 205);
    assert_eq!((better.from, better.to, better.reason), (Degraded, Up, None));
}

#[test]
fn more_errors_say_why() {
    let said = check("ok ok errors ok", &[GOOD, GOOD, ERRORS, ERRORS]);
    let Some(Action::Raise(raised)) = said.get(1) else { panic!("{said:?}") };
    assert_eq!(raised.data["usable"], true, "routes stay");
}

#[test]
fn word_that_nobody_tells_again_is_over_by_itself() {
    check("ok ok slow wait ok", &[GOOD, GOOD, SLOW, GOOD, GOOD]);
}

#[test]
fn an_outage_is_an_outage_and_a_comparison_never_one() {
    let outage = (Down, Some(Reason::Unreachable));
    let failing = (Degraded, Some(Reason::Slow));
    check("ok ok slow fail fail fail slow", &[GOOD, GOOD, SLOW, failing, failing, outage, outage]);
    // It answers again, and is still slow.
    check(
        "ok ok fail fail fail slow ok ok ok",
        &[GOOD, GOOD, GOOD, GOOD, outage, outage, outage, outage, SLOW],
    );
}

#[test]
fn nothing_is_said_while_it_is_worked_on() {
    let work = (Maintenance, Some(Reason::Maintenance));
    assert_eq!(check("ok work slow errors work", &[GOOD, work, work, work, work]).len(), 1);
}

#[test]
fn a_word_that_comes_again_changes_nothing() {
    let new = State::new(id("polygon-main"), ProviderId::new("polygon").expect("a slug"), second(0));
    let state = decide(&new, &probe(1, None), &AT_ONCE).0;
    let told = compared(50, true, Reason::Slow);
    let (once, _) = compare(&state, &told, second(60), &AT_ONCE);
    assert_eq!(compare(&once, &told, second(70), &AT_ONCE), (once.clone(), Vec::new()));
    let older = compared(40, false, Reason::Slow);
    assert_eq!(compare(&once, &older, second(70), &AT_ONCE), (once, Vec::new()));
}

#[test]
fn a_state_of_before_is_read() {
    let new = State::new(id("polygon-main"), ProviderId::new("polygon").expect("a slug"), second(0));
    let mut kept = serde_json::to_value(&new).expect("JSON");
    kept.as_object_mut().expect("an object").remove("compared");
    assert_eq!(serde_json::from_value::<State>(kept).expect("reads"), new);
}

proptest! {
    #[test]
    fn a_comparison_makes_nothing_but_up_degraded(
        words in prop::collection::vec(prop::sample::select(vec!["ok", "fail", "slow", "key", "429", "work", "calls", "storm"]), 0..30),
        words_of_meter in prop::collection::vec(0_u8..4, 30),
    ) {
        let mut plain = State::new(id("polygon-main"), ProviderId::new("polygon").expect("a slug"), second(0));
        let mut told = plain.clone();
        for (n, text) in words.iter().enumerate() {
            let at = 10 * u32::try_from(n + 1).expect("few");
            let worse = match words_of_meter[n] {
                0 => Some(compared(at, true, Reason::Slow)),
                1 => Some(compared(at, true, Reason::MoreErrors)),
                2 => Some(compared(at, false, Reason::Slow)),
                _ => None,
            };
            if let Some(worse) = &worse {
                told = compare(&told, worse, second(at), &AT_ONCE).0;
            }
            let before = told.health;
            plain = decide(&plain, &word(at + 1, text), &AT_ONCE).0;
            told = decide(&told, &word(at + 1, text), &AT_ONCE).0;
            // It goes down when it would have, and is up only when it would have been.
            prop_assert!(told.health != Down || plain.health == Down || before == Down, "{words:?}");
            prop_assert!(told.health != Up || plain.health == Up || before == Unknown, "{words:?}");
        }
    }
}
