//! What one gateway may spend of one limit: asked by every call, on every core.
//!
//! Pure; no lock, and no memory is asked for: a take is one compare-and-set on a word that shares its cache line with
//! nobody else's. The word holds the window's number beside the balance, so that what is given back for a call of an
//! earlier window never becomes part of a later one. How units come again is the limit's: with the next window, a
//! window after they were spent (`ring`), one after another (`drip`), or when the call ends. The `keeper` puts in and takes out; nobody else.

mod drip;
mod estimates;
mod ring;

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, fence};

use drip::Drip;
use model::quota::{Limit, Span, slack_ms};
use ring::Ring;

/// Bits of the word that hold the balance; the others number the window.
const BALANCE_BITS: u32 = 48;
const BALANCE: u64 = (1 << BALANCE_BITS) - 1;
/// After how long it is worth to ask again when a grant is on its way, or a call must end first, in milliseconds.
const AGAIN_MS: u64 = 50;
/// The mark of "nobody said that nothing is left".
const NOT_DRY: u64 = 0;

/// The balance of one limit.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Purse {
    // What every call looks at, in one line.
    word: AtomicU64,
    /// From then on nothing may be spent, on the steady clock.
    ends_ms: AtomicU64,
    /// Whoever takes the balance below it wakes the keeper.
    low: AtomicU64,
    /// How many calls wait for it. The queue's: it lies here because every call asks it.
    pub(super) waiting: AtomicUsize,
    home: Home,
    /// Units that are gone when they come home; of a calendar, what calls used beyond all that was there.
    debt: AtomicU64,
    /// Units that were asked for in vain.
    refused: AtomicU64,
    /// When units come again of which none is left for anybody; 0 while some are.
    dry_until_ms: AtomicU64,
    /// The limit itself.
    most: AtomicU64,
    /// What nobody has leased of it, as the ledger said last; all of it, before it said anything. And when its window ends.
    elsewhere: AtomicU64,
    resets_ms: AtomicU64,
    /// Units of calls under way of which only an estimate was taken: what they leave comes home with their answers.
    estimated: AtomicI64,
}

// A line has 64 bytes: what stands before is in the first.
const _: () = assert!(std::mem::offset_of!(Purse, debt) == 64);

/// How spent units come again.
#[derive(Debug)]
enum Home {
    /// With the next window.
    Never {
        /// Taken, and not settled: what may be counted in the next window.
        flying: AtomicU64,
    },
    /// A window after they were spent.
    Later(Ring),
    /// One after another.
    Evenly(Box<Drip>),
    /// When the call ends.
    WhenSettled,
}

impl Home {
    /// What of a calendar was taken and is not settled.
    fn flying(&self) -> Option<&AtomicU64> {
        match self {
            Self::Never { flying } => Some(flying),
            Self::Later(_) | Self::Evenly(_) | Self::WhenSettled => None,
        }
    }
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// It may be sent.
    Taken(Ticket),
    /// Not before this moment of the steady clock.
    Wait {
        /// In milliseconds.
        until_ms: u64,
    },
    /// At any moment, perhaps: a grant is on its way, or a call must end first. Whoever is not told asks again then.
    Soon {
        /// In milliseconds of the steady clock.
        again_ms: u64,
    },
    /// All is spent until then.
    Empty {
        /// In milliseconds of the steady clock.
        resets_ms: u64,
    },
    /// It weighs more than the limit.
    Never,
}

/// Units that were taken. Must be settled once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// How many.
    pub(crate) units: u64,
    pub(crate) window: u16,
    slot: u32,
    /// Whether the balance fell below its mark with it: the keeper should look.
    pub(crate) is_low: bool,
}

impl Purse {
    /// An empty one.
    pub(crate) fn new(limit: &Limit) -> Self {
        let home = match limit.span {
            Span::Calendar { .. } => Home::Never { flying: AtomicU64::new(0) },
            Span::Rolling { millis } => Home::Later(Ring::new(u64::from(millis) + slack_ms(millis))),
            Span::Bucket { millis } => Home::Evenly(Box::new(Drip::new(millis))),
            Span::Concurrent => Home::WhenSettled,
        };
        Self {
            word: AtomicU64::new(0),
            ends_ms: AtomicU64::new(0),
            low: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            home,
            debt: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            dry_until_ms: AtomicU64::new(NOT_DRY),
            most: AtomicU64::new(limit.amount),
            elsewhere: AtomicU64::new(limit.amount),
            resets_ms: AtomicU64::new(0),
            estimated: AtomicI64::new(0),
        }
    }

