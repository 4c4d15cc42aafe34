//! Tells people: takes alerts, selects who hears of them, renders messages, delivers them.
//!
//! A message is a chain of types: `Selected`, `Rendered`, `Attempted`; a step cannot be skipped. The files that decide are
//! pure; `take`, `deliver` and `answer` are thin. It never decides what an alert is, never calls another service, and
//! never writes a secret anywhere but into the request that needs it.

mod settings;
mod telemetry;

mod rate;
mod read;
mod schedule;
mod select;
mod silence;

mod compose;
mod examples;
mod render;

mod address;
mod backoff;
mod classify;
mod sign;

mod answer;
mod attempt;
mod book;
mod deliver;
mod desk;
mod message;
mod take;

use std::sync::Arc;

use anyhow::Context;
use bus::{Bus, table};
use egress::Egress;
use store::Store;
use tokio_util::sync::CancellationToken;
use tracing::info;
use vault::Vault;

pub use render::Renderer;
pub use render::helper::render_templates;
pub use settings::Settings;

use desk::Desk;

/// The doors that this service goes through.
#[derive(Clone)]
pub struct Doors {
    /// To NATS; streams and consumers are declared.
    pub bus: Bus,
    /// To the database.
    pub store: Store,
    /// To the key store; read only.
    pub vault: Vault,
    /// Out.
    pub egress: Egress,
    /// Who renders templates. Without one they are rendered in this process, as tests do: a template that overflows
    /// the stack or takes all memory then ends it.
    pub renderer: Option<Renderer>,
}

/// Runs the role until the token is cancelled, then finishes what it has begun.
pub async fn run(settings: Settings, doors: Doors, stopping: CancellationToken) -> anyhow::Result<()> {
    telemetry::describe();
    let desk = Arc::new(Desk::new(settings, doors));
    info!(lanes_max = desk.settings.lanes_max, "Webhooks are delivered.");
    let alerts = desk.bus.consume(&table::WEBHOOKS, |message| take::take(&desk, message, &stopping));
    let due = desk.bus.consume(&table::DELIVERIES, |message| deliver::ring(&desk, message));
    tokio::try_join!(
        async { Box::pin(alerts.until(stopping.clone())).await.context("take alerts") },
        async {
            Box::pin(due.concurrency(16).until(stopping.clone())).await.context("hear of due deliveries")
        },
        deliver::deliver(Arc::clone(&desk), stopping.clone()),
        answer::answer(Arc::clone(&desk), stopping.clone()),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
