//! What the tests of failover share: observations in words, and boards.

mod house;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::health::{Check, HealthCompared, Observed, Reason};
use model::integration::Integration;
use model::route::Route;
use model::snapshot::{PinnedRoute, Snapshot};
use model::{IntegrationId, ProviderId, RouteId, Timestamp};
use serde_json::json;

use crate::board::Board;
use crate::decide::Rules;

/// No patience at all.
pub(crate) const AT_ONCE: Rules = Rules { dwell: Duration::ZERO, return_after: Duration::ZERO };

pub(crate) fn id(text: &str) -> IntegrationId {
    IntegrationId::new(text).expect("a slug")
}

pub(crate) fn route_id(text: &str) -> RouteId {
    RouteId::new(text).expect("a slug")
}

pub(crate) fn second(at: u32) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + i64::from(at) * 1_000)
}

pub(crate) fn probe_of(integration: &str, at: u32, reason: Option<Reason>) -> Observed {
    Observed {
        integration: id(integration),
        provider: ProviderId::new("polygon").expect("a slug"),
        check: Check::Probe,
        at: second(at),
        reason,
        requests: 1,
        failures: u32::from(reason.is_some()),
        status_code: reason.is_none().then_some(200),
        latency_ms: reason.is_none().then_some(42),
        phases: None,
        every_secs: Some(10),
        detail: None,
    }
}

pub(crate) fn probe(at: u32, reason: Option<Reason>) -> Observed {
    probe_of("polygon-main", at, reason)
}

pub(crate) fn traffic(at: u32, requests: u32, failures: u32, reason: Option<Reason>) -> Observed {
    Observed { check: Check::Traffic, requests, failures, every_secs: None, ..probe(at, reason) }
}

/// Word from the meter that callers have waited longer, or met more errors, since five minutes before; it counts for 20 minutes.
pub(crate) fn compared(at: u32, worse: bool, reason: Reason) -> HealthCompared {
    let seconds = |seconds| std::time::Duration::from_secs(seconds);
    HealthCompared {
        integration: id("polygon-main"),
        provider: ProviderId::new("polygon").expect("a slug"),
        check: Check::Traffic,
        worse,
        reason,
        at: second(at),
        since: second(at).minus(seconds(300)),
        until: second(at).plus(seconds(1200)),
        requests: 600,
        p95_ms: Some(950),
        usual_p95_ms: Some(205),
        errors_ppm: 0,
        usual_errors_ppm: None,
        detail: "95 of 100 calls took up to 950 ms, usually 205 ms".to_owned(),
    }
}

/// One word of a table as an observation.
pub(crate) fn word(at: u32, word: &str) -> Observed {
    match word {
        "ok" => probe(at, None),
        "fail" => probe(at, Some(Reason::Unreachable)),
        "slow" => probe(at, Some(Reason::Slow)),
        "key" => probe(at, Some(Reason::BadCredentials)),
        "quota" => probe(at, Some(Reason::QuotaExhausted)),
        "429" => probe(at, Some(Reason::ThrottledBurst)),
        "work" => probe(at, Some(Reason::Maintenance)),
        "calls" => traffic(at, 50, 0, None),
        "broken" => traffic(at, 2, 1, Some(Reason::UpstreamError)),
        "storm" => traffic(at, 5, 5, Some(Reason::UpstreamError)),
        other => panic!("`{other}` is no observation"),
    }
}

pub(crate) fn integration(name: &str) -> Integration {
    serde_json::from_value(json!({"id": name, "provider": "polygon"})).expect("an integration")
}

pub(crate) fn route(name: &str, members: &[&str]) -> PinnedRoute {
    let route: Route = serde_json::from_value(json!({"id": name, "integrations": members})).expect("a route");
    PinnedRoute { route, pinned: None, drained: BTreeSet::new() }
}

/// A snapshot of integrations `a`, `b` and `c`, and of the route `quotes` over them.
pub(crate) fn snapshot() -> Snapshot {
    let integrations: BTreeMap<_, _> =
        ["a", "b", "c"].into_iter().map(|name| (id(name), integration(name))).collect();
    let routes = [(route_id("quotes"), route("quotes", &["a", "b", "c"]))].into();
    Snapshot { revision: 1, integrations, routes, ..Snapshot::default() }
}

/// A board with that snapshot on which nothing is known.
pub(crate) fn board() -> Board {
    let mut board = Board::new(AT_ONCE, 7);
    board.snapshot = Some(Arc::new(snapshot()));
    board
}
