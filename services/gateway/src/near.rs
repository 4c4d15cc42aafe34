//! How near an integration's limits are, so that a route can leave it before they are reached.
//!
//! Two sources: what the provider says in its answers' headers, and the configured quotas as far as this process counted
//! its own calls. A provider's word may come late and out of order: only one about a call that was sent later than the
//! last one's is taken. Exists only for members of a route that asks; refuses nothing.

mod window;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use catalogue::Hint;
use model::Timestamp;
use model::integration::{Quota, Ratio};

/// The share from which on a limit is near where no quota of its name says so.
const NEAR: Ratio = Ratio::from_millionths(800_000);
/// For how long a limit stays near whose next window nobody named, in milliseconds.
const UNNAMED_MS: i64 = 60_000;
/// Limits of a provider that are kept apart. Its catalogue entry names them; further ones are not looked at.
const LIMITS_MAX: usize = 16;

/// The limits of one integration.
pub(crate) struct Near {
    /// Until when one is near, in Unix milliseconds: all that a call looks at.
    until_ms: AtomicI64,
    quotas: Vec<Quota>,
    limits: Mutex<Limits>,
}

#[derive(Default)]
struct Limits {
    counted: Vec<Counted>,
    heard: Vec<Heard>,
}

/// A configured quota in its window.
#[derive(Clone, Copy, Default)]
struct Counted {
    ends: Timestamp,
    used: u64,
    is_near: bool,
}

/// What a provider said last of a limit.
struct Heard {
    name: String,
    sent_at: Timestamp,
    /// The most that was ever left: the limit, where nobody says it.
    most: u64,
    near_until: Timestamp,
}

impl Near {
    pub(crate) fn new(quotas: &[Quota]) -> Self {
        let counted = vec![Counted::default(); quotas.len()];
        let limits = Mutex::new(Limits { counted, heard: Vec::new() });
        Self { until_ms: AtomicI64::new(i64::MIN), quotas: quotas.to_vec(), limits }
    }

    /// Whether it counts these quotas.
    pub(crate) fn is_of(&self, quotas: &[Quota]) -> bool {
        self.quotas == quotas
    }

    /// Whether a limit is nearly reached.
    pub(crate) fn is_near(&self, now: Timestamp) -> bool {
        now.as_millis() < self.until_ms.load(Ordering::Relaxed)
    }

    /// Counts a call that is sent.
    pub(crate) fn sent(&self, now: Timestamp) {
        if self.quotas.is_empty() {
            return;
        }
        let mut limits = self.lock();
        for (quota, counted) in self.quotas.iter().zip(&mut limits.counted) {
            if now >= counted.ends {
                *counted =
                    Counted { ends: window::end(now, quota.per, &quota.timezone), ..Counted::default() };
            }
            counted.used += 1;
            counted.is_near = quota.near.reached(counted.used, quota.requests);
        }
        self.tell(&limits);
    }

    /// Takes what an answer says of the limits.
    pub(crate) fn heard(&self, hints: &[Hint<'_>], sent_at: Timestamp, now: Timestamp) {
        if hints.is_empty() {
            return;
        }
        let mut limits = self.lock();
        for hint in hints {
            let quota = self.quotas.iter().find(|quota| quota.name == hint.name);
            let known = limits.heard.iter().position(|heard| heard.name == hint.name);
            let place = match known {
                Some(place) if limits.heard[place].sent_at >= sent_at => continue,
                Some(place) => place,
                None if limits.heard.len() >= LIMITS_MAX => continue,
                None => {
                    let (name, none) = (hint.name.to_owned(), Timestamp::default());
                    limits.heard.push(Heard { name, sent_at, most: 0, near_until: none });
                    limits.heard.len() - 1
                }
            };
            let heard = &mut limits.heard[place];
            heard.sent_at = sent_at;
            heard.most = heard.most.max(hint.remaining.unwrap_or_default());
            let limit = hint
                .limit
                .filter(|limit| *limit > 0)
                .or(quota.map(|quota| quota.requests))
                .unwrap_or(heard.most);
            let used = hint.used.or_else(|| Some(limit.saturating_sub(hint.remaining?)));
            let near = quota.map_or(NEAR, |quota| quota.near);
            let is_near = limit > 0 && used.is_some_and(|used| near.reached(used, limit));
            let reset_ms = hint.reset_after.and_then(|wait| i64::try_from(wait.as_millis()).ok());
            let until = now.as_millis().saturating_add(reset_ms.unwrap_or(UNNAMED_MS));
            heard.near_until = if is_near { Timestamp::from_millis(until) } else { Timestamp::default() };
        }
        self.tell(&limits);
    }

    fn tell(&self, limits: &Limits) {
        let counted = limits.counted.iter().filter(|counted| counted.is_near).map(|counted| counted.ends);
        let until = counted.chain(limits.heard.iter().map(|heard| heard.near_until)).max();
        self.until_ms.store(until.map_or(i64::MIN, Timestamp::as_millis), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1_000)
    }

    fn hint(remaining: u64, limit: Option<u64>, reset_secs: Option<u64>) -> Hint<'static> {
        let reset_after = reset_secs.map(Duration::from_secs);
        Hint { name: "requests", used: None, remaining: Some(remaining), limit, reset_after }
    }

    #[test]
    fn a_provider_that_says_that_little_is_left_is_near_until_its_window_ends() {
        let near = Near::new(&[]);
        near.heard(&[hint(50, Some(100), Some(30))], at(1), at(1));
        assert!(!near.is_near(at(1)));
        near.heard(&[hint(20, Some(100), Some(30))], at(2), at(2));
        assert!(near.is_near(at(31)) && !near.is_near(at(32)));
        // A word about an earlier call came late.
        near.heard(&[hint(90, Some(100), Some(30))], at(1), at(3));
        assert!(near.is_near(at(4)));
        near.heard(&[hint(99, Some(100), Some(60))], at(5), at(5));
        assert!(!near.is_near(at(5)));
    }

    #[test]
    fn without_a_limit_the_most_that_was_left_is_it() {
        let near = Near::new(&[]);
        near.heard(&[hint(10, None, None)], at(1), at(1));
        assert!(!near.is_near(at(1)));
        near.heard(&[hint(2, None, None)], at(2), at(2));
        assert!(near.is_near(at(60)) && !near.is_near(at(63)));
        near.heard(&[hint(0, Some(0), None)], at(70), at(70));
        assert!(near.is_near(at(70)));
    }

    #[test]
    fn a_configured_quota_is_counted_in_its_window() {
        let quota = json!({ "name": "minute", "requests": 10, "per": "minute", "near": 0.5 });
        let near = Near::new(&[serde_json::from_value(quota).expect("a quota")]);
        for _ in 0..4 {
            near.sent(at(61));
        }
        assert!(!near.is_near(at(61)));
        near.sent(at(119));
        assert!(near.is_near(at(119)) && !near.is_near(at(120)));
        near.sent(at(121));
        assert!(!near.is_near(at(121)));
    }
}
