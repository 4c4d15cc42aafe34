//! Counts against limits, per key: fixed windows and counters that decay.
//!
//! Time is an argument. A request over one of the limits is refused and counts against none.

use std::collections::HashMap;

/// Keys that are counted apart; when there are more, the oldest window goes.
const KEYS_MAX: usize = 1024;

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    /// Units that fit.
    pub(crate) max: u64,
    /// How they come back.
    pub(crate) shape: Shape,
}

/// How used units come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// All at once, at multiples of the length since 1970.
    Clock {
        /// The window's length in milliseconds.
        per_ms: u64,
    },
    /// All at once, a length after the first request.
    Rolling {
        /// The window's length in milliseconds.
        per_ms: u64,
    },
    /// Continuously.
    Decay {
        /// Thousandths of a unit that come back each second.
        milli_per_sec: u64,
    },
}

impl Rule {
    /// A window aligned to the clock.
    pub(crate) const fn clock(max: u64, per_secs: u64) -> Rule {
        Rule { max, shape: Shape::Clock { per_ms: per_secs * 1000 } }
    }

    /// A window that starts with the first request.
    pub(crate) const fn rolling(max: u64, per_secs: u64) -> Rule {
        Rule { max, shape: Shape::Rolling { per_ms: per_secs * 1000 } }
    }

    /// A decaying counter.
    pub(crate) const fn decay(max: u64, milli_per_sec: u64) -> Rule {
        Rule { max, shape: Shape::Decay { milli_per_sec } }
    }

    /// The window's length in milliseconds; for a decaying counter the time to empty it.
    pub(crate) fn per_ms(&self) -> u64 {
        match self.shape {
            Shape::Clock { per_ms } | Shape::Rolling { per_ms } => per_ms,
            Shape::Decay { milli_per_sec } => self.max * 1_000_000 / milli_per_sec.max(1),
        }
    }
}

/// What is left of a limit after a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tally {
    /// Units that fit.
    pub(crate) max: u64,
    /// Units used, the request's own among them unless it was refused.
    pub(crate) used: u64,
    /// Milliseconds until units come back.
    pub(crate) reset_ms: u64,
    /// The window's length in milliseconds.
    pub(crate) per_ms: u64,
}

impl Tally {
    /// Units left.
    pub(crate) fn left(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }

    /// Whole seconds until units come back, at least one.
    pub(crate) fn reset_secs(&self) -> u64 {
        self.reset_ms.div_ceil(1000).max(1)
    }

    /// Whether this is a quota of hours or more, not a burst limit.
    pub(crate) fn is_quota(&self) -> bool {
        self.per_ms >= 3_600_000
    }

    /// A spent limit, for the switch `throttle`.
    pub(crate) fn spent(rule: Option<&Rule>, retry_after_secs: u64) -> Tally {
        let max = rule.map_or(60, |rule| rule.max);
        // The burst shape is meant, whatever the first rule's length is.
        Tally { max, used: max, reset_ms: retry_after_secs * 1000, per_ms: 60_000 }
    }
}

/// The counters of one stand-in.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    rules: Vec<Rule>,
    counters: HashMap<String, Vec<Counter>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    since_ms: u64,
    /// Thousandths of a unit.
    used_milli: u64,
}

impl Limits {
    /// Counters for these rules.
    pub(crate) fn new(rules: Vec<Rule>) -> Limits {
        Limits { rules, counters: HashMap::new() }
    }

    /// The first rule.
    pub(crate) fn first(&self) -> Option<&Rule> {
        self.rules.first()
    }

    /// Forgets all counts.
    pub(crate) fn clear(&mut self) {
        self.counters.clear();
    }

    /// Counts a request; gives the tally of the tightest limit, or of the one that refuses.
    pub(crate) fn take(&mut self, key: &str, weight: u64, now_ms: i64) -> Result<Option<Tally>, Tally> {
        let now = u64::try_from(now_ms).unwrap_or_default();
        if self.counters.len() >= KEYS_MAX && !self.counters.contains_key(key) {
            let oldest =
                self.counters.iter().min_by_key(|(_, counters)| counters.first().map(|c| c.since_ms));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.counters.remove(&oldest);
            }
        }
        let counters =
            self.counters.entry(key.to_owned()).or_insert_with(|| vec![Counter::default(); self.rules.len()]);
        for (rule, counter) in self.rules.iter().zip(counters.iter_mut()) {
            counter.advance(rule, now);
        }
        for (rule, counter) in self.rules.iter().zip(counters.iter()) {
            if counter.used_milli + weight * 1000 > rule.max * 1000 {
                return Err(counter.tally(rule, now));
            }
        }
        for counter in counters.iter_mut() {
            counter.used_milli += weight * 1000;
        }
        let tallies = self.rules.iter().zip(counters.iter()).map(|(rule, counter)| counter.tally(rule, now));
        Ok(tallies.min_by_key(Tally::left))
    }
}

impl Counter {
    fn advance(&mut self, rule: &Rule, now: u64) {
        match rule.shape {
            Shape::Clock { per_ms } => {
                let start = now - now % per_ms.max(1);
                if self.since_ms < start {
                    *self = Counter { since_ms: start, used_milli: 0 };
                }
            }
            Shape::Rolling { per_ms } => {
                if self.used_milli == 0 || now >= self.since_ms + per_ms {
                    *self = Counter { since_ms: now, used_milli: 0 };
                }
            }
            Shape::Decay { milli_per_sec } => {
                let back = now.saturating_sub(self.since_ms).saturating_mul(milli_per_sec) / 1000;
                *self = Counter { since_ms: now, used_milli: self.used_milli.saturating_sub(back) };
            }
        }
    }

    fn tally(&self, rule: &Rule, now: u64) -> Tally {
        let reset_ms = match rule.shape {
            Shape::Clock { per_ms } | Shape::Rolling { per_ms } => {
                (self.since_ms + per_ms).saturating_sub(now)
            }
            Shape::Decay { milli_per_sec } => 1_000_000 / milli_per_sec.max(1),
        };
        Tally { max: rule.max, used: self.used_milli.div_ceil(1000), reset_ms, per_ms: rule.per_ms() }
    }
}
