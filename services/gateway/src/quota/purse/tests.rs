//! A purse by example, on several threads, and a rolling one against a list of all that it let through.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use jiff::tz::TimeZone;
use model::integration::Window as Per;
use proptest::prelude::*;

use super::*;

fn limit(amount: u64, span: Span) -> Limit {
    Limit { name: "l".to_owned(), amount, span, replicas: None }
}

/// One of a calendar, with so much in it until a minute has passed.
fn calendar(units: u64) -> Purse {
    let purse = Purse::new(&limit(100, Span::Calendar { per: Per::Day, zone: TimeZone::UTC }));
    purse.open(60_000);
    purse.deposit(units);
    purse
}

fn renewing(amount: u64, span: Span) -> Purse {
    let purse = Purse::new(&limit(amount, span));
    purse.end_at(u64::MAX);
    purse.deposit(amount);
    purse.show(0, None);
    purse
}

fn taken(purse: &Purse, units: u64, now_ms: u64) -> Ticket {
    match purse.take(units, now_ms) {
        Take::Taken(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_one_pair_of_cache_lines() {
    assert_eq!((size_of::<Purse>(), align_of::<Purse>()), (128, 128));
}

#[test]
fn no_more_is_taken_than_is_there_and_nothing_after_the_end() {
    let purse = calendar(3);
    taken(&purse, 2, 0);
    assert_eq!(purse.take(2, 0), Take::Soon { again_ms: 50 });
    taken(&purse, 1, 59_999);
    purse.deposit(5);
    assert_eq!(purse.take(1, 60_000), Take::Soon { again_ms: 60_050 });
    assert_eq!((purse.take(101, 0), purse.take_refused()), (Take::Never, 3));
    purse.withdraw(5);
    purse.set_dry(Some(70_000));
    assert_eq!(purse.take(1, 0), Take::Empty { resets_ms: 70_000 });
}

#[test]
fn what_calls_under_way_may_leave_is_waited_for_and_no_more() {
    let purse = calendar(10);
    purse.set_dry(Some(50_000));
    purse.estimates(5);
    assert_eq!(purse.take(15, 0), Take::Soon { again_ms: AGAIN_MS });
    assert_eq!(purse.take(16, 0), Take::Empty { resets_ms: 50_000 });
    purse.estimates(-5);
    assert_eq!(purse.take(15, 0), Take::Empty { resets_ms: 50_000 });
    // What they leave does not come home in the next window.
    purse.estimates(5);
    purse.open(120_000);
    purse.set_dry(Some(50_000));
    assert_eq!(purse.take(1, 0), Take::Empty { resets_ms: 50_000 });
}

#[test]
fn what_can_be_leased_is_waited_for_as_a_grant_and_not_as_a_window() {
    let purse = renewing(5, Span::Rolling { millis: 60_000 });
    taken(&purse, 5, 0);
    let Take::Wait { until_ms } = purse.take(1, 1_000) else { panic!("none is left") };
    assert!(until_ms >= 60_000, "{until_ms}");
    purse.show(10, None);
    assert_eq!(purse.take(1, 1_000), Take::Soon { again_ms: 1_000 + AGAIN_MS });
}

#[test]
fn a_call_that_was_not_sent_or_took_less_gives_back_unless_the_window_is_over() {
    let purse = calendar(10);
    let (first, second) = (taken(&purse, 4, 0), taken(&purse, 6, 0));
    purse.settle(first, 1, || 0);
    assert_eq!((purse.balance(), purse.flying()), (3, 6));
    assert_eq!(purse.open(120_000), 6);
    purse.settle(second, 0, || 0);
    assert_eq!((purse.balance(), purse.flying()), (0, 0));
}

#[test]
fn what_was_used_beyond_all_is_paid_from_what_comes_next() {
    let purse = calendar(10);
    let ticket = taken(&purse, 4, 0);
    assert_eq!(purse.settle(ticket, 25, || 0), 15);
    purse.deposit(10);
    assert_eq!(purse.balance(), 0);
    purse.deposit(10);
    assert_eq!(purse.balance(), 5);
}

#[test]
fn a_rolling_unit_comes_home_a_window_after_it_was_spent() {
    let purse = renewing(2, Span::Rolling { millis: 60_000 });
    taken(&purse, 1, 1_000);
    taken(&purse, 1, 31_000);
    let Take::Wait { until_ms } = purse.take(1, 40_000) else { panic!("there is none") };
    assert!((61_250..62_000).contains(&until_ms), "{until_ms}");
    assert_eq!(purse.take(1, until_ms - 1), Take::Wait { until_ms });
    taken(&purse, 1, until_ms);
    assert!(matches!(purse.take(1, until_ms), Take::Wait { .. }));
}

#[test]
fn a_bucket_fills_evenly() {
    // Five at once, and sixty a minute.
    let purse = renewing(5, Span::Bucket { millis: 5_000 });
    taken(&purse, 5, 0);
    let mut now = 0;
    for second in 1..20 {
        let Take::Wait { until_ms } = purse.take(1, now) else { panic!("none is left") };
        // By how much calls may take longer to the provider, it begins later.
        assert_eq!(until_ms, second * 1_000 + slack_ms(5_000));
        assert_eq!(purse.take(1, until_ms - 1), Take::Wait { until_ms });
        taken(&purse, 1, until_ms);
        now = until_ms;
    }
    purse.sweep(now + 3_000);
    assert_eq!(purse.balance(), 3);
    // Full, it fills no further.
    purse.sweep(now + 60_000);
    assert_eq!(purse.balance(), 5);
    taken(&purse, 5, now + 60_000);
    assert!(matches!(purse.take(1, now + 60_999), Take::Wait { .. }));
}

#[test]
fn a_share_of_a_bucket_fills_as_fast_as_it_is_large() {
    let purse = renewing(10, Span::Bucket { millis: 10_000 });
    taken(&purse, 6, 0);
    // Four go to another gateway: six are left, which fill at six tenths of the pace.
    purse.retire(4);
    assert_eq!((purse.balance(), purse.debt()), (0, 0));
    let Take::Wait { until_ms } = purse.take(3, 0) else { panic!("none is left") };
    assert_eq!(until_ms, 5_000 + slack_ms(10_000));
    // What was used beyond all that is there is waited for.
    let ticket = taken(&purse, 3, until_ms);
    assert_eq!(purse.settle(ticket, 6, || until_ms), 3);
    // The reckoning has whole units only: a part of one may have passed.
    let Take::Wait { until_ms: again } = purse.take(1, until_ms) else { panic!("none is left") };
    let waits = 4 * 10_000 / 6;
    assert!((waits - 1..=waits + 1).contains(&(again - until_ms)), "{}", again - until_ms);
}

#[test]
fn what_passed_before_a_share_of_a_bucket_grew_counts_for_what_it_was() {
    let purse = Purse::new(&limit(9, Span::Bucket { millis: 1_000 }));
    purse.end_at(u64::MAX);
    purse.deposit(1);
    purse.show(0, None);
    taken(&purse, 1, 0);
    // Nearly all of the time of one unit has passed, and eight more come: full ones.
    let nearly = 990 + slack_ms(1_000);
    purse.sweep(nearly);
    purse.deposit(8);
    taken(&purse, 8, nearly);
    purse.sweep(nearly);
    assert_eq!(purse.balance(), 0);
    let Take::Wait { until_ms } = purse.take(2, nearly) else { panic!("none is left") };
    assert!((nearly + 111..nearly + 115).contains(&until_ms), "{until_ms}");
}

#[test]
fn what_a_call_of_a_bucket_did_not_use_comes_back_but_for_what_came_home_meanwhile() {
    let purse = renewing(10, Span::Bucket { millis: 10_000 });
    let (first, second) = (taken(&purse, 4, 0), taken(&purse, 6, 0));
    purse.settle(first, 0, || 0);
    assert_eq!(purse.balance(), 4);
    let late = 4_000 + slack_ms(10_000);
    purse.sweep(late);
    assert_eq!(purse.balance(), 8);
    purse.settle(second, 0, || late);
    assert_eq!(purse.balance(), 10);
    // All of a call came home before it ended: of what others spent meanwhile nothing comes back for it.
    let third = taken(&purse, 2, late);
    purse.sweep(2 * late);
    taken(&purse, 10, 2 * late);
    purse.settle(third, 0, || 2 * late);
    assert_eq!(purse.balance(), 0);
}

#[test]
fn a_busy_bucket_gets_back_what_long_calls_did_not_use() {
    // Ten a second; each call takes forty, lasts five seconds and uses three.
    let purse = renewing(600, Span::Bucket { millis: 60_000 });
    let (mut calls, mut used) = (VecDeque::new(), 0);
    for now in (0..300_000_u64).step_by(100) {
        while calls.front().is_some_and(|(ends, _)| *ends <= now) {
            let (_, ticket) = calls.pop_front().expect("one is there");
            purse.settle(ticket, 3, || now);
            used += 3;
        }
        if let Take::Taken(ticket) = purse.take(40, now) {
            calls.push_back((now + 5_000, ticket));
        }
    }
    // Never more than fifteen at a time fit in; these use nine a second.
    assert!(used >= 300 * 8, "{used}");
}

#[test]
fn what_is_owed_to_a_bucket_is_paid_at_the_pace_of_all_that_is_here_by_then() {
    let purse = Purse::new(&limit(600, Span::Bucket { millis: 60_000 }));
    purse.end_at(u64::MAX);
    purse.deposit(2);
    let ticket = taken(&purse, 2, 0);
    assert_eq!(purse.settle(ticket, 52, || 0), 50);
    // Two units would need half an hour for fifty; of a hundred more half are gone at once, and the rest fills on.
    purse.deposit(100);
    assert_eq!(purse.balance(), 50);
    purse.show(0, None);
    let Take::Wait { until_ms } = purse.take(60, 0) else { panic!("there are fifty") };
    assert!(until_ms <= 7_000, "{until_ms}");
}

#[test]
fn a_share_that_shrinks_loses_spent_units_when_they_are_home() {
    let purse = renewing(4, Span::Concurrent);
    let tickets = [taken(&purse, 1, 0), taken(&purse, 1, 0), taken(&purse, 1, 0)];
    purse.retire(3);
    assert_eq!((purse.balance(), purse.debt()), (0, 2));
    for ticket in tickets {
        purse.settle(ticket, 1, || 0);
    }
    assert_eq!((purse.balance(), purse.debt()), (1, 0));
}

#[test]
fn the_providers_word_lowers_what_may_be_spent_and_never_raises_it() {
    let purse = calendar(10);
    assert_eq!((purse.heed(4, 0), purse.balance()), (6, 4));
    assert_eq!((purse.heed(9, 0), purse.balance()), (0, 4));
    let rolling = renewing(10, Span::Rolling { millis: 1_000 });
    rolling.heed(0, 0);
    assert!(matches!(rolling.take(10, 1_000), Take::Wait { .. }));
    taken(&rolling, 10, 1_040);
}

#[test]
fn threads_together_take_what_there_is_and_no_more() {
    const UNITS: u64 = 50_000;
    let (purse, stop) = (calendar(0), AtomicBool::new(false));
    let sum: u64 = std::thread::scope(|threads| {
        let spend = || {
            let mut sum = 0;
            while !stop.load(Relaxed) || purse.balance() > 0 {
                if let Take::Taken(ticket) = purse.take(3, 0) {
                    purse.settle(ticket, 2, || 0);
                    sum += 2;
                } else if let Take::Taken(ticket) = purse.take(1, 0) {
                    purse.settle(ticket, 1, || 0);
                    sum += 1;
                }
            }
            sum
        };
        let all = [threads.spawn(spend), threads.spawn(spend), threads.spawn(spend)];
        (0..UNITS / 10).for_each(|_| purse.deposit(10));
        stop.store(true, Relaxed);
        all.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!((sum, purse.balance(), purse.flying()), (UNITS, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_stretch_of_a_window_has_more_than_the_limit(
        millis in prop::sample::select(vec![100_u32, 1_000, 10_000, 60_000]),
        amount in 1_u64..50,
        gaps in prop::collection::vec((0_u64..200, 1_u64..6, 0_u64..6), 1..400),
    ) {
        let purse = renewing(amount, Span::Rolling { millis });
        let mut log: VecDeque<(u64, u64)> = VecDeque::new();
        let mut now = 0;
        for (gap, units, used) in gaps {
            now += gap * u64::from(millis) / 2_000;
            if let Take::Taken(ticket) = purse.take(units, now) {
                let used = used.min(units);
                purse.settle(ticket, used, || now);
                log.push_back((now, used));
            }
            log.retain(|(at, _)| at + u64::from(millis) > now);
            prop_assert!(log.iter().map(|(_, units)| units).sum::<u64>() <= amount);
            let away: u64 = log.iter().map(|(_, units)| units).sum();
            prop_assert!(purse.balance() + away <= amount);
        }
        purse.sweep(now + 2 * u64::from(millis));
        prop_assert_eq!(purse.balance(), amount);
    }

    #[test]
    fn a_bucket_never_gives_more_than_one_that_is_counted_by_itself(
        millis in prop::sample::select(vec![10_u32, 100, 1_000, 60_000]),
        amount in 1_u64..50,
        steps in prop::collection::vec((0_u64..200, 1_u64..6, 0_u64..8, 0_u64..300), 1..400),
    ) {
        let purse = renewing(amount, Span::Bucket { millis });
        // What it lacks, in parts of a unit, and when that was.
        let (mut lacks, mut at, mut now) = (0_u64, 0_u64, 0_u64);
        for (gap, units, used, lasts) in steps {
            now += gap * u64::from(millis) / 2_000;
            if let Take::Taken(ticket) = purse.take(units, now) {
                lacks = lacks.saturating_sub((now - at) * amount) + used.min(units) * u64::from(millis);
                at = now;
                prop_assert!(lacks <= amount * u64::from(millis), "{} of {}", lacks, amount);
                now += lasts * u64::from(millis) / 2_000;
                purse.settle(ticket, used.min(units), || now);
            }
        }
        purse.sweep(now + 3 * u64::from(millis));
        prop_assert_eq!(purse.balance(), amount);
    }
}
