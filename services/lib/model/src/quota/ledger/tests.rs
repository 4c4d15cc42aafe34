//! The ledger by example, and its invariants under random steps.

use crate::integration::Window as Per;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn day(amount: u64) -> Limit {
    let span = Span::Calendar { per: Per::Day, zone: TimeZone::UTC };
    Limit { name: "day".to_owned(), amount, span, replicas: None }
}

fn minute(amount: u64, replicas: Option<u32>) -> Limit {
    Limit { name: "minute".to_owned(), amount, span: Span::Rolling { millis: 60_000 }, replicas }
}

fn at(text: &str) -> Now {
    Now::exactly(Timestamp::parse(text).expect("a time"), 0)
}

fn who(name: &str) -> Holder {
    Holder::new(name, 0)
}

#[test]
fn grants_together_are_never_more_than_the_limit() {
    let (limit, now) = (day(10), at("2026-11-21T12:00:00Z"));
    let ledger = Ledger::now(None, &limit, &now).expect("a window");
    let (ledger, a) = ledger.grant(&who("a"), 7, &now);
    let (ledger, b) = ledger.grant(&who("b"), 7, &now);
    let (ledger, c) = ledger.grant(&who("c"), 7, &now);
    assert_eq!((a, b, c, ledger.left()), (7, 3, 0, 0));
}

#[test]
fn what_is_given_back_can_be_granted_again_and_only_once() {
    let (limit, now) = (day(10), at("2026-11-21T12:00:00Z"));
    let (ledger, _) = Ledger::new(&limit, 0).grant(&who("a"), 10, &now);
    let ledger = ledger.give_back(&who("a"), 4);
    let again = ledger.give_back(&who("a"), 4);
    assert_eq!((again.left(), &again), (4, &ledger));
    // A late word of less, or of more than it ever had.
    assert_eq!(ledger.give_back(&who("a"), 2).left(), 4);
    assert_eq!(ledger.give_back(&who("a"), 99).left(), 10);
    assert_eq!(ledger.give_back(&who("nobody"), 5), ledger);
}

#[test]
fn a_window_begins_once_and_never_again() {
    let limit = day(10);
    let (old, _) = Ledger::now(None, &limit, &at("2026-11-21T23:59:00Z")).expect("a window").grant(
        &who("a"),
        10,
        &at("2026-11-21T23:59:00Z"),
    );
    assert_eq!(Ledger::now(Some(&old), &limit, &at("2026-11-21T23:59:59Z")).expect("the same").left(), 0);
    let new = Ledger::now(Some(&old), &limit, &at("2026-11-22T00:00:00Z")).expect("the next");
    assert_eq!(new.left(), 10);
    // A clock that is set back.
    assert_eq!(Ledger::now(Some(&new), &limit, &at("2026-11-21T23:59:59Z")), Err(Error::Later));
}

#[test]
fn within_the_doubt_around_midnight_there_is_no_window() {
    let (earliest, latest) = (at("2026-11-21T23:59:59.900Z").earliest, at("2026-11-22T00:00:00Z").latest);
    let now = Now { steady_ms: 0, earliest, latest };
    assert_eq!(Ledger::now(None, &day(10), &now), Err(Error::Uncertain));
}

#[test]
fn a_limit_that_is_changed_holds_at_once_and_keeps_what_was_spent() {
    let now = at("2026-11-21T12:00:00Z");
    let (ledger, _) = Ledger::now(None, &day(10), &now).expect("a window").grant(&who("a"), 8, &now);
    assert_eq!(Ledger::now(Some(&ledger), &day(5), &now).expect("a window").left(), 0);
    assert_eq!(Ledger::now(Some(&ledger), &day(20), &now).expect("a window").left(), 12);
}

#[test]
fn the_providers_count_only_lowers_what_is_left() {
    let (limit, now) = (day(100), at("2026-11-21T12:00:00Z"));
    let (ledger, _) = Ledger::new(&limit, 0).grant(&who("a"), 10, &now);
    assert_eq!(ledger.observe(5).left(), 90);
    let seen = ledger.observe(30);
    assert_eq!((seen.left(), seen.elsewhere), (70, 20));
    // An older word, and one that says more than there is.
    assert_eq!(seen.observe(25), seen);
    assert_eq!(seen.observe(1_000).left(), 0);
}

#[test]
fn what_others_use_of_a_rolling_limit_is_away_until_it_is_home() {
    let (limit, now) = (minute(100, None), at("2026-11-21T12:00:00Z"));
    let (ledger, _) = Ledger::new(&limit, 0).grant(&who("a"), 20, &now);
    let (ledger, _) = ledger.grant(&who("b"), 30, &now);
    // b may have used its thirty: what is said beyond that nobody here has.
    let seen = ledger.observe_others(&who("a"), 70, &limit, &now);
    assert_eq!((ledger.left(), seen.left()), (50, 10));
    assert_eq!(seen.observe_others(&who("a"), 70, &limit, &now), seen, "it is known already");
    assert_eq!(seen.observe_others(&who("a"), 30, &limit, &now), seen, "an older word");
    assert_eq!(ledger.observe_others(&who("a"), 30, &limit, &now), ledger, "b's");
    assert_eq!(
        ledger.observe_others(&who("a"), 1_000, &limit, &now).left(),
        0,
        "a word that says more than there is"
    );
    let left = |text: &str| {
        let mut seen = seen.clone();
        for holder in ["a", "b"] {
            seen.entry(&who(holder)).until = at("2026-11-21T13:00:00Z").earliest.as_millis();
        }
        Ledger::now(Some(&seen), &limit, &at(text)).expect("no window").left()
    };
    assert_eq!((left("2026-11-21T12:01:00Z"), left("2026-11-21T12:01:07Z")), (10, 50));
}

