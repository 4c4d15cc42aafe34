//! Stories of calls: a letter each, `.` good, `x` bad; a number waits so many seconds. Calls are 10 ms apart.

use proptest::prelude::*;

use super::*;

/// The middle: no jitter.
const DICE: f64 = 0.5;

fn run(story: &str) -> (Breaker, Instant) {
    let (mut breaker, mut now) = (Breaker::new(), Instant::now());
    for word in story.split_whitespace() {
        if let Ok(secs) = word.parse::<u64>() {
            now += Duration::from_secs(secs);
            continue;
        }
        for call in word.chars() {
            now += Duration::from_millis(10);
            let outcome = if call == '.' { Outcome::Good } else { Outcome::Bad };
            if breaker.standing(now, 0.0, None) == Standing::Due {
                assert_eq!(breaker.enter(now, None), Ok(true), "{story}");
            }
            breaker.saw(outcome, now, DICE);
        }
    }
    (breaker, now)
}

/// How it stands after a story: `sure`, `due`, or for how many seconds it is shut.
#[track_caller]
fn check(story: &str, wanted: &str) {
    let (breaker, now) = run(story);
    let found = match breaker.standing(now, DICE, None) {
        Standing::Sure => "sure".to_owned(),
        Standing::Due => "due".to_owned(),
        Standing::Shut(shut) => (shut.until - now).as_secs_f64().round().to_string(),
    };
    assert_eq!(found, wanted, "{story}");
}

#[test]
fn it_opens_after_failures_in_a_row() {
    check("....", "sure");
    check("xxxx", "sure");
    check("xxxx.xxxx", "sure");
    check("xxxxx", "30");
}

#[test]
fn it_opens_where_half_of_many_fail() {
    check("x.x.x.x.x.x.x.x.x.", "sure");
    check("x.x.x.x.x.x.x.x.x.x.x", "30");
    check("x..x..x..x..x..x..x..x..x..x..", "sure");
    // What was long ago counts no more.
    check("x.x.x.x.x.x.x.x.x. 11 x.x.x.", "sure");
}

#[test]
fn it_is_open_longer_each_time() {
    check("xxxxx 31", "due");
    check("xxxxx 31 x", "60");
    check("xxxxx 31 x 61 x", "90");
    let many = format!("xxxxx {}", "301 x ".repeat(12));
    check(&many, "300");
    // Unless it was well for long.
    check("xxxxx 31 . 4 . 10 xxxxx", "60");
    check("xxxxx 31 . 4 . 301 xxxxx", "30");
}

#[test]
fn a_good_probe_gives_it_a_part_of_the_calls_and_more_each_second() {
    let (breaker, now) = run("xxxxx 31 .");
    let part = |ms: u64| {
        let at = now + Duration::from_millis(ms);
        (0..1_000).filter(|n| breaker.standing(at, f64::from(*n) / 1_000.0, None) == Standing::Sure).count()
    };
    assert_eq!([part(0), part(1_500), part(2_500), part(3_500)], [100, 250, 500, 1_000]);
    check("xxxxx 31 . 4 .", "sure");
    check("xxxxx 31 .xx", "60");
}

#[test]
fn one_call_tries_it() {
    let (mut breaker, now) = run("xxxxx 31");
    assert_eq!(breaker.enter(now, None), Ok(true));
    assert_eq!(breaker.enter(now, None), Err(()));
    let soon = now + Duration::from_millis(100);
    breaker.left(now, soon, DICE);
    assert_eq!(breaker.enter(soon, None), Ok(true), "the caller went away");
    breaker.left(soon, soon + Duration::from_secs(5), DICE);
    let later = soon + Duration::from_secs(5);
    assert_eq!(breaker.enter(later, None), Ok(false), "it hung");
    assert!(matches!(breaker.standing(later, DICE, None), Standing::Shut(_)));
}

