//! Turns an observation into a vote: what this one, taken alone, says of the integration.
//!
//! Pure. Probes and the gateway's traffic are folded by one rule, so a provider that answers probes but fails
//! callers still goes down. A probe is one call; traffic is many, so its vote is the share of trouble:
//! half or more means the trouble itself, a quarter of a fair number of calls means degraded, less means well.

use model::Timestamp;
use model::health::{Check, Health, Observed, Reason};
use serde::{Deserialize, Serialize};

/// Failing calls without any success, in one observation, that count as much as confirmed probes
/// (five in a row, as the gateway's breaker has it).
pub const STRONG_FAILURES_MIN: u32 = 5;
/// Calls from which on a share below one half means something. Fewer are chance.
pub const SHARE_REQUESTS_MIN: u32 = 20;
/// One in so many failing calls makes an integration degraded.
pub const SHARE_DEGRADED: u32 = 4;
/// Longest sentence that is kept of an observation, in characters.
pub const SAID_CHARS_MAX: usize = 240;

/// What one observation says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// When.
    pub at: Timestamp,
    /// What the integration would be, if this was all one knew.
    pub health: Health,
    /// Why; absent when it is up.
    pub reason: Option<Reason>,
    /// Whether it needs no confirmation.
    pub strong: bool,
    /// The evidence, as a sentence for people.
    pub said: String,
    /// The evidence, in numbers.
    #[serde(default)]
    pub figures: Figures,
}

/// What an answer measured. Nothing when nobody answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Time to the answer, in milliseconds.
    pub latency_ms: Option<u32>,
    /// Its status code.
    pub status_code: Option<u16>,
}

impl Figures {
    /// Those of an observation. Trouble that means no answer has none, though other calls of that time may.
    fn of(seen: &Observed, reason: Option<Reason>) -> Self {
        match reason {
            Some(Reason::Unreachable | Reason::Timeout | Reason::TargetRefused) => Self::default(),
            _ => Self { latency_ms: seen.latency_ms, status_code: seen.status_code },
        }
    }
}

/// What an observation says, or nothing when it speaks of no call.
pub fn vote(seen: &Observed) -> Option<Vote> {
    if seen.requests == 0 || seen.reason == Some(Reason::Stale) {
        return None;
    }
    let failures = seen.failures.min(seen.requests);
    let well = (Health::Up, None);
    let (health, reason) = match (seen.reason, seen.check) {
        (None, _) => well,
        (Some(reason), _) if reason.health() == Health::Up => well,
        // A probe with a reason is trouble, also when it was answered (slow).
        (Some(reason), Check::Probe) => (reason.health(), Some(reason)),
        (Some(reason), Check::Traffic) if failures * 2 >= seen.requests => (reason.health(), Some(reason)),
        (Some(reason), Check::Traffic)
            if seen.requests >= SHARE_REQUESTS_MIN
                && failures.saturating_mul(SHARE_DEGRADED) >= seen.requests =>
        {
            (Health::Degraded, Some(reason))
        }
        (Some(_), Check::Traffic) => well,
    };
    let strong = reason.is_some() && failures >= STRONG_FAILURES_MIN && failures == seen.requests;
    let (said, figures) = (sentence(seen, health, reason), Figures::of(seen, reason));
    Some(Vote { at: seen.at, health, reason, strong, said, figures })
}

fn sentence(seen: &Observed, health: Health, reason: Option<Reason>) -> String {
    let what = reason.map_or(health.as_str(), Reason::as_str);
    let mut said = match seen.check {
        Check::Probe => format!("{}: probe says {what}", seen.at),
        Check::Traffic => {
            format!("{}: {} of {} calls had trouble: {what}", seen.at, seen.failures, seen.requests)
        }
    };
    if let Some(code) = seen.status_code {
        said.push_str(&format!(" ({code})"));
    }
    if let Some(latency_ms) = seen.latency_ms {
        said.push_str(&format!(", {latency_ms} ms"));
    }
    if let Some(detail) = &seen.detail {
        said.push_str(&format!(", {detail}"));
    }
    said.chars().take(SAID_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{probe, traffic};

    #[track_caller]
    fn check(seen: &Observed, health: Health, strong: bool) {
        let vote = vote(seen).expect("it speaks of calls");
        assert_eq!((vote.health, vote.strong), (health, strong), "{}", vote.said);
    }

    #[test]
    fn a_probe_says_what_its_reason_says() {
        check(&probe(1, None), Health::Up, false);
        check(&probe(1, Some(Reason::Timeout)), Health::Down, false);
        check(&probe(1, Some(Reason::Slow)), Health::Degraded, false);
        check(&probe(1, Some(Reason::BadRequest)), Health::Up, false);
    }

    #[test]
    fn traffic_says_what_most_calls_met() {
        check(&traffic(1, 100, 0, None), Health::Up, false);
        check(&traffic(1, 100, 10, Some(Reason::Timeout)), Health::Up, false);
        check(&traffic(1, 100, 25, Some(Reason::Timeout)), Health::Degraded, false);
        check(&traffic(1, 4, 1, Some(Reason::Timeout)), Health::Up, false);
        check(&traffic(1, 4, 2, Some(Reason::Timeout)), Health::Down, false);
        check(&traffic(1, 10, 9, Some(Reason::ThrottledBurst)), Health::Degraded, false);
    }

    #[test]
    fn five_failures_without_a_success_need_no_confirmation() {
        check(&traffic(1, 5, 5, Some(Reason::Unreachable)), Health::Down, true);
        check(&traffic(1, 4, 4, Some(Reason::Unreachable)), Health::Down, false);
        check(&traffic(1, 6, 5, Some(Reason::Unreachable)), Health::Down, false);
    }

    #[test]
    fn no_calls_say_nothing() {
        assert_eq!(vote(&traffic(1, 0, 0, None)), None);
    }
}
