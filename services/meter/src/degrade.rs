//! Tells when an integration got worse than it usually is at this hour: slower, or with more errors.
//!
//! Each bucket is compared with the baseline of its hour of the day over the last two weeks. Slower means: the p95 is twice the
//! usual, beyond four robust deviations, and by an amount that people notice. More errors means: even the
//! lower end of what the true rate may be (Wilson's interval) is above twice the usual and above it by two in a hundred.
//! It must last three buckets, and be over for three.
//!
//! What is said carries its evidence. What degraded buckets bring is not learned, until they have lasted a day: then the new
//! is the usual. Never says anything of an hour with too little baseline, and never counts a call twice.

mod baseline;
mod judge;

pub use judge::{Degradation, Evidence, Kind, Outcome, Sample};
