//! How far a limit is used, as its ledger shows it: for people, and for what warns them. Nobody spends by it.

use super::{HEARD_MS, Ledger, SLACK};
use crate::Timestamp;

impl Ledger {
    /// Units in use at a moment, at most the limit: of a window what was spent of it, of what renews itself the most that
    /// was in use at a time since its holders wrote last. All of it where nothing is left and somebody wants more.
    pub fn in_use(&self, at: Timestamp) -> u64 {
        let used = if self.window > 0 { self.spent() } else { self.peaks(at) };
        if used > 0 && self.is_dry(at) { self.limit } else { used.min(self.limit) }
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
        Ledger {
            window,
            limit: 100,
            lost: 0,
            elsewhere: 0,
            quiet_until: i64::MIN,
            holders: holders.collect(),
            ghosts: Vec::new(),
        }
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
    fn of_shares_what_is_away_at_a_time_is_used() {
        assert_eq!(in_use(&ledger(0, &[(50, 43, 54), (50, 42, 53)])), 85);
        assert_eq!(in_use(&ledger(0, &[(50, 50, 100), (50, 50, 100)])), 100);
        assert_eq!(in_use(&ledger(0, &[(64, 63, 100), (36, 36, 100)])), 100, "but for a little");
        assert_eq!(in_use(&ledger(0, &[(100, 0, 0)])), 0);
        let gone = ledger(0, &[(50, 50, 50)]);
        assert_eq!(gone.in_use(Timestamp::from_millis(10_000)), 0);
    }
}
