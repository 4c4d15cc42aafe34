//! Tells what came of a scheduled probe: the observation, and the call that it cost.

use std::time::Duration;

use metrics::{counter, histogram};
use model::Timestamp;
use model::health::{Observed, Reason};
use model::integration::Integration;
use model::usage::{Count, Sketch, UsageCounted};

use crate::probe::Timed;
use crate::telemetry::{DURATION, PROBES};
use crate::{Prober, question};

/// Publishes an observation and its usage. What cannot be published is lost: the next probe says it anew.
pub(crate) async fn tell(
    prober: &Prober,
    it: &Integration,
    (seen, took): &Timed,
    began: Timestamp,
    endpoint: String,
) {
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
        let usage = used(prober, it, seen, *took, endpoint);
        let envelope = prober.bus.envelope(usage).because_of(id.as_str());
        if let Err(error) = prober.bus.publish(&envelope).await {
            tracing::warn!(integration = %seen.integration, error = %error, "The use of a probe of {} could not be published.", seen.integration);
        }
    }
}

/// The call that a probe was. It costs what a call costs: whoever sends the bill does not tell them apart.
fn used(
    prober: &Prober,
    it: &Integration,
    seen: &Observed,
    took: Option<Duration>,
    endpoint: String,
) -> UsageCounted {
    let mut latency = Sketch::default();
    took.iter().for_each(|took| latency.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)));
    let failed = seen.reason.filter(|_| seen.failures > 0);
    UsageCounted {
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
            cost_micros: question::micros(prober.catalogue, it),
            ..Count::default()
        }],
    }
}
