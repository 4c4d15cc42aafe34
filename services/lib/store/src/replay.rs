//! Replays: an ended delivery once more, as a new one that says what it repeats. The old one stays as it was.

use model::delivery::{Delivery, DeliveryState};
use model::{DeliveryId, Envelope, Timestamp};

use crate::db::{Tx, settle, values};
use crate::deliveries::{NewDelivery, due, insert, select_delivery};
use crate::{Error, Result, Store, outbox};

/// One delivery to repeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The delivery to repeat.
    pub of: DeliveryId,
    /// The id of the new one.
    pub id: DeliveryId,
    /// The event that wakes a worker.
    pub due: Envelope<Vec<u8>>,
}

impl Store {
    /// Makes new deliveries of ended ones, due at once, together with events that tell of it. One that still waits is
    /// left out. Answers the ids of the new ones. [`Error::Missing`] when one is not there: nothing was written.
    pub async fn replay(
        &self,
        replays: &[Replay],
        events: &[Envelope<Vec<u8>>],
        at: Timestamp,
    ) -> Result<Vec<DeliveryId>> {
        let made = settle(|| async {
            let mut tx = self.db().begin().await?;
            let mut made = Vec::with_capacity(replays.len());
            for replay in replays {
                made.extend(again(&mut tx, replay, at).await?);
            }
            insert(&mut tx, &made).await?;
            let mut told: Vec<_> = made.iter().map(|new| new.due.clone()).collect();
            told.extend_from_slice(events);
            outbox::put(&mut tx, &told, at).await?;
            tx.commit().await?;
            Ok(made)
        })
        .await?;
        self.inner.written.notify_one();
        Ok(made.into_iter().map(|new| new.delivery.id).collect())
    }
}

async fn again(tx: &mut Tx, replay: &Replay, at: Timestamp) -> Result<Option<NewDelivery>> {
    let row = tx
        .optional(select_delivery!(" WHERE id = $1"), &values![&replay.of])
        .await?
        .ok_or_else(|| Error::missing("delivery", replay.of.as_str()))?;
    let old = due(&row)?;
    if old.delivery.state == DeliveryState::Pending {
        return Ok(None);
    }
    let delivery = Delivery {
        id: replay.id.clone(),
        state: DeliveryState::Pending,
        attempts: 0,
        created_at: at,
        due_at: Some(at),
        ended_at: None,
        failure: None,
        replay_of: Some(replay.of.clone()),
        ..old.delivery
    };
    Ok(Some(NewDelivery { delivery, alert: old.alert, due: replay.due.clone() }))
}
