//! What people hear of an anomaly: one alert with its evidence, and when it is over.
//!
//! "Once" is a row in the database, written with the event in the outbox: an alert's id and key are made of what is unusual
//! and since when, so that whoever finds the same again says nothing new.

use model::alert::{AlertRaised, AlertResolved, Severity};
use model::id::{InvalidId, Slug, stable_hash};
use model::integration::Integration;
use model::{AlertId, Event, IntegrationId, Timestamp};
use serde_json::json;

use super::watch::Told;
use crate::Meter;
use crate::anomaly::Anomaly;

/// The kind of these alerts.
pub(super) const ALERT_TYPE: &str = "anomaly";

/// What makes two alerts the same: one series has one open alert of a rule.
pub(super) fn fingerprint(integration: &IntegrationId, (figure, rule): &Told) -> String {
    format!("rule/{rule}/integration/{integration}/{}", figure.as_str())
}

/// The alert of an anomaly.
pub(super) fn raised(
    integration: &Integration,
    told: &Told,
    anomaly: &Anomaly,
    severity: Severity,
    at: Timestamp,
) -> Result<AlertRaised, InvalidId> {
    let (fingerprint, (figure, rule)) = (fingerprint(&integration.id, told), told);
    let since = Timestamp::from(anomaly.since);
    let alert =
        AlertId::parse(format!("anomaly-{:016x}{:016x}", stable_hash(&fingerprint), since.as_millis()))?;
    let data = json!({
        "integration": integration.id, "provider": integration.provider, "figure": figure.as_str(),
        "value": rounded(anomaly.value), "expected": anomaly.expected.map(rounded), "since": since,
        "surprise": rounded(anomaly.surprise), "deviations": anomaly.deviations.map(rounded), "rule": rule,
    });
    Ok(AlertRaised {
        alert,
        severity,
        alert_type: ALERT_TYPE.to_owned(),
        title: figure.title(integration, anomaly),
        persona: None,
        source: Slug::of(integration.id.as_str()),
        fingerprint,
        at,
        labels: integration.labels.clone(),
        data: data.as_object().cloned().unwrap_or_default(),
    })
}

/// Says it, unless it was said.
pub(super) async fn raise(meter: &Meter, raised: &AlertRaised, at: Timestamp) -> anyhow::Result<bool> {
    let key = format!("anomaly/{}", raised.alert);
    say(meter, &key, raised.clone(), at).await
}

/// Says that it is over, unless that was said.
pub(super) async fn resolve(meter: &Meter, raised: AlertRaised, at: Timestamp) -> anyhow::Result<bool> {
    let key = format!("anomaly/{}/resolved", raised.alert);
    let resolved = AlertResolved { raised, resolved_at: at, resolved_by: "meter".to_owned() };
    say(meter, &key, resolved, at).await
}

async fn say<E: Event>(meter: &Meter, key: &str, data: E, at: Timestamp) -> anyhow::Result<bool> {
    let event = meter.bus.envelope(data).to_bytes()?;
    Ok(meter.store.notice_once(key, &[event], at).await?)
}

/// Four digits after the point are enough.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
