//! When spent units come home: cells, each for a hundredth of a window, in a ring.
//!
//! Pure; no lock. What each call asks of a ring lies in its purse, where there is no other line to wait for, and only the
//! cells are memory of their own. A cell says for which stretch of time it counts, so that one who is late by a round adds to a later
//! stretch: units may come home late, never soon. A unit that was spent at any moment of a stretch is home when the
//! stretch has ended and a window has passed.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Cells of a ring.
const CELLS: usize = 128;
/// Into how many stretches a window is cut: a unit stays away longer than the window by at most one of them, 0.8 %.
const STRETCHES: u64 = CELLS as u64 - 2;

/// Spent units by when they were spent.
#[derive(Debug)]
pub(super) struct Ring {
    /// The stretch's number above, its units below.
    cells: Box<[AtomicU64; CELLS]>,
    /// What was spent until the end of this stretch is home.
    swept: AtomicU64,
    stretch_ms: u32,
    /// Stretches in which what was spent is not home.
    away: u32,
}

const fn pack(slot: u32, units: u32) -> u64 {
    ((slot as u64) << 32) | units as u64
}

#[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
const fn unpack(cell: u64) -> (u32, u32) {
    ((cell >> 32) as u32, cell as u32)
}

impl Ring {
    /// For units that come home so many milliseconds after they were spent.
    pub(super) fn new(home_ms: u64) -> Self {
        let stretch_ms = home_ms.div_ceil(STRETCHES).max(1);
        let away = u32::try_from(home_ms.div_ceil(stretch_ms)).expect("not more than there are stretches");
        let stretch_ms =
            u32::try_from(stretch_ms).expect("a window is not longer than 32 bits of milliseconds");
        let cells = Box::new([const { AtomicU64::new(0) }; CELLS]);
        Self { cells, swept: AtomicU64::new(0), stretch_ms, away }
    }

    /// The number of the stretch of a moment. The first is 1: a cell of nothing belongs to none. Enough for 24 days at
    /// the shortest window, and then again.
    fn slot(&self, now_ms: u64) -> u64 {
        now_ms / u64::from(self.stretch_ms) + 1
    }

    fn cell(&self, slot: u64) -> &AtomicU64 {
        &self.cells[usize::try_from(slot % CELLS as u64).expect("smaller than the ring")]
    }

    /// Notes units as spent now. Says which stretch it is, and how many came home from the cell's last round.
    pub(super) fn spend(&self, units: u64, now_ms: u64) -> (u32, u64) {
        let number = self.slot(now_ms);
        let (slot, cell) = (low(number), self.cell(number));
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let mut seen = cell.load(Acquire);
        loop {
            let (of, had) = unpack(seen);
            let is_older = of.wrapping_sub(slot) > u32::MAX / 2;
            let next = if is_older { pack(slot, units) } else { pack(of, had.saturating_add(units)) };
            match cell.compare_exchange_weak(seen, next, AcqRel, Acquire) {
                Ok(_) => return (slot, if is_older { u64::from(had) } else { 0 }),
                Err(other) => seen = other,
            }
        }
    }

    /// Takes units back that were noted in a stretch and not spent. Says how many: none when they are home already.
    pub(super) fn unspend(&self, slot: u32, units: u64, now_ms: u64) -> u64 {
        let age = low(self.slot(now_ms)).wrapping_sub(slot);
        if age > self.away {
            return 0;
        }
        let cell = self.cell(self.slot(now_ms).saturating_sub(u64::from(age)));
        let mut seen = cell.load(Acquire);
        loop {
            let (of, had) = unpack(seen);
            let back = u32::try_from(units).unwrap_or(u32::MAX).min(had);
            if of != slot || back == 0 {
                return 0;
            }
            match cell.compare_exchange_weak(seen, pack(of, had - back), AcqRel, Acquire) {
                Ok(_) => return u64::from(back),
                Err(other) => seen = other,
            }
        }
    }

    /// What has come home since it was asked last. Of all who ask at the same time one is told.
    pub(super) fn sweep(&self, now_ms: u64) -> u64 {
        let due = self.slot(now_ms).saturating_sub(u64::from(self.away) + 1);
        let swept = self.swept.load(Relaxed);
        if due <= swept || self.swept.compare_exchange(swept, due, AcqRel, Relaxed).is_err() {
            return 0;
        }
        let from = swept.max(due.saturating_sub(CELLS as u64));
        (from + 1..=due).map(|number| self.empty(number)).sum()
    }

    fn empty(&self, number: u64) -> u64 {
        let (slot, cell) = (low(number), self.cell(number));
        let mut seen = cell.load(Acquire);
        loop {
            let (of, had) = unpack(seen);
            // Older: one who was late by a round, or nobody swept for one.
            let is_due = of == slot || of.wrapping_sub(slot) > u32::MAX / 2;
            if !is_due || had == 0 {
                return 0;
            }
            match cell.compare_exchange_weak(seen, pack(of, 0), AcqRel, Acquire) {
                Ok(_) => return u64::from(had),
                Err(other) => seen = other,
            }
        }
    }

    /// When so many units will have come home; nothing when not so many are away.
    pub(super) fn home_at(&self, units: u64, now_ms: u64) -> Option<u64> {
        let now = self.slot(now_ms);
        let mut sum = 0;
        for number in now.saturating_sub(u64::from(self.away))..=now {
            let (of, had) = unpack(self.cell(number).load(Acquire));
            if of == low(number) {
                sum += u64::from(had);
            }
            if sum >= units {
                // Its first moment is number - 1 stretches after 0; it is home when `away` and itself have passed.
                return Some((number + u64::from(self.away)) * u64::from(self.stretch_ms));
            }
        }
        None
    }
}

#[expect(clippy::cast_possible_truncation, reason = "stretches are compared within a round")]
const fn low(number: u64) -> u32 {
    number as u32
}
