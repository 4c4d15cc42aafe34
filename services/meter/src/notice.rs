//! Shows how far quotas are used, as metrics.
//!
//! It tells nobody: rules do (`rules`). It also forgets what was said once, so that the table of notices has a bound.

use std::time::Duration;

use metrics::gauge;
use model::ask::QuotaUse;
use model::integration::Integration;
use model::quota::{Quota, Scope};
use model::{KeyId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::Meter;
use crate::limits::{Stands, stands};
use crate::telemetry::{LIMIT, RESET, USED};

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
    // What several share is reckoned once a round.
    let mut known: Vec<(&KeyId, &Quota, QuotaUse)> = Vec::new();
    for integration in snapshot.iter().flat_map(|snapshot| snapshot.integrations.values()) {
        // What each caller has by itself has no figure of its own here.
        for quota in integration.quotas.iter().filter(|quota| !quota.scope.has_parts()) {
            let key = integration.key.as_ref();
            let sharing = key.filter(|_| quota.scope == Scope::Credential);
            if let Some((_, _, told)) =
                known.iter().find(|(of, same, _)| sharing == Some(of) && *same == quota)
            {
                show(integration, told);
            } else if let Some(Stands { told, .. }) =
                stands(meter, (&integration.id, key), quota, true, now).await?
            {
                show(integration, &told);
                known.extend(sharing.map(|key| (key, quota, told)));
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^53")]
fn show(integration: &Integration, told: &QuotaUse) {
    let labels = [("integration", integration.id.to_string()), ("quota", told.name.clone())];
    gauge!(LIMIT, &labels).set(told.limit as f64);
    gauge!(USED, &labels).set(told.used as f64);
    if let Some(resets_at) = told.resets_at {
        gauge!(RESET, &labels).set(resets_at.as_secs() as f64);
    }
}
