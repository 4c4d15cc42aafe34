//! Tables of observations and what they make of an integration, and laws that hold for all of them.

use model::alert::Severity;
use proptest::prelude::*;

use super::*;
use crate::tests::{AT_ONCE, id, probe, second, traffic, word};
use model::ProviderId;

fn start() -> State {
    State::new(id("polygon-main"), ProviderId::new("polygon").expect("a slug"), second(0))
}

fn up() -> State {
    let (state, _) = decide(&start(), &word(1, "ok"), &AT_ONCE);
    decide(&state, &word(2, "calls"), &AT_ONCE).0
}

/// Observes one word each 10 seconds from `state` on, and compares the health after each.
#[track_caller]
fn check_from(mut state: State, words: &str, expected: &str) -> State {
    let mut healths = Vec::new();
    for (n, text) in words.split_whitespace().enumerate() {
        let at = 10 * u32::try_from(n + 1).expect("a short table");
        state = decide(&state, &word(at, text), &AT_ONCE).0;
        healths.push(state.health.as_str());
    }
    assert_eq!(healths.join(" "), expected, "{words}");
    state
}

#[track_caller]
fn check(words: &str, expected: &str) -> State {
    check_from(up(), words, expected)
}

/// The words of the actions of all observations.
fn said(words: &str) -> Vec<String> {
    let mut state = up();
    let mut said = Vec::new();
    for (n, text) in words.split_whitespace().enumerate() {
        let at = 10 * u32::try_from(n + 1).expect("a short table");
        let (next, actions) = decide(&state, &word(at, text), &AT_ONCE);
        state = next;
        said.extend(actions.iter().map(in_short));
    }
    said
}

fn in_short(action: &Action) -> String {
    match action {
        Action::Announce(changed) => format!("{} to {}", changed.from.as_str(), changed.to.as_str()),
        Action::Raise(raised) => format!("raise {} {}", raised.severity.as_str(), raised.alert_type),
        Action::Resolve(ended) => format!("resolve {}", ended.raised.severity.as_str()),
        other => panic!("{other:?} is not decided here"),
    }
}

#[test]
fn three_failures_in_a_row_bring_it_down() {
    check("ok fail fail fail", "up up up down");
}

#[test]
fn a_slow_provider_whose_callers_are_served_is_degraded_and_does_not_flap() {
    let slow = check(
        "slow calls slow calls calls slow calls slow calls",
        "up up up up up degraded degraded degraded degraded",
    );
    assert!(!slow.flapping);
    check("slow slow slow calls ok calls calls", "up up degraded degraded degraded degraded up");
}

#[test]
fn three_failures_of_five_bring_it_down() {
    check("fail ok fail ok fail", "up up up up down");
    check("fail ok ok fail ok ok fail", "up up up up up up up");
}

#[test]
fn one_success_does_not_bring_it_back() {
    check("fail fail fail ok fail ok ok ok", "up up down down down down down up");
}

#[test]
fn the_first_answer_makes_it_known_and_the_first_failure_does_not() {
    check_from(start(), "ok", "up");
    check_from(start(), "fail fail fail", "unknown unknown down");
}

#[test]
fn what_becomes_known_is_so_since_it_was_first_seen() {
    let unknown = State { since: second(100), entered_at: second(100), ..start() };
    let (state, _) = decide(&unknown, &word(50, "ok"), &AT_ONCE);
    assert_eq!((state.health, state.since), (Health::Up, second(50)));
}

#[test]
fn slow_and_throttled_degrade_like_failures() {
    check("slow slow slow ok ok ok", "up up degraded degraded degraded up");
    check("429 ok 429 ok 429", "up up up up degraded");
    check("slow fail slow", "up up degraded");
}

#[test]
fn key_and_quota_are_confirmed_by_two() {
    check("key key", "up degraded");
    check("quota ok quota", "up up degraded");
    check("key quota", "up up");
}

#[test]
fn degraded_goes_down_and_comes_back_by_degraded() {
    check("slow slow slow fail fail fail", "up up degraded degraded degraded down");
    check("fail fail fail slow slow slow", "up up down down down degraded");
}

#[test]
fn a_worse_reason_replaces_a_milder_one() {
    let state = check("slow slow slow key key", "up up degraded degraded degraded");
    assert_eq!(state.reason, Some(Reason::BadCredentials));
}

