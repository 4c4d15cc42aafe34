//! How long a scheduled question may take, and when another one is put beside it. Pure.
//!
//! An outage shall be known within two intervals, also one in which nothing answers any more. At worst it begins right
//! after a good answer: the next question is due an interval and its jitter later. Three failed ones are needed, and
//! if each waited for the one before, three time-outs would have to fit. So while a question waits for longer than
//! usual, the two that confirm it are put beside it, and all three waits overlap:
//!
//! ```text
//! 1.05 of the interval (with jitter) + 0.20 patience + 0.05 gap + 0.65 time-out = 1.95
//! ```
//!
//! A slow provider must not look dead. So a question may always take a quarter longer than what is slow there, and
//! the one beside it is not put before twice the usual time. Where these are more than their shares of the interval
//! (slow from half of it on, usual from a tenth of it on), an outage is known as much later.

use std::time::Duration;

/// How long a question may take, of the interval, in per cent.
const TIMEOUT_PER_CENT: u32 = 65;
/// How long it may take at least, of what is slow, in per cent.
const SLOW_PER_CENT: u32 = 125;
/// How long a question waits alone, of the interval, in per cent: when it is not known what is usual.
const ALONE_PER_CENT: u32 = 20;
/// And at least, however quick its answers usually are.
const ALONE_MIN_PER_CENT: u32 = 10;
/// How many times longer than usual it waits alone.
const USUAL_TIMES: u32 = 4;
/// The same where the answers are slow in comparison with the interval.
const USUAL_TIMES_MIN: u32 = 2;
/// Between the first question that is put beside it and the second, of the interval, in per cent.
const GAP_PER_CENT: u32 = 5;
/// Questions that are put beside one that waits.
pub(crate) const BESIDE_MAX: u32 = 2;

/// How long a scheduled question may take: as configured, but with room for its confirmation in the interval.
pub(crate) fn timeout(every: Duration, configured: Duration, slow: Duration) -> Duration {
    configured.min(share(every, TIMEOUT_PER_CENT).max(share(slow, SLOW_PER_CENT)))
}

/// How long a question waits before the next is put beside it. `usual` is the time of the last good answer; `beside`
/// is how many were put already.
pub(crate) fn alone(every: Duration, usual: Option<Duration>, beside: u32) -> Duration {
    let most = share(every, ALONE_PER_CENT);
    match usual {
        _ if beside > 0 => share(every, GAP_PER_CENT),
        None => most,
        Some(usual) => {
            let wanted = usual.saturating_mul(USUAL_TIMES).clamp(share(every, ALONE_MIN_PER_CENT), most);
            wanted.max(usual.saturating_mul(USUAL_TIMES_MIN))
        }
    }
}

fn share(of: Duration, per_cent: u32) -> Duration {
    of.saturating_mul(per_cent) / 100
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schedule::JITTER_PER_CENT;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_question_may_take_what_its_interval_and_its_slowness_allow() {
        for (every, configured, slow, wanted) in [
            (60_000, 5_000, 2_000, 5_000),
            (5_000, 5_000, 2_000, 3_250),
            (5_000, 1_000, 2_000, 1_000),
            (5_000, 5_000, 4_000, 5_000),
            (1_000, 5_000, 400, 650),
            (1_000, 5_000, 2_000, 2_500),
        ] {
            assert_eq!(
                timeout(ms(every), ms(configured), ms(slow)),
                ms(wanted),
                "{every} {configured} {slow}"
            );
        }
    }

    #[test]
    fn a_question_waits_alone_for_a_few_times_what_is_usual() {
        for (every, usual, beside, wanted) in [
            (5_000, Some(40), 0, 500),
            (5_000, Some(200), 0, 800),
            (5_000, Some(400), 0, 1_000),
            (5_000, Some(1_500), 0, 3_000),
            (5_000, None, 0, 1_000),
            (5_000, Some(40), 1, 250),
        ] {
            assert_eq!(alone(ms(every), usual.map(ms), beside), ms(wanted), "{every} {usual:?} {beside}");
        }
    }

    proptest! {
        #[test]
        fn an_outage_is_known_within_two_intervals(
            every in 1_000u64..86_400_000, configured in 50u64..60_000, slow_share in 0u64..=51, usual_share in 0u64..=9,
        ) {
            let (slow, usual) = (every * slow_share / 100, every * usual_share / 100);
            let due = every + every * JITTER_PER_CENT / 100;
            let waits = alone(ms(every), Some(ms(usual)), 0) + alone(ms(every), Some(ms(usual)), 1);
            let known = ms(due) + waits + timeout(ms(every), ms(configured), ms(slow));
            prop_assert!(known <= ms(2 * every), "{known:?}");
        }

        #[test]
        fn a_slow_answer_is_never_taken_for_none(every in 1_000u64..86_400_000, slow in 1u64..40_000) {
            prop_assert!(timeout(ms(every), ms(60_000), ms(slow)) > ms(slow));
        }
    }
}
