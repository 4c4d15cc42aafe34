//! Brings events from the outbox to the bus: what was committed is published, whatever is killed when.
//!
//! Every process with a database runs one; two at once are harmless, because an event keeps its id. Rows are
//! marked once the bus has confirmed them, and kept for a week as the means to fill a stream again.

use std::time::Duration;

use anyhow::Context;
use bus::Bus;
use metrics::{describe_gauge, gauge};
use model::Timestamp;
use store::Store;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Events that are brought over at once: the largest atomic batch.
const BATCH_MAX: u32 = 1_000;
/// How often the outbox is looked at without being woken: rows of other processes.
const EVERY: Duration = Duration::from_millis(500);
/// Pauses after a failure, growing.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long published rows are kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often old rows are swept away, and how many at once.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
const SWEEP_ROWS: u32 = 10_000;
/// When the oldest event that waits was written; 0 when none does.
const OLDEST: &str = "signalbox_outbox_oldest_pending_timestamp_seconds";

/// Relays until told to stop, and what is left then once more.
pub(crate) async fn run(store: Store, bus: Bus, stopping: CancellationToken) -> anyhow::Result<()> {
    describe_gauge!(
        OLDEST,
        metrics::Unit::Seconds,
        "When the oldest event that waits in the outbox was written; 0 when none does."
    );
    gauge!(OLDEST).set(0.0);
    let mut pause = PAUSE_MIN;
    let mut swept = Timestamp::default();
    loop {
        let wait = match once(&store, &bus).await {
            Ok(true) => {
                pause = PAUSE_MIN;
                Duration::ZERO
            }
            Ok(false) => {
                pause = PAUSE_MIN;
                EVERY
            }
            Err(error) => {
                let oldest = store.outbox_oldest_pending().await.ok().flatten();
                #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
                gauge!(OLDEST).set(oldest.map_or(0.0, |at| at.as_secs() as f64));
                warn!(
                    error = format!("{error:#}"),
                    "Events could not be published yet; they wait in the outbox."
                );
                let wait = pause;
                pause = (pause * 2).min(PAUSE_MAX);
                wait
            }
        };
        let now = Timestamp::now();
        if now.since(swept) > SWEEP_EVERY {
            swept = now;
            sweep(&store, now).await;
        }
        if wait.is_zero() {
            continue;
        }
        tokio::select! {
            () = stopping.cancelled() => break,
            () = store.outbox_wait(), if pause == PAUSE_MIN => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    while once(&store, &bus).await.context("publish what was left in the outbox")? {}
    Ok(())
}

/// Brings one batch over; whether there may be more.
async fn once(store: &Store, bus: &Bus) -> anyhow::Result<bool> {
    let pending = store.outbox_pending(BATCH_MAX).await.context("read the outbox")?;
    if pending.is_empty() {
        gauge!(OLDEST).set(0.0);
        return Ok(false);
    }
    let (seqs, envelopes): (Vec<i64>, Vec<_>) = pending.into_iter().unzip();
    bus.publish_batch(&envelopes).await.context("publish")?;
    store.outbox_published(&seqs, Timestamp::now()).await.context("mark as published")?;
    Ok(seqs.len() as u32 == BATCH_MAX)
}

/// Forgets what is old. A failure is no matter: it is tried again later.
async fn sweep(store: &Store, now: Timestamp) {
    let before = now.minus(KEPT);
    let day = now.minus(Duration::from_secs(24 * 3600));
    let outcome = async {
        store.outbox_purge(before, SWEEP_ROWS).await?;
        store.inbox_purge(before, SWEEP_ROWS).await?;
        store.answered_purge(day).await?;
        store.sessions_purge(now).await?;
        Ok::<_, store::Error>(())
    };
    if let Err(error) = outcome.await {
        warn!(error = %error, "Old rows could not be swept away; trying again later.");
    }
}
