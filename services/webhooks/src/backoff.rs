//! Decides when a delivery is tried again, or given up. Pure: time and chance are arguments.
//!
//! The pauses are a list (the first is the one before the first attempt); each is drawn between nothing and the
//! whole ("full jitter"), so that a herd of deliveries spreads. What a target asks for is never undercut, up to a ceiling.

use std::time::Duration;

use model::Timestamp;

/// The longest wait that a target can ask for.
pub(crate) const ASKED_MAX: Duration = Duration::from_secs(3_600);
/// What is added at most to what a target asks for, as its share.
const ASKED_JITTER: f64 = 0.1;

/// When the attempt after number `attempt` (from 1) of a delivery made at `created_at` is due. None: it is given up.
///
/// It is given up when it had as many attempts as there are pauses, and is as old as they last on average: attempts that
/// were made sooner because others waited behind it do not shorten its life.
pub(crate) fn next_at(
    pauses_secs: &[u64],
    attempt: u32,
    created_at: Timestamp,
    asked: Option<Duration>,
    now: Timestamp,
    random01: f64,
) -> Option<Timestamp> {
    let life = Duration::from_secs(pauses_secs.iter().sum()) / 2;
    let pause = match pauses_secs.get(usize::try_from(attempt).unwrap_or(usize::MAX)) {
        Some(pause) => *pause,
        None if now.since(created_at) < life => *pauses_secs.last()?,
        None => return None,
    };
    let chance = if random01.is_nan() { 1.0 } else { random01.clamp(0.0, 1.0) };
    let own = Duration::from_secs(pause).mul_f64(chance);
    let asked = asked.map(|asked| asked.min(ASKED_MAX).mul_f64(1.0 + ASKED_JITTER * chance));
    Some(now.plus(own.max(asked.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAUSES: [u64; 4] = [0, 5, 30, 120];
    /// Older than any delivery that still has a life.
    const OLD: Timestamp = Timestamp::from_millis(-1_000_000_000);
    const NOW: Timestamp = Timestamp::from_millis(0);

    #[test]
    fn each_attempt_has_its_pause_and_the_last_has_none() {
        let next = |attempt| next_at(&PAUSES, attempt, OLD, None, NOW, 1.0).map(Timestamp::as_millis);
        assert_eq!([next(1), next(2), next(3), next(4)], [Some(5_000), Some(30_000), Some(120_000), None]);
    }

    #[test]
    fn attempts_made_sooner_do_not_shorten_a_delivery_s_life() {
        let next = |age_secs: i64| {
            let created = Timestamp::from_millis(-1_000 * age_secs);
            next_at(&PAUSES, 9, created, None, NOW, 1.0).map(Timestamp::as_millis)
        };
        // The pauses last 155 s at most, half of it on average.
        assert_eq!([next(10), next(77), next(78)], [Some(120_000), Some(120_000), None]);
        assert_eq!(next_at(&[], 1, NOW, None, NOW, 1.0), None);
    }

    #[test]
    fn chance_spreads_the_whole_pause() {
        let at = |random| next_at(&PAUSES, 2, OLD, None, NOW, random).expect("there is a next");
        assert_eq!((at(0.0).as_millis(), at(0.5).as_millis()), (0, 15_000));
    }

    proptest! {
        #[test]
        fn what_is_asked_is_never_undercut_below_the_ceiling(asked in 0_u64..100_000, attempt in 1_u32..4, random in 0.0_f64..=1.0) {
            let asked = Duration::from_secs(asked);
            let at = next_at(&PAUSES, attempt, OLD, Some(asked), NOW, random).expect("there is a next");
            prop_assert!(at.since(NOW) >= asked.min(ASKED_MAX));
            prop_assert!(at.since(NOW) <= ASKED_MAX.mul_f64(1.1));
        }
    }
}