#[test]
fn a_share_that_nobody_renews_is_free_when_all_it_spent_is_home() {
    let (limit, start) = (minute(100, None), at("2026-11-21T12:00:00Z"));
    let (mut ledger, _) = Ledger::new(&limit, 0).grant(&who("a"), 80, &start);
    ledger.entry(&who("a")).until = at("2026-11-21T12:00:15Z").earliest.as_millis();
    let left = |text: &str| Ledger::now(Some(&ledger), &limit, &at(text)).expect("no window").left();
    assert_eq!((left("2026-11-21T12:00:14.999Z"), left("2026-11-21T12:01:15Z")), (20, 20));
    assert_eq!(left("2026-11-21T12:01:17Z"), 100);
}

#[test]
fn an_equal_share_is_kept_for_who_may_go_on_by_himself() {
    let (limit, start) = (minute(100, Some(4)), at("2026-11-21T12:00:00Z"));
    let (mut ledger, _) = Ledger::new(&limit, 0).grant(&who("a"), 80, &start);
    ledger.entry(&who("a")).until = at("2026-11-21T12:00:15Z").earliest.as_millis();
    let later = Ledger::now(Some(&ledger), &limit, &at("2026-11-21T12:05:00Z")).expect("no window");
    assert_eq!(later.left(), 75);
    let back = later.resume(&who("a"), 80, at("2026-11-21T12:05:15Z").earliest).expect("it was kept");
    assert_eq!((back.left(), back.holders[&who("a")].held()), (75, 25));
    assert_eq!(back.resume(&who("a"), 80, start.earliest), None);
    let later = Ledger::now(Some(&ledger), &limit, &at("2026-11-21T12:30:00Z")).expect("no window");
    assert_eq!(later.left(), 100);
}

#[test]
fn it_is_small_as_json_and_reads_what_it_wrote() {
    let (limit, now) = (day(10), at("2026-11-21T12:00:00Z"));
    let (ledger, _) = Ledger::now(None, &limit, &now).expect("a window").grant(&who("a"), 7, &now);
    let text = serde_json::to_string(&ledger).expect("serialises");
    assert_eq!(text, r#"{"w":1795219200000,"l":10,"h":{"a/0":{"g":7,"u":0}}}"#);
    assert_eq!(serde_json::from_str::<Ledger>(&text).expect("reads"), ledger);
}

/// A step of somebody.
#[derive(Clone, Debug)]
enum Step {
    Grant(u8, u64),
    Back(u8, u64),
    Observe(u64),
    Leave(u8),
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..80, 0_u64..400).prop_map(|(n, units)| Step::Grant(n, units)),
        2 => (0_u8..80, 0_u64..400).prop_map(|(n, units)| Step::Back(n, units)),
        1 => (0_u64..2_000).prop_map(Step::Observe),
        1 => (0_u8..80).prop_map(Step::Leave),
        2 => (0_i64..20_000).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_no_more_is_out_than_the_limit(
        steps in prop::collection::vec(step(), 1..120),
        renews in any::<bool>(),
        amount in 1_u64..1_000,
    ) {
        let limit = if renews { minute(amount, Some(3)) } else { day(amount) };
        let mut now = at("2026-11-21T12:00:00Z");
        let mut ledger = Ledger::now(None, &limit, &now).expect("a window");
        for step in steps {
            let before = ledger.left();
            match step {
                Step::Grant(n, want) => {
                    let holder = who(&n.to_string());
                    let (mut next, got) = ledger.grant(&holder, want, &now);
                    prop_assert!(got <= before && next.left() == before - got);
                    if got > 0 {
                        next.entry(&holder).until = now.earliest.as_millis() + 15_000;
                    }
                    ledger = next;
                }
                Step::Back(n, units) => ledger = ledger.give_back(&who(&n.to_string()), units),
                Step::Observe(used) => {
                    ledger = ledger.observe(used);
                    prop_assert!(ledger.left() <= before);
                }
                Step::Leave(n) => {
                    ledger = ledger.leave(&who(&n.to_string()), &limit, &now);
                    prop_assert_eq!(ledger.left(), before);
                }
                Step::Pass(millis) => {
                    let at = Timestamp::from_millis(now.earliest.as_millis() + millis);
                    now = Now::exactly(at, 0);
                    ledger = Ledger::now(Some(&ledger), &limit, &now).expect("the same window");
                    prop_assert!(renews || ledger.left() == before);
                }
            }
            prop_assert!(ledger.taken() <= amount && ledger.holders.len() <= HOLDERS_MAX);
            let text = serde_json::to_string(&ledger).expect("serialises");
            prop_assert!(text.len() < 16_384);
            prop_assert_eq!(&serde_json::from_str::<Ledger>(&text).expect("reads"), &ledger);
        }
    }
}
