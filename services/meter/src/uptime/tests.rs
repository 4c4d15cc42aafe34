//! What the tests of uptime share: moments, and changes in words.

mod house;

use model::health::{Health, HealthChanged, Reason};
use model::{IntegrationId, ProviderId, Timestamp};
use store::HealthChange;

pub(super) fn id() -> IntegrationId {
    IntegrationId::new("polygon-main").expect("a slug")
}

pub(super) fn provider() -> ProviderId {
    ProviderId::new("polygon").expect("a slug")
}

/// A moment so many minutes after the start of a day.
pub(super) fn minute(minutes: i64) -> Timestamp {
    Timestamp::from_millis(1_790_035_200_000 + minutes * 60_000)
}

pub(super) fn changed(at: Timestamp, from: Health, to: Health) -> HealthChanged {
    HealthChanged {
        integration: id(),
        provider: provider(),
        from,
        to,
        reason: (to == Health::Down).then_some(Reason::Timeout),
        since: at,
        at,
        latency_ms: None,
        evidence: Vec::new(),
    }
}

/// A change for no reason.
pub(super) fn change(at: i64, was: Health, became: Health) -> HealthChange {
    HealthChange { was, became, reason: None, since: minute(at), at: minute(at) }
}
