//! A keeper by example: what it makes of answers that are lost, doubled, old, or of a ledger that went back.

use jiff::tz::TimeZone;
use model::Timestamp;
use model::integration::Window as Per;

use super::*;
use crate::quota::purse::Take;
use model::quota::Span;

const NOON: i64 = 1_795_262_400_000;

fn at(millis: i64) -> Now {
    Now::exactly(Timestamp::from_millis(NOON + millis), 100_000 + millis.unsigned_abs())
}

fn day(amount: u64) -> Keeper {
    let span = Span::Calendar { per: Per::Day, zone: TimeZone::UTC };
    Keeper::new(Limit { name: "day".to_owned(), amount, span, replicas: None }, "g")
}

/// Asks in vain, so that the next plan wants so many.
fn want(keeper: &mut Keeper, units: u64, now: &Now) {
    assert!(!matches!(keeper.purse().take(units, now.steady_ms), Take::Taken(_)));
    keeper.tick(now.steady_ms, Some(now));
}

fn write(keeper: &mut Keeper, read: Option<&Ledger>, now: &Now) -> Ledger {
    keeper.plan(read, now).expect("a window").expect("something to write")
}

/// Asks the ledger if that is due, and whether it was.
fn ask(keeper: &mut Keeper, ledger: &mut Option<Ledger>, now: &Now) -> bool {
    let is_due = keeper.is_due(now.steady_ms, false);
    if is_due {
        let next = write(keeper, ledger.as_ref(), now);
        keeper.landed(&next, now);
        *ledger = Some(next);
    }
    is_due
}

#[test]
fn nothing_is_spent_before_the_record_says_so() {
    let mut keeper = day(100);
    want(&mut keeper, 25, &at(0));
    let next = write(&mut keeper, None, &at(0));
    assert_eq!((next.taken(), keeper.purse().balance()), (25, 0));
    keeper.landed(&next, &at(10));
    assert_eq!(keeper.purse().balance(), 25);
    // Told twice, and read again.
    keeper.landed(&next, &at(20));
    keeper.plan(Some(&next), &at(2_000)).expect("a window");
    assert_eq!(keeper.purse().balance(), 25);
}

#[test]
fn a_burst_does_not_wait_a_second_for_each_step_and_asks_no_more_often_in_the_long_run() {
    let (mut keeper, mut ledger) = (day(10_000), None);
    let (mut asks, mut refused) = (Vec::new(), Vec::new());
    for millis in (0..20_000).step_by(5) {
        let now = at(millis);
        // Two hundred a second, but for a silence of five seconds.
        if !(8_000..13_000).contains(&millis) {
            if !matches!(keeper.purse().take(1, now.steady_ms), Take::Taken(_)) {
                refused.push(millis);
            }
            keeper.tick(now.steady_ms, Some(&now));
        }
        if ask(&mut keeper, &mut ledger, &now) {
            asks.push(millis);
        }
    }
    assert!(refused.len() <= 3 && refused.iter().all(|at| *at < 500), "{refused:?} {asks:?}");
    assert!(asks.len() <= 22 && asks[1] < 500, "{asks:?}");
}

#[test]
fn through_a_pause_lies_what_a_burst_like_the_last_one_needs_where_there_is_plenty() {
    // Of ten million a second's calls are nothing; of ten thousand they are.
    for (amount, waits) in [(10_000_000, false), (10_000, true)] {
        let (mut keeper, mut ledger) = (day(amount), None);
        let (mut refused, mut held) = (0, 0);
        for millis in (0..50_000).step_by(5) {
            let now = at(millis);
            if !(8_000..40_000).contains(&millis) {
                let is_refused = !matches!(keeper.purse().take(1, now.steady_ms), Take::Taken(_));
                refused += u64::from(millis >= 40_000 && is_refused);
            }
            keeper.tick(now.steady_ms, Some(&now));
            ask(&mut keeper, &mut ledger, &now);
            if millis == 39_000 {
                held = keeper.purse().balance();
            }
        }
        assert_eq!(refused > 0, waits, "{amount}: {refused}");
        assert!(held > 0 && held <= 400 && held <= amount / BEGIN_PLENTY * 2, "{amount}: {held}");
    }
}

#[test]
fn who_begins_leaves_most_of_it_to_whoever_comes_after_a_crash() {
    let a_minute = Span::Rolling { millis: 60_000 };
    for (mut keeper, most) in [
        (day(25), 2),
        (day(500), 16),
        (day(500_000), 488),
        (
            Keeper::new(
                Limit { name: "m".to_owned(), amount: 120, span: a_minute.clone(), replicas: Some(4) },
                "g",
            ),
            30,
        ),
        (
            Keeper::new(
                Limit { name: "m".to_owned(), amount: 120, span: a_minute.clone(), replicas: None },
                "g",
            ),
            16,
        ),
        (Keeper::new(Limit { name: "m".to_owned(), amount: 5, span: a_minute, replicas: None }, "g"), 2),
    ] {
        want(&mut keeper, 1, &at(0));
        let ledger = write(&mut keeper, None, &at(0));
        assert_eq!(ledger.taken(), most, "{:?}", keeper.limit);
    }
}

