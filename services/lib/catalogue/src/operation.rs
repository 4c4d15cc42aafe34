//! Canonical operations: what is asked and answered in one way, whoever answers.
//!
//! Pure. [`plan`] writes what was asked as a provider has it, [`normalise`] reads what it answered, both by the provider's
//! own data ([`crate::Operation`]). Numbers are texts all the way: no price passes through a float.

mod asked;
mod check;
mod decimal;
mod document;
mod json;
mod moment;
mod normalise;
mod page;
mod place;
mod plan;
mod rows;

pub use asked::{Asked, BadParameter, Interval, Kind, LIMIT_MAX, SYMBOL_CHARS_MAX};
pub use check::{OPERATIONS_MAX, Wrong, check, check_own};
pub use document::{Candle, Candles, Next, Observation, Quote, Series, TimestampSource, schema};
pub use json::Node;
pub use normalise::{By, Unreadable, normalise};
pub use plan::{Planned, Unfit, plan};
pub use rows::ROWS_MAX;

#[cfg(test)]
mod tests;
