//! The door to the database: what people decided and what happened, in SQLite or PostgreSQL behind one set of functions.
//!
//! The only crate that names sqlx. Each function is one transaction: all of it happens or nothing. It never publishes:
//! events wait in the outbox until a relay has brought them to the bus. Time is an argument: it reads no clock but to
//! note when a migration ran.
//! Functions of one topic stand in one file, each text of SQL once.

mod db;
mod error;
mod migrate;

mod alerts;
mod answered;
mod attempts;
mod audit;
mod config;
mod deliveries;
mod inbox;
mod lanes;
mod notices;
mod outbox;
mod replay;
mod rules;
mod sealed;
mod sessions;
mod uptime;
mod urgency;
mod usage;
mod watched;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::Timestamp;
use tokio::sync::{Mutex, Notify};

pub use alerts::{AlertFilter, AlertRow, AlertWrite};
pub use answered::{Answered, Begin};
pub use attempts::Next;
pub use audit::{AuditFilter, AuditRow, Verified};
pub use config::{Change, Document, Everything, Write};
pub use deliveries::{DueDelivery, NewDelivery};
pub use error::{Error, Result};
pub use replay::Replay;
pub use rules::{RuleState, RuleWrite};
pub use sessions::Session;
pub use uptime::{CHANGES_MAX, HealthChange, HealthEvent, HealthFact, HealthSum, Seen, Slot};
pub use urgency::{OVERTAKEN_MAX, PATIENCE};
pub use usage::{Apart, Facet, NAMES_MAX, Plans, Step, Totals};
pub use watched::{Aside, WatchedBucket};

use db::Db;

/// A database. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    /// Roll-ups of usage as this process wrote them last.
    usage: Mutex<usage::Remembered>,
    /// Rung after each transaction that wrote to the outbox.
    written: Notify,
}

impl Store {
    /// Opens `sqlite:///abs/path.db`, `sqlite::memory:` or `postgres://user@host/database`, and brings its schema to
    /// ours. A file is made when it is not there, for its owner only; its directory must be there.
    ///
    /// [`Error::Migration`] when the schema is newer than this program or is not what it made.
    pub async fn open(url: &str) -> Result<Self> {
        let db = Db::connect(url).await?;
        migrate::migrate(&db, Timestamp::now()).await?;
        Ok(Self { inner: Arc::new(Inner { db, usage: Mutex::default(), written: Notify::new() }) })
    }

    /// `sqlite` or `postgresql`.
    pub fn kind(&self) -> &'static str {
        match self.inner.db {
            Db::Sqlite { .. } => "sqlite",
            Db::Postgres(_) => "postgresql",
        }
    }

    /// Whether the database answers and has our tables: a real round trip.
    pub async fn check(&self) -> Result<()> {
        self.db().one("SELECT revision FROM meta WHERE id = 1", &[]).await.map(drop)
    }

    /// Waits for running transactions and closes all connections. Later calls are [`Error::Unavailable`].
    pub async fn close(&self) {
        self.inner.db.close().await;
    }

    fn db(&self) -> &Db {
        &self.inner.db
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("kind", &self.kind()).finish()
    }
}
