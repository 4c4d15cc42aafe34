//! When a request is signed, and what makes it unlike every other.
//!
//! The only place of the signers that looks at a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};

/// A point in time by the provider's clock, with a nonce and randomness of its own. Never use one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// Larger than every earlier one of the same key.
    pub nonce: u64,
    /// Random bits.
    pub random: [u8; 16],
}

impl Moment {
    /// Now, by a clock that is `offset_ms` ahead of ours ([`Skew::offset_ms`](crate::skew::Skew::offset_ms)).
    pub fn now(offset_ms: i64, nonces: &Nonces) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ours_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let theirs_us = ours_us.saturating_add_signed(offset_ms.saturating_mul(1000));
        let mut random = [0; 16];
        SystemRandom::new()
            .fill(&mut random)
            .expect("the system has randomness, or TLS would not work either");
        Self { now_ms: theirs_us / 1000, nonce: nonces.next(theirs_us), random }
    }

    /// Whole seconds since 1970.
    pub(super) fn secs(&self) -> u64 {
        self.now_ms / 1000
    }

    /// The randomness in 32 hexadecimal characters.
    pub(super) fn random_hex(&self) -> String {
        super::mac::hex(&self.random)
    }
}

/// Nonces of one key: each larger than the one before, in microseconds of the clock where that is larger.
///
/// Keep one for each key, for as long as the process lives: it outlives what is prepared of the key, and a clock that
/// jumps back. Several gateways with one key agree only as far as their clocks do: of two calls that reach the provider
/// in the other order than they were made, the later is refused. Give each gateway a key of its own, or set the key's
/// nonce window at the provider to more than the clocks and ways differ.
#[derive(Debug, Default)]
pub struct Nonces(AtomicU64);

impl Nonces {
    /// None given yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The next one.
    pub fn next(&self, now_us: u64) -> u64 {
        let after = |last: u64| last.saturating_add(1).max(now_us);
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
        after(last.unwrap_or_else(|last| last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_grow_though_the_clock_does_not() {
        let nonces = Nonces::new();
        let given: Vec<u64> = [100, 100, 50, 102, 500].into_iter().map(|us| nonces.next(us)).collect();
        assert_eq!(given, [100, 101, 102, 103, 500]);
    }

    #[test]
    fn threads_never_share_a_nonce() {
        let nonces = Nonces::new();
        let mut all: Vec<u64> = std::thread::scope(|scope| {
            let take = || (0..500).map(|_| nonces.next(7)).collect::<Vec<u64>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
        });
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]) && all.len() == 2000);
    }

    #[test]
    fn a_moment_is_by_the_providers_clock() {
        let nonces = Nonces::new();
        let (here, there) = (Moment::now(0, &nonces), Moment::now(3_600_000, &nonces));
        assert!((3_600_000..3_660_000).contains(&(there.now_ms - here.now_ms)));
        assert!(there.nonce > here.nonce && there.random != here.random);
        assert_eq!(Moment::now(i64::MIN, &nonces).now_ms, 0);
        assert_eq!(here.random_hex().len(), 32);
    }
}
