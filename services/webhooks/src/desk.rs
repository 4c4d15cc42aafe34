//! What the tasks of this service share: the doors, the settings, the engine, and the bell that wakes deliveries.

use std::sync::Mutex;

use bus::Bus;
use egress::Egress;
use model::{DeliveryId, Timestamp};
use store::Store;
use tokio::sync::Notify;
use vault::Vault;

use crate::Doors;
use crate::book::Book;
use crate::render::Engine;
use crate::settings::Settings;

/// What the tasks share.
pub(crate) struct Desk {
    /// Every setting.
    pub(crate) settings: Settings,
    /// The door to NATS.
    pub(crate) bus: Bus,
    /// The door to the database.
    pub(crate) store: Store,
    /// The door to the key store.
    pub(crate) vault: Vault,
    /// The way out.
    pub(crate) egress: Egress,
    /// Renders templates.
    pub(crate) engine: Engine,
    /// Webhooks and silences.
    pub(crate) book: Book,
    /// Rung when a delivery may be due.
    pub(crate) bell: Notify,
    /// Until when Discord wants to hear nothing from this address.
    discord_until: Mutex<Option<Timestamp>>,
}

impl Desk {
    /// A desk for one process.
    pub(crate) fn new(settings: Settings, doors: Doors) -> Self {
        let deadline = std::time::Duration::from_millis(settings.render_ms);
        let Doors { bus, store, vault, egress, renderer } = doors;
        let engine = Engine::new(deadline, settings.renders_max as usize, renderer);
        Self {
            settings,
            bus,
            store,
            vault,
            egress,
            engine,
            book: Book::default(),
            bell: Notify::new(),
            discord_until: Mutex::new(None),
        }
    }

    /// Moves a delivery's due date; one that does not wait any more is left as it is.
    pub(crate) async fn hold(&self, delivery: &DeliveryId, at: Timestamp) -> store::Result<()> {
        match self.store.hold(delivery, at).await {
            Err(store::Error::Stale { .. }) => Ok(()),
            held => held,
        }
    }

    /// Remembers that Discord paused this whole address.
    pub(crate) fn pause_discord(&self, until: Timestamp) {
        let mut pause = self.discord_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *pause = Some(pause.map_or(until, |before| before.max(until)));
    }

    /// Until when Discord paused this whole address, if that is later than now.
    pub(crate) fn discord_pause(&self, now: Timestamp) -> Option<Timestamp> {
        let pause = self.discord_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pause.filter(|until| *until > now)
    }
}
