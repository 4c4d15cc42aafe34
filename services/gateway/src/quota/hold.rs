//! Several limits at once: all of them or none.
//!
//! Pure. A call takes from every limit that it is under, the strictest first; when one refuses, the others get back what
//! they gave. Of a limit that all calls share only its place is noted: who has the hold has the limits as well (`held`),
//! which settles what was taken when the call is given up.

use std::sync::Arc;

use model::quota::LIMITS_MAX;
use smallvec::SmallVec;

use crate::quota::purse::{Purse, Take, Ticket};

/// The purses of the limits that all calls share.
pub(crate) trait Purses {
    /// The one at a place.
    fn shared(&self, place: usize) -> Option<&Purse>;
}

/// What a call took of all its limits. Must be ended once.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Hold {
    taken: SmallVec<[Taken; 3]>,
    /// Whether a keeper should look at one of them.
    pub(crate) is_low: bool,
}

/// What it took of one, and which.
#[derive(Debug)]
struct Taken {
    ticket: Ticket,
    place: usize,
    /// Whether its units are an estimate, and counted among those that may come home at any moment.
    is_estimate: bool,
    /// Where each caller, token or endpoint has its own.
    own: Option<Arc<Purse>>,
}

/// Why a call must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The place of the limit that refused.
    pub(crate) place: usize,
    /// Anything but [`Take::Taken`].
    pub(crate) take: Take,
}

impl Hold {
    /// Takes so many units of each limit, or nothing of any, as a call does that waits for nobody. 0 units: the limit is not about this call.
    ///
    /// # Errors
    /// The refusal of the first limit that has not enough.
    #[cfg(test)]
    pub(crate) fn take<'a>(
        limits: impl IntoIterator<Item = (&'a Arc<Purse>, u64)>,
        now_ms: u64,
    ) -> Result<Self, Refusal> {
        let mut hold = Self::default();
        for (place, (purse, units)) in limits.into_iter().enumerate() {
            hold.add(&(), place, purse, Some(purse.clone()), units, false, now_ms)?;
        }
        Ok(hold)
    }

    /// Takes of one more limit; when it refuses, all give back what they gave. `own`: the purse, where not all share it.
    ///
    /// # Errors
    /// The refusal.
    #[expect(clippy::too_many_arguments, reason = "one line each of what a call says of one limit")]
    pub(crate) fn add(
        &mut self,
        all: &impl Purses,
        place: usize,
        purse: &Purse,
        own: Option<Arc<Purse>>,
        units: u64,
        is_estimate: bool,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        if units == 0 {
            return Ok(());
        }
        let take = match () {
            () if self.taken.len() >= LIMITS_MAX => Take::Never,
            () if is_estimate => purse.take_estimate(units, now_ms),
            () => purse.take(units, now_ms),
        };
        let Take::Taken(ticket) = take else {
            self.cancel(all, || now_ms);
            return Err(Refusal { place, take });
        };
        self.is_low |= ticket.is_low;
        self.taken.push(Taken { ticket, place, is_estimate, own });
        Ok(())
    }

    /// What was taken of: the places of the limits, and their purses.
    pub(crate) fn purses<'a>(&'a self, all: &'a impl Purses) -> impl Iterator<Item = (usize, &'a Purse)> {
        self.taken.iter().filter_map(|taken| Some((taken.place, taken.purse(all)?)))
    }

    /// The same, of those whose window is still the one in which it was taken.
    pub(crate) fn current<'a>(&'a self, all: &'a impl Purses) -> impl Iterator<Item = (usize, &'a Purse)> {
        let all = self.taken.iter().filter_map(|taken| Some((taken, taken.purse(all)?)));
        let same = all.filter(|(taken, purse)| purse.window() == taken.ticket.window);
        same.map(|(taken, purse)| (taken.place, purse))
    }

    /// The call was never sent: everything is given back.
    pub(crate) fn cancel(&mut self, all: &impl Purses, now_ms: impl Fn() -> u64) {
        self.settle(all, now_ms, |_, _| 0);
    }

    /// The call has an answer. `used`: what it took in truth of the limit at a place, where that differs from what was
    /// taken. The time is asked for only where it matters. Says how much was used beyond all that was there. What is settled once is not settled again.
    pub(crate) fn settle(
        &mut self,
        all: &impl Purses,
        now_ms: impl Fn() -> u64,
        used: impl Fn(usize, u64) -> u64,
    ) -> u64 {
        let mut beyond = 0;
        for taken in self.taken.drain(..) {
            let (ticket, place) = (taken.ticket, taken.place);
            let purse = taken.purse(all);
            beyond += purse.map_or(0, |purse| purse.settle(ticket, used(place, ticket.units), &now_ms));
            // After what it leaves has come home: who waits for it finds the one or the other.
            if taken.is_estimate {
                taken.is_over(all);
            }
        }
        beyond
    }

    /// Nobody knows what became of the call: it may have reached the provider, and counts.
    pub(crate) fn forget(&mut self, all: &impl Purses) {
        self.settle(all, || 0, |_, units| units);
    }
}

impl Taken {
    /// Its units are an estimate no more. In another window they are none.
    fn is_over(&self, all: &impl Purses) {
        let purse = self.purse(all).filter(|purse| purse.window() == self.ticket.window);
        if let Some(purse) = purse {
            purse.estimates(-self.ticket.units.cast_signed());
        }
    }

    fn purse<'a>(&'a self, all: &'a impl Purses) -> Option<&'a Purse> {
        self.own.as_deref().or_else(|| all.shared(self.place))
    }
}

#[cfg(test)]
impl Purses for () {
    fn shared(&self, _: usize) -> Option<&Purse> {
        None
    }
}
