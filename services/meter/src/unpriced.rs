//! Warns of a model that has no price: once for each integration and model, as long as notices are remembered.
//!
//! What it uses is counted as `other`, and its cost as unknown, which is not none. "Once" is a row in the database, written
//! in one transaction with the alert's event in the outbox, so the second time is harmless. It never guesses a price.

use std::collections::BTreeSet;

use model::alert::{AlertRaised, Severity};
use model::id::{Slug, stable_hash};
use model::usage::UsageCounted;
use model::{AlertId, IntegrationId, Timestamp};

use crate::Meter;

/// The kind of these alerts.
const ALERT_TYPE: &str = "unpriced";
/// Models of one batch that are looked at. Further ones are met again in a later batch.
const MODELS_MAX: usize = 64;

/// Looks which models without a price answered.
pub(crate) async fn look(meter: &Meter, counted: &[&UsageCounted]) -> anyhow::Result<()> {
    let mut seen: BTreeSet<(&IntegrationId, &str)> = BTreeSet::new();
    for usage in counted {
        for model in usage.counts.iter().flat_map(|count| &count.unpriced_models) {
            if seen.len() == MODELS_MAX || !seen.insert((&usage.integration, model)) {
                continue;
            }
            raise(meter, usage, model).await?;
        }
    }
    Ok(())
}

async fn raise(meter: &Meter, usage: &UsageCounted, name: &str) -> anyhow::Result<()> {
    let UsageCounted { integration, provider, .. } = usage;
    let fingerprint = format!("unpriced/{integration}/{name}");
    let now = Timestamp::now();
    let data = serde_json::json!({ "integration": integration, "provider": provider, "model": name });
    let raised = AlertRaised {
        alert: AlertId::parse(format!(
            "unpriced-{:016x}{:012x}",
            stable_hash(&fingerprint),
            now.as_millis()
        ))?,
        severity: Severity::Warning,
        alert_type: ALERT_TYPE.to_owned(),
        title: format!(
            "{integration} answers with model `{name}`, which has no price: its cost is unknown. \
             Give it one in the integration's `cost.prices`"
        ),
        persona: None,
        source: Slug::of(integration.as_str()),
        fingerprint: fingerprint.clone(),
        at: now,
        labels: std::collections::BTreeMap::new(),
        data: data.as_object().cloned().unwrap_or_default(),
    };
    let event = meter.bus.envelope(raised).to_bytes()?;
    if meter.store.notice_once(&fingerprint, &[event], now).await? {
        tracing::warn!(
            integration.id = %integration, model = name,
            "Model `{name}` of {integration} has no price: its cost is counted as unknown."
        );
    }
    Ok(())
}
