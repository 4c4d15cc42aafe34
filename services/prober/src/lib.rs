//! Asks providers how they are: on a schedule, and when somebody wants to know now.
//!
//! It decides nothing: what an answer means for the integration's health is failover's. Trials of
//! configurations and keys take the same way as real probes, so what passes a trial works.

mod settings;
mod telemetry;

mod answer;
mod dues;
mod heard;
mod observe;
mod probe;
mod question;
mod rounds;
mod schedule;
mod till;

use std::sync::Arc;

use bus::Bus;
use catalogue::Catalogue;
use egress::Egress;
use model::snapshot::Snapshot;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use vault::Vault;

use heard::Heard;
use till::Till;

pub use settings::Settings;

/// The doors of this service.
#[derive(Clone)]
pub struct Doors {
    /// Where observations go and questions come from.
    pub bus: Bus,
    /// Where keys are.
    pub vault: Vault,
    /// The way out.
    pub egress: Egress,
    /// The providers that it knows.
    pub catalogue: &'static Catalogue,
}

/// The service's state: cheap to clone.
#[derive(Clone)]
struct Prober {
    bus: Bus,
    vault: Vault,
    egress: Egress,
    catalogue: &'static Catalogue,
    settings: Arc<Settings>,
    snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Where probes are paid that a limit counts.
    till: Arc<Till>,
    /// What callers met.
    heard: Heard,
    /// Bounds how many probes run at once.
    places: Arc<Semaphore>,
}

/// Probes until told to stop.
pub async fn run(settings: Settings, doors: Doors, stopping: CancellationToken) -> anyhow::Result<()> {
    telemetry::describe();
    let Doors { bus, vault, egress, catalogue } = doors;
    let snapshot = bus.snapshots(stopping.clone()).await?;
    let places = Arc::new(Semaphore::new(settings.prober_at_once));
    let settings = Arc::new(settings);
    let (till, heard) = (Arc::new(Till::new(bus.clone())), Heard::default());
    let prober = Prober { bus, vault, egress, catalogue, settings, snapshot, till, heard, places };
    let listener = prober.clone();
    let listening = listener.heard.follow(&listener.bus, &listener.snapshot, &stopping);
    let rounds = rounds::run(prober.clone(), stopping.clone());
    let answers = answer::answers(prober, stopping.clone());
    let (rounds, answers, ()) = tokio::join!(rounds, answers, listening);
    rounds?;
    answers
}
