//! The meter's judgement of figures, compiled from its own files: without the doors, which would take minutes to build.
//!
//! Has nothing of its own.

pub(crate) use judgement::order;
pub use judgement::{anomaly, forecast};

#[path = "../../../../services/meter/src"]
mod judgement {
    pub mod anomaly;
    pub mod forecast;
    pub(crate) mod order;
}
