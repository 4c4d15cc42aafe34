//! Events: facts in the past tense, as CloudEvents 1.0 in binary mode.
//!
//! One list, [`CATALOGUE`], says for each event its type, subject, stream and schema. `schemas/` and the
//! streams of the bus are made from it, and a test holds every event seen on the bus against it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::alert::{AlertAcknowledged, AlertRaised, AlertResolved, Phase};
use crate::audit::AuditRecorded;
use crate::cache::CacheInvalidated;
use crate::config::ConfigChanged;
use crate::delivery::{DeliveryAttempted, DeliveryDue, DeliveryFailed};
use crate::health::{HealthChanged, HealthCompared, Observed};
use crate::key::KeyFact;
use crate::route::{RouteExhausted, RouteSwitched};
use crate::subject::{self, Subject};
use crate::usage::UsageCounted;
use crate::{EventId, Timestamp};

/// What every type begins with.
pub const TYPE_PREFIX: &str = "dev.signalbox.";
/// What every schema's address begins with. The host is reserved (RFC 6761): nothing is ever fetched from it.
pub const SCHEMA_BASE: &str = "https://signalbox.invalid/schemas/";

/// A fact that crosses the bus.
pub trait Event: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Its type without the prefix: `health.changed.v1`. A changed meaning is a `v2` beside it.
    const TYPE: &'static str;
    /// Where it is published.
    fn subject(&self) -> Subject;
}

/// An event with what CloudEvents says around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<T> {
    /// `ce-id`. With `source` it is unique; an event that is published again keeps it.
    pub id: EventId,
    /// `ce-source`: `/signalbox/<role>/<instance>`, or what an application calls itself.
    pub source: String,
    /// `ce-type`, its prefix included.
    pub kind: String,
    /// `ce-time`.
    pub time: Timestamp,
    /// The NATS subject.
    pub subject: Subject,
    /// `ce-correlationid`: the request or observation that everything began with.
    pub correlation: Option<String>,
    /// The fact.
    pub data: T,
}

impl<T: Event> Envelope<T> {
    /// Puts a fact in its envelope.
    pub fn new(id: EventId, source: impl Into<String>, time: Timestamp, data: T) -> Self {
        let kind = format!("{TYPE_PREFIX}{}", T::TYPE);
        Self { id, source: source.into(), kind, time, subject: data.subject(), correlation: None, data }
    }

    /// Says what everything began with.
    #[must_use]
    pub fn because_of(mut self, correlation: impl Into<String>) -> Self {
        self.correlation = Some(correlation.into());
        self
    }

    /// The same with the fact as JSON bytes, as an outbox keeps it and the bus sends it.
    pub fn to_bytes(&self) -> Result<Envelope<Vec<u8>>, serde_json::Error> {
        Ok(self.with(serde_json::to_vec(&self.data)?))
    }
}

impl<T> Envelope<T> {
    /// The same envelope around something else.
    pub fn with<U>(&self, data: U) -> Envelope<U> {
        Envelope {
            id: self.id.clone(),
            source: self.source.clone(),
            kind: self.kind.clone(),
            time: self.time,
            subject: self.subject.clone(),
            correlation: self.correlation.clone(),
            data,
        }
    }

    /// `ce-dataschema`: where the schema of the fact is named.
    pub fn dataschema(&self) -> String {
        schema_address(self.kind.strip_prefix(TYPE_PREFIX).unwrap_or(&self.kind))
    }
}

/// The address of a type's schema: `health.changed.v1` becomes `…/events/health-changed.v1.json`.
pub fn schema_address(kind: &str) -> String {
    format!("{SCHEMA_BASE}events/{}", schema_file(kind))
}

/// The file of a type's schema below `schemas/events/`.
pub fn schema_file(kind: &str) -> String {
    let (name, version) = kind.rsplit_once('.').unwrap_or((kind, "v1"));
    format!("{}.{version}.json", name.replace('.', "-"))
}

