//! Gives notice: once per window and quota when it is near its limit, once when it is used up.
//!
//! "Once" is a row in the database, written in one transaction with the alert's event in the outbox. The alert
//! is resolved when its window has ended.

use std::time::Duration;

use metrics::gauge;
use model::alert::{AlertRaised, AlertResolved, Severity};
use model::id::{Slug, stable_hash};
use model::integration::{Integration, Quota};
use model::{AlertId, Envelope, Event, IntegrationId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::telemetry::{LIMIT, RESET, USED};
use crate::{Meter, window};

/// How often ended windows are looked for, and old notices forgotten.
const EVERY: Duration = Duration::from_secs(5);
/// How long notices are remembered: longer than the longest window.
const REMEMBERED: Duration = Duration::from_secs(40 * 24 * 3600);
/// The kind of these alerts.
const ALERT_TYPE: &str = "quota";

/// How far a quota is used, as far as notices go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Fine,
    Near,
    Exhausted,
}

fn level(quota: &Quota, used: u64) -> Level {
    if used >= quota.requests {
        Level::Exhausted
    } else if quota.near.reached(used, quota.requests) {
        Level::Near
    } else {
        Level::Fine
    }
}

/// Looks at all quotas of an integration at a moment.
pub(crate) async fn look(meter: &Meter, id: &IntegrationId, now: Timestamp) -> anyhow::Result<()> {
    let Some(snapshot) = meter.snapshot.borrow().clone() else { return Ok(()) };
    let Some(integration) = snapshot.integrations.get(id) else { return Ok(()) };
    for quota in &integration.quotas {
        let span = window::at(now, quota.per, &quota.timezone);
        let used = meter.store.usage_total(id, span.from, span.to).await?.requests;
        show(integration, quota, used, span.to);
        match level(quota, used) {
            Level::Fine => {}
            Level::Near => raise(meter, integration, quota, span, used, Severity::Warning, now).await?,
            Level::Exhausted => {
                raise(meter, integration, quota, span, used, Severity::Error, now).await?;
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^53")]
fn show(integration: &Integration, quota: &Quota, used: u64, resets_at: Timestamp) {
    let labels = [("integration", integration.id.to_string()), ("quota", quota.name.clone())];
    gauge!(LIMIT, &labels).set(quota.requests as f64);
    gauge!(USED, &labels).set(used as f64);
    gauge!(RESET, &labels).set(resets_at.as_secs() as f64);
}

fn fingerprint(integration: &IntegrationId, quota: &str, from: Timestamp) -> String {
    format!("quota/{integration}/{quota}/{}", from.as_millis())
}

async fn raise(
    meter: &Meter,
    integration: &Integration,
    quota: &Quota,
    span: window::Span,
    used: u64,
    severity: Severity,
    now: Timestamp,
) -> anyhow::Result<()> {
    let fingerprint = fingerprint(&integration.id, &quota.name, span.from);
    let key = format!("{fingerprint}/{}", severity.as_str());
    // The same alert, near first and exhausted later: its id is made of what it is about.
    let alert =
        AlertId::parse(format!("quota-{:016x}{:016x}", stable_hash(&fingerprint), span.from.as_millis()))?;
    let percent = used.saturating_mul(100) / quota.requests.max(1);
    let title = match severity {
        Severity::Error => format!(
            "{} has used up its quota `{}` ({used} of {})",
            integration.id, quota.name, quota.requests
        ),
        _ => format!(
            "{} has used {percent} % of its quota `{}` ({used} of {})",
            integration.id, quota.name, quota.requests
        ),
    };
    let data = serde_json::json!({
        "integration": integration.id, "provider": integration.provider, "quota": quota.name,
        "used": used, "limit": quota.requests, "percent": percent, "resets_at": span.to,
    });
    let raised = AlertRaised {
        alert,
        severity,
        alert_type: ALERT_TYPE.to_owned(),
        title,
        persona: None,
        source: Slug::of(integration.id.as_str()),
        fingerprint,
        at: now,
        labels: integration.labels.clone(),
        data: data.as_object().cloned().unwrap_or_default(),
    };
    let event = envelope(meter, raised)?;
    meter.store.notice_once(&key, &[event], now).await?;
    Ok(())
}

fn envelope<E: Event>(meter: &Meter, data: E) -> anyhow::Result<Envelope<Vec<u8>>> {
    Ok(meter.bus.envelope(data).to_bytes()?)
}

/// Resolves alerts whose window has ended, and forgets old notices.
pub(crate) async fn sweep(meter: Meter, stopping: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = once(&meter, Timestamp::now()).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "Ended quota windows could not be looked at; trying again."
            );
        }
    }
}

async fn once(meter: &Meter, now: Timestamp) -> anyhow::Result<()> {
    let open =
        store::AlertFilter { alert_type: Some(ALERT_TYPE.to_owned()), ..store::AlertFilter::default() };
    for row in meter.store.alerts_page(&open, None, 500).await? {
        if row.phase == model::alert::Phase::Resolved {
            continue;
        }
        let ends = row
            .raised
            .data
            .get("resets_at")
            .and_then(|at| at.as_str())
            .and_then(|at| Timestamp::parse(at).ok());
        if ends.is_none_or(|ends| ends > now) {
            continue;
        }
        let key = format!("{}/resolved", row.raised.fingerprint);
        let resolved =
            AlertResolved { raised: row.raised, resolved_at: now, resolved_by: "meter".to_owned() };
        meter.store.notice_once(&key, &[envelope(meter, resolved)?], now).await?;
    }
    meter.store.notices_purge(now.minus(REMEMBERED)).await?;
    let snapshot = meter.snapshot.borrow().clone();
    for integration in snapshot.iter().flat_map(|snapshot| snapshot.integrations.keys()) {
        look(meter, integration, now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::integration::{Ratio, Window};

    #[test]
    fn notice_is_given_at_the_share_and_at_the_limit() {
        let quota = Quota {
            name: "day".to_owned(),
            requests: 10,
            per: Window::Day,
            timezone: "UTC".to_owned(),
            near: Ratio::from_millionths(800_000),
        };
        let levels: Vec<Level> = [0, 7, 8, 9, 10, 11].map(|used| level(&quota, used)).to_vec();
        use Level::{Exhausted, Fine, Near};
        assert_eq!(levels, [Fine, Fine, Near, Near, Exhausted, Exhausted]);
    }
}
