//! Notices: what must be said once, such as "this quota is near its limit" once a window.

use model::{Envelope, Timestamp};

use crate::db::{settle, values};
use crate::{Result, Store, outbox};

impl Store {
    /// The first time with this key: writes the events and answers true. Later: writes nothing and answers false.
    pub async fn notice_once(&self, key: &str, events: &[Envelope<Vec<u8>>], at: Timestamp) -> Result<bool> {
        let first = settle(|| async {
            let mut tx = self.db().begin().await?;
            let made = tx
                .execute(
                    "INSERT INTO notices (key, at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    &values![key, at],
                )
                .await?;
            if made == 1 {
                outbox::put(&mut tx, events, at).await?;
            }
            tx.commit().await?;
            Ok(made == 1)
        })
        .await?;
        if first {
            self.outbox_rang(events);
        }
        Ok(first)
    }

    /// Forgets notices given before; says how many. What is forgotten may be said again.
    pub async fn notices_purge(&self, before: Timestamp) -> Result<u64> {
        self.db().execute("DELETE FROM notices WHERE at < $1", &values![before]).await
    }
}
