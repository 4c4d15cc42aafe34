//! Events as gateways tell them: each of one integration and second, by two endpoints and two callers, with latencies.

use std::time::Duration;

use model::usage::{Count, Sketch, UsageCounted};
use model::{EventId, IntegrationId, ProviderId, Timestamp};

/// Integrations among which events are spread.
pub(crate) const INTEGRATIONS: u64 = 100;
/// Calls that one event tells of.
pub(crate) const CALLS: u64 = 40;

/// All integrations.
pub(crate) fn integrations() -> anyhow::Result<Vec<IntegrationId>> {
    (0..INTEGRATIONS).map(|n| Ok(IntegrationId::new(format!("integration-{n}"))?)).collect()
}

/// Event number `n` of integration `id`, in a second that begins at `from`.
pub(crate) fn event(n: u64, id: &IntegrationId, from: Timestamp) -> anyhow::Result<(EventId, UsageCounted)> {
    let count = |place: u64| {
        let mut latency = Sketch::default();
        for call in 0..CALLS / 4 {
            latency.add(20_000 + (n * 7_919 + place * 104_729 + call * 1_299_709) % 60_000);
        }
        Count {
            endpoint: format!("/v2/endpoint-{}", (n + place) % 8),
            actor: format!("user:caller-{}", place % 2),
            requests: CALLS / 4,
            errors: u64::from(n.is_multiple_of(50)),
            request_bytes: 100,
            response_bytes: 4_000,
            latency_sum_ms: 500,
            latency,
            cost_micros: 25,
            ..Count::default()
        }
    };
    let usage = UsageCounted {
        integration: id.clone(),
        provider: ProviderId::new("polygon")?,
        counter: "gateway/bench".to_owned(),
        from,
        to: from.plus(Duration::from_millis(999)),
        counts: (0..4).map(count).collect(),
    };
    Ok((EventId::parse(format!("use-{n:040x}"))?, usage))
}
