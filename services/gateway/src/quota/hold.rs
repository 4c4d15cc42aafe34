//! Several limits at once: all of them or none.
//!
//! Pure. A call takes from every limit that it is under, the strictest first; when one refuses, the others get back what
//! they gave. What was taken is settled when the hold is, or when it is dropped:
//! a call that is given up may have reached the provider, and counts.

use std::sync::Arc;

use model::quota::LIMITS_MAX;
use smallvec::SmallVec;

use crate::quota::purse::{Purse, Take, Ticket};

/// What a call took of all its limits.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    taken: SmallVec<[Taken; 3]>,
    /// Whether a keeper should look at one of them.
    pub(crate) is_low: bool,
}

/// What it took of one, and which.
#[derive(Debug)]
struct Taken {
    purse: Arc<Purse>,
    ticket: Ticket,
    place: usize,
}

/// Why a call must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The place of the limit that refused.
    pub(crate) place: usize,
    /// [`Take::Wait`], [`Take::Empty`] or [`Take::Never`].
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
            hold.add(place, purse, units, now_ms)?;
        }
        Ok(hold)
    }

    /// Takes of one more limit; when it refuses, all give back what they gave.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) fn add(
        &mut self,
        place: usize,
        purse: &Arc<Purse>,
        units: u64,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        if units == 0 {
            return Ok(());
        }
        let take = if self.taken.len() < LIMITS_MAX { purse.take(units, now_ms) } else { Take::Never };
        let Take::Taken(ticket) = take else {
            self.give_back(now_ms);
            return Err(Refusal { place, take });
        };
        self.is_low |= ticket.is_low;
        self.taken.push(Taken { purse: purse.clone(), ticket, place });
        Ok(())
    }

    /// What was taken of: the places of the limits, and their purses.
    pub(crate) fn purses(&self) -> impl Iterator<Item = (usize, &Purse)> {
        self.taken.iter().map(|taken| (taken.place, &*taken.purse))
    }

    /// The same, of those whose window is still the one in which it was taken.
    pub(crate) fn current(&self) -> impl Iterator<Item = (usize, &Purse)> {
        let same = self.taken.iter().filter(|taken| taken.purse.window() == taken.ticket.window);
        same.map(|taken| (taken.place, &*taken.purse))
    }

    fn give_back(&mut self, now_ms: u64) {
        self.each(|purse, ticket, _| {
            purse.settle(ticket, 0, now_ms);
        });
    }

    /// The call was never sent: everything is given back.
    pub(crate) fn cancel(mut self, now_ms: u64) {
        self.give_back(now_ms);
    }

    /// The call has an answer. `used`: what it took in truth of the limit at a place, where that differs from what was
    /// taken. Says how much was used beyond all that was there.
    pub(crate) fn settle(mut self, now_ms: u64, used: impl Fn(usize, u64) -> u64) -> u64 {
        let mut beyond = 0;
        self.each(|purse, ticket, place| beyond += purse.settle(ticket, used(place, ticket.units), now_ms));
        beyond
    }

    fn each(&mut self, mut end: impl FnMut(&Purse, Ticket, usize)) {
        for Taken { purse, ticket, place } in self.taken.drain(..) {
            end(&purse, ticket, place);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.each(|purse, ticket, _| {
            purse.settle(ticket, ticket.units, 0);
        });
    }
}
