//! Tells what callers met: every second one observation per integration that was called. Looks at the same time what
//! changed though nobody called: breakers whose wait is over, connections that are kept.
//!
//! A call that hangs is evidence before it ends: those that wait for longer than any answer should take are told each
//! second as time-outs, as long as nobody is answered. While the bus is away the cells go on counting, and are told together
//! when it is back. One that it does not take is lost: the next second says how it is then.

use std::time::{Duration, Instant};

use bus::Bus;
use model::Timestamp;
use model::health::{Check, Observed, Reason};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::live::{Live, Traffic};
use crate::snapshot::Current;

/// How often, in milliseconds.
const EVERY_MS: u64 = 1_000;
/// How long the bus may take for one batch before the next second is looked at, in milliseconds.
const SEND_MS: u64 = 3_000;

/// Tells until `stopping`.
pub(crate) async fn tell(bus: Bus, config: Current, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut tick = interval(Duration::from_millis(EVERY_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stopping.cancelled() => return Ok(()),
        }
        if let Some(config) = config.get() {
            let now = Instant::now();
            for integration in config.integrations.values() {
                integration.gate.look(now);
                let idle = integration.upstream.as_ref().map_or(0, egress::Upstream::idle_connections);
                integration.live.idle_connections(idle);
            }
        }
        // While the bus is away cells go on counting: what they hold is told when it is back.
        if bus.status() != bus::Status::Connected {
            continue;
        }
        let Some(config) = config.get() else { continue };
        let lives = config.integrations.values().map(|integration| &integration.live);
        let seen = lives
            .filter_map(|live| Some(observed(live, &live.take_traffic(Instant::now())?, Timestamp::now())));
        let batch: Vec<_> = seen.filter_map(|seen| bus.envelope(seen).to_bytes().ok()).collect();
        if batch.is_empty() {
            continue;
        }
        let sending = tokio::time::timeout(Duration::from_millis(SEND_MS), bus.publish_batch(&batch));
        tokio::select! {
            outcome = sending => match outcome {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "Observations were not taken: {error}."),
                Err(_) => tracing::debug!("Observations were not taken in time."),
            },
            () = stopping.cancelled() => return Ok(()),
        }
    }
}

/// What callers met, as an observation: the most frequent trouble, and the mean time to the head.
fn observed(live: &Live, traffic: &Traffic, at: Timestamp) -> Observed {
    let frequent = traffic.reasons.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| *reason);
    let mean = traffic.latency_sum_ms.checked_div(u64::from(traffic.answers));
    let failures = traffic.failures.min(traffic.requests);
    let detail = frequent.map(|reason| {
        if traffic.overdue > 0 && reason == Reason::Timeout {
            return format!("{} calls wait and none is answered", traffic.overdue);
        }
        format!("{failures} of {} calls failed: {}", traffic.requests, reason.as_str().replace('_', " "))
    });
    Observed {
        integration: live.id.clone(),
        provider: live.provider.clone(),
        check: Check::Traffic,
        at,
        reason: frequent,
        requests: traffic.requests,
        failures,
        status_code: traffic.status_code,
        latency_ms: mean.map(|mean| u32::try_from(mean).unwrap_or(u32::MAX)),
        phases: None,
        every_secs: None,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use model::{IntegrationId, ProviderId};

    use super::*;
    use crate::live::{Attempted, Whose};

    #[test]
    fn the_most_frequent_trouble_and_the_mean_latency_are_told() {
        let id = IntegrationId::new("a").expect("a slug");
        let live = Live::new(id, ProviderId::new("custom").expect("a slug"), std::time::Instant::now());
        let call = |reason: Option<Reason>, status: Option<u16>, ms: u64| Attempted {
            sent: true,
            reason,
            status,
            took: Duration::from_millis(ms),
            ..Attempted::default()
        };
        for call in [
            call(None, Some(200), 10),
            call(Some(Reason::BadRequest), Some(404), 20),
            call(Some(Reason::Timeout), None, 900),
            call(Some(Reason::UpstreamError), Some(503), 30),
            call(Some(Reason::UpstreamError), Some(500), 40),
        ] {
            live.attempted(Whose { endpoint: "/", actor: "user:ada", route: None }, &call);
        }
        let traffic = live.take_traffic(Instant::now()).expect("there were calls");
        let seen = observed(&live, &traffic, Timestamp::default());
        assert_eq!((seen.requests, seen.failures, seen.reason), (5, 3, Some(Reason::UpstreamError)));
        assert_eq!((seen.status_code, seen.latency_ms), (Some(500), Some(25)));
        assert_eq!(live.take_traffic(Instant::now()), None);
    }

    #[test]
    fn calls_that_hang_are_told_before_they_end() {
        let id = IntegrationId::new("a").expect("a slug");
        let live = Live::new(id, ProviderId::new("custom").expect("a slug"), Instant::now());
        let timeout = Duration::from_secs(10);
        let numbers: Vec<u64> = (0..5).map(|_| live.waits("/", Duration::from_secs(2), timeout).0).collect();
        assert_eq!(live.take_traffic(Instant::now()), None);
        let later = Instant::now() + timeout;
        for _ in 0..2 {
            let traffic = live.take_traffic(later).expect("they wait");
            let seen = observed(&live, &traffic, Timestamp::default());
            assert_eq!((seen.requests, seen.failures, seen.reason), (5, 5, Some(Reason::Timeout)));
            assert_eq!(seen.detail.as_deref(), Some("5 calls wait and none is answered"));
        }
        live.waited(numbers[0], true, Some("/"));
        assert_eq!(live.take_traffic(later), None);
    }
}
