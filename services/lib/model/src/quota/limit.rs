//! Limits as gateways keep them. Whatever a provider calls its limit becomes one of four spans. Pure.
//!
//! * `Calendar`: units are gone once spent, all come again when the window ends;
//! * `Rolling`: each unit comes home a window after it was spent, so that *no* stretch of that length, wherever the
//!   provider's own window begins, has more than the limit;
//! * `Bucket`: spent units come home one after another, evenly, as a token bucket refills;
//! * `Concurrent`: a unit comes home when its call ends.

use jiff::tz::TimeZone;

use crate::integration::Window as Per;

/// The largest amount, in units: with it no sum of limits runs over.
pub const AMOUNT_MAX: u64 = 1 << 40;
/// The largest amount of a rolling limit, in units: cells of its ring hold that many.
pub const ROLLING_AMOUNT_MAX: u64 = u32::MAX as u64;
/// The longest rolling window, in milliseconds: a day. Longer ones are calendars.
pub(super) const ROLLING_MS_MAX: u32 = 86_400_000;
/// The shortest rolling window, in milliseconds: cells of its ring are a hundredth.
pub(super) const ROLLING_MS_MIN: u32 = 100;
/// How long a call may go on of whose gateway nobody hears, in milliseconds: then its place is free again. Mostly such a
/// gateway is dead, and its calls with it; of one that is cut off, longer calls are counted twice.
pub const CALL_MS_MAX: u32 = 60_000;
/// For how long a gateway that is cut off goes on by its own estimate, in milliseconds: as long as its share is kept for
/// it. An outage of the bus of 15 minutes is one that must be outlived.
pub const ESTIMATE_MS: u32 = 900_000;

/// A limit as it is kept.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Its name.
    pub name: String,
    /// Units.
    pub amount: u64,
    /// When they come again.
    pub span: Span,
    /// How many gateways an estimate reckons with. Nothing: fail closed.
    pub replicas: Option<u32>,
}

/// When units come again.
#[derive(Clone, Debug)]
pub enum Span {
    /// When the window ends.
    Calendar {
        /// The window.
        per: Per,
        /// Its zone.
        zone: TimeZone,
    },
    /// Each so long after it was spent, in milliseconds.
    Rolling {
        /// The provider's window.
        millis: u32,
    },
    /// One after another, at an even pace.
    Bucket {
        /// In how many milliseconds an empty one is full.
        millis: u32,
    },
    /// When the call ends.
    Concurrent,
}

impl Limit {
    /// Whether units come again by themselves: then what is leased is a share that must be renewed.
    pub fn renews(&self) -> bool {
        !matches!(self.span, Span::Calendar { .. })
    }

    /// How long after the last moment of its use a unit is free for others, in milliseconds.
    pub fn home_ms(&self) -> u64 {
        match self.span {
            Span::Calendar { .. } => 0,
            Span::Rolling { millis } | Span::Bucket { millis } => {
                u64::from(millis) + slack_ms(millis) + u64::from(millis) / 64
            }
            Span::Concurrent => u64::from(CALL_MS_MAX),
        }
    }

    /// What a gateway may go on with that is cut off: an equal share.
    pub fn estimate(&self) -> u64 {
        self.replicas.map_or(0, |replicas| self.amount / u64::from(replicas.max(1)))
    }
}

/// By how much calls may take longer to the provider, one than another, in milliseconds: units come home later by that.
/// A quarter of a second, and of short windows a 64th, which costs 1.6 % of them.
pub const fn slack_ms(window_ms: u32) -> u64 {
    let part = window_ms as u64 / 64;
    if part > 250 {
        250
    } else if part == 0 {
        1
    } else {
        part
    }
}
