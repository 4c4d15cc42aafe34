//! The calls to one integration that wait for their answers, and what their waiting says. Pure: time is an argument.
//!
//! A provider that hangs says nothing until the time-outs end, so the waiting itself is evidence. One call that waits
//! says nothing of the provider, and nor do many as long as others are answered: slow is not silent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::patience::{BESIDE_MIN_MS, Patience, Usual, patience};
use super::peak::ByEndpoint;

/// Calls whose patience is over, without an answer to any since, from which on the integration is silent.
const SILENT_CALLS: usize = 5;
/// The oldest calls that are looked at to say so.
const SILENT_LOOK_MAX: usize = 256;
/// Overdue calls from which on they are evidence. Fewer may be at fault themselves.
const OVERDUE_CALLS_MIN: usize = 3;

/// The waiting calls of one integration.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    calls: BTreeMap<u64, Call>,
    next: u64,
    /// When a call was last answered.
    answered: Option<Instant>,
    usual: ByEndpoint<Usual>,
}

#[derive(Debug)]
struct Call {
    since: Instant,
    patience: Patience,
}

impl Waiting {
    /// A call is sent. Its number, and the patience with it.
    pub(crate) fn begin(
        &mut self,
        endpoint: &str,
        slow: Duration,
        timeout: Duration,
        now: Instant,
    ) -> (u64, Patience) {
        let patience = self.patience(endpoint, slow, timeout);
        self.next += 1;
        self.calls.insert(self.next, Call { since: now, patience });
        (self.next, patience)
    }

    /// The patience with a call that somebody else sends.
    pub(crate) fn patience(&self, endpoint: &str, slow: Duration, timeout: Duration) -> Patience {
        patience(self.usual.get(endpoint).copied().unwrap_or_default(), slow, timeout)
    }

    /// A call ended. `good` is its endpoint, when it was answered well.
    pub(crate) fn end(&mut self, number: u64, answered: bool, good: Option<&str>, now: Instant) {
        let Some(call) = self.calls.remove(&number) else { return };
        if answered {
            self.answered = Some(now);
        }
        let Some(endpoint) = good else { return };
        let took = now.saturating_duration_since(call.since);
        if let Some(usual) = self.usual.entry(endpoint) {
            usual.saw(took);
        }
    }

    /// Whether it takes calls and answers none. Ends with the first answer, or when nobody waits any more.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        // The usual case, at little cost: whoever waits for longer than this has seen an answer to somebody else.
        let lately = Duration::from_millis(BESIDE_MIN_MS);
        if self.calls.len() < SILENT_CALLS || self.answered.is_some_and(|at| at + lately > now) {
            return false;
        }
        let over = |call: &&Call| now >= call.since + call.patience.beside;
        let last = self.calls.values().take(SILENT_LOOK_MAX).filter(over).nth(SILENT_CALLS - 1);
        last.is_some_and(|call| self.answered.is_none_or(|at| at < call.since))
    }

    /// How many calls wait for longer than any answer should take; none while others are answered.
    pub(crate) fn overdue(&self, now: Instant) -> u32 {
        let over = |call: &&Call| now >= call.since + call.patience.overdue;
        let alone = |call: &&Call| self.answered.is_none_or(|at| at < call.since);
        let count = self.calls.values().filter(over).filter(alone).count();
        if count < OVERDUE_CALLS_MIN { 0 } else { u32::try_from(count).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_secs(2);
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Calls by their start, `?` answered by nobody, `.` answered at once, 100 ms apart, after a quick history; then
    /// whether it is silent and how many are overdue at a moment.
    #[track_caller]
    fn check(calls: &str, at_ms: u64, silent: bool, overdue: u32) {
        let start = Instant::now();
        let mut waiting = Waiting::default();
        for _ in 0..10 {
            let (number, _) = waiting.begin("/", SLOW, TIMEOUT, start);
            waiting.end(number, true, Some("/"), start + Duration::from_millis(10));
        }
        for (place, call) in calls.chars().enumerate() {
            let now = start + Duration::from_millis(100 * (place as u64 + 1));
            let (number, _) = waiting.begin("/", SLOW, TIMEOUT, now);
            if call == '.' {
                waiting.end(number, true, Some("/"), now + Duration::from_millis(10));
            }
        }
        let at = start + Duration::from_millis(at_ms);
        assert_eq!((waiting.is_silent(at), waiting.overdue(at)), (silent, overdue), "{calls} at {at_ms} ms");
    }

    #[test]
    fn calls_that_nobody_answers_are_silence_and_later_evidence() {
        check("?????", 600, false, 0);
        check("?????", 800, true, 0);
        check("?????", 4_250, true, 0);
        check("?????", 4_350, true, 3);
        check("?????", 4_600, true, 5);
    }

    #[test]
    fn one_that_waits_says_nothing() {
        check("?", 9_000, false, 0);
        check("??", 9_000, false, 0);
        check("????", 9_000, false, 4);
    }

    #[test]
    fn while_others_are_answered_slow_is_not_silent() {
        check("?????.", 9_000, false, 0);
        check("?.?.?.?.?.", 9_000, false, 0);
        check("??.?????", 9_000, true, 5);
    }

    #[test]
    fn silence_ends_with_an_answer_or_when_nobody_waits() {
        let start = Instant::now();
        let mut waiting = Waiting::default();
        let numbers: Vec<u64> = (0..6).map(|_| waiting.begin("/", SLOW, TIMEOUT, start).0).collect();
        let later = start + Duration::from_secs(8);
        assert!(waiting.is_silent(later));
        waiting.end(numbers[0], false, None, later);
        assert!(waiting.is_silent(later));
        waiting.end(numbers[1], false, None, later);
        assert!(!waiting.is_silent(later));
        waiting.end(numbers[2], true, Some("/"), later);
        assert_eq!((waiting.is_silent(later), waiting.overdue(later)), (false, 0));
    }
}