#[test]
fn traffic_counts_like_probes_and_a_storm_at_once() {
    check("broken fail broken", "up up down");
    check("storm", "down");
    check("storm calls calls calls", "down down down up");
    check("calls broken calls calls", "up up up up");
}

#[test]
fn maintenance_is_believed_at_once_and_says_nothing_to_people() {
    check("work work ok ok ok", "maintenance maintenance maintenance maintenance up");
    assert_eq!(said("work"), ["up to maintenance"]);
    assert_eq!(
        said("storm work ok ok ok"),
        [
            "up to down",
            "raise critical health",
            "down to maintenance",
            "maintenance to up",
            "resolve critical"
        ]
    );
}

#[test]
fn getting_worse_raises_the_same_alert_again_and_half_better_keeps_it() {
    let words = "slow slow slow fail fail fail slow slow slow ok ok ok";
    assert_eq!(
        said(words),
        [
            "up to degraded",
            "raise warning health",
            "degraded to down",
            "raise critical health",
            "down to degraded",
            "degraded to up",
            "resolve critical"
        ]
    );
    let degraded = check("slow slow slow", "up up degraded").alert.expect("open");
    let down =
        check("slow slow slow fail fail fail", "up up degraded degraded degraded down").alert.expect("open");
    assert_eq!((&degraded.alert, &degraded.fingerprint), (&down.alert, &down.fingerprint));
    assert_eq!((degraded.severity, down.severity), (Severity::Warning, Severity::Critical));
    assert_eq!(down.fingerprint, "health/polygon-main");
    assert_eq!(down.title, "polygon-main is down (unreachable).");
}

#[test]
fn becoming_useless_is_news_though_it_stays_degraded() {
    assert_eq!(
        said("slow slow slow key key key"),
        ["up to degraded", "raise warning health", "raise warning health"]
    );
}

#[test]
fn the_change_names_when_it_began_and_the_evidence() {
    let mut state = up();
    for at in [10, 20] {
        state = decide(&state, &word(at, "fail"), &AT_ONCE).0;
    }
    let (_, actions) = decide(&state, &word(30, "fail"), &AT_ONCE);
    let Action::Announce(changed) = &actions[0] else { panic!("{actions:?}") };
    assert_eq!((changed.since, changed.at), (second(10), second(30)));
    assert_eq!(changed.reason, Some(Reason::Unreachable));
    assert!(changed.evidence.last().is_some_and(|said| said.contains("unreachable")), "{changed:?}");
}

#[test]
fn it_stays_down_for_the_least_time_and_then_time_brings_it_back() {
    let rules = Rules { dwell: Duration::from_secs(60), ..AT_ONCE };
    let mut state = decide(&up(), &word(3, "storm"), &rules).0;
    for at in 4..10 {
        state = decide(&state, &probe(at, None), &rules).0;
        assert_eq!(state.health, Health::Down);
    }
    state = decide(&state, &probe(50, None), &rules).0;
    assert_eq!(tick(&state, second(62), &rules), (state.clone(), Vec::new()));
    let (back, actions) = tick(&state, second(63), &rules);
    assert_eq!(back.health, Health::Up);
    assert_eq!(actions.iter().map(in_short).collect::<Vec<_>>(), ["down to up", "resolve critical"]);
}

#[test]
fn nothing_is_known_after_three_silent_intervals() {
    let state = decide(&up(), &probe(100, None), &AT_ONCE).0;
    assert_eq!(tick(&state, second(130), &AT_ONCE).0.health, Health::Up);
    let (unknown, actions) = tick(&state, second(131), &AT_ONCE);
    assert_eq!((unknown.health, unknown.reason), (Health::Unknown, Some(Reason::Stale)));
    assert_eq!(unknown.since, second(100));
    assert_eq!(actions.len(), 1);
    assert_eq!(tick(&unknown, second(200), &AT_ONCE), (unknown.clone(), Vec::new()));
}

#[test]
fn an_open_alert_outlives_silence_until_it_is_known_to_be_well() {
    let down = check("storm", "down");
    let (unknown, _) = tick(&down, second(1_000), &AT_ONCE);
    assert!(unknown.alert.is_some());
    let mut state = unknown;
    for (at, expected) in [(1_001, Health::Unknown), (1_002, Health::Unknown), (1_003, Health::Up)] {
        state = decide(&state, &probe(at, None), &AT_ONCE).0;
        assert_eq!(state.health, expected);
    }
    assert_eq!(state.alert, None);
}

