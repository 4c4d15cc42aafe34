//! Leased quotas: what may still be asked of a provider, exact across gateways and crashes.
//!
//! `purse` is what this gateway may spend of one limit, asked by every call; `hold` takes of several at once; `keeper` says
//! how much to lease. These are pure. `book` has all of them, `limits` those of one integration, `enter` lets calls go,
//! `held` is what a call has taken, `learn` hears providers, `pause` heeds those that want no calls, `told` tells callers, and `lease` is the task that talks to
//! the bus. Nobody spends what the ledger in the bucket does not show as his.

pub(crate) mod book;
pub(crate) mod enter;
pub(crate) mod held;
pub(crate) mod learn;
pub(crate) mod lease;
pub(crate) mod limits;
pub(crate) mod pause;
pub(crate) mod told;

mod hold;
mod keeper;
mod purse;
mod queue;
mod steady;

#[cfg(test)]
mod figures;
#[cfg(test)]
mod sim;

pub(crate) use steady::turn_ms;
