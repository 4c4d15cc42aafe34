//! How near an integration's limits are: a route can leave it before they are reached, and asks it beside another one only
//! while enough is left.
//!
//! Two sources: what the provider says in its answers' headers, and the configured quotas as far as this process counted
//! its own calls. A provider's word may come late and out of order: only one about a call that was sent later than the
//! last one's is taken. Exists only for members of a route that asks; refuses nothing.

mod window;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use catalogue::Hint;
use model::Timestamp;
use model::integration::{Quota, Ratio};

/// The share from which on a limit is near where no quota of its name says so.
const NEAR: Ratio = Ratio::from_millionths(800_000);
/// The share from which on little is left: nothing is spent then on calls that may be in vain.
const SCARCE: Ratio = Ratio::from_millionths(800_000);
/// For how long a limit stays near whose next window nobody named, in milliseconds.
const UNNAMED_MS: i64 = 60_000;
/// Limits of a provider that are kept apart. Its catalogue entry names them; further ones are not looked at.
const LIMITS_MAX: usize = 16;

/// The limits of one integration.
pub(crate) struct Near {
    /// Until when one is near, and until when little is left, in Unix milliseconds: all that a call looks at.
    until_ms: AtomicI64,
    scarce_until_ms: AtomicI64,
    quotas: Vec<Quota>,
    counted: Vec<Counted>,
    heard: Mutex<Vec<Heard>>,
}

/// A configured quota in its window.
struct Counted {
    ends_ms: AtomicI64,
    used: AtomicU64,
}

/// What a provider said last of a limit.
struct Heard {
    name: String,
    sent_at: Timestamp,
    /// The most that was ever left: the limit, where nobody says it.
    most: u64,
    near_until_ms: i64,
    scarce_until_ms: i64,
}

impl Near {
    pub(crate) fn new(quotas: &[Quota]) -> Self {
        let counted = || Counted { ends_ms: AtomicI64::new(i64::MIN), used: AtomicU64::new(0) };
        Self {
            until_ms: AtomicI64::new(i64::MIN),
            scarce_until_ms: AtomicI64::new(i64::MIN),
            quotas: quotas.iter().filter(|quota| counts(quota)).cloned().collect(),
            counted: quotas.iter().filter(|quota| counts(quota)).map(|_| counted()).collect(),
            heard: Mutex::default(),
        }
    }

    /// Whether it counts these quotas.
    pub(crate) fn is_of(&self, quotas: &[Quota]) -> bool {
        self.quotas.iter().eq(quotas.iter().filter(|quota| counts(quota)))
    }

    /// Whether a limit is nearly reached.
    pub(crate) fn is_near(&self, now: Timestamp) -> bool {
        now.as_millis() < self.until_ms.load(Ordering::Relaxed)
    }

    /// Whether so little is left of a limit that no call may be made that is perhaps not needed.
    pub(crate) fn is_scarce(&self, now: Timestamp) -> bool {
        now.as_millis() < self.scarce_until_ms.load(Ordering::Relaxed)
    }

    /// Counts a call that is sent. Waits for nobody but where a window begins or a share is reached.
    pub(crate) fn sent(&self, now: Timestamp) {
        for (quota, counted) in self.quotas.iter().zip(&self.counted) {
            let begins = now.as_millis() >= counted.ends_ms.load(Ordering::Relaxed);
            if begins {
                self.begin(quota, counted, now);
            }
            let used = counted.used.fetch_add(1, Ordering::Relaxed) + 1;
            let reaches = |share: Ratio| {
                share.reached(used, quota.requests) && !share.reached(used - 1, quota.requests)
            };
            if begins || reaches(quota.near) || reaches(SCARCE) {
                self.tell(&self.lock());
            }
        }
    }

