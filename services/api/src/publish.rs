//! Keeps the snapshot in the `config` bucket equal to the database.
//!
//! Woken by a change and by a timer; no input, whole state, idempotent. An older revision never replaces a
//! newer one, because the write is a compare-and-set on what was read.

use std::time::Duration;

use anyhow::Context;
use bus::Bucket;
use metrics::gauge;
use model::Timestamp;
use model::snapshot::{KEY, Snapshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config::Config;
use crate::state::Api;
use crate::telemetry::{KEY_EXPIRY, REVISION};

/// How often the database is looked at without being woken: changes by other replicas.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(api: Api, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut published = None;
    loop {
        match once(&api, published).await {
            Ok(revision) => published = Some(revision),
            Err(error) => {
                warn!(
                    error = format!("{error:#}"),
                    "The configuration could not be published; trying again."
                );
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = api.changed.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Publishes the database's revision if the bucket does not have it yet.
pub async fn once(api: &Api, published: Option<u64>) -> anyhow::Result<u64> {
    let revision = api.store.revision().await.context("read the revision")?;
    if published == Some(revision) {
        return Ok(revision);
    }
    let config = Config::of(api.store.everything().await.context("read the configuration")?)?;
    let kv = api.bus.bucket(Bucket::Config).await.context("open the bucket")?;
    let there = kv.get::<Snapshot>(KEY).await.context("read the snapshot")?;
    for (id, key) in &config.keys {
        if let Some(at) = key.body.expires_at {
            let labels = [("provider", key.body.provider.to_string()), ("key", id.to_string())];
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
            gauge!(KEY_EXPIRY, &labels).set(at.as_secs() as f64);
        }
    }
    let snapshot = config.snapshot(Timestamp::now());
    match there {
        Some(entry) if entry.value.revision >= snapshot.revision => {}
        Some(entry) => drop(kv.update(KEY, &snapshot, entry.revision).await.context("write the snapshot")?),
        None => drop(kv.create(KEY, &snapshot).await.context("write the first snapshot")?),
    }
    #[expect(clippy::cast_precision_loss, reason = "revisions stay far below 2^53")]
    gauge!(REVISION).set(config.revision as f64);
    debug!(revision = config.revision, "Published revision {} of the configuration.", config.revision);
    Ok(config.revision)
}
