//! Hears what callers met, from gateways: while their calls show how a provider is, a question that costs is spared.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bus::{Bus, Start};
use futures_util::StreamExt;
use model::health::{Check, Observed};
use model::snapshot::Snapshot;
use model::{IntegrationId, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What is listened to.
const SUBJECTS: &str = "sb.v1.health.*.observed";
/// Pause before a stream that cannot be opened is asked for again, in milliseconds.
const PAUSE_MS: u64 = 500;

/// What callers met last, by integration: those of the configuration only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<RwLock<HashMap<IntegrationId, Met>>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Met {
    well: Option<(Timestamp, Option<u32>)>,
    ill: Option<Timestamp>,
}

impl Heard {
    /// Whether callers were answered since then, all of them well, and the last ones sooner than what is slow.
    pub(crate) fn is_well(&self, it: &IntegrationId, since: Timestamp, slow: Duration) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Met { well: Some((at, latency_ms)), ill }) = known.get(it).copied() else { return false };
        let is_quick = latency_ms.is_some_and(|ms| Duration::from_millis(ms.into()) <= slow);
        at >= since && is_quick && ill.is_none_or(|ill| ill < since)
    }

    /// Takes an observation, heard at a moment. What is not configured any more is forgotten.
    fn take(&self, seen: &Observed, at: Timestamp, is_configured: impl Fn(&IntegrationId) -> bool) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(&seen.integration) {
            known.retain(|id, _| is_configured(id));
        }
        let met = known.entry(seen.integration.clone()).or_default();
        match seen.reason {
            None => met.well = Some((at, seen.latency_ms)),
            Some(_) => met.ill = Some(at),
        }
    }

    /// Follows observations until `stopping`.
    pub(crate) async fn follow(
        &self,
        bus: &Bus,
        snapshot: &watch::Receiver<Option<Arc<Snapshot>>>,
        stopping: &CancellationToken,
    ) {
        loop {
            let tail = tokio::select! {
                tail = bus.tail(vec![SUBJECTS.to_owned()], Start::New) => tail,
                () = stopping.cancelled() => return,
            };
            if let Ok(mut tail) = tail {
                while let Some(message) = tokio::select! {
                    message = tail.next() => message,
                    () = stopping.cancelled() => return,
                } {
                    let Ok(seen) = message.fact::<Observed>() else { continue };
                    let snapshot = snapshot.borrow().clone();
                    let is_configured = |id: &IntegrationId| {
                        snapshot.as_ref().is_some_and(|all| all.integrations.contains_key(id))
                    };
                    if seen.check == Check::Traffic && is_configured(&seen.integration) {
                        self.take(&seen, Timestamp::now(), is_configured);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(PAUSE_MS)) => {}
                () = stopping.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::health::Reason;

    use super::*;

    fn seen(reason: Option<Reason>, latency_ms: Option<u32>) -> Observed {
        let seen = serde_json::json!({"integration": "it", "provider": "custom", "check": "traffic", "at": "2026-11-21T12:00:00Z",
            "reason": reason, "requests": 3, "failures": 0, "status_code": 200, "latency_ms": latency_ms});
        serde_json::from_value(seen).expect("an observation")
    }

    #[test]
    fn calls_that_went_well_and_quickly_spare_a_question() {
        let (id, at) = (IntegrationId::new("it").expect("a slug"), Timestamp::from_millis);
        let slow = Duration::from_millis(500);
        for (told, since, wanted) in [
            (vec![], 0, false),
            (vec![(None, Some(40), 1_000)], 500, true),
            (vec![(None, Some(40), 1_000)], 1_500, false),
            (vec![(None, Some(900), 1_000)], 500, false),
            (vec![(None, None, 1_000)], 500, false),
            (vec![(None, Some(40), 1_000), (Some(Reason::Timeout), None, 1_100)], 500, false),
            (vec![(Some(Reason::Timeout), None, 400), (None, Some(40), 1_000)], 500, true),
        ] {
            let heard = Heard::default();
            for (reason, latency_ms, millis) in told {
                heard.take(&seen(reason, latency_ms), at(millis), |_| true);
            }
            assert_eq!(heard.is_well(&id, at(since), slow), wanted);
        }
    }
}