    fn begin(&self, quota: &Quota, counted: &Counted, now: Timestamp) {
        let _one = self.lock();
        if now.as_millis() >= counted.ends_ms.load(Ordering::Relaxed) {
            counted.used.store(0, Ordering::Relaxed);
            let ends = quota.per.map_or(i64::MAX, |per| window::end(now, per, quota.zone()).as_millis());
            counted.ends_ms.store(ends, Ordering::Relaxed);
        }
    }

    /// Takes what an answer says of the limits.
    pub(crate) fn heard(&self, hints: &[Hint<'_>], sent_at: Timestamp, now: Timestamp) {
        if hints.is_empty() {
            return;
        }
        let mut limits = self.lock();
        for hint in hints {
            let quota = self.quotas.iter().find(|quota| quota.name == hint.name);
            let known = limits.iter().position(|heard| heard.name == hint.name);
            let place = match known {
                Some(place) if limits[place].sent_at >= sent_at => continue,
                Some(place) => place,
                None if limits.len() >= LIMITS_MAX => continue,
                None => {
                    let (name, never) = (hint.name.to_owned(), i64::MIN);
                    limits.push(Heard {
                        name,
                        sent_at,
                        most: 0,
                        near_until_ms: never,
                        scarce_until_ms: never,
                    });
                    limits.len() - 1
                }
            };
            let heard = &mut limits[place];
            heard.sent_at = sent_at;
            heard.most = heard.most.max(hint.remaining.unwrap_or_default());
            let limit = hint
                .limit
                .filter(|limit| *limit > 0)
                .or(quota.map(|quota| quota.requests))
                .unwrap_or(heard.most);
            let used = hint.used.or_else(|| Some(limit.saturating_sub(hint.remaining?)));
            let reset_ms = hint.reset_after.and_then(|wait| i64::try_from(wait.as_millis()).ok());
            let until = now.as_millis().saturating_add(reset_ms.unwrap_or(UNNAMED_MS));
            let until = |share: Ratio| {
                let reached = limit > 0 && used.is_some_and(|used| share.reached(used, limit));
                if reached { until } else { i64::MIN }
            };
            heard.near_until_ms = until(quota.map_or(NEAR, |quota| quota.near));
            heard.scarce_until_ms = until(SCARCE);
        }
        self.tell(&limits);
    }

    fn tell(&self, heard: &[Heard]) {
        let counted = |share: &dyn Fn(&Quota) -> Ratio| {
            let all = self.quotas.iter().zip(&self.counted);
            let reached = all.filter(|(quota, counted)| {
                share(quota).reached(counted.used.load(Ordering::Relaxed), quota.requests)
            });
            reached.map(|(_, counted)| counted.ends_ms.load(Ordering::Relaxed)).max().unwrap_or(i64::MIN)
        };
        let near = heard.iter().map(|heard| heard.near_until_ms).fold(counted(&|quota| quota.near), i64::max);
        let scarce = heard.iter().map(|heard| heard.scarce_until_ms).fold(counted(&|_| SCARCE), i64::max);
        self.until_ms.store(near, Ordering::Relaxed);
        self.scarce_until_ms.store(scarce, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether calls that are sent are all there is to count.
fn counts(quota: &Quota) -> bool {
    quota.per.is_some() && quota.counts_calls()
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

    #[test]
    fn little_is_left_from_four_fifths_on_whatever_is_called_near() {
        let quota = json!({ "name": "day", "requests": 10, "per": "day", "near": 1.0 });
        let near = Near::new(&[serde_json::from_value(quota).expect("a quota")]);
        (0..7).for_each(|_| near.sent(at(61)));
        assert!(!near.is_scarce(at(61)));
        near.sent(at(62));
        assert!(near.is_scarce(at(62)) && !near.is_near(at(62)) && !near.is_scarce(at(86_400)));
        let near = Near::new(&[]);
        near.heard(&[hint(21, Some(100), Some(30))], at(1), at(1));
        assert!(!near.is_scarce(at(1)));
        near.heard(&[hint(20, Some(100), Some(30))], at(2), at(2));
        assert!(near.is_scarce(at(31)) && !near.is_scarce(at(32)));
    }
}
