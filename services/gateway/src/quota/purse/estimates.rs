//! Units that were taken for calls by an estimate: what those do not use comes home with their answers, at any moment.

use std::sync::atomic::Ordering::Relaxed;

use super::{Purse, Take};

impl Purse {
    /// Takes an estimate of what a call needs that is sent now.
    pub(crate) fn take_estimate(&self, units: u64, now_ms: u64) -> Take {
        // Before the units are taken: who finds them gone finds that they may come again.
        self.estimates(units.cast_signed());
        let take = self.take(units, now_ms);
        if matches!(take, Take::Taken(_)) {
            return take;
        }
        self.estimates(-units.cast_signed());
        if units <= self.most.load(Relaxed) { self.refusal(units, now_ms) } else { take }
    }

    /// A call begins, or ends (less than 0), of which so many units are an estimate.
    pub(crate) fn estimates(&self, units: i64) {
        self.estimated.fetch_add(units, Relaxed);
    }

    /// Whether what is missing of so many units may come home with the calls under way, at any moment.
    pub(crate) fn may_come(&self, units: u64) -> bool {
        let missing = units.saturating_add(self.debt()).saturating_sub(self.balance());
        u64::try_from(self.estimated.load(Relaxed)).is_ok_and(|estimated| missing <= estimated)
    }

    /// Takes back that units were missed: who waits for them misses them once a second.
    pub(crate) fn missed_before(&self, units: u64) {
        let less = |refused: u64| Some(refused.saturating_sub(units));
        let _before = self.refused.fetch_update(Relaxed, Relaxed, less);
    }
}