    /// Takes units for a call that is sent now.
    pub(crate) fn take(&self, units: u64, now_ms: u64) -> Take {
        self.sweep(now_ms);
        if now_ms >= self.ends_ms.load(Acquire) {
            return self.refuse(units, now_ms);
        }
        let flying = self.home.flying();
        if let Some(flying) = flying {
            // Before the units are taken: when the window ends, none is taken and not seen here.
            flying.fetch_add(units, AcqRel);
        }
        let mut seen = self.word.load(Acquire);
        loop {
            let balance = seen & BALANCE;
            if balance < units {
                if let Some(flying) = flying {
                    flying.fetch_sub(units, AcqRel);
                }
                return self.refuse(units, now_ms);
            }
            match self.word.compare_exchange_weak(seen, seen - units, AcqRel, Acquire) {
                Ok(_) => {
                    let low = self.low.load(Relaxed);
                    let is_low = balance >= low && balance - units < low;
                    return Take::Taken(self.ticket(units, seen, now_ms, is_low));
                }
                Err(other) => seen = other,
            }
        }
    }

    fn ticket(&self, units: u64, seen: u64, now_ms: u64, is_low: bool) -> Ticket {
        let window = u16::try_from(seen >> BALANCE_BITS).expect("16 bits are left");
        let slot = match &self.home {
            Home::Later(ring) => {
                let (slot, home) = ring.spend(units, now_ms);
                self.come_home(home);
                slot
            }
            Home::Evenly(drip) => drip.spend(units, self.balance(), now_ms),
            Home::Never { .. } | Home::WhenSettled => 0,
        };
        Ticket { units, window, slot, is_low }
    }

    /// Ends a call: `used` is what it took in truth, 0 if it was never sent. Says how much was used beyond all that is
    /// there; it is taken from what comes next. The time is asked for only where it matters.
    pub(crate) fn settle(&self, ticket: Ticket, used: u64, now_ms: impl Fn() -> u64) -> u64 {
        let Ticket { units, window, slot, .. } = ticket;
        let spare = units.saturating_sub(used);
        let mut more = used.saturating_sub(units);
        match &self.home {
            Home::Never { flying } => {
                if spare > 0 {
                    self.add_in(window, spare);
                }
                if more > 0 {
                    more -= self.withdraw(more);
                    self.debt.fetch_add(more, AcqRel);
                }
                flying.fetch_sub(units, AcqRel);
            }
            Home::Later(ring) => {
                if spare > 0 {
                    self.come_home(ring.unspend(slot, spare, now_ms()));
                }
                if more > 0 {
                    let taken = self.withdraw(more);
                    let (_, home) = ring.spend(more, now_ms());
                    self.come_home(home);
                    more -= taken;
                    self.debt.fetch_add(more, AcqRel);
                }
            }
            Home::Evenly(drip) => {
                if spare > 0 {
                    self.come_home(drip.unspend(spare, slot));
                }
                if more > 0 {
                    let (taken, now_ms) = (self.withdraw(more), now_ms());
                    drip.spend(taken, self.balance(), now_ms);
                    more -= taken;
                    drip.owe(more, self.balance(), now_ms);
                }
            }
            Home::WhenSettled => {
                self.come_home(units);
                more = 0;
            }
        }
        more
    }

    /// The provider says that so many are left: more than that is not spent. Says how many that costs us; they are gone
    /// as if they were spent.
    pub(crate) fn heed(&self, remaining: u64, now_ms: u64) -> u64 {
        let over = self.withdraw(self.balance().saturating_sub(remaining));
        match &self.home {
            Home::Later(ring) if over > 0 => {
                let (_, home) = ring.spend(over, now_ms);
                self.come_home(home);
            }
            Home::Evenly(drip) if over > 0 => drop(drip.spend(over, self.balance(), now_ms)),
            _ => {}
        }
        over
    }

