//! Keeps one purse filled: when to ask the ledger, for how much, what to give back, and what to do without it.
//!
//! Pure: a record and a moment in, the record to write out. Carried out by a loop that reads, writes by compare-and-set, and
//! tells what came of it; it may be slow, lose answers, or hear them twice. The keeper goes by what the record says of its
//! holder, never by what it hopes: units are put into the purse when a record was seen that grants them, and are out of it
//! before a record says that they were given back.
//!
//! One ask a second and limit in the long run, each a read and a write, whatever the traffic: what is held lasts three
//! seconds, and more is asked for when half of that is left, so that no call waits for it. After a pause three may follow each
//! other: a burst needs some steps to what it uses, and does not wait a second for each. What the last burst used in a second
//! stays through a pause, where that is next to nothing of what is left.

mod demand;
mod shares;
mod windows;

use std::sync::Arc;

use crate::quota::purse::Purse;
use demand::Demand;
use model::quota::clock::Now;
use model::quota::ledger::{Error, Holder, Lease, Ledger, QUIET_MS, SHARE_MS};
use model::quota::window::Window;
use model::quota::{Limit, Span};

/// Between two asks of one limit, in milliseconds. An ask is a read and a write.
pub(crate) const ASK_MS: u64 = 1_000;
/// Asks for more that may follow each other where none was made for as long.
const ASKS_AT_ONCE: u64 = 3;
/// Between two asks that hope for what others may give back, in milliseconds.
pub(crate) const HOPE_MS: u64 = 3_000;
/// The same where units come home within [`SOON_HOME_MS`]: a call may wait for the one that a probe has just taken.
pub(crate) const SOON_MS: u64 = 500;
/// What comes home so soon is asked for more often, in milliseconds.
const SOON_HOME_MS: u64 = 2_000;
/// How often `tick` wants to be called while a limit is in use, in milliseconds.
pub(crate) const TICK_MS: u64 = 100;
/// How long before and after the end of a calendar window nothing is spent, in milliseconds: the provider's clock and the
/// way to it may differ by so much.
pub(crate) const GUARD_MS: u64 = 250;
/// Who begins to spend asks for up to so many units at once: a few calls that come together do not wait for each other's
/// grants.
const BEGIN_MAX: u64 = 16;
/// Or for this part of what is left, where that is more: where there is plenty a burst does not wait, and a crash loses little.
const BEGIN_PLENTY: u64 = 1_024;
/// Who refused calls although he had been given something wants so many times as much.
const STEP: u64 = 4;
/// For how long something is kept at hand for a limit that nobody uses, in milliseconds.
pub(crate) const IDLE_MS: u64 = 600_000;

/// With more doubt of the time no share is taken, in milliseconds: it would have to end as soon as it begins.
const DOUBT_MS_MAX: u64 = SHARE_MS / 5;

/// What a provider says of its own count, as it is of use to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// So much is used in all, in this window.
    Used { used: u64, window: i64 },
    /// So much is used by others than this gateway, of what renews itself.
    Others { used: u64 },
}

/// What keeps a purse.
#[derive(Debug)]
pub(crate) struct Keeper {
    limit: Limit,
    purse: Arc<Purse>,
    gateway: String,
    epoch: u32,
    me: Holder,
    /// Totals of this lease, as the record had them last.
    granted: u64,
    /// What was taken out of the purse to be given back, whether the record says so yet or not.
    returned: u64,
    /// What the record says of that.
    told: u64,
    demand: Demand,
    asked_ms: Option<u64>,
    /// Until when there are no asks to be made that were not made ahead of their time.
    ahead_ms: u64,
    /// Units asked for in vain that the plan which is being written is for.
    planned: u64,
    /// For how many units of a window was asked last, and when.
    wanted: (u64, u64),
    /// Whether the last ask was for nothing: nothing is left.
    in_vain: bool,
    window: Option<Window>,
    /// So little is it of what was left of a window last, that it may lie here through a pause.
    plenty: u64,
    /// What calls of the last window may still cost in this one.
    carry: u64,
    /// What was under way when the window closed.
    closing: Option<u64>,
    /// Since when more is held than is needed.
    spare_since_ms: Option<u64>,
    share: shares::Share,
}

impl Keeper {
    /// The keeper of a limit for a gateway, whose name no other process has or had.
    pub(crate) fn new(limit: Limit, gateway: &str) -> Self {
        Self {
            purse: Arc::new(Purse::new(&limit)),
            limit,
            gateway: gateway.to_owned(),
            epoch: 0,
            me: Holder::new(gateway, 0),
            granted: 0,
            returned: 0,
            told: 0,
            demand: Demand::default(),
            asked_ms: None,
            ahead_ms: 0,
            planned: 0,
            wanted: (0, 0),
            in_vain: false,
            window: None,
            plenty: 0,
            carry: 0,
            closing: None,
            spare_since_ms: None,
            share: shares::Share::default(),
        }
    }

