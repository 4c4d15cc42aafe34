//! How long to wait before trying again: doubling, capped, with jitter, so that a crowd does not return at once.

use std::time::Duration;

use rand::Rng;

/// A doubling pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub max: Duration,
}

/// Between two tries of the same publish.
pub(crate) const PUBLISH: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(2) };
/// Before a handler sees a message again.
pub(crate) const RETRY: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(60) };
/// Before a pull, a watch or a tail is opened again.
pub(crate) const REOPEN: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };
/// Before a connection is tried again.
pub(crate) const RECONNECT: Backoff =
    Backoff { first: Duration::from_millis(50), max: Duration::from_secs(2) };

impl Backoff {
    /// The pause after so many failures (from 1), without jitter.
    pub(crate) fn full(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }

    /// The pause after so many failures (from 1): half of it for sure, the rest by chance.
    pub(crate) fn after(self, failures: u32) -> Duration {
        let full = self.full(failures);
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(RETRY.full(1), Duration::from_millis(200));
        assert_eq!(RETRY.full(2), Duration::from_millis(400));
        assert_eq!(RETRY.full(u32::MAX), Duration::from_secs(60));
        let pause = RETRY.after(3);
        assert!(pause >= Duration::from_millis(400) && pause <= Duration::from_millis(800));
    }
}
