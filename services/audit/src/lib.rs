//! Writes down who did what: takes `audit.recorded` events from the bus into the append-only, hash-chained log.
//!
//! It never decides what is worth an entry and never changes one. An event that is delivered twice is written
//! once, because the log is keyed by the event's id; the event leaves the stream's care only when its row is on
//! disk. The chain is made in the database, under its lock, so any number of replicas keep one chain.

mod settings;
mod telemetry;

use bus::{Bus, Message, Outcome, table};
use metrics::counter;
use model::audit::AuditRecorded;
use store::Store;
use tokio_util::sync::CancellationToken;

pub use settings::Settings;

/// The doors of this service.
#[derive(Clone)]
pub struct Doors {
    /// Where entries come from.
    pub bus: Bus,
    /// Where they go.
    pub store: Store,
}

/// Writes entries until told to stop.
pub async fn run(settings: Settings, doors: Doors, stopping: CancellationToken) -> anyhow::Result<()> {
    telemetry::describe();
    let Doors { bus, store } = doors;
    let record = move |message: Message| {
        let store = store.clone();
        async move { record(&store, &message).await }
    };
    bus.consume(&table::AUDIT, record).concurrency(settings.audit_at_once).until(stopping).await?;
    Ok(())
}

async fn record(store: &Store, message: &Message) -> Outcome {
    let entry = match message.decode::<AuditRecorded>() {
        Ok(entry) => entry,
        Err(error) => return Outcome::Reject(error.to_string()),
    };
    match store.audit_append(&[(entry.id, entry.data)]).await {
        Ok(new) => {
            counter!(telemetry::STORED).increment(new);
            Outcome::Done
        }
        Err(error) if error.is_transient() => {
            tracing::warn!(error = %error, "An audit entry could not be written yet; it is tried again.");
            Outcome::Retry
        }
        Err(error) => Outcome::Reject(error.to_string()),
    }
}
