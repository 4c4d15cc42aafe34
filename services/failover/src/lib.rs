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

pub mod apply;
pub mod term;

use std::time::Duration;

use bus::Bus;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::apply::Error;

pub use settings::Settings;

/// The name under which replicas agree on a leader.
pub const LEADERSHIP: &str = "failover";
/// Pause before standing for leader again, so that two who disagree do not chase each other.
const PAUSE: Duration = Duration::from_secs(1);

/// The doors of failover: only the bus, with its streams and buckets declared.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Where everything comes from and goes.
    pub bus: Bus,
}

/// Stands by, leads when it is its turn, and stands by again, until the process stops.
pub async fn run(settings: Settings, doors: Doors, stopping: CancellationToken) -> anyhow::Result<()> {
    telemetry::describe();
    let leadership = doors.bus.lead(LEADERSHIP, settings.lease());
    while let Some(term) = leadership.acquire(&stopping).await {
        let epoch = term.epoch;
        match Box::pin(term::lead(&settings, &doors.bus, term, &stopping)).await {
            Ok(()) => info!(epoch, "Failover stops leading; epoch {epoch} ends."),
            Err(Error::Over) => warn!(epoch, "Epoch {epoch} is over; failover stands by."),
            Err(failure @ Error::Superseded { .. }) => {
                error!(epoch, error = %failure, "Failover steps down: {failure}.");
            }
            Err(Error::Bus(failure)) => {
                warn!(epoch, error = %failure, "Failover cannot take over yet: {failure}.");
            }
        }
        stopping.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
