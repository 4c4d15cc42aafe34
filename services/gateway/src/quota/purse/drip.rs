//! When spent units come home to a bucket: one after another, at an even pace.
//!
//! Pure; no lock. The pace is that of all units that belong here, so that shares of a bucket fill as fast together as it
//! does alone. What comes is reckoned when somebody asks, from the moment until which it was reckoned before, at the pace
//! of that time: of a share that grows, what has passed counts for what it was. Units may come home late, never soon.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use model::quota::slack_ms;

/// The units that are away.
#[derive(Debug)]
pub(super) struct Drip {
    away: AtomicU64,
    /// Until when it was reckoned what came home, in microseconds.
    reckoned_us: AtomicU64,
    /// In which time an empty bucket fills.
    fill_ms: u32,
    /// The most units that belonged here all the time since then.
    pace: AtomicU32,
}

impl Drip {
    pub(super) fn new(fill_ms: u32) -> Self {
        let (away, reckoned_us, pace) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU32::new(0));
        Self { away, reckoned_us, fill_ms, pace }
    }

    /// Units that are away.
    pub(super) fn away(&self) -> u64 {
        self.away.load(Acquire)
    }

    /// Notes units as spent now, of a bucket of which so many others are here. The first ones of a full one begin its time, a
    /// little later: calls may take longer to the provider, one than another.
    pub(super) fn spend(&self, units: u64, here: u64, now_ms: u64) {
        let begins = || {
            self.reckoned_us.fetch_max((now_ms + slack_ms(self.fill_ms)) * 1_000, AcqRel);
            self.pace.store(u32::try_from(here.saturating_add(units)).unwrap_or(u32::MAX), Release);
        };
        if self.away() == 0 {
            begins();
        }
        if self.away.fetch_add(units, AcqRel) == 0 {
            begins();
        }
    }

    /// What has come home since it was asked last, to a bucket of which so many units are here. Of all who ask at the same
    /// time one is told.
    pub(super) fn sweep(&self, here: u64, now_ms: u64) -> u64 {
        let (away, reckoned, now_us) = (self.away(), self.reckoned_us.load(Acquire), now_ms * 1_000);
        if away == 0 || now_us <= reckoned {
            return 0;
        }
        let all = self.all(here);
        let pace = all.min(u128::from(self.pace.load(Acquire))).max(1);
        let fill_us = u128::from(self.fill_ms) * 1_000;
        // In parts of a unit, as many as it takes microseconds to fill.
        let parts = u128::from(now_us - reckoned) * pace;
        let came = u64::try_from(parts / fill_us).unwrap_or(u64::MAX).min(away);
        if came == 0 && pace == all {
            return 0;
        }
        // What is left of a unit is as much of one at the pace of now.
        let left = parts.saturating_sub(u128::from(came) * fill_us).min(fill_us) / all;
        let next = now_us - u64::try_from(left).unwrap_or(0).min(now_us - reckoned);
        if self.reckoned_us.compare_exchange(reckoned, next, AcqRel, Acquire).is_err() {
            return 0;
        }
        self.pace.store(u32::try_from(all).unwrap_or(u32::MAX), Release);
        self.take_back(came)
    }

    /// Units are taken out: from now on it fills more slowly.
    pub(super) fn shrinks(&self, here: u64) {
        self.pace.fetch_min(u32::try_from(self.all(here)).unwrap_or(u32::MAX), AcqRel);
    }

    /// All units that belong here.
    fn all(&self, here: u64) -> u128 {
        (u128::from(here) + u128::from(self.away())).max(1)
    }

    /// Takes units back that were spent at a moment in vain; not those that came home meanwhile. Says how many.
    pub(super) fn unspend(&self, units: u64, here: u64, age_ms: u64) -> u64 {
        let came = (u128::from(age_ms) * self.all(here)).div_ceil(u128::from(self.fill_ms));
        self.take_back(units.saturating_sub(u64::try_from(came).unwrap_or(u64::MAX)))
    }

    /// Units were used that are not here: all others come home later by their time.
    pub(super) fn owe(&self, units: u64, here: u64) {
        let late = (u128::from(units) * u128::from(self.fill_ms) * 1_000).div_ceil(self.all(here));
        self.reckoned_us.fetch_add(u64::try_from(late).unwrap_or(u64::MAX >> 1), AcqRel);
    }

    fn take_back(&self, units: u64) -> u64 {
        let less = |away: u64| Some(away.saturating_sub(units));
        let before = self.away.fetch_update(AcqRel, Acquire, less).unwrap_or_default();
        before.min(units)
    }

    /// When so many units will have come home; nothing when not so many are away.
    pub(super) fn home_at(&self, units: u64, here: u64) -> Option<u64> {
        if units > self.away() {
            return None;
        }
        let takes = (u128::from(units) * u128::from(self.fill_ms) * 1_000).div_ceil(self.all(here));
        let at_us = self.reckoned_us.load(Acquire).saturating_add(u64::try_from(takes).unwrap_or(u64::MAX));
        Some(at_us.div_ceil(1_000))
    }
}