#[test]
fn a_limit_that_was_raised_is_not_used_up_any_more() {
    let mut keeper = day(1);
    want(&mut keeper, 1, &at(0));
    let ledger = write(&mut keeper, None, &at(0));
    keeper.landed(&ledger, &at(10));
    assert!(matches!(keeper.purse().take(1, at(10).steady_ms), Take::Taken(_)));
    assert!(matches!(keeper.purse().take(1, at(10).steady_ms), Take::Empty { .. }));
    let raised = Limit { amount: 2, ..keeper.limit.clone() };
    keeper.set_limit(&raised);
    assert!(matches!(keeper.purse().take(1, at(20).steady_ms), Take::Soon { .. }));
    keeper.tick(at(1_100).steady_ms, Some(&at(1_100)));
    assert!(keeper.is_due(at(1_100).steady_ms, false));
}

#[test]
fn a_grant_whose_answer_was_lost_is_found_in_the_record() {
    let mut keeper = day(100);
    want(&mut keeper, 25, &at(0));
    let lost = write(&mut keeper, None, &at(0));
    let again = keeper.plan(Some(&lost), &at(2_000)).expect("a window");
    assert_eq!(keeper.purse().balance(), 25);
    assert!(again.is_none_or(|ledger| ledger.taken() == 25));
}

#[test]
fn a_write_of_the_last_window_that_is_confirmed_late_gives_nothing() {
    let mut keeper = day(100);
    want(&mut keeper, 25, &at(0));
    let late = write(&mut keeper, None, &at(0));
    let tomorrow = at(86_400_000);
    keeper.tick(tomorrow.steady_ms, Some(&tomorrow));
    keeper.landed(&late, &tomorrow);
    assert_eq!(keeper.purse().balance(), 0);
}

#[test]
fn calls_that_are_under_way_at_midnight_count_in_both_days() {
    let mut keeper = day(100);
    want(&mut keeper, 8, &at(0));
    let ledger = write(&mut keeper, None, &at(0));
    keeper.landed(&ledger, &at(10));
    let Take::Taken(ticket) = keeper.purse().take(3, at(10).steady_ms) else { panic!("8 are there") };
    let tomorrow = at(12 * 3_600_000 + 1_000);
    keeper.tick(tomorrow.steady_ms, Some(&tomorrow));
    want(&mut keeper, 10, &tomorrow);
    let ledger = write(&mut keeper, Some(&ledger), &tomorrow);
    keeper.landed(&ledger, &tomorrow);
    assert_eq!(keeper.purse().balance() + 3, ledger.taken());
    keeper.purse().settle(ticket, 3, || tomorrow.steady_ms);
    assert_eq!(keeper.purse().flying(), 0);
}

#[test]
fn a_ledger_that_went_back_is_told_what_we_hold_and_grants_nothing() {
    let mut keeper = day(100);
    want(&mut keeper, 9, &at(0));
    let ledger = write(&mut keeper, None, &at(0));
    keeper.landed(&ledger, &at(10));
    want(&mut keeper, 20, &at(3_000));
    let healed = write(&mut keeper, None, &at(3_000));
    assert_eq!(healed.taken(), ledger.taken());
    let other = Holder::new("other", 0);
    assert_eq!(healed.grant(&other, 5, &at(4_000)).1, 0);
    assert_eq!(healed.grant(&other, 5, &at(70_000)).1, 5);
}

#[test]
fn the_end_in_order_gives_back_all_that_was_not_spent() {
    let mut keeper = day(100);
    want(&mut keeper, 9, &at(0));
    let ledger = write(&mut keeper, None, &at(0));
    keeper.landed(&ledger, &at(10));
    assert!(matches!(keeper.purse().take(4, at(10).steady_ms), Take::Taken(_)));
    let left = keeper.leave(Some(&ledger), &at(20)).expect("it held something");
    assert_eq!((left.left(), left.lost, left.holders.len()), (96, 4, 0));
    // Refused by the record, it is planned again.
    assert_eq!(keeper.leave(Some(&ledger), &at(30)), Some(left));
    assert!(!matches!(keeper.purse().take(1, at(30).steady_ms), Take::Taken(_)));
}

#[test]
fn without_the_bus_a_short_window_goes_on_with_an_equal_share_and_a_calendar_does_not() {
    let span = Span::Rolling { millis: 1_000 };
    let limit = Limit { name: "second".to_owned(), amount: 40, span, replicas: Some(4) };
    let mut keeper = Keeper::new(limit, "g");
    want(&mut keeper, 40, &at(0));
    let ledger = write(&mut keeper, None, &at(0));
    keeper.landed(&ledger, &at(10));
    let taken = |keeper: &mut Keeper, now: &Now| {
        keeper.tick(now.steady_ms, None);
        let mut sum = 0;
        while let Take::Taken(_) = keeper.purse().take(1, now.steady_ms) {
            sum += 1;
        }
        sum
    };
    assert_eq!(taken(&mut keeper, &at(14_000)), 40);
    assert_eq!(taken(&mut keeper, &at(16_000)), 10);
    assert_eq!(taken(&mut keeper, &at(900_000)), 10);
    assert_eq!(taken(&mut keeper, &at(930_000)), 0);
}
