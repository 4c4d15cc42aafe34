//! What is spent by who holds no lease: a prober, who asks so seldom that it has nothing to keep, pays for one call at once;
//! and others have the same key. Pure.
//!
//! What renews itself is away until it is home, like the share of a holder that left. Shares whose holders are gone are
//! not buried here: how much is kept for each depends on how many gateways there are, which only gateways know.

use super::ghost::{self, Ghost};
use super::{Error, Holder, Lease, Ledger, certain};
use crate::quota::clock::Now;
use crate::quota::limit::{ESTIMATE_MS, Limit};

/// In how many steps of its way what was paid comes home: calls that were paid for about the same time come home together.
const STEPS: u64 = 16;

impl Ledger {
    /// The ledger after so many units were paid; nothing when less is left.
    ///
    /// # Errors
    /// As [`Ledger::now`].
    pub fn pay(read: Option<&Self>, limit: &Limit, units: u64, now: &Now) -> Result<Option<Self>, Error> {
        let mut next =
            if limit.renews() { Self::shared(read, limit, now) } else { Self::now(read, limit, now)? };
        let is_quiet = now.earliest.as_millis() < next.quiet_until;
        if is_quiet || next.left() < units {
            return Ok(None);
        }
        if limit.renews() {
            next.spend(limit, units, now);
        } else {
            next.paid = next.paid.saturating_add(units);
        }
        Ok(Some(next))
    }

    /// Takes the provider's own count of what renews itself, by what it says that others than this holder have used. What
    /// nobody in the ledger can have used was used by somebody else with the same key: it is away until it is home. Only ever
    /// lowers what is left, and is the same when it is said again.
    #[must_use]
    pub fn observe_others(&self, holder: &Holder, used: u64, limit: &Limit, now: &Now) -> Self {
        let own = self.holders.get(holder).map_or(0, Lease::held);
        let known = self.taken().saturating_sub(own);
        let mut next = self.clone();
        match used.min(limit.amount).saturating_sub(known) {
            0 => {}
            units => next.spend(limit, units, now),
        }
        next
    }

    /// Units of what renews itself are away from now on.
    fn spend(&mut self, limit: &Limit, units: u64, now: &Now) {
        let home = limit.home_ms();
        let step = i64::try_from((home / STEPS).max(1)).unwrap_or(i64::MAX);
        let free_at = now.latest.as_millis().saturating_add_unsigned(home);
        let free_at = free_at.saturating_add(step - free_at.rem_euclid(step));
        ghost::put(&mut self.ghosts, Ghost { units, free_at, holder: None });
    }

    /// The first moment at which a window that has just begun or is about to end is certain enough to call in, in Unix
    /// milliseconds: `guard_ms` away from its bounds. Nothing where it is certain now.
    ///
    /// # Errors
    /// [`Error::Uncertain`] within the doubt around a boundary.
    pub fn certain_at(limit: &Limit, now: &Now, guard_ms: u64) -> Result<Option<i64>, Error> {
        let Some(window) = certain(limit, now)? else { return Ok(None) };
        let (from, to) = (window.from.as_millis(), window.to.as_millis());
        let begins = from.saturating_add_unsigned(guard_ms);
        if now.earliest.as_millis() < begins {
            return Ok(Some(begins));
        }
        let is_over = now.latest.as_millis() >= to.saturating_sub_unsigned(guard_ms);
        Ok(is_over.then(|| to.saturating_add_unsigned(guard_ms)))
    }