    /// What calls take from.
    pub(crate) fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    /// The window that is open, by its first moment in Unix milliseconds.
    pub(crate) fn window(&self) -> Option<i64> {
        self.window.map(|window| window.from.as_millis())
    }

    /// The same limit with another amount, or with another number of gateways: what is held stays, and more is granted only
    /// within the new one. Another span is another limit.
    pub(crate) fn set_limit(&mut self, limit: &Limit) {
        if limit.amount > self.limit.amount {
            // What was known to be used up is not, and is asked for at once.
            self.in_vain = false;
            self.purse.set_dry(None);
        }
        (self.limit.amount, self.limit.replicas) = (limit.amount, limit.replicas);
        self.purse.set_most(limit.amount);
    }

    /// Whether nothing is held and nothing is wanted: then time need not pass.
    pub(crate) fn is_idle(&self) -> bool {
        let held = self.granted > self.returned || self.returned > self.told;
        let asked = self.demand.refused > 0 || self.purse.is_refused();
        !held && !asked && self.purse.balance() == 0 && self.purse.debt() == 0
    }

    /// Lets time pass: windows end and begin, shares end. `now`: nothing before the bus was heard.
    pub(crate) fn tick(&mut self, steady_ms: u64, now: Option<&Now>) {
        if self.limit.renews() {
            self.tick_share(steady_ms);
        } else if let Some(now) = now {
            self.tick_window(now);
        }
    }

    /// Whether the ledger should be asked now. Whoever is told so asks. `is_told`: the provider said something that is to
    /// be written down.
    pub(crate) fn is_due(&mut self, steady_ms: u64, is_told: bool) -> bool {
        let since = self.asked_ms.map(|asked| steady_ms.saturating_sub(asked));
        let after = |pause_ms| since.is_none_or(|since| since >= pause_ms);
        let needs =
            if self.limit.renews() { self.share_needs(steady_ms) } else { self.window_needs(steady_ms) };
        let ahead_ms = self.ahead_ms.saturating_sub(steady_ms);
        let needed = match needs {
            Needs::Nothing => false,
            Needs::Renewal => after(ASK_MS),
            Needs::Less => after(HOPE_MS),
            Needs::More if self.in_vain => after(if self.comes_soon() { SOON_MS } else { HOPE_MS }),
            Needs::More if self.demand.refused == 0 => after(ASK_MS),
            Needs::More => since.is_none() || ahead_ms <= (ASKS_AT_ONCE - 1) * ASK_MS,
        };
        let due = needed || (is_told && after(ASK_MS));
        if due {
            self.asked_ms = Some(steady_ms);
            self.ahead_ms = self.ahead_ms.max(steady_ms) + ASK_MS;
        }
        due
    }

    /// Whether what others have in use comes home before a call that waits for it gives up.
    fn comes_soon(&self) -> bool {
        self.limit.renews() && self.limit.home_ms() <= SOON_HOME_MS
    }

    /// What to write, given what was read. Nothing: it is as it should be.
    ///
    /// # Errors
    /// As [`Ledger::now`]: then nothing can be asked for yet.
    pub(crate) fn plan(&mut self, read: Option<&Ledger>, now: &Now) -> Result<Option<Ledger>, Error> {
        self.tick(now.steady_ms, Some(now));
        if self.limit.renews() && now.doubt_ms() > DOUBT_MS_MAX {
            return Err(Error::Uncertain);
        }
        let mut ledger = Ledger::now(read, &self.limit, now)?;
        if !self.limit.renews() && self.window.map(|window| window.from.as_millis()) != Some(ledger.window) {
            return Err(Error::Uncertain);
        }
        // What is healed is not written yet: nothing is learned of it.
        if !self.heal(&mut ledger, now) {
            self.learn(&ledger, now);
        }
        let next =
            if self.limit.renews() { self.plan_share(&ledger, now) } else { self.plan_window(&ledger, now) };
        let next = Some(next).filter(|next| read != Some(next));
        if next.is_none() {
            self.answered();
        }
        Ok(next)
    }

    /// What was asked for in vain, for a plan. It is forgotten when that is written: a plan may lose the race for it.
    fn refused(&mut self) -> u64 {
        self.planned = self.demand.refused;
        self.planned
    }

    fn answered(&mut self) {
        self.demand.refused = self.demand.refused.saturating_sub(std::mem::take(&mut self.planned));
    }

    /// What was written stands.
    pub(crate) fn landed(&mut self, written: &Ledger, now: &Now) {
        self.answered();
        let ours = self.window.map_or(0, |window| window.from.as_millis());
        if self.limit.renews() || written.window == ours {
            self.learn(written, now);
        }
    }

