//! Short ways to say things in tests.

use std::collections::BTreeMap;

use model::alert::{AlertRaised, AlertResolved, Phase, Severity};
use model::audit::{AuditRecorded, Verb};
use model::delivery::{Attempt, Delivery, DeliveryDue, DeliveryState};
use model::id::Slug;
use model::token::Actor;
use model::usage::{Count, UsageCounted};
use model::{AlertId, DeliveryId, Envelope, Event, EventId, IntegrationId, ProviderId, Timestamp, WebhookId};

use crate::NewDelivery;

/// So many milliseconds after some moment.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_760_000_000_000 + ms)
}

pub(crate) fn event(id: &str) -> EventId {
    EventId::parse(id).expect("an id")
}

pub(crate) fn alert_id(id: &str) -> AlertId {
    AlertId::parse(id).expect("an id")
}

pub(crate) fn delivery_id(id: &str) -> DeliveryId {
    DeliveryId::parse(id).expect("an id")
}

pub(crate) fn webhook(id: &str) -> WebhookId {
    WebhookId::new(id).expect("a slug")
}

pub(crate) fn integration(id: &str) -> IntegrationId {
    IntegrationId::new(id).expect("a slug")
}

pub(crate) fn envelope(id: &str, fact: impl Event) -> Envelope<Vec<u8>> {
    Envelope::new(event(id), "/signalbox/test/1", at(0), fact).to_bytes().expect("a fact is JSON")
}

pub(crate) fn raised(alert: &str, fingerprint: &str, when: Timestamp) -> AlertRaised {
    AlertRaised {
        alert: alert_id(alert),
        severity: Severity::Critical,
        alert_type: "health".to_owned(),
        title: format!("{fingerprint} is down"),
        persona: Some("macro-analyst".to_owned()),
        source: Slug::of("polygon-main"),
        fingerprint: fingerprint.to_owned(),
        at: when,
        labels: BTreeMap::new(),
        data: serde_json::Map::new(),
    }
}

pub(crate) fn resolved(raised: AlertRaised, when: Timestamp) -> AlertResolved {
    AlertResolved { raised, resolved_at: when, resolved_by: "failover".to_owned() }
}

pub(crate) fn recorded(actor: &str, action: &str, target: &str, when: Timestamp) -> AuditRecorded {
    AuditRecorded {
        at: when,
        actor: Actor::parse(actor).expect("an actor"),
        method: "session".to_owned(),
        source_ip: Some("127.0.0.1".to_owned()),
        action: action.to_owned(),
        verb: Verb::Update,
        target: target.to_owned(),
        outcome: "ok".to_owned(),
        reason: None,
        request_id: None,
    }
}

/// A delivery that is due at once.
pub(crate) fn delivery(id: &str, to: &str, when: Timestamp) -> NewDelivery {
    let raised = raised("a1", "f1", when);
    let due = DeliveryDue { delivery: delivery_id(id), webhook: webhook(to), due_at: when };
    let delivery = Delivery {
        id: delivery_id(id),
        webhook: webhook(to),
        event: event("because"),
        phase: Phase::Raised,
        fingerprint: raised.fingerprint.clone(),
        title: raised.title.clone(),
        state: DeliveryState::Pending,
        attempts: 0,
        created_at: when,
        due_at: Some(when),
        ended_at: None,
        failure: None,
        replay_of: None,
    };
    NewDelivery { delivery, alert: raised, due: envelope(&format!("due-{id}"), due) }
}

pub(crate) fn attempt(number: u32, outcome: &str, when: Timestamp) -> Attempt {
    Attempt {
        attempt: number,
        at: when,
        outcome: outcome.to_owned(),
        status_code: Some(200),
        duration_ms: 12,
        detail: None,
    }
}

pub(crate) fn counted(integration_id: &str, from: Timestamp, counts: Vec<Count>) -> UsageCounted {
    UsageCounted {
        integration: integration(integration_id),
        provider: ProviderId::new("polygon").expect("a slug"),
        counter: "gateway/1".to_owned(),
        from,
        to: from,
        counts,
    }
}

pub(crate) fn count(endpoint: &str, actor: &str, requests: u64) -> Count {
    Count {
        endpoint: endpoint.to_owned(),
        actor: actor.to_owned(),
        requests,
        errors: requests / 3,
        cache_hits: requests / 2,
        request_bytes: requests * 10,
        response_bytes: requests * 1_000,
        latency_sum_ms: requests * 42,
        cost_micros: requests * 7,
        ..Count::default()
    }
}
