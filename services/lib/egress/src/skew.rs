//! How far a provider's clock is from ours, learned from the `Date` of its answers.
//!
//! Pure but for one atomic word. A `Date` has whole seconds, so one answer says little: that the offset lies between
//! `date - received` and `date + 1 s - sent`. Each further answer narrows the interval; one that does not meet it means
//! that a clock jumped, and begins anew. Nothing is corrected while both clocks may be right.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{AGE, DATE};

/// An answer that took longer says too little to be heard, in milliseconds.
pub const EXCHANGE_MS_MAX: i64 = 30_000;
/// What a `Date` may be older than the moment at which it was written, in milliseconds.
const GRAIN_MS: i64 = 1000;
/// Attempts to write down one answer beside others. One that fails is lost, which does no harm.
const TRIES_MAX: usize = 8;
/// The lower 16 bits hold the interval's width, of which none is 0; the upper 48 its lower end.
const WIDTH_BITS: u32 = 16;
/// The farthest lower end that is kept: some 4,400 years.
const END_MS_MAX: i64 = 1 << 47;

/// What is known of the offset of one provider's clock. Lock-free; 8 bytes.
#[derive(Debug, Default)]
pub struct Skew(AtomicU64);

/// An interval of offsets, in milliseconds; both ends are outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    low: i64,
    high: i64,
}

impl Skew {
    /// Nothing known: an offset of 0.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What is to be added to our time to have the provider's, in milliseconds. 0 while that is possible, else the
    /// middle of what is.
    pub fn offset_ms(&self) -> i64 {
        match unpack(self.0.load(Ordering::Relaxed)) {
            Some(Interval { low, high }) if low > 0 || high < 0 => low + (high - low) / 2,
            _ => 0,
        }
    }

    /// Learns from an answer's headers; times are ours, in milliseconds since 1970: when the request began to be sent, and
    /// when the head of the answer was there. An answer out of a cache (with an `Age`) or without a readable `Date`
    /// says nothing.
    pub fn learn(&self, headers: &HeaderMap, sent_ms: i64, received_ms: i64) {
        let is_fresh = headers.get(AGE).is_none_or(|age| age.as_bytes().trim_ascii() == b"0");
        let date = headers.get(DATE).and_then(|value| value.to_str().ok());
        let date = date.and_then(|text| httpdate::parse_http_date(text).ok());
        if let Some(date_ms) = date.and_then(since_1970_ms).filter(|_| is_fresh) {
            self.observe(date_ms, sent_ms, received_ms);
        }
    }

    /// The same with the `Date` in milliseconds since 1970.
    pub fn observe(&self, date_ms: i64, sent_ms: i64, received_ms: i64) {
        let exchange_ms = received_ms.saturating_sub(sent_ms);
        let low = date_ms.saturating_sub(received_ms);
        // An exchange that took less than no time met a clock of ours that was set.
        if !(0..=EXCHANGE_MS_MAX).contains(&exchange_ms) || !(-END_MS_MAX..END_MS_MAX).contains(&low) {
            return;
        }
        let seen = Interval { low, high: low + exchange_ms + GRAIN_MS };
        for _ in 0..TRIES_MAX {
            let before = self.0.load(Ordering::Relaxed);
            let known = unpack(before).and_then(|known| known.and(seen)).unwrap_or(seen);
            let after = pack(known);
            let swapped = self.0.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed);
            if after == before || swapped.is_ok() {
                return;
            }
        }
    }
}

impl Interval {
    /// What both say; nothing when they do not meet.
    fn and(self, other: Self) -> Option<Self> {
        let both = Self { low: self.low.max(other.low), high: self.high.min(other.high) };
        (both.low < both.high).then_some(both)
    }
}

fn since_1970_ms(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

fn pack(Interval { low, high }: Interval) -> u64 {
    let width = u64::from(u16::try_from(high - low).unwrap_or(u16::MAX));
    low.cast_unsigned() << WIDTH_BITS | width
}

fn unpack(word: u64) -> Option<Interval> {
    let width = i64::from(word as u16);
    let low = word.cast_signed() >> WIDTH_BITS;
    (width > 0).then_some(Interval { low, high: low + width })
}

#[cfg(test)]
mod tests;
