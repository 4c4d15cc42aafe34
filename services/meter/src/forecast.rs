//! Where a figure that only grows (requests, tokens, cost) is heading within its quota's window.
//!
//! From hourly increases: what an hour of this week usually brings (`profile`), summed from now to the reset
//! (`project`), with an interval from how wrong the same method was before (`past`). Gaps are gaps, never zero.
//! Hours are counted on the time line and named on the wall clock, so days of 23 and 25 hours come out right.
//!
//! Never says anything from fewer than `BUCKETS_MIN` hours, and never changes a count.

mod history;
mod past;
mod profile;
mod project;

pub use history::History;
pub use profile::Method;
pub use project::{Forecast, Interval, Outlook, Projection, Window, forecast};

/// Hours of increases below which there is no forecast.
pub const BUCKETS_MIN: usize = 12;

#[cfg(test)]
mod tests;
