//! How long an answer may be waited for before something is done about it. Pure.
//!
//! What is usual is learned for every endpoint by itself: a list of models comes in milliseconds, a long text in a
//! minute. It is the slowest of the latest good answers, so that a provider that is slow now and then is given its time.

use std::time::Duration;

use super::peak::Peak;

/// Good answers from which on it is known what is usual.
const SAMPLES_MIN: u32 = 5;
/// Another member is asked beside after so many times what is usual.
const BESIDE_USUAL_TIMES: u32 = 3;
/// And not before this time, in milliseconds.
pub(crate) const BESIDE_MIN_MS: u64 = 250;
/// No answer counts as trouble after so many times what is usual.
const OVERDUE_USUAL_TIMES: u32 = 4;
/// And not before so many times what is slow.
const SLOW_TIMES: u32 = 2;

/// How long good answers of one endpoint take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usual(Peak);

impl Usual {
    /// A good answer took so long.
    pub(crate) fn saw(&mut self, took: Duration) {
        self.0.saw(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    fn known(self) -> Option<Duration> {
        self.0.known(SAMPLES_MIN).map(Duration::from_nanos)
    }
}

/// For how long a call is waited for, from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Then another member may be asked beside.
    pub(crate) beside: Duration,
    /// Then no answer is evidence against the integration.
    pub(crate) overdue: Duration,
}

/// The patience with a call: `slow` is what the integration calls slow, `timeout` what its calls may take.
///
/// The first member never has more than half of its time to itself; a call is overdue before it times out.
pub(crate) fn patience(usual: Usual, slow: Duration, timeout: Duration) -> Patience {
    let (half, most) = (timeout / 2, timeout / 4 * 3);
    let slow = slow.saturating_mul(SLOW_TIMES);
    match usual.known() {
        Some(usual) => Patience {
            beside: usual
                .saturating_mul(BESIDE_USUAL_TIMES)
                .max(Duration::from_millis(BESIDE_MIN_MS))
                .min(half),
            overdue: usual.saturating_mul(OVERDUE_USUAL_TIMES).max(slow).min(most),
        },
        None => Patience { beside: slow.min(half), overdue: slow.max(half).min(most) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn usual(times: impl IntoIterator<Item = u64>) -> Usual {
        let mut usual = Usual::default();
        times.into_iter().for_each(|time| usual.saw(ms(time)));
        usual
    }

    #[track_caller]
    fn check(times: &[u64], slow: u64, timeout: u64, beside: u64, overdue: u64) {
        let wanted = Patience { beside: ms(beside), overdue: ms(overdue) };
        assert_eq!(patience(usual(times.iter().copied()), ms(slow), ms(timeout)), wanted, "{times:?}");
    }

    #[test]
    fn a_quick_endpoint_is_given_up_sooner_than_a_slow_one() {
        check(&[40; 5], 2_000, 10_000, 250, 4_000);
        check(&[400; 5], 2_000, 10_000, 1_200, 4_000);
        check(&[3_000; 5], 2_000, 30_000, 9_000, 12_000);
    }

    #[test]
    fn before_anything_is_known_half_of_the_time_is_waited() {
        check(&[], 2_000, 10_000, 4_000, 5_000);
        check(&[40; 4], 2_000, 60_000, 4_000, 30_000);
        check(&[], 2_000, 2_000, 1_000, 1_500);
    }

    #[test]
    fn a_call_is_overdue_before_it_times_out() {
        check(&[40; 5], 2_000, 1_000, 250, 750);
        check(&[9_000; 5], 2_000, 10_000, 5_000, 7_500);
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_slowly() {
        let mut usual = usual([40; 100]);
        usual.saw(ms(3_000));
        assert_eq!(usual.known(), Some(ms(3_000)));
        (0..10).for_each(|_| usual.saw(ms(40)));
        assert!(usual.known() > Some(ms(1_000)), "{usual:?}");
        (0..100).for_each(|_| usual.saw(ms(40)));
        assert!(usual.known() < Some(ms(60)), "{usual:?}");
    }
}