    /// What renews itself as it is now, but for those that are gone: they leave when nothing of theirs can be away any more.
    fn shared(read: Option<&Self>, limit: &Limit, now: &Now) -> Self {
        let mut next = read.cloned().unwrap_or_else(|| Self::new(limit, 0));
        let earliest = now.earliest.as_millis();
        next.limit = limit.amount;
        next.ghosts.retain(|ghost| ghost.free_at > earliest);
        let rest = limit.home_ms().saturating_add(u64::from(ESTIMATE_MS));
        next.holders.retain(|_, lease| lease.until.saturating_add_unsigned(rest) > earliest);
        next
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::super::Holder;
    use super::*;
    use crate::Timestamp;
    use crate::integration::Window as Per;
    use crate::quota::limit::Span;

    const NOON: i64 = 1_795_262_400_000;

    fn limit(amount: u64, span: Span) -> Limit {
        Limit { name: "l".to_owned(), amount, span, replicas: Some(2) }
    }

    fn day(amount: u64) -> Limit {
        limit(amount, Span::Calendar { per: Per::Day, zone: TimeZone::UTC })
    }

    fn minute(amount: u64) -> Limit {
        limit(amount, Span::Rolling { millis: 60_000 })
    }

    fn at(millis: i64) -> Now {
        Now::exactly(Timestamp::from_millis(millis), 0)
    }

    fn paid(read: Option<&Ledger>, limit: &Limit, now: i64) -> Option<Ledger> {
        Ledger::pay(read, limit, 1, &at(now)).expect("the time is certain")
    }

    #[test]
    fn what_is_paid_of_a_window_is_gone_until_it_ends() {
        let limit = day(3);
        let (ledger, _) =
            Ledger::now(None, &limit, &at(NOON)).expect("a window").grant(&Holder::new("g", 0), 1, &at(NOON));
        let ledger = paid(Some(&ledger), &limit, NOON).expect("two are left");
        let ledger = paid(Some(&ledger), &limit, NOON + 1).expect("one is left");
        assert_eq!((ledger.left(), ledger.spent(), ledger.holders.len()), (0, 2, 1));
        assert_eq!(paid(Some(&ledger), &limit, NOON + 2), None);
        assert!(paid(Some(&ledger), &limit, NOON + 86_400_000).is_some(), "another day");
    }

    #[test]
    fn what_is_paid_of_a_rolling_limit_comes_home() {
        let limit = minute(2);
        let mut ledger = paid(None, &limit, NOON).expect("two are left");
        ledger = paid(Some(&ledger), &limit, NOON + 100).expect("one is left");
        assert_eq!(paid(Some(&ledger), &limit, NOON + 60_000), None, "not before all of it is home");
        let home = i64::try_from(limit.home_ms()).expect("short");
        assert!(paid(Some(&ledger), &limit, NOON + home + home / 16 + 101).is_some());
    }

    #[test]
    fn a_share_of_which_nobody_hears_stays_away_until_none_of_it_can_be() {
        let limit = minute(4);
        let (ledger, _) = Ledger::new(&limit, 0).grant(&Holder::new("g", 0), 4, &at(NOON));
        let mut ledger = ledger;
        ledger.entry(&Holder::new("g", 0)).until = NOON;
        assert_eq!(paid(Some(&ledger), &limit, NOON + 60_000), None);
        assert!(paid(Some(&ledger), &limit, NOON + 1_000_000).is_some());
    }

    #[test]
    fn near_the_bounds_of_a_window_a_call_waits() {
        let midnight = NOON + 43_200_000;
        for (now, wanted) in [
            (NOON, None),
            (midnight - 200, Some(midnight + 250)),
            (midnight, Some(midnight + 250)),
            (midnight + 250, None),
        ] {
            assert_eq!(Ledger::certain_at(&day(1), &at(now), 250), Ok(wanted), "{now}");
        }
        assert_eq!(Ledger::certain_at(&minute(1), &at(midnight), 250), Ok(None));
    }

    proptest! {
        #[test]
        fn no_stretch_of_the_window_has_more_than_the_limit(
            pauses in proptest::collection::vec(0i64..20_000, 1..200), amount in 1u64..50,
        ) {
            let limit = minute(amount);
            let (mut ledger, mut now, mut spent) = (None, NOON, Vec::new());
            for pause in pauses {
                now += pause;
                if let Some(next) = paid(ledger.as_ref(), &limit, now) {
                    prop_assert!(next.ghosts.len() <= 20, "{}", next.ghosts.len());
                    ledger = Some(next);
                    spent.push(now);
                }
            }
            for at in &spent {
                let beside = spent.iter().filter(|other| (*at..at + 60_000).contains(*other)).count();
                prop_assert!(beside as u64 <= amount);
            }
        }
    }
}