#[test]
fn switching_off_forgets_and_ends_the_alert() {
    let (off, actions) = switch_off(&check("storm", "down"), second(99));
    assert_eq!(actions.iter().map(in_short).collect::<Vec<_>>(), ["down to unknown", "resolve critical"]);
    assert_eq!(off.alert, None);
    assert_eq!(switch_off(&off, second(100)), (off.clone(), Vec::new()));
}

#[test]
fn while_it_flaps_one_alert_says_so() {
    let said = said("ok fail ok fail ok fail ok fail ok fail ok fail ok fail ok fail ok fail ok fail");
    let raised: Vec<_> = said.iter().filter(|said| said.starts_with("raise")).collect();
    assert_eq!(
        raised,
        ["raise critical health", "raise critical flapping", "raise critical health"],
        "{said:?}"
    );
    assert!(!said.iter().any(|said| said.starts_with("resolve")), "{said:?}");
}

#[test]
fn the_flapping_alert_ends_when_it_is_calm() {
    let mut words = "ok fail ".repeat(8);
    words.push_str(&"ok ".repeat(25));
    let said = said(&words);
    assert_eq!(said.last().map(String::as_str), Some("resolve critical"), "{said:?}");
}

/// Flaps from degraded, so that nobody was woken, and then is down.
fn flapping_and_down() -> State {
    let state = State {
        health: Health::Down,
        reason: Some(Reason::Unreachable),
        entered_at: second(1_000),
        since: second(990),
        flapping: true,
        history: [Health::Down, Health::Up].repeat(10).into(),
        every_secs: 10,
        ..start()
    };
    let held = tick(&state, second(1_001), &AT_ONCE);
    assert_eq!(held.1.iter().map(in_short).collect::<Vec<_>>(), ["raise warning flapping"]);
    held.0
}

#[test]
fn what_flaps_and_stays_down_pages_after_a_while() {
    let held = flapping_and_down();
    let rare = State { every_secs: 60, ..held.clone() };
    let up = State { health: Health::Up, reason: None, ..held.clone() };
    for (state, after, expected) in [
        (&held, 59, None),
        (&held, 60, Some("raise critical health")),
        (&rare, 299, None),
        (&rare, 300, Some("raise critical health")),
        (&up, 900, None),
    ] {
        let at = second(1_000 + after);
        let state = State { probe_at: Some(at), ..state.clone() };
        let said: Vec<_> = tick(&state, at, &AT_ONCE).1.iter().map(in_short).collect();
        assert_eq!(said.first().map(String::as_str), expected, "{after} s, {}", state.health.as_str());
    }
}

#[test]
fn a_page_for_what_flaps_is_said_once_and_ends_when_it_is_calm() {
    let (mut state, actions) = tick(&flapping_and_down(), second(1_060), &AT_ONCE);
    let Some(Action::Raise(raised)) = actions.first() else { panic!("{actions:?}") };
    assert_eq!(raised.title, "polygon-main is down (unreachable).");
    let mut said = Vec::new();
    for n in 0..60 {
        let text = if n < 10 && n % 2 == 0 { "fail" } else { "ok" };
        let (next, actions) = decide(&state, &word(1_070 + 10 * n, text), &AT_ONCE);
        said.extend(actions.iter().map(in_short).filter(|said| !said.contains(" to ")));
        state = next;
    }
    assert_eq!(said, ["resolve critical"]);
}

