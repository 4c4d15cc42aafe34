//! The keeper of a calendar window: units are leased, spent, and gone until the window ends.
//!
//! Pure. A chunk lasts some seconds and is never more than a part of what is left, divided by all who lease: the less is
//! left the smaller, and 1 at the end. What is held too much goes back.

use model::Timestamp;

use super::{ASK_MS, BEGIN_PLENTY, GUARD_MS, HOPE_MS, IDLE_MS, Keeper, Needs, STEP, begin};
use model::quota::clock::Now;
use model::quota::ledger::{Ledger, certain};

/// What is held lasts so long, in milliseconds.
const HOLD_MS: u64 = 3 * ASK_MS;
/// More is asked for when what is held lasts only so long, in milliseconds: an ask may have to wait for the next one.
const LOW_MS: u64 = HOLD_MS / 2;
/// Of what is left one chunk is at most this part, and that for each who leases.
const PART: u64 = 4;
/// Who begins to spend has at most this part of what is left at once: a crash loses what is held until the window ends,
/// and of few units each is worth the wait for its grant.
const BEGIN_PART: u64 = 16;
/// A holder that was not heard for so long, in milliseconds, has no part of what is left.
const HEARD_MS: u64 = 60_000;
/// What is held of which no call can be made goes back after so long, in milliseconds, so that one of several has enough.
const REST_MS: u64 = HOPE_MS;

/// For a burst lies what the last one used in so long, in milliseconds: meanwhile more is asked for.
const BURST_MS: u64 = ASK_MS;

/// What is held too much goes back when it was too much for so long, in milliseconds: a burst has pauses.
const SPARE_MS: u64 = 10_000;

impl Keeper {
    pub(super) fn tick_window(&mut self, now: &Now) {
        let guard = |at: Timestamp| at.as_millis().saturating_add_unsigned(GUARD_MS);
        // Within a window there is nothing to look up.
        if self.window.is_none_or(|known| now.earliest >= known.to)
            && let Ok(Some(window)) = certain(&self.limit, now)
            && self.window.is_none_or(|known| window.from > known.from)
            && now.earliest.as_millis() >= guard(window.from)
        {
            // The first window of this process owes nothing to an earlier one.
            let carry = self.purse.open(0);
            let carry = self.closing.take().unwrap_or(carry);
            self.carry = if self.window.is_some() { carry } else { 0 };
            self.window = Some(window);
            self.begin();
            self.demand.restart();
            self.asked_ms = None;
            self.in_vain = false;
        }
        let Some(window) = self.window else { return };
        let is_in = now.earliest.as_millis() >= guard(window.from);
        let rest =
            window.to.as_millis().saturating_sub_unsigned(GUARD_MS).saturating_sub(now.latest.as_millis());
        let rest = if is_in { u64::try_from(rest).unwrap_or(0) } else { 0 };
        self.purse.end_at(now.steady_ms.saturating_add(rest));
        if is_in && rest == 0 && self.closing.is_none() {
            // What has no answer yet may be counted on either side of the boundary.
            self.closing = Some(self.purse.flying());
        }
        let spent = self.granted.saturating_sub(self.returned).saturating_sub(self.purse.balance());
        self.demand.sample(spent, self.purse.take_refused(), now.steady_ms);
        self.purse.set_low(self.low());
        let is_spare = self.purse.balance() > self.target(now.steady_ms).saturating_mul(2);
        self.spare_since_ms = is_spare.then(|| self.spare_since_ms.unwrap_or(now.steady_ms));
    }

    /// When the window ends and units come again, on the steady clock.
    pub(super) fn resets_ms(&self, now: &Now) -> Option<u64> {
        let to = guard_end(self.window?.to);
        Some(
            now.steady_ms
                .saturating_add(u64::try_from(to.saturating_sub(now.earliest.as_millis())).unwrap_or(0)),
        )
    }

