//! Tells what came of a scheduled probe: the observation, and the call that it cost.

use metrics::{counter, histogram};
use model::health::{Observed, Reason};
use model::usage::{Count, Sketch, UsageCounted};
use model::{EventId, Timestamp};

use crate::Prober;
use crate::telemetry::{DURATION, PROBES};

/// Publishes an observation and its usage. What cannot be published is lost: the next probe says it anew.
pub(crate) async fn tell(prober: &Prober, seen: &Observed, began: Timestamp, endpoint: String) {
    let outcome = seen.reason.map_or("success", Reason::as_str);
    counter!(PROBES, "integration" => seen.integration.to_string(), "outcome" => outcome).increment(1);
    histogram!(DURATION, "integration" => seen.integration.to_string())
        .record(seen.at.since(began).as_secs_f64());
    let envelope = prober.bus.envelope(seen.clone());
    let id = envelope.id.clone();
    if let Err(error) = prober.bus.publish(&envelope).await {
        tracing::warn!(integration = %seen.integration, error = %error, "An observation of {} could not be published.", seen.integration);
    }
    if seen.status_code.is_some() || seen.reason == Some(Reason::Timeout) {
        counted(prober, seen, endpoint, &id).await;
    }
}

async fn counted(prober: &Prober, seen: &Observed, endpoint: String, observation: &EventId) {
    let mut latency = Sketch::default();
    seen.latency_ms.iter().for_each(|ms| latency.add(u64::from(*ms) * 1000));
    let failed = seen.reason.filter(|_| seen.failures > 0);
    let usage = UsageCounted {
        integration: seen.integration.clone(),
        provider: seen.provider.clone(),
        counter: prober.bus.source().to_owned(),
        from: seen.at,
        to: seen.at,
        counts: vec![Count {
            endpoint,
            actor: "system:prober".to_owned(),
            requests: 1,
            errors: u64::from(seen.failures),
            reasons: failed.into_iter().map(|reason| (reason, u64::from(seen.failures))).collect(),
            latency_sum_ms: seen.latency_ms.unwrap_or(0).into(),
            latency,
            ..Count::default()
        }],
    };
    let envelope = prober.bus.envelope(usage).because_of(observation.as_str());
    if let Err(error) = prober.bus.publish(&envelope).await {
        tracing::warn!(integration = %seen.integration, error = %error, "The use of a probe of {} could not be published.", seen.integration);
    }
}
