//! When a probe is due. Pure: the moment and the chance are arguments.
//!
//! Every integration has its own phase, hash(id) mod interval, so that a thousand of them do not ask at once and a
//! restart does not shift them. From start to start the interval stays; each start is moved by up to 5 % of it.
//! When an answer differs from the one before, the question is repeated soon, so that a blip and an outage are told
//! apart quickly, and an end of an outage as well.

pub(crate) mod pacing;
pub(crate) mod patience;

use std::time::Duration;

use model::Timestamp;
use model::id::stable_hash;

/// The largest share of the interval by which a start is moved, in per cent.
const JITTER_PER_CENT: u64 = 5;
/// How soon a change is asked again, at most; less where the interval is short.
const CONFIRM_MAX: Duration = Duration::from_millis(1_000);
/// Questions in a row that come soon after a change; after that the interval is kept again.
pub(crate) const CONFIRM_TIMES: u32 = 3;

/// Where in the interval an id's starts lie.
fn phase(id: &str, every: u64) -> u64 {
    let hash = stable_hash(id);
    (hash ^ (hash >> 29)) % every.max(1)
}

/// The next start after a moment. `chance` is between 0 and 1.
pub(crate) fn next(id: &str, every: Duration, after: Timestamp, chance: f64) -> Timestamp {
    let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX / 4).max(1);
    let after = u64::try_from(after.as_millis()).unwrap_or(0);
    let phase = phase(id, every);
    let slot = (after + every - phase) / every;
    let start = slot * every + phase;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of milliseconds"
    )]
    let moved = ((every * JITTER_PER_CENT / 100) as f64 * chance.clamp(0.0, 1.0)) as u64;
    Timestamp::from_millis(i64::try_from(start + moved).unwrap_or(i64::MAX))
}

/// How often in a row an integration answered alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streak {
    /// Whether the last answer was trouble; absent before the first.
    trouble: Option<bool>,
    /// Answers in a row like the last one, since they were last different.
    alike: u32,
}

impl Streak {
    /// Whether trouble would be news: then it is confirmed as quickly as it can be.
    pub(crate) fn is_calm(self) -> bool {
        self.trouble != Some(true)
    }

    /// With one answer more. A first answer without trouble is no change: it needs no confirmation.
    pub(crate) fn after(self, trouble: bool) -> Self {
        let alike = match self.trouble {
            Some(before) if before == trouble => self.alike.saturating_add(1),
            None if !trouble => CONFIRM_TIMES + 1,
            _ => 1,
        };
        Self { trouble: Some(trouble), alike }
    }
}

/// The next start after an answer that was unlike the ones before: soon, for the first few.
pub(crate) fn confirm(every: Duration, streak: Streak) -> Option<Duration> {
    (1..=CONFIRM_TIMES).contains(&streak.alike).then(|| soon(every))
}

/// How soon a question is asked again that confirms the one before.
pub(crate) fn soon(every: Duration) -> Duration {
    (every / 4).min(CONFIRM_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_start_is_later_and_within_one_interval_and_its_jitter(
            id in "[a-z]{1,20}", every in 1_000u64..86_400_000, after in 0i64..4_000_000_000_000, chance in 0.0f64..1.0,
        ) {
            let interval = Duration::from_millis(every);
            let start = next(&id, interval, Timestamp::from_millis(after), chance);
            let wait = start.as_millis() - after;
            prop_assert!(wait > 0, "{wait}");
            prop_assert!(wait as u64 <= every + every * JITTER_PER_CENT / 100, "{wait}");
        }

        #[test]
        fn starts_keep_their_cadence(id in "[a-z]{1,20}", every in 1_000u64..600_000, after in 0i64..4_000_000_000_000) {
            let interval = Duration::from_millis(every);
            let first = next(&id, interval, Timestamp::from_millis(after), 0.0);
            let second = next(&id, interval, first, 0.0);
            prop_assert_eq!(second.as_millis() - first.as_millis(), every as i64);
        }
    }

    #[test]
    fn many_integrations_are_spread_over_the_interval() {
        let every = Duration::from_secs(60);
        let mut seconds = [0u32; 60];
        for i in 0..6_000 {
            let start = next(&format!("integration-{i}"), every, Timestamp::from_millis(0), 0.0);
            seconds[usize::try_from(start.as_secs() % 60).expect("below 60")] += 1;
        }
        assert!(seconds.iter().all(|count| (40..=180).contains(count)), "{seconds:?}");
    }

    /// For each answer whether the next question comes soon: `x` is trouble, `.` is none.
    fn check(answers: &str, soon: &str) {
        let minute = Duration::from_secs(60);
        let mut streak = Streak::default();
        let got: String = answers
            .chars()
            .map(|answer| {
                streak = streak.after(answer == 'x');
                if confirm(minute, streak) == Some(CONFIRM_MAX) { '!' } else { '-' }
            })
            .collect();
        assert_eq!(got, soon, "{answers}");
    }

    #[test]
    fn a_change_is_asked_again_soon_and_not_for_ever() {
        check("....", "----");
        check("..xxxxx", "--!!!--");
        check("xxxx....", "!!!-!!!-");
        check("x.x.", "!!!!");
    }

    #[test]
    fn where_the_interval_is_short_soon_is_shorter() {
        let streak = Streak::default().after(true);
        assert_eq!(confirm(Duration::from_secs(2), streak), Some(Duration::from_millis(500)));
    }
}