    /// Whether calls wait for it.
    pub(crate) fn is_waited(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// What can be spent now.
    pub(crate) fn balance(&self) -> u64 {
        self.word.load(Acquire) & BALANCE
    }

    /// Units that were asked for in vain since this was asked last.
    pub(crate) fn take_refused(&self) -> u64 {
        self.refused.swap(0, Relaxed)
    }

    /// Notes units that are waited for.
    pub(crate) fn miss(&self, units: u64) {
        self.refused.fetch_add(units, Relaxed);
    }

    /// Whether units were asked for in vain.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Relaxed) > 0
    }

    /// The number of its window, as tickets have it.
    pub(crate) fn window(&self) -> u16 {
        u16::try_from(self.word.load(Acquire) >> BALANCE_BITS).expect("16 bits are left")
    }

    /// When so many units will have come home of which not so many are there; nothing where nobody knows.
    pub(crate) fn home_at(&self, units: u64, now_ms: u64) -> Option<u64> {
        let missing = units.saturating_add(self.debt()).saturating_sub(self.balance());
        match &self.home {
            Home::Later(ring) => ring.home_at(missing, now_ms),
            Home::Evenly(drip) => drip.home_at(missing, self.balance()),
            Home::Never { .. } | Home::WhenSettled => None,
        }
    }

    /// Whether what is missing of so many units can be leased, as far as the ledger was seen.
    pub(crate) fn can_be_granted(&self, units: u64) -> bool {
        let missing = units.saturating_add(self.debt()).saturating_sub(self.balance());
        missing <= self.elsewhere.load(Relaxed)
    }

    /// What can be spent of the limit, here and with what nobody has leased yet; and the limit.
    pub(crate) fn remaining(&self) -> (u64, u64) {
        let most = self.most.load(Relaxed);
        (self.balance().saturating_add(self.elsewhere.load(Relaxed)).min(most), most)
    }

    /// When its window ends, on the steady clock, where it has one.
    pub(crate) fn resets_ms(&self) -> Option<u64> {
        Some(self.resets_ms.load(Relaxed)).filter(|resets| *resets > 0)
    }

    /// Until when nobody can have anything.
    pub(crate) fn dry_until_ms(&self) -> u64 {
        self.dry_until_ms.load(Relaxed)
    }

