//! The keeper of what renews itself: a share of the limit is leased, and its units come home after they were spent.
//!
//! Pure. Shares follow use: each says how much it would like, and where that is more than the limit everyone gets his part
//! of it. What goes from one to another is out of the first one's purse before: spent units when they are home, so that
//! no window has more than the limit while shares move. A share ends when it is not renewed; then an equal part is gone
//! on with, if the limit says so, for as long as the ledger keeps it.

use model::Timestamp;

use super::{ASK_MS, HOPE_MS, IDLE_MS, Keeper, Needs, STEP, begin};
use model::quota::ESTIMATE_MS;
use model::quota::clock::Now;
use model::quota::ledger::{Lease, Ledger, SHARE_MS};

/// A share is renewed when so much of it is left, in milliseconds: two more asks fit into it.
const RENEW_MS: u64 = SHARE_MS * 2 / 3;
/// What a share is larger than its use, in parts of it.
const ROOM: u64 = 4;
/// By which part of the limit a share may be larger than it should be: it is not worth a move.
const SLACK: u64 = 64;

/// What comes home so soon is no loss in a crash, in milliseconds: who begins may have all of a few units.
const SOON_MS: u64 = 15_000;
/// For how long a gateway that refused calls wants it, in milliseconds.
const STARVED_MS: u64 = 30_000;

/// A share of a limit.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Units in the purse, spent ones included.
    units: u64,
    /// Units that were let go, those included that are not home yet.
    retired: u64,
    /// What the record had as given back when it was resumed: units that are not ours to speak of.
    base: u64,
    /// When it ends, on the steady clock.
    ends_ms: u64,
    /// Whether it ended, and is gone on with.
    estimates: bool,
    /// The most that was away at a time since it was planned last.
    peak: u64,
    /// When calls were refused last, and what was wanted because of it.
    starved_ms: Option<u64>,
    grown: u64,
}

impl Keeper {
    pub(super) fn tick_share(&mut self, steady_ms: u64) {
        self.purse.sweep(steady_ms);
        let away = self.share.units.saturating_sub(self.purse.balance());
        self.share.peak = self.share.peak.max(away);
        // What is away changes with use, as a sum of what is spent would.
        self.demand.sample(away, self.purse.take_refused(), steady_ms);
        if away > 0 {
            self.demand.used_ms = steady_ms;
        }
        if self.share.units == 0 || steady_ms < self.share.ends_ms {
            return;
        }
        // A share that never began is no ground for an estimate: what is kept for its holder, others may have by now.
        let most = if self.share.ends_ms > 0 { self.limit.estimate() } else { 0 };
        if self.share.estimates || most == 0 {
            self.let_go(self.share.units);
        } else {
            self.let_go(self.share.units.saturating_sub(most));
            self.share.estimates = true;
            self.share.ends_ms += u64::from(ESTIMATE_MS);
            self.purse.end_at(self.share.ends_ms);
        }
    }

    pub(super) fn share_needs(&self, steady_ms: u64) -> Needs {
        let Share { units, ends_ms, estimates, .. } = self.share;
        if units > 0 && (estimates || ends_ms.saturating_sub(steady_ms) < RENEW_MS) {
            Needs::Renewal
        } else if self.demand.refused > 0 && units < self.limit.amount {
            Needs::More
        } else if self.home() > self.told {
            Needs::Less
        } else {
            Needs::Nothing
        }
    }