    /// What the provider's own count says to the ledger, by an answer that has just come; nothing where providers count none.
    pub(crate) fn said(&self, used: u64) -> Option<Said> {
        match self.limit.span {
            Span::Calendar { .. } => self.window().map(|window| Said::Used { used, window }),
            Span::Rolling { .. } | Span::Bucket { .. } => {
                // Units that came home meanwhile, or that are under way, are ours for longer than they are the provider's.
                let own = self.granted.saturating_sub(self.returned).saturating_sub(self.purse.balance());
                Some(Said::Others { used: used.saturating_sub(own) })
            }
            Span::Concurrent => None,
        }
    }

    /// Takes that count: what it leaves is all that may be spent here, and what it says of others is written with the next
    /// plan. Nothing where it is of another window.
    pub(crate) fn observe(&mut self, ledger: &Ledger, said: Said, now: &Now) -> Option<Ledger> {
        match said {
            Said::Used { used, window } => (ledger.window == window).then(|| {
                self.purse.heed(self.limit.amount.saturating_sub(used), now.steady_ms);
                ledger.observe(used)
            }),
            Said::Others { used } => Some(ledger.observe_others(&self.me, used, &self.limit, now)),
        }
    }

    /// What to write at the end: everything unspent is given back. Nothing: nothing is held. Afterwards the purse is
    /// empty; call it again with what is read when the write was refused.
    pub(crate) fn leave(&mut self, read: Option<&Ledger>, now: &Now) -> Option<Ledger> {
        self.purse.end_at(0);
        let ledger = Ledger::now(read, &self.limit, now).ok()?;
        let lease = ledger.holders.get(&self.me)?;
        // What was granted and never put in is given back with the rest.
        let unseen = lease.granted.saturating_sub(self.granted);
        self.purse.sweep(now.steady_ms);
        let out = self.purse.withdraw(u64::MAX);
        self.granted += unseen;
        self.returned += out + unseen;
        Some(ledger.give_back(&self.me, self.returned).leave(&self.me, &self.limit, now))
    }

    /// Goes by what a record says of us: what it grants is put into the purse.
    fn learn(&mut self, ledger: &Ledger, now: &Now) {
        let Some(lease) = ledger.holders.get(&self.me).copied() else {
            // Nobody who has nothing is told that something is left where nothing is.
            self.look(ledger, now);
            self.in_vain = ledger.left() == 0;
            let dry = self.in_vain && !self.limit.renews();
            self.purse.set_dry(dry.then(|| self.resets_ms(now)).flatten());
            return;
        };
        let got = lease.granted.saturating_sub(self.granted);
        self.granted += got;
        if got > 0 {
            // Also where the answer to the write was lost.
            self.answered();
        }
        self.told = self.told.max(lease.returned);
        if self.limit.renews() {
            self.learn_share(&lease, got, now);
        } else {
            let carried = self.carry.min(got);
            self.carry -= carried;
            self.purse.deposit(got - carried);
        }
        self.look(ledger, now);
        self.in_vain = ledger.left() == 0;
        let resets = (self.in_vain && !self.limit.renews()).then(|| self.resets_ms(now)).flatten();
        self.purse.set_dry(resets);
    }

    /// Shows what is left to all.
    fn look(&self, ledger: &Ledger, now: &Now) {
        let resets = if self.limit.renews() { None } else { self.resets_ms(now) };
        self.purse.show(ledger.left(), resets);
    }

    /// A ledger that knows less of us than we had from it went back: it says again what we hold, and grants nothing until
    /// all others have said so too. Says whether there was something to heal.
    fn heal(&mut self, ledger: &mut Ledger, now: &Now) -> bool {
        let known = ledger.holders.get(&self.me).map_or(0, |lease| lease.granted);
        if known >= self.granted {
            return false;
        }
        if self.limit.renews() && known == 0 {
            self.return_from_afar(ledger, now);
            return true;
        }
        let (granted, returned) = (self.granted, self.told);
        let lease = ledger.entry(&self.me);
        *lease = Lease { granted, returned, ..*lease };
        ledger.quiet_until = now.latest.as_millis().saturating_add_unsigned(QUIET_MS);
        true
    }

    /// Begins a new lease.
    fn begin(&mut self) {
        self.epoch += 1;
        self.me = Holder::new(&self.gateway, self.epoch);
        (self.granted, self.returned, self.told) = (0, 0, 0);
    }
}

/// For how much whoever begins may ask where so much is left.
fn begin(left: u64) -> u64 {
    BEGIN_MAX.max(left / BEGIN_PLENTY)
}

/// What a keeper wants of its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Renewal,
    More,
    Less,
}

#[cfg(test)]
mod tests;
