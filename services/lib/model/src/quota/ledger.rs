//! The ledger: what of a limit is leased to whom. One record a limit, kept in the `quota` bucket by compare-and-set.
//!
//! Pure: each step takes the record and gives the next one. What stands in it are totals, not changes: a holder's entry
//! says how much it was ever granted and how much it gave back, so that a write that happens twice, or late, or of which
//! nobody heard, says the same again. Everything that is granted and not given back counts as spent, whatever became of
//! its holder: a crash can lose a lease's rest, never a count.
//!
//! A ledger of a calendar begins anew with each window and never goes back to an earlier one. A ledger of what renews
//! itself has no window: there a lease is a share, ends when its holder does not renew it, and is free for others once
//! what it may have spent last has come home.

mod ghost;
mod once;
mod told;

use std::collections::BTreeMap;

use crate::Timestamp;
use serde::{Deserialize, Serialize};

use super::clock::Now;
use super::window::{self, Window};
use super::{ESTIMATE_MS, Limit, Span};

pub use ghost::Ghost;
pub use told::Told;

/// Leases in a ledger. A holder that was not heard for longest goes first; what it holds counts as spent.
pub const HOLDERS_MAX: usize = 64;
/// The longest name of a holder, in characters.
pub const HOLDER_CHARS_MAX: usize = 64;
/// How long a share lasts that nobody renews, in milliseconds: longer than a cluster needs for a new leader (8 s).
pub const SHARE_MS: u64 = 15_000;
/// For how long nothing is granted after a ledger went back, in milliseconds: until then everyone who holds something has
/// said so again.
pub const QUIET_MS: u64 = 60_000;

/// A holder that was not heard for so long is not thought to want anything, in milliseconds.
const HEARD_MS: u64 = 60_000;
/// Which part of a share may be at home where all of it is thought to be in use.
const SLACK: u64 = 64;

/// Who holds a lease: a gateway and how often it began anew, `g1/3`. A process that starts is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Holder(String);

/// What is leased of a limit. Field names are short: it is written often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The first moment of the window, in Unix milliseconds; 0 where there is none.
    #[serde(rename = "w", default)]
    pub window: i64,
    /// The limit as whoever wrote last knew it.
    #[serde(rename = "l")]
    pub limit: u64,
    /// Spent, or lost, by holders that are not in it any more.
    #[serde(rename = "x", default, skip_serializing_if = "is_zero")]
    pub lost: u64,
    /// Spent by others with the same key, as far as the provider's own count proves it. Of a window.
    #[serde(rename = "o", default, skip_serializing_if = "is_zero")]
    pub elsewhere: u64,
    /// Spent at once by who holds no lease: probes. Of a window.
    #[serde(rename = "p", default, skip_serializing_if = "is_zero")]
    pub paid: u64,
    /// Nothing is granted before, in Unix milliseconds.
    #[serde(rename = "q", default = "none", skip_serializing_if = "is_none")]
    pub quiet_until: i64,
    /// Leases.
    #[serde(rename = "h", default)]
    pub holders: BTreeMap<Holder, Lease>,
    /// Shares whose holders are gone, until they are free.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub ghosts: Vec<Ghost>,
}

/// What one gateway has of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// All that it was ever granted, in this window.
    #[serde(rename = "g")]
    pub granted: u64,
    /// What it gave back of that, unspent.
    #[serde(rename = "r", default, skip_serializing_if = "is_zero")]
    pub returned: u64,
    /// What it has spent of it, when it wrote last. For people to look at.
    #[serde(rename = "s", default, skip_serializing_if = "is_zero")]
    pub spent: u64,
    /// How much it would like to have. Others go by it.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub wants: u64,
    /// When it ends unless renewed, in Unix milliseconds; of a calendar, when its holder was heard last.
    #[serde(rename = "u")]
    pub until: i64,
}

