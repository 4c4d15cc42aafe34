//! Shows how far quotas are used, as metrics.
//!
//! It tells nobody: rules do (`rules`). It also forgets what was said once, so that the table of notices has a bound.

use std::time::Duration;

use metrics::gauge;
use model::integration::{Integration, Quota};
use model::{IntegrationId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::telemetry::{LIMIT, RESET, USED};
use crate::{Meter, window};

/// How often quotas are shown, and old notices forgotten.
const EVERY: Duration = Duration::from_secs(5);
/// How long notices are remembered: longer than the longest window.
const REMEMBERED: Duration = Duration::from_secs(40 * 24 * 3600);

/// Shows quotas until told to stop.
pub(crate) async fn sweep(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = once(&meter, Timestamp::now()).await {
            tracing::warn!(error = format!("{error:#}"), "Quotas could not be looked at; trying again.");
        }
    }
}

async fn once(meter: &Meter, now: Timestamp) -> anyhow::Result<()> {
    meter.store.notices_purge(now.minus(REMEMBERED)).await?;
    let snapshot = meter.snapshot.borrow().clone();
    for integration in snapshot.iter().flat_map(|snapshot| snapshot.integrations.values()) {
        for quota in &integration.quotas {
            let Some(per) = quota.per.filter(|_| quota.counts_calls()) else { continue };
            let span = window::at(now, per, quota.zone());
            let used = used(meter, &integration.id, span, now).await?;
            show(integration, quota, used, span.to);
        }
    }
    Ok(())
}

async fn used(meter: &Meter, id: &IntegrationId, span: window::Span, now: Timestamp) -> anyhow::Result<u64> {
    Ok(meter.store.usage_in_window(id, span.from, span.to, now).await?.requests)
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^53")]
fn show(integration: &Integration, quota: &Quota, used: u64, resets_at: Timestamp) {
    let labels = [("integration", integration.id.to_string()), ("quota", quota.name.clone())];
    gauge!(LIMIT, &labels).set(quota.requests as f64);
    gauge!(USED, &labels).set(used as f64);
    gauge!(RESET, &labels).set(resets_at.as_secs() as f64);
}
