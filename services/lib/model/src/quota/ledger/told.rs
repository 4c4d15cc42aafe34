//! How far a limit is used, as its ledger shows it: for people, and for what warns them. Nobody spends by it.

use super::{HEARD_MS, Lease, Ledger, SLACK};
use crate::Timestamp;

/// A gateway that was not heard of a window for so long is gone if it holds more than [`FEW`], in milliseconds: an idle one
/// gives back what it does not need after some seconds.
const GONE_MS: u64 = 120_000;
/// What an idle gateway keeps at hand at most, in units.
const FEW: u64 = 2;
/// The same of one that holds less: after that an idle one has given back all, in milliseconds.
const GONE_FEW_MS: u64 = 720_000;

/// What became of a limit's units. All but `gateways` together is the limit, unless that was lowered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Spent in the window; without one, the most that was in use at a time since its holders wrote last, and what has not
    /// come home yet of those that left.
    pub spent: u64,
    /// Held by those that live, unspent.
    pub held: u64,
    /// Kept for those that are gone: counts as spent.
    pub lost: u64,
    /// Spent by others with the same key.
    pub elsewhere: u64,
    /// Leased to nobody.
    pub free: u64,
    /// Those that live and hold some.
    pub gateways: u32,
}

impl Ledger {
    /// Units in use at a moment, at most the limit: of a window what was spent of it, of what renews itself the most that
    /// was in use at a time since its holders wrote last. All of it where nothing is left and somebody wants more.
    pub fn in_use(&self, at: Timestamp) -> u64 {
        let used = if self.window > 0 { self.spent() } else { self.peaks(at) };
        if used > 0 && self.is_dry(at) { self.limit } else { used.min(self.limit) }
    }

    /// What became of its units at a moment, to which it was brought by [`Ledger::now`].
    pub fn told(&self, at: Timestamp) -> Told {
        let mut told = Told { elsewhere: self.elsewhere, free: self.left(), ..Told::default() };
        // Who left in order has spent what he did not give back.
        told.spent = self.lost.saturating_add(self.paid);
        for ghost in &self.ghosts {
            let of = if ghost.holder.is_some() { &mut told.lost } else { &mut told.spent };
            *of = of.saturating_add(ghost.units);
        }
        for lease in self.holders.values().filter(|lease| lease.held() > 0) {
            let spent = lease.spent.min(lease.held());
            told.spent = told.spent.saturating_add(spent);
            if self.is_gone(lease, at) {
                told.lost = told.lost.saturating_add(lease.held() - spent);
            } else {
                told.held = told.held.saturating_add(lease.held() - spent);
                told.gateways += 1;
            }
        }
        told
    }

    /// Whether nobody will spend the rest of a window's lease. Shares end by themselves.
    fn is_gone(&self, lease: &Lease, at: Timestamp) -> bool {
        let rest = lease.held().saturating_sub(lease.spent);
        let patience = if rest > FEW { GONE_MS } else { GONE_FEW_MS };
        self.window > 0 && lease.until < at.as_millis().saturating_sub_unsigned(patience)
    }

    fn peaks(&self, at: Timestamp) -> u64 {
        let alive = self.holders.values().filter(|lease| lease.until > at.as_millis());
        alive.fold(0, |sum, lease| sum.saturating_add(lease.spent.min(lease.held())))
    }

    /// Whether whoever asks for more gets nothing. What a holder lost that died is spent as well.
    fn is_dry(&self, at: Timestamp) -> bool {
        if self.left() > 0 {
            return false;
        }
        let since = at.as_millis().saturating_sub_unsigned(HEARD_MS);
        let mut alive = self.holders.values().filter(|lease| lease.until >= since);
        if self.window > 0 {
            alive.any(|lease| lease.wants > lease.held().saturating_sub(lease.spent))
        } else {
            // Shares are larger than what is used of them: only when all of all is away is nothing left.
            alive.all(|lease| lease.spent >= lease.held() - lease.held() / SLACK)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Holder, Lease};
    use super::*;

    fn ledger(window: i64, leases: &[(u64, u64, u64)]) -> Ledger {
        let holders = leases.iter().enumerate().map(|(n, (granted, spent, wants))| {
            let lease = Lease { granted: *granted, spent: *spent, wants: *wants, until: 10_000, returned: 0 };
            (Holder::new(&format!("g{n}"), 1), lease)
        });
        let read = serde_json::json!({"w": window, "l": 100});
        Ledger { holders: holders.collect(), ..serde_json::from_value(read).expect("a ledger") }
    }

    fn in_use(ledger: &Ledger) -> u64 {
        ledger.in_use(Timestamp::from_millis(9_000))
    }

    #[test]
    fn of_a_window_what_was_spent_is_used() {
        assert_eq!(in_use(&ledger(1, &[(60, 41, 19), (20, 20, 0)])), 61);
        let lost = Ledger { lost: 30, elsewhere: 5, ..ledger(1, &[(20, 10, 10)]) };
        assert_eq!(in_use(&lost), 45);
        assert_eq!(in_use(&ledger(1, &[(60, 60, 1), (40, 30, 10)])), 100, "one wants more, and gets nothing");
        assert_eq!(in_use(&ledger(1, &[(60, 55, 5), (40, 30, 10)])), 85, "all have what they want");
    }

    #[test]
    fn units_are_spent_held_lost_or_free() {
        let told = |ledger: &Ledger, at| ledger.told(Timestamp::from_millis(at));
        let alive = Ledger { lost: 5, elsewhere: 7, ..ledger(1, &[(60, 41, 19), (3, 1, 1)]) };
        let all = Told { spent: 47, held: 21, lost: 0, elsewhere: 7, free: 25, gateways: 2 };
        assert_eq!(told(&alive, 9_000), all);
        let gone = Told { held: 2, lost: 19, gateways: 1, ..all };
        assert_eq!(told(&alive, 10_001 + 120_000), gone, "an idle one may have few");
        assert_eq!(told(&alive, 10_001 + 720_000), Told { held: 0, lost: 21, gateways: 0, ..all });
        let ghost = |units, holder| super::super::Ghost { units, free_at: 99_000, holder };
        let shares = Ledger {
            ghosts: vec![ghost(5, None), ghost(15, Some(Holder::new("g9", 1)))],
            ..ledger(0, &[(50, 43, 54), (10, 12, 10)])
        };
        let all = Told { spent: 58, held: 7, lost: 15, elsewhere: 0, free: 20, gateways: 2 };
        assert_eq!(told(&shares, 9_000), all);
    }

    #[test]
    fn of_shares_what_is_away_at_a_time_is_used() {
        assert_eq!(in_use(&ledger(0, &[(50, 43, 54), (50, 42, 53)])), 85);
        assert_eq!(in_use(&ledger(0, &[(50, 50, 100), (50, 50, 100)])), 100);
        assert_eq!(in_use(&ledger(0, &[(64, 63, 100), (36, 36, 100)])), 100, "but for a little");
        assert_eq!(in_use(&ledger(0, &[(100, 0, 0)])), 0);
        let gone = ledger(0, &[(50, 50, 50)]);
        assert_eq!(gone.in_use(Timestamp::from_millis(10_000)), 0);
    }
}