#[test]
fn somebody_elses_word_that_it_is_well_lets_it_be_tried_at_once() {
    let (mut breaker, now) = run("xxxxx");
    assert_eq!(breaker.enter(now, Some(now - Duration::from_secs(1))), Ok(false));
    assert_eq!(breaker.enter(now, Some(now + Duration::from_secs(1))), Ok(true));
}

#[test]
fn a_provider_that_names_a_time_gets_no_calls_until_then() {
    let (named, none) = (Some(Duration::from_secs(20)), None);
    for (waits, secs) in [
        (vec![(Reason::ThrottledBurst, named)], 20),
        (vec![(Reason::Banned, Some(Duration::from_secs(900_000)))], 3_600),
        (vec![(Reason::ThrottledBurst, none)], 1),
        (vec![(Reason::ThrottledBurst, none); 3], 4),
        (vec![(Reason::ThrottledBurst, none); 30], 60),
        (vec![(Reason::QuotaExhausted, none)], 60),
        (vec![(Reason::Banned, named), (Reason::ThrottledBurst, none)], 20),
    ] {
        let (mut breaker, now) = (Breaker::new(), Instant::now());
        for (reason, asked) in &waits {
            breaker.saw(Outcome::Wait(*reason, *asked), now, 0.0);
        }
        let Standing::Shut(shut) = breaker.standing(now, DICE, None) else { panic!("{waits:?}") };
        assert_eq!((shut.until - now).as_secs(), secs, "{waits:?}");
        // An answer to a call from before changes nothing; one from after does.
        breaker.saw(Outcome::Good, now, DICE);
        assert!(matches!(breaker.standing(now, DICE, None), Standing::Shut(_)));
        breaker.saw(Outcome::Good, shut.until, DICE);
        assert!(breaker.is_clear());
    }
}

proptest! {
    #[test]
    fn it_never_stays_shut(story in "[.x]{0,40}( [0-9]{1,2} [.x]{1,8}){0,12}") {
        let (mut breaker, now) = run(&story);
        // However it came there, it can be tried after its longest time, and closes where all is well.
        let mut at = now + Duration::from_secs(u64::from(OPEN_SECS_MAX) * 2);
        prop_assert!(!matches!(breaker.standing(at, 0.0, None), Standing::Shut(_)), "{breaker:?}");
        let _ = breaker.enter(at, None);
        for _ in 0..12 {
            breaker.saw(Outcome::Good, at, DICE);
            at += Duration::from_secs(1);
        }
        prop_assert_eq!(breaker.standing(at, 0.99, None), Standing::Sure);
        prop_assert!(breaker.is_clear(), "{breaker:?}");
    }

    #[test]
    fn it_never_opens_while_most_are_good(bads in proptest::collection::vec(0..3_u8, 0..400)) {
        // Two good calls behind each bad one.
        let story: String = bads.iter().map(|n| if *n == 0 { "x.." } else { "..." }).collect();
        let (breaker, now) = run(&story);
        prop_assert_eq!(breaker.standing(now, DICE, None), Standing::Sure);
    }
}

#[test]
fn a_burst_is_over_when_somebody_saw_it_take_calls_again() {
    let begun = Instant::now();
    let later = begun + Duration::from_secs(5);
    for (reason, over) in
        [(Reason::ThrottledBurst, true), (Reason::QuotaExhausted, false), (Reason::Banned, false)]
    {
        let mut breaker = Breaker::new();
        breaker.saw(Outcome::Wait(reason, Some(Duration::from_secs(60))), begun, DICE);
        assert!(matches!(breaker.standing(later, DICE, None), Standing::Shut(_)), "{reason:?}");
        assert!(matches!(breaker.standing(later, DICE, Some(begun)), Standing::Shut(_)), "{reason:?}");
        let seen = breaker.standing(later, DICE, Some(begun + Duration::from_secs(4)));
        assert_eq!(seen == Standing::Sure, over, "{reason:?}: {seen:?}");
    }
}
