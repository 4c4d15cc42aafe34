//! What every request handler has at hand.

use std::sync::Arc;

use bus::Bus;
use catalogue::Catalogue;
use model::{EventId, Timestamp};
use store::Store;
use tokio::sync::{Notify, Semaphore};
use vault::Vault;

use crate::Settings;
use crate::live::Live;

/// The doors that the api goes through.
#[derive(Clone)]
pub struct Doors {
    /// To NATS.
    pub bus: Bus,
    /// To the database.
    pub store: Store,
    /// To the keys.
    pub vault: Vault,
    /// The providers that may be named.
    pub catalogue: &'static Catalogue,
}

/// The state of the api: cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) catalogue: &'static Catalogue,
    pub(crate) settings: Arc<Settings>,
    pub(crate) live: Arc<Live>,
    /// Wakes the publisher after a change.
    pub(crate) changed: Arc<Notify>,
    /// Bounds how many passwords are hashed at once: each takes 19 MiB.
    pub(crate) hashing: Arc<Semaphore>,
    /// Bounds how many event streams are open at once.
    pub(crate) streams: Arc<Semaphore>,
    /// Ends event streams at shutdown.
    pub(crate) stopping: tokio_util::sync::CancellationToken,
}

/// Passwords that may be hashed at once.
const HASHES_AT_ONCE: usize = 4;

impl Api {
    /// Puts it together.
    pub fn new(settings: Settings, doors: Doors, stopping: tokio_util::sync::CancellationToken) -> Self {
        crate::telemetry::describe();
        Self {
            bus: doors.bus,
            store: doors.store,
            vault: doors.vault,
            catalogue: doors.catalogue,
            live: Arc::new(Live::default()),
            changed: Arc::new(Notify::new()),
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            streams: Arc::new(Semaphore::new(settings.streams_max)),
            settings: Arc::new(settings),
            stopping,
        }
    }

    /// A fresh event id.
    pub(crate) fn event_id(&self) -> EventId {
        EventId::make(Timestamp::now(), random())
    }
}

/// 128 random bits of the operating system.
pub(crate) fn random() -> u128 {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the operating system has randomness");
    u128::from_le_bytes(bits)
}