#[test]
fn an_alert_of_silence_shows_no_figures_of_the_last_answer() {
    let (_, actions) = decide(&up(), &traffic(10, 9, 9, Some(Reason::Unreachable)), &AT_ONCE);
    let [Action::Announce(changed), Action::Raise(raised)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((changed.to, changed.latency_ms), (Health::Down, None));
    assert_eq!((raised.data.get("latency_ms"), raised.data.get("status_code")), (None, None));
    let refused = Observed { status_code: Some(500), latency_ms: Some(7), ..word(10, "storm") };
    let (state, actions) = decide(&up(), &refused, &AT_ONCE);
    let Some(Action::Raise(raised)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(
        (raised.data["latency_ms"].as_u64(), raised.data["status_code"].as_u64()),
        (Some(7), Some(500))
    );
    assert_eq!(state.now().status_code, Some(500));
}

#[test]
fn what_is_slow_is_shown_with_the_time_that_was_slow() {
    let mut state = up();
    for at in [10, 20, 30] {
        let slow = Observed { status_code: Some(200), latency_ms: Some(2_400), ..word(at, "slow") };
        state = decide(&state, &slow, &AT_ONCE).0;
    }
    for (at, health, latency_ms) in
        [(40, Health::Degraded, 2_400), (50, Health::Degraded, 2_400), (60, Health::Up, 42)]
    {
        state = decide(&state, &word(at, "ok"), &AT_ONCE).0;
        let now = state.now();
        assert_eq!((now.health, now.latency_ms), (health, Some(latency_ms)));
    }
}

fn any_word() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "ok", "fail", "slow", "key", "quota", "429", "work", "calls", "broken", "storm",
    ])
}

/// A state after any history, and when its last observation was.
fn any_state() -> impl Strategy<Value = (State, u32)> {
    proptest::collection::vec((any_word(), 1_u32..40), 0..60).prop_map(|steps| {
        let (mut state, mut at) = (start(), 0);
        for (text, pause) in steps {
            at += pause;
            state = tick(&state, second(at), &AT_ONCE).0;
            state = decide(&state, &word(at, text), &AT_ONCE).0;
        }
        (state, at)
    })
}

proptest! {
    #[test]
    fn seeing_it_twice_is_seeing_it_once((state, at) in any_state(), text in any_word()) {
        let seen = word(at + 1, text);
        let (once, _) = decide(&state, &seen, &AT_ONCE);
        prop_assert_eq!(decide(&once, &seen, &AT_ONCE), (once, Vec::new()));
    }

    #[test]
    fn deciding_again_says_the_same((state, at) in any_state(), text in any_word()) {
        let seen = word(at + 1, text);
        prop_assert_eq!(decide(&state, &seen, &AT_ONCE), decide(&state, &seen, &AT_ONCE));
    }

    #[test]
    fn an_older_one_changes_nothing((state, at) in any_state(), text in any_word(), age in 1_u32..100) {
        let (state, _) = decide(&state, &word(at + 100, "ok"), &AT_ONCE);
        let (state, _) = decide(&state, &word(at + 100, "calls"), &AT_ONCE);
        prop_assert_eq!(decide(&state, &word(at + 100 - age, text), &AT_ONCE), (state, Vec::new()));
    }

    #[test]
    fn enough_good_answers_bring_it_up_without_an_alert((state, at) in any_state()) {
        let mut state = state;
        for n in 1..30 {
            state = decide(&state, &probe(at + n, None), &AT_ONCE).0;
        }
        prop_assert_eq!(state.health, Health::Up);
        prop_assert_eq!(state.alert, None);
        prop_assert!(!state.flapping);
    }

    #[test]
    fn one_alert_is_open_at_most_and_resolved_as_it_was_raised(words in proptest::collection::vec(any_word(), 0..80)) {
        let mut state = start();
        let mut open = None;
        for (n, text) in (1..).zip(words) {
            let (next, actions) = decide(&state, &word(n, text), &AT_ONCE);
            for action in actions {
                match action {
                    Action::Raise(raised) => {
                        let again = open.as_ref().map(|was: &AlertRaised| was.alert.clone());
                        prop_assert!(again.is_none_or(|was| was == raised.alert));
                        open = Some(raised);
                    }
                    Action::Resolve(ended) => {
                        prop_assert_eq!(Some(ended.raised), open.take());
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(&next.alert, &open);
            state = next;
        }
    }

    #[test]
    fn time_alone_is_idempotent((state, at) in any_state(), later in 0_u32..200) {
        let (once, _) = tick(&state, second(at + later), &AT_ONCE);
        prop_assert_eq!(tick(&once, second(at + later), &AT_ONCE), (once, Vec::new()));
    }
}

#[test]
fn a_gateway_with_a_slow_clock_still_counts_beside_probes() {
    let state = decide(&up(), &probe(50, None), &AT_ONCE).0;
    let state = decide(&state, &traffic(49, 9, 9, Some(Reason::Timeout)), &AT_ONCE).0;
    assert_eq!(state.health, Health::Down);
}
