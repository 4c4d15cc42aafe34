//! Usage: what passed, rolled up by minute, hour and day (UTC), so that any span is a sum of few rows.
//!
//! Each step is written for what passed in all and by endpoint, caller, model and route: a [`Facet`]. Rows add up, their
//! latencies too. Minutes are kept for 2 days, hours for 90, days for 5 years; whoever counts keeps to that
//! ([`Store::usage_purge`]).

mod buckets;
mod keep;
mod plan;
mod read;
mod rows;
mod seen;
mod tally;
mod totals;
mod write;

pub use buckets::Step;
pub use read::{Apart, NAMES_MAX};
pub use totals::Totals;
pub use write::Plans;

pub(crate) use rows::Remembered;

/// How what passed is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// Not at all: one name, which is empty.
    All,
    /// By endpoint.
    Endpoint,
    /// By who called: an actor.
    Caller,
    /// By language model. Its requests are its answers; errors and latencies have no model.
    Model,
    /// By the route that was called. Calls past any route are in none.
    Route,
}

impl Facet {
    /// All of them.
    pub const EVERY: [Self; 5] = [Self::All, Self::Endpoint, Self::Caller, Self::Model, Self::Route];

    const fn number(self) -> u32 {
        match self {
            Self::All => 0,
            Self::Endpoint => 1,
            Self::Caller => 2,
            Self::Model => 3,
            Self::Route => 4,
        }
    }
}
