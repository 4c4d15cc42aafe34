//! Tells when a figure (a rate, errors, latency, cost) behaves as it has not behaved before.
//!
//! Three views look at each value as it comes: the shape of the last 96 buckets, the shape of the last 24, and the
//! distance from the same time on earlier days. Each view's own past turns its figure into a surprise, the tenfold
//! rareness of such a figure; the mean of the three is judged. One set of constants serves every series: nothing
//! is tuned to a metric, because every view is measured against itself.
//!
//! Values are looked at on a square-root scale, where a count's noise is as large at night as at noon.
//! Causal: a verdict depends on this value and earlier ones only. A missing bucket is left out, never taken for zero.
//! Never learns from buckets that the caller calls quiet (maintenance, a failover's switch).

mod alarm;
mod detector;
mod season;
mod shape;
mod tail;

pub use alarm::{Alarm, Anomaly, Judge, Sensitivity, Verdict};
pub use detector::{Detector, Seen};
