//! The provider: counts what reaches it, by its own clock, and notes when it is more than the limit.

use std::collections::{HashMap, VecDeque};

use model::Timestamp;

use model::quota::window;
use model::quota::{Limit, Span};

pub(super) struct Provider {
    limit: Limit,
    start_ms: i64,
    /// By window, for calendars.
    pub(super) windows: Vec<(i64, u64)>,
    /// Arrivals of the last window, for rolling limits.
    last: VecDeque<(u64, u64)>,
    sum: u64,
    /// What a bucket lacks, in parts of a unit as many as it has milliseconds, and when that was.
    lacks: (u64, u64),
    pub(super) at_once: HashMap<(usize, u32), u64>,
    /// All that was counted, and when.
    pub(super) counted: Vec<(u64, u64)>,
    /// The most that it was above its limit.
    pub(super) over: u64,
}

impl Provider {
    pub(super) fn new(limit: &Limit, start_ms: i64) -> Self {
        Self {
            limit: limit.clone(),
            start_ms,
            windows: Vec::new(),
            last: VecDeque::new(),
            sum: 0,
            lacks: (0, 0),
            at_once: HashMap::new(),
            counted: Vec::new(),
            over: 0,
        }
    }

    pub(super) fn count(&mut self, now: u64, units: u64, of: (usize, u32)) {
        self.counted.push((now, units));
        let used = match &self.limit.span {
            Span::Calendar { per, zone } => {
                let at = Timestamp::from_millis(self.start_ms + i64::try_from(now).expect("a short world"));
                let from = window::at(at, *per, zone).from.as_millis();
                match self.windows.last_mut() {
                    Some((window, used)) if *window == from => {
                        *used += units;
                        *used
                    }
                    _ => {
                        self.windows.push((from, units));
                        units
                    }
                }
            }
            Span::Rolling { millis } => {
                self.last.push_back((now, units));
                self.sum += units;
                while self.last.front().is_some_and(|(at, _)| at + u64::from(*millis) <= now) {
                    self.sum -= self.last.pop_front().map_or(0, |(_, units)| units);
                }
                self.sum
            }
            Span::Bucket { millis } => {
                let (lacks, at) = self.lacks;
                let lacks = lacks.saturating_sub((now - at) * self.limit.amount) + units * u64::from(*millis);
                self.lacks = (lacks, now);
                lacks.div_ceil(u64::from(*millis))
            }
            Span::Concurrent => {
                *self.at_once.entry(of).or_default() += units;
                self.at_once.values().sum()
            }
        };
        self.over = self.over.max(used.saturating_sub(self.limit.amount));
    }

    /// What was counted between two moments.
    pub(super) fn between(&self, from: u64, to: u64) -> u64 {
        self.counted.iter().filter(|(at, _)| *at >= from && *at < to).map(|(_, units)| units).sum()
    }
}
