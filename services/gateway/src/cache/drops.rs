//! Hears that kept answers are not to be used any more, from the bus, and drops them.
//!
//! Every gateway hears of every invalidation, without a durable consumer: what it keeps is its own. One that was away
//! hears what it missed when it is back; one that starts keeps nothing.

use std::time::Duration;

use bus::{Bus, Start};
use futures_util::StreamExt;
use model::cache::CacheInvalidated;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Cache;

/// What is listened to.
const SUBJECTS: &str = "sb.v1.config.integration.*.invalidated";
/// Pause before a stream that cannot be opened is asked for again, in milliseconds.
const PAUSE_MS: u64 = 500;
/// How often it is told how much is kept, in milliseconds.
const MEASURE_MS: u64 = 5_000;

/// Follows invalidations until `stopping`.
pub(crate) async fn follow(cache: Cache, bus: Bus, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut measure = interval(Duration::from_millis(MEASURE_MS));
    measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let tail = tokio::select! {
            tail = bus.tail(vec![SUBJECTS.to_owned()], Start::New) => tail,
            () = stopping.cancelled() => return Ok(()),
        };
        if let Ok(mut tail) = tail {
            loop {
                tokio::select! {
                    message = tail.next() => match message {
                        Some(message) => drop_what(&cache, &message),
                        None => break,
                    },
                    _ = measure.tick() => cache.measure(),
                    () = stopping.cancelled() => return Ok(()),
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(PAUSE_MS)) => {}
            () = stopping.cancelled() => return Ok(()),
        }
    }
}

fn drop_what(cache: &Cache, message: &bus::Message) {
    match message.decode::<CacheInvalidated>() {
        Ok(which) => {
            let which = which.data;
            cache.invalidate(&which);
            tracing::info!(integration.id = %which.integration, "Dropped kept answers of integration {}.", which.integration);
        }
        Err(error) => tracing::warn!(%error, "An invalidation cannot be read: {error}."),
    }
}
