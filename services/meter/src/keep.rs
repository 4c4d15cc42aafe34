//! Forgets what is older than it is kept: minutes after 2 days, hours after 90, days after 5 years. Nobody has to ask.
//!
//! A bounded number of rows in one transaction, so that those who count never wait for long. Several replicas may do it at
//! once: what one has forgotten the other does not find.

use std::time::Duration;

use model::Timestamp;
use store::Step;
use tokio_util::sync::CancellationToken;

use crate::Meter;

/// How often.
const EVERY: Duration = Duration::from_secs(600);
/// Rows of one transaction.
const ROWS_MAX: u32 = 2_000;
/// How long it is known which events were counted: longer than the stream keeps them.
const SEEN: Duration = Duration::from_secs(8 * 24 * 3600);

/// Forgets until told to stop; for the first time at once.
pub(crate) async fn sweep(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    loop {
        if let Some(Err(error)) = stopping.run_until_cancelled(once(&meter, Timestamp::now())).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "Old usage could not be forgotten; trying again later."
            );
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn once(meter: &Meter, now: Timestamp) -> anyhow::Result<()> {
    let store = &meter.store;
    for integration in store.usage_integrations().await? {
        for step in Step::ALL {
            while store.usage_purge(&integration, step, now.minus(step.kept()), ROWS_MAX).await? > 0 {
                tokio::task::yield_now().await;
            }
        }
    }
    while store.usage_seen_purge(now.minus(SEEN), ROWS_MAX).await? > 0 {
        tokio::task::yield_now().await;
    }
    Ok(())
}