    /// Whether what is leased has ended.
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.ends_ms.load(Relaxed)
    }

    // What follows is the keeper's.

    /// What nobody has leased, and when the window ends.
    pub(crate) fn show(&self, elsewhere: u64, resets_ms: Option<u64>) {
        self.elsewhere.store(elsewhere, Relaxed);
        self.resets_ms.store(resets_ms.unwrap_or(0), Relaxed);
    }

    /// Begins a window: nothing of the last one is left. Says how much may be counted in it by calls of the last one.
    pub(crate) fn open(&self, ends_ms: u64) -> u64 {
        let mut seen = self.word.load(Acquire);
        loop {
            let next = ((seen >> BALANCE_BITS) + 1) << BALANCE_BITS;
            match self.word.compare_exchange_weak(seen, next, AcqRel, Acquire) {
                Ok(_) => break,
                Err(other) => seen = other,
            }
        }
        fence(AcqRel);
        // What those of the last window leave does not come home in this one.
        self.estimated.store(0, Relaxed);
        self.dry_until_ms.store(NOT_DRY, Relaxed);
        self.elsewhere.store(self.most.load(Relaxed), Relaxed);
        self.ends_ms.store(ends_ms, Release);
        self.flying()
    }

    /// From then on nothing may be spent.
    pub(crate) fn end_at(&self, ends_ms: u64) {
        self.ends_ms.store(ends_ms, Release);
    }

    /// How much of a calendar was taken and is not settled.
    pub(crate) fn flying(&self) -> u64 {
        self.home.flying().map_or(0, |flying| flying.load(Acquire))
    }

    /// Puts in what was granted. What was used beyond all that was there is paid first.
    pub(crate) fn deposit(&self, units: u64) {
        let paid = match &self.home {
            Home::Never { .. } => self.pay(units),
            Home::Evenly(drip) => drip.pay(units),
            Home::Later(_) | Home::WhenSettled => 0,
        };
        self.add(units - paid);
    }

    /// Takes out at most so many, and says how many.
    pub(crate) fn withdraw(&self, most: u64) -> u64 {
        let mut seen = self.word.load(Acquire);
        loop {
            let units = most.min(seen & BALANCE);
            match self.word.compare_exchange_weak(seen, seen - units, AcqRel, Acquire) {
                Ok(_) => return units,
                Err(other) => seen = other,
            }
        }
    }

    /// Takes out so many that renew themselves: those that are spent, when they come home.
    pub(crate) fn retire(&self, units: u64) {
        let now = self.withdraw(units);
        self.debt.fetch_add(units - now, AcqRel);
        if let Home::Evenly(drip) = &self.home {
            drip.shrinks(self.balance());
        }
    }

    /// Units that are gone when they come home.
    pub(crate) fn debt(&self) -> u64 {
        self.debt.load(Acquire)
    }

    /// Brings home what is due, so that what is left can be told of a purse that nobody asks.
    pub(crate) fn sweep(&self, now_ms: u64) {
        match &self.home {
            Home::Never { .. } | Home::WhenSettled => {}
            Home::Later(ring) => self.come_home(ring.sweep(now_ms)),
            Home::Evenly(drip) => self.come_home(drip.sweep(self.balance(), now_ms)),
        }
    }

    /// Below which balance the keeper is woken.
    pub(crate) fn set_low(&self, low: u64) {
        self.low.store(low, Relaxed);
    }

    /// Until when nobody can be granted anything; nothing: perhaps soon.
    pub(crate) fn set_dry(&self, until_ms: Option<u64>) {
        self.dry_until_ms.store(until_ms.unwrap_or(NOT_DRY), Relaxed);
    }

    /// The limit, where it was changed.
    pub(crate) fn set_most(&self, most: u64) {
        self.most.store(most, Relaxed);
    }

    #[cold]
    fn refuse(&self, units: u64, now_ms: u64) -> Take {
        if units > self.most.load(Relaxed) {
            return Take::Never;
        }
        self.refused.fetch_add(units, Relaxed);
        self.refusal(units, now_ms)
    }

    /// Until when to wait for so many that are not there.
    fn refusal(&self, units: u64, now_ms: u64) -> Take {
        let soon = Take::Soon { again_ms: now_ms + AGAIN_MS };
        if self.may_come(units) {
            return soon;
        }
        let dry_until_ms = self.dry_until_ms.load(Relaxed);
        if now_ms < dry_until_ms {
            return Take::Empty { resets_ms: dry_until_ms };
        }
        if now_ms >= self.ends_ms.load(Relaxed) || self.can_be_granted(units) {
            return soon;
        }
        self.home_at(units, now_ms).map_or(soon, |until_ms| Take::Wait { until_ms })
    }

    fn come_home(&self, units: u64) {
        if units > 0 {
            let paid = self.pay(units);
            self.add(units - paid);
        }
    }

    fn pay(&self, units: u64) -> u64 {
        let mut debt = self.debt.load(Acquire);
        loop {
            let paid = debt.min(units);
            if paid == 0 {
                return 0;
            }
            match self.debt.compare_exchange_weak(debt, debt - paid, AcqRel, Acquire) {
                Ok(_) => return paid,
                Err(other) => debt = other,
            }
        }
    }

    fn add(&self, units: u64) {
        if units > 0 {
            // Amounts end at 2^40: no sum of them reaches the window's bits.
            self.word.fetch_add(units, AcqRel);
        }
    }

    /// Adds what a call of a window did not use, if it is still that window.
    fn add_in(&self, window: u16, units: u64) {
        let mut seen = self.word.load(Acquire);
        while seen >> BALANCE_BITS == u64::from(window) {
            match self.word.compare_exchange_weak(seen, seen + units, AcqRel, Acquire) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }
}

#[cfg(test)]
mod tests;
