//! The subjects of the bus, spelled here and nowhere else.
//!
//! `sb.v1.<domain>.<entity>.<event>`: the entity is a slug type, so that no text of a user can become a
//! wildcard or a token. Questions between services are `sb.ask.v1.<service>.<question>`, outside of `sb.v1.>`,
//! so that whoever subscribes to that sees events only.

use std::fmt;

use crate::alert::{Phase, Severity};
use crate::id::Slug;
use crate::{IntegrationId, KeyId, RouteId, WebhookId};

/// Everything that is an event.
pub const ALL_EVENTS: &str = "sb.v1.>";

/// A subject without wildcards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

impl Subject {
    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a subject that this program wrote down earlier, as in an outbox. Refuses wildcards and empty tokens.
    pub fn stored(text: String) -> Option<Self> {
        let token =
            |t: &str| !t.is_empty() && t.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
        text.split('.').all(token).then_some(Self(text))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn event(domain: &str, entity: &str, event: &str) -> Subject {
    Subject(format!("sb.v1.{domain}.{entity}.{event}"))
}

/// `sb.v1.health.<integration>.<event>`
pub fn health(integration: &IntegrationId, what: &'static str) -> Subject {
    event("health", integration.as_str(), what)
}

/// `sb.v1.usage.<integration>.counted`
pub fn usage(integration: &IntegrationId) -> Subject {
    event("usage", integration.as_str(), "counted")
}

/// `sb.v1.alert.<severity>.<source>.<phase>`
pub fn alert(severity: Severity, source: &Slug, phase: Phase) -> Subject {
    Subject(format!("sb.v1.alert.{}.{source}.{}", severity.as_str(), phase.as_str()))
}

/// `sb.v1.route.<route>.<event>`
pub fn route(route: &RouteId, what: &'static str) -> Subject {
    event("route", route.as_str(), what)
}

/// `sb.v1.key.<key>.<event>`
pub fn key(key: &KeyId, what: &'static str) -> Subject {
    event("key", key.as_str(), what)
}

/// `sb.v1.config.<kind>.<id>.changed`
pub fn config(kind: &'static str, id: &Slug) -> Subject {
    Subject(format!("sb.v1.config.{kind}.{id}.changed"))
}

/// `sb.v1.config.integration.<id>.invalidated`
pub fn invalidated(integration: &IntegrationId) -> Subject {
    Subject(format!("sb.v1.config.integration.{integration}.invalidated"))
}

/// `sb.v1.audit.<actor>.recorded`
pub fn audit(actor: &Slug) -> Subject {
    event("audit", actor.as_str(), "recorded")
}

/// `sb.v1.delivery.<webhook>.<event>`
pub fn delivery(webhook: &WebhookId, what: &'static str) -> Subject {
    event("delivery", webhook.as_str(), what)
}

/// `sb.ask.v1.<service>.<question>`
pub fn ask(service: &'static str, question: &'static str) -> Subject {
    Subject(format!("sb.ask.v1.{service}.{question}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_those_of_the_design() {
        let id = IntegrationId::new("polygon-main").expect("a slug");
        assert_eq!(health(&id, "observed").as_str(), "sb.v1.health.polygon-main.observed");
        let raised = alert(Severity::Critical, &Slug::of(id.as_str()), Phase::Raised);
        assert_eq!(raised.as_str(), "sb.v1.alert.critical.polygon-main.raised");
    }

    #[test]
    fn a_stored_subject_has_no_wildcard() {
        for bad in ["sb.v1.*", "sb.>", "sb..v1", "", "sb.v1.a b"] {
            assert!(Subject::stored(bad.to_owned()).is_none(), "{bad}");
        }
    }
}
