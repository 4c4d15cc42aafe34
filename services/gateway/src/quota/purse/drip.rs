//! When spent units come home to a bucket: one after another, at an even pace, those first that were spent first.
//!
//! Pure; no lock. The pace is that of all units that belong here, so that shares of a bucket fill as fast together as it
//! does alone. What comes is reckoned when somebody asks, from the moment until which it was reckoned before, at the pace
//! of that time: of a share that grows, what has passed counts for what it was. Where several ask at once, units may come
//! home late.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use model::quota::slack_ms;

/// The units that are away.
#[derive(Debug)]
pub(super) struct Drip {
    /// All that were ever spent, and how many of these are home again.
    spent: AtomicU64,
    came: AtomicU64,
    /// Used beyond all that was here: paid before anything comes home.
    owed: AtomicU64,
    /// Until when it was reckoned what came home, in microseconds.
    reckoned_us: AtomicU64,
    /// In which time an empty bucket fills.
    fill_ms: u32,
    /// How many units belonged here when that was reckoned last, or fewer.
    pace: AtomicU32,
}

impl Drip {
    pub(super) fn new(fill_ms: u32) -> Self {
        Self {
            spent: AtomicU64::new(0),
            came: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            reckoned_us: AtomicU64::new(0),
            fill_ms,
            pace: AtomicU32::new(0),
        }
    }

    /// Notes units as spent now, of a bucket of which so many others are here. The first ones of a full one begin its time, a
    /// little later: calls may take longer to the provider, one than another. Says which they are: the last one's number.
    pub(super) fn spend(&self, units: u64, here: u64, now_ms: u64) -> u32 {
        let all = here.saturating_add(units);
        if self.away() == 0 {
            self.begin(all, now_ms);
        }
        let before = self.spent.fetch_add(units, AcqRel);
        if before == self.came.load(Acquire) {
            self.begin(all, now_ms);
        }
        low(before.wrapping_add(units))
    }

    /// Nothing was away: time begins, unless something is owed.
    fn begin(&self, all: u64, now_ms: u64) {
        if self.owed.load(Acquire) == 0 {
            self.reckoned_us.fetch_max((now_ms + slack_ms(self.fill_ms)) * 1_000, AcqRel);
            self.pace.store(u32::try_from(all).unwrap_or(u32::MAX), Release);
        }
    }

    /// What has come home since it was asked last, to a bucket of which so many units are here. Of all who ask at the same
    /// time one is told.
    pub(super) fn sweep(&self, here: u64, now_ms: u64) -> u64 {
        let (away, owed) = (self.away(), self.owed.load(Acquire));
        let (reckoned, now_us) = (self.reckoned_us.load(Acquire), now_ms * 1_000);
        if away + owed == 0 || now_us <= reckoned {
            return 0;
        }
        let all = self.all(here);
        let pace = all.min(u128::from(self.pace.load(Acquire))).max(1);
        let fill_us = u128::from(self.fill_ms) * 1_000;
        // In parts of a unit, as many as it takes microseconds to fill.
        let parts = u128::from(now_us - reckoned) * pace;
        let due = u64::try_from(parts / fill_us).unwrap_or(u64::MAX);
        let paid = due.min(owed);
        let came = (due - paid).min(away);
        if paid + came == 0 && pace == all {
            return 0;
        }
        // What is left of a unit is as much of one at the pace of now.
        let left = parts.saturating_sub(u128::from(paid + came) * fill_us).min(fill_us) / all;
        let next = now_us - u64::try_from(left).unwrap_or(0).min(now_us - reckoned);
        if self.reckoned_us.compare_exchange(reckoned, next, AcqRel, Acquire).is_err() {
            return 0;
        }
        self.pace.store(u32::try_from(all).unwrap_or(u32::MAX), Release);
        self.take_owed(paid);
        self.bring(came)
    }

    /// Units are taken out: from when they are gone it fills more slowly.
    pub(super) fn shrinks(&self, here: u64) {
        self.pace.fetch_min(u32::try_from(self.all(here)).unwrap_or(u32::MAX), AcqRel);
    }

    /// Takes units back that were spent in vain with others, up to this number; not those that came home meanwhile. Says how
    /// many.
    pub(super) fn unspend(&self, units: u64, number: u32) -> u64 {
        let spent = self.spent.load(Acquire);
        let last = spent.wrapping_sub(u64::from(low(spent).wrapping_sub(number)));
        self.bring(units.min(last.saturating_sub(self.came.load(Acquire))))
    }

    /// Units were used that are not here: they are paid from what comes.
    pub(super) fn owe(&self, units: u64, here: u64, now_ms: u64) {
        if units > 0 {
            if self.away() == 0 {
                self.begin(here, now_ms);
            }
            self.owed.fetch_add(units, AcqRel);
        }
    }

    /// Of units that are put in, so many are owed: they are away at once. Says how many.
    pub(super) fn pay(&self, units: u64) -> u64 {
        let paid = self.take_owed(units);
        self.spent.fetch_add(paid, AcqRel);
        paid
    }

    /// When so many units will have come home; nothing when not so many are away.
    pub(super) fn home_at(&self, units: u64, here: u64) -> Option<u64> {
        if units > self.away() {
            return None;
        }
        let before = u128::from(units) + u128::from(self.owed.load(Acquire));
        let takes = (before * u128::from(self.fill_ms) * 1_000).div_ceil(self.all(here));
        let at_us = self.reckoned_us.load(Acquire).saturating_add(u64::try_from(takes).unwrap_or(u64::MAX));
        Some(at_us.div_ceil(1_000))
    }

    fn away(&self) -> u64 {
        let came = self.came.load(Acquire);
        self.spent.load(Acquire).saturating_sub(came)
    }

    /// All units that belong here.
    fn all(&self, here: u64) -> u128 {
        (u128::from(here) + u128::from(self.away())).max(1)
    }

    /// Brings at most so many home, and says how many.
    fn bring(&self, units: u64) -> u64 {
        let spent = self.spent.load(Acquire);
        let more = |came: u64| Some(came + units.min(spent.saturating_sub(came)));
        let before = self.came.fetch_update(AcqRel, Acquire, more).unwrap_or_default();
        units.min(spent.saturating_sub(before))
    }

    fn take_owed(&self, units: u64) -> u64 {
        let less = |owed: u64| Some(owed.saturating_sub(units));
        self.owed.fetch_update(AcqRel, Acquire, less).unwrap_or_default().min(units)
    }
}

/// The lower half of a number: enough to tell it among those of a while.
#[expect(clippy::cast_possible_truncation, reason = "as said")]
const fn low(number: u64) -> u32 {
    number as u32
}