    pub(super) fn plan_share(&mut self, ledger: &Ledger, now: &Now) -> Ledger {
        let amount = self.limit.amount;
        let refused = self.refused();
        let peak = std::mem::take(&mut self.share.peak);
        let is_used = now.steady_ms.saturating_sub(self.demand.used_ms) < IDLE_MS && self.demand.used_ms > 0;
        if refused > 0 {
            self.share.starved_ms = Some(now.steady_ms);
        }
        // A share that comes and goes is in nobody's hands meanwhile: whoever had too little is believed for a while.
        let is_starved =
            self.share.starved_ms.is_some_and(|at| now.steady_ms.saturating_sub(at) < STARVED_MS);
        // Grows in steps, so that a crash loses about what was in use and not all of the limit.
        let units = self.share.units;
        if refused > 0 {
            let at_once = if self.limit.home_ms() <= SOON_MS { ledger.left() } else { ledger.left() / 2 };
            let more = units.saturating_mul(STEP).max(units + refused).max(begin(ledger.left()).min(at_once));
            self.share.grown = self.share.grown.max(more).min(amount);
        } else if !is_starved {
            self.share.grown = 0;
        }
        let use_now = self.share.grown.max(peak + peak / ROOM + 1);
        let wants = use_now.max(self.limit.estimate()).min(amount);
        let wants = if is_used { wants } else { 0 };
        let others: u64 =
            ledger.holders.iter().filter(|(who, _)| **who != self.me).map(|(_, lease)| lease.wants).sum();
        let all = wants.saturating_add(others);
        let fair = if all <= amount { wants } else { part(amount, wants, all).max(1) };
        let units = self.share.units;
        let most =
            if all <= amount { wants.max(units.min(wants + ledger.left())) } else { fair + amount / SLACK };
        let most = if wants == 0 { 0 } else { most };
        if units > most {
            self.let_go(units - if wants == 0 { 0 } else { fair });
        }
        let units = self.share.units;
        let rest = ledger.left().div_ceil(ledger.holders.len().max(1) as u64);
        let want = fair.saturating_sub(units).max(rest.min(most.min(wants).saturating_sub(units)));
        let (next, _) = ledger.grant(&self.me, want, now);
        self.returned = self.returned.max(self.home());
        let mut next = next.give_back(&self.me, self.returned);
        if wants > 0 {
            // Also without a share: others see that somebody wants one.
            next.entry(&self.me);
        }
        if let Some(lease) = next.holders.get_mut(&self.me) {
            lease.spent = peak;
            lease.wants = wants;
            lease.until = until(now).as_millis();
            if lease.held() == 0 && wants == 0 {
                next = next.leave(&self.me, &self.limit, now);
            }
        }
        next
    }

    pub(super) fn learn_share(&mut self, lease: &Lease, got: u64, now: &Now) {
        self.share.units += got;
        self.purse.deposit(got);
        let rest = lease.until.saturating_sub(now.latest.as_millis());
        let ends_ms = now.steady_ms.saturating_add(u64::try_from(rest).unwrap_or(0));
        if rest > 0 && (self.share.estimates || ends_ms > self.share.ends_ms) {
            self.share.estimates = false;
            self.share.ends_ms = ends_ms;
            self.purse.end_at(ends_ms);
        }
    }

    /// The ledger thinks that we are gone. What it kept for us is ours again, if it did; the rest is not ours any more.
    pub(super) fn return_from_afar(&mut self, ledger: &mut Ledger, now: &Now) {
        if let Some(resumed) = ledger.resume(&self.me, self.granted, until(now)) {
            let kept = resumed.holders.get(&self.me).map_or(0, Lease::held);
            self.let_go(self.share.units.saturating_sub(kept));
            // What is not in the share, though it was kept, is free when nothing that was let go is away any more.
            (self.share.base, self.share.retired) = (self.granted - kept, kept - self.share.units);
            self.returned = self.granted - kept;
            *ledger = resumed;
        } else {
            self.let_go(self.share.units);
            self.share = Share::default();
            self.begin();
        }
    }

    /// Lets units of the share go: those that are spent when they are home.
    fn let_go(&mut self, units: u64) {
        self.purse.retire(units);
        self.share.units -= units;
        self.share.retired += units;
    }

    /// Of what was let go, what is home and can be others'.
    fn home(&self) -> u64 {
        self.share.base + self.share.retired.saturating_sub(self.purse.debt())
    }
}

/// When a share ends that is renewed now.
fn until(now: &Now) -> Timestamp {
    Timestamp::from_millis(now.earliest.as_millis().saturating_add_unsigned(SHARE_MS))
}

fn part(amount: u64, of: u64, all: u64) -> u64 {
    u64::try_from(u128::from(amount) * u128::from(of) / u128::from(all.max(1))).unwrap_or(amount)
}

const _: () = assert!(RENEW_MS > ASK_MS + HOPE_MS);