/// What is known of an event type.
pub struct EventKind {
    /// Its type without the prefix.
    pub kind: &'static str,
    /// Its subject, with `{parameters}`.
    pub subject: &'static str,
    /// The JetStream stream that keeps it.
    pub stream: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Makes its schema.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

macro_rules! events {
    ($($type:ty, $kind:literal, $stream:literal, $pattern:literal, $summary:literal, |$fact:ident| $subject:expr;)*) => {
        $(impl Event for $type {
            const TYPE: &'static str = $kind;
            fn subject(&self) -> Subject {
                let $fact = self;
                $subject
            }
        })*

        /// Every event type that this program publishes.
        pub const CATALOGUE: &[EventKind] = &[$(EventKind {
            kind: $kind,
            subject: $pattern,
            stream: $stream,
            summary: $summary,
            schema: |generator| <$type>::json_schema(generator),
        }),*];
    };
}

/// A key was stored for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct KeyCreated(pub KeyFact);

/// A key got a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct KeyRotated(pub KeyFact);

/// A key will not be taken by its provider much longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct KeyExpiring(pub KeyFact);

/// A key's version must not be used any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct KeyRevoked(pub KeyFact);

events! {
    Observed, "health.observed.v1", "HEALTH", "sb.v1.health.{integration}.observed",
        "What came of asking an integration, or of calls that passed.", |fact| subject::health(&fact.integration, "observed");
    HealthChanged, "health.changed.v1", "HEALTH", "sb.v1.health.{integration}.changed",
        "The health of an integration changed.", |fact| subject::health(&fact.integration, "changed");
    HealthCompared, "health.compared.v1", "HEALTH", "sb.v1.health.{integration}.compared",
        "An integration was compared with what is usual for it.", |fact| subject::health(&fact.integration, "compared");
    UsageCounted, "usage.counted.v1", "USAGE", "sb.v1.usage.{integration}.counted",
        "Calls of one integration, counted.", |fact| subject::usage(&fact.integration);
    AlertRaised, "alert.raised.v1", "ALERTS", "sb.v1.alert.{severity}.{source}.raised",
        "Something that people should hear of.", |fact| subject::alert(fact.severity, &fact.source, Phase::Raised);
    AlertResolved, "alert.resolved.v1", "ALERTS", "sb.v1.alert.{severity}.{source}.resolved",
        "An alert is over.", |fact| subject::alert(fact.raised.severity, &fact.raised.source, Phase::Resolved);
    AlertAcknowledged, "alert.acknowledged.v1", "ALERTS", "sb.v1.alert.{severity}.{source}.acknowledged",
        "Somebody takes care of an alert.", |fact| subject::alert(fact.raised.severity, &fact.raised.source, Phase::Acknowledged);
    RouteSwitched, "route.switched.v1", "ROUTES", "sb.v1.route.{route}.switched",
        "A route's traffic moved.", |fact| subject::route(&fact.route, "switched");
    RouteExhausted, "route.exhausted.v1", "ROUTES", "sb.v1.route.{route}.exhausted",
        "No integration of a route is usable.", |fact| subject::route(&fact.route, "exhausted");
    KeyCreated, "key.created.v1", "KEYS", "sb.v1.key.{key}.created",
        "A key was stored for the first time.", |fact| subject::key(&fact.0.key, "created");
    KeyRotated, "key.rotated.v1", "KEYS", "sb.v1.key.{key}.rotated",
        "A key got a new version.", |fact| subject::key(&fact.0.key, "rotated");
    KeyExpiring, "key.expiring.v1", "KEYS", "sb.v1.key.{key}.expiring",
        "A key will not be taken by its provider much longer.", |fact| subject::key(&fact.0.key, "expiring");
    KeyRevoked, "key.revoked.v1", "KEYS", "sb.v1.key.{key}.revoked",
        "A key's version must not be used any more.", |fact| subject::key(&fact.0.key, "revoked");
    ConfigChanged, "config.changed.v1", "CONFIG", "sb.v1.config.{kind}.{id}.changed",
        "A piece of configuration was created, changed or deleted.", |fact| subject::config(fact.kind.as_str(), &crate::id::Slug::of(&fact.id));
    CacheInvalidated, "config.invalidated.v1", "CONFIG", "sb.v1.config.integration.{integration}.invalidated",
        "Kept answers of an integration are not to be used any more.", |fact| subject::invalidated(&fact.integration);
    AuditRecorded, "audit.recorded.v1", "AUDIT", "sb.v1.audit.{actor}.recorded",
        "Somebody did something, or was refused.", |fact| subject::audit(&fact.actor.slug());
    DeliveryDue, "delivery.due.v1", "DELIVERIES", "sb.v1.delivery.{webhook}.due",
        "A delivery should be tried.", |fact| subject::delivery(&fact.webhook, "due");
    DeliveryAttempted, "delivery.attempted.v1", "ATTEMPTS", "sb.v1.delivery.{webhook}.attempted",
        "A delivery was tried.", |fact| subject::delivery(&fact.webhook, "attempted");
    DeliveryFailed, "delivery.failed.v1", "ATTEMPTS", "sb.v1.delivery.{webhook}.failed",
        "A delivery was given up.", |fact| subject::delivery(&fact.webhook, "failed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_files_are_named_after_the_type() {
        assert_eq!(schema_file("health.changed.v1"), "health-changed.v1.json");
    }

    #[test]
    fn every_type_is_there_once() {
        let mut kinds: Vec<_> = CATALOGUE.iter().map(|event| event.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), CATALOGUE.len());
    }
}