    pub(super) fn window_needs(&self, steady_ms: u64) -> Needs {
        if self.window.is_none() {
            return Needs::Nothing;
        }
        let balance = self.purse.balance();
        if self.demand.refused > 0 || (self.is_used(steady_ms) && balance < self.low()) {
            Needs::More
        } else if self.returned > self.told || self.is_spare(steady_ms) {
            Needs::Less
        } else {
            Needs::Nothing
        }
    }

    pub(super) fn plan_window(&mut self, ledger: &Ledger, now: &Now) -> Ledger {
        let (balance, steady_ms) = (self.purse.balance(), now.steady_ms);
        let refused = self.refused();
        let since = now.earliest.as_millis().saturating_sub_unsigned(HEARD_MS);
        let others =
            ledger.holders.iter().filter(|(who, lease)| **who != self.me && lease.until >= since).count();
        let all = others as u64 + 1;
        let each = ledger.left() / all;
        let begin = (each / BEGIN_PART).min(begin(each));
        self.plenty = each / BEGIN_PLENTY;
        let target = self.target(steady_ms);
        // What was granted lasted for less than an ask: how much is used is not known yet, but that it is much more. Of little
        // that is left no large part is taken on a guess.
        let (granted, granted_ms) = self.wanted;
        let is_short = steady_ms.saturating_sub(granted_ms) < ASK_MS;
        let more = if is_short { granted.saturating_mul(STEP).min(ledger.left() / (PART * all)) } else { 0 };
        let wanted =
            if refused > 0 { target.saturating_mul(2).max(refused).max(begin).max(more) } else { target };
        if refused == 0 && self.is_spare(steady_ms) {
            self.returned += self.purse.withdraw(balance.saturating_sub(target));
        } else if refused > 0 && ledger.left() == 0 && balance > 0 && self.gives_rest(steady_ms) {
            self.returned += self.purse.withdraw(balance);
        }
        // Whoever is alone may have all that was asked for.
        let part = if others == 0 { ledger.left() } else { ledger.left() / (PART * all) };
        // What was used beyond all that was there is paid of what is granted.
        let (owed, debt) = (self.carry, self.purse.debt());
        let want = wanted.saturating_add(owed).saturating_add(debt).saturating_sub(balance).min(part.max(1));
        let want = if wanted.saturating_add(debt) > balance { want } else { 0 };
        if want > 0 {
            self.wanted = (want, steady_ms);
        }
        let (next, _) = ledger.grant(&self.me, want, now);
        let mut next = next.give_back(&self.me, self.returned);
        let spent = self.granted.saturating_sub(self.returned).saturating_sub(self.purse.balance());
        if let Some(lease) = next.holders.get_mut(&self.me) {
            (lease.spent, lease.wants, lease.until) = (spent, wanted, now.latest.as_millis());
        }
        next
    }

    fn is_spare(&self, steady_ms: u64) -> bool {
        self.spare_since_ms.is_some_and(|since| steady_ms.saturating_sub(since) >= SPARE_MS)
    }

    fn is_used(&self, steady_ms: u64) -> bool {
        self.demand.used_ms > 0 && steady_ms.saturating_sub(self.demand.used_ms) < IDLE_MS
    }

    /// What to hold. Through a pause what a burst like the last one uses until more is there, if that is next to nothing of
    /// what is left.
    fn target(&self, steady_ms: u64) -> u64 {
        if !self.is_used(steady_ms) {
            return 0;
        }
        let burst = self.demand.at_most_within(BURST_MS).min(self.plenty);
        self.demand.within(HOLD_MS).max(burst).max(1)
    }

    fn low(&self) -> u64 {
        self.demand.within(LOW_MS).max(1)
    }

    /// Whether it is our turn to give a rest back with which nobody can do anything: not everyone at once.
    fn gives_rest(&self, steady_ms: u64) -> bool {
        let name: u64 = self.me.as_str().bytes().fold(7, |sum, byte| sum * 31 % 1_009 + u64::from(byte));
        (steady_ms / REST_MS + name).is_multiple_of(2)
    }
}

fn guard_end(to: Timestamp) -> i64 {
    to.as_millis().saturating_add_unsigned(GUARD_MS)
}
