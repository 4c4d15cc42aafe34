//! What every process of the house does alike: settings, telemetry, the admin port, answers about problems, stopping.
//!
//! It knows no service and no door. A service gets a [`Process`] and its settings, spawns its tasks there and watches
//! [`Process::stopping`]; the executable puts them together.

pub mod exit;
pub mod settings;
pub mod telemetry;

pub mod process;
pub mod readiness;

pub mod calm;

pub mod admin;
pub mod json;
pub mod problem;
pub mod serve;

pub use json::Json;
pub use problem::{Problem, alike};
pub use process::{Process, Shutdown};
pub use readiness::Readiness;
pub use serve::{Bounds, bind, serve};
pub use telemetry::{Logs, Metrics};