/// Why a step was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Somebody is in a later window: this one is over, or his clock is wrong. Nothing is granted to whoever is behind.
    #[error("the ledger is in a later window")]
    Later,
    /// Clocks do not say yet which window it is.
    #[error("it is not certain which window it is")]
    Uncertain,
}

// === impl Holder ===

impl Holder {
    /// A gateway's name and how often it began anew.
    pub fn new(gateway: &str, epoch: u32) -> Self {
        let name: String = gateway.chars().take(HOLDER_CHARS_MAX).collect();
        Self(format!("{name}/{epoch}"))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Lease ===

impl Lease {
    /// What it holds, or has spent.
    pub fn held(&self) -> u64 {
        self.granted.saturating_sub(self.returned)
    }
}

// === impl Ledger ===

impl Ledger {
    /// One that nobody has leased from.
    pub fn new(limit: &Limit, window: i64) -> Self {
        Self {
            window,
            limit: limit.amount,
            lost: 0,
            elsewhere: 0,
            paid: 0,
            quiet_until: i64::MIN,
            holders: BTreeMap::new(),
            ghosts: Vec::new(),
        }
    }

    /// The ledger as it is now: that which was read, or a new one when its window is over; with this limit, and without
    /// those that are gone.
    ///
    /// # Errors
    /// [`Error::Later`] when it is ahead of our window, [`Error::Uncertain`] when clocks disagree about the window.
    pub fn now(read: Option<&Self>, limit: &Limit, now: &Now) -> Result<Self, Error> {
        let window = match certain(limit, now)? {
            Some(window) => window.from.as_millis(),
            None => 0,
        };
        let mut ledger = match read {
            Some(read) if read.window > window => return Err(Error::Later),
            Some(read) if read.window == window => read.clone(),
            _ => Self::new(limit, window),
        };
        // A limit that is lowered is lowered at once: what is leased beyond it is gone, and nothing more is granted.
        ledger.limit = limit.amount;
        ledger.expire(limit, now);
        Ok(ledger)
    }

    /// All that is leased, spent or lost.
    pub fn taken(&self) -> u64 {
        let held = self.holders.values().map(Lease::held);
        let ghosts = self.ghosts.iter().map(|ghost| ghost.units);
        held.chain(ghosts).fold(self.gone(), u64::saturating_add)
    }

    /// What can still be granted.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.taken())
    }

    /// What gateways said they have spent, and what is lost.
    pub fn spent(&self) -> u64 {
        self.holders.values().fold(self.gone(), |sum, lease| sum.saturating_add(lease.spent))
    }

    /// What no holder has, and nobody can have any more in this window.
    fn gone(&self) -> u64 {
        self.lost.saturating_add(self.elsewhere).saturating_add(self.paid)
    }

    /// Grants up to `want` units: less when less is left, nothing when nothing is.
    #[must_use]
    pub fn grant(&self, holder: &Holder, want: u64, now: &Now) -> (Self, u64) {
        let quiet = now.earliest.as_millis() < self.quiet_until;
        let amount = if quiet { 0 } else { want.min(self.left()) };
        let mut next = self.clone();
        if amount > 0 {
            next.entry(holder).granted += amount;
        }
        (next, amount)
    }

    /// Takes back what a holder has not spent: its total of all that it ever gave back.
    #[must_use]
    pub fn give_back(&self, holder: &Holder, returned: u64) -> Self {
        let mut next = self.clone();
        if let Some(lease) = next.holders.get_mut(holder) {
            lease.returned = returned.clamp(lease.returned, lease.granted.max(lease.returned));
        }
        next
    }

    /// Takes the provider's own count of what is used in this window. What it says beyond all that we leased was spent by
    /// somebody else. Only ever lowers what is left: a word that says less than we know is old.
    #[must_use]
    pub fn observe(&self, used: u64) -> Self {
        let ours = self.taken().saturating_sub(self.elsewhere);
        let elsewhere = used.min(self.limit).saturating_sub(ours).max(self.elsewhere);
        Self { elsewhere, ..self.clone() }
    }

    /// Ends what nobody renewed. Of a window it counts as spent; a share becomes a ghost until it is free.
    fn expire(&mut self, limit: &Limit, now: &Now) {
        let earliest = now.earliest.as_millis();
        if limit.renews() {
            let gone: Vec<Holder> = self
                .holders
                .iter()
                .filter(|(_, lease)| lease.until <= earliest)
                .map(|(holder, _)| holder.clone())
                .collect();
            for holder in gone {
                self.bury(&holder, limit);
            }
            self.ghosts.retain(|ghost| ghost.free_at > earliest);
        }
        while self.holders.len() >= HOLDERS_MAX {
            let oldest = self.holders.iter().min_by_key(|(_, lease)| lease.until);
            let Some(oldest) = oldest.map(|(holder, _)| holder.clone()) else { break };
            if limit.renews() {
                self.bury(&oldest, limit);
            } else if let Some(lease) = self.holders.remove(&oldest) {
                self.lost = self.lost.saturating_add(lease.held());
            }
        }
    }

    /// A share of which nobody hears: a part stays for as long as its holder may go on by itself, the rest until it is home.
    fn bury(&mut self, holder: &Holder, limit: &Limit) {
        let Some(lease) = self.holders.remove(holder) else { return };
        let home = lease.until.saturating_add_unsigned(limit.home_ms());
        let kept = limit.estimate().min(lease.held());
        if kept > 0 {
            let free_at = home.saturating_add(i64::from(ESTIMATE_MS));
            ghost::put(&mut self.ghosts, Ghost { units: kept, free_at, holder: Some(holder.clone()) });
        }
        if lease.held() > kept {
            let units = lease.held() - kept;
            ghost::put(&mut self.ghosts, Ghost { units, free_at: home, holder: None });
        }
    }

    /// A holder that was thought to be gone has gone on by itself with what was kept for it: that is its lease again, of
    /// all that it was ever granted. Nothing when nothing was kept.
    #[must_use]
    pub fn resume(&self, holder: &Holder, granted: u64, until: Timestamp) -> Option<Self> {
        let place = self.ghosts.iter().position(|ghost| ghost.holder.as_ref() == Some(holder))?;
        let mut next = self.clone();
        let returned = granted.saturating_sub(next.ghosts.remove(place).units);
        let lease = Lease { granted, returned, until: until.as_millis(), ..Lease::default() };
        next.holders.insert(holder.clone(), lease);
        Some(next)
    }

    /// A holder leaves. What it gave back is free; what it spent stays spent, or comes home after `home` from now.
    #[must_use]
    pub fn leave(&self, holder: &Holder, limit: &Limit, now: &Now) -> Self {
        let mut next = self.clone();
        if let Some(lease) = next.holders.remove(holder).filter(|lease| lease.held() > 0) {
            if limit.renews() {
                let free_at = now.latest.as_millis().saturating_add_unsigned(limit.home_ms());
                ghost::put(&mut next.ghosts, Ghost { units: lease.held(), free_at, holder: None });
            } else {
                next.lost = next.lost.saturating_add(lease.held());
            }
        }
        next
    }

    /// A holder's lease, begun if it has none.
    pub fn entry(&mut self, holder: &Holder) -> &mut Lease {
        self.holders.entry(holder.clone()).or_default()
    }
}

/// The window that it certainly is; nothing where there is none.
///
/// # Errors
/// [`Error::Uncertain`] within the doubt around a boundary.
pub fn certain(limit: &Limit, now: &Now) -> Result<Option<Window>, Error> {
    let Span::Calendar { per, zone } = &limit.span else { return Ok(None) };
    let window = window::at(now.earliest, *per, zone);
    if now.latest < window.to { Ok(Some(window)) } else { Err(Error::Uncertain) }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(value: &i64) -> bool {
    *value == i64::MIN
}

const fn none() -> i64 {
    i64::MIN
}

#[cfg(test)]
mod tests;
