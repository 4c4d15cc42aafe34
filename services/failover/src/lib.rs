//! Failover: decides what is up, degraded or down, and where traffic goes.
//!
//! A function with a mailbox: it has only the bus. Observations come in (probes and traffic, by one rule);
//! health changes, alerts and switches go out; the `health` and `routes` buckets hold what is true now. One
//! leader decides at a time; its term's epoch stands in every entry that it writes, and every write replaces
//! a known revision, so that a leader whose term is over changes nothing. Never touches a database or the outside.

pub mod settings;
pub mod telemetry;

pub mod alarm;
pub mod board;
pub mod choose;
pub mod decide;
pub mod flap;
pub mod identity;
pub mod plan;
pub mod state;
pub mod vote;

pub use settings::Settings;

#[cfg(test)]
mod tests;
