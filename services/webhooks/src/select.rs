//! Decides who is told: which webhooks hear of an alert, and whether a delivery may go now. Pure.
//!
//! Only this file makes a [`Selected`], so nothing is rendered that was not selected.

use model::alert::{AlertRaised, Phase};
use model::webhook::{Outside, Webhook, WebhookKind};
use model::{DeliveryId, Timestamp};
use tracing::warn;

use crate::schedule::{Window, window};
use crate::silence::Silence;

/// A delivery that may go now.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    webhook: Webhook,
    alert: AlertRaised,
    phase: Phase,
    delivery: DeliveryId,
}

/// What happens with an alert for one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// A delivery is made, due then.
    Deliver(Timestamp),
    /// Nothing is delivered, and why.
    Leave(&'static str),
}

/// What happens with a delivery whose turn it is.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// It goes.
    Go(Box<Selected>),
    /// It waits until then.
    Hold(Timestamp),
    /// It is given up, and why.
    GiveUp(String),
}

/// Whether a webhook's filter lets an alert through.
pub(crate) fn wants(webhook: &Webhook, alert: &AlertRaised) -> bool {
    let filter = &webhook.filter;
    let persona = alert.persona.as_deref();
    (filter.severities.is_empty() || filter.severities.contains(&alert.severity))
        && (filter.alert_types.is_empty() || filter.alert_types.contains(&alert.alert_type))
        && (filter.sources.is_empty() || filter.sources.iter().any(|s| s == alert.source.as_str()))
        && (filter.personas.is_empty() || filter.personas.iter().any(|p| Some(p.as_str()) == persona))
}

/// Plans an alert for one webhook.
pub(crate) fn plan(
    webhook: &Webhook,
    alert: &AlertRaised,
    phase: Phase,
    silences: &[Silence],
    now: Timestamp,
) -> Plan {
    if !webhook.enabled {
        return Plan::Leave("the webhook is disabled");
    }
    if !wants(webhook, alert) {
        return Plan::Leave("the filter does not match");
    }
    if ends_an_incident(webhook, phase) {
        return Plan::Deliver(now);
    }
    if silences.iter().any(|silence| silence.covers(alert, now)) {
        return Plan::Leave("a silence covers it");
    }
    match opens(webhook, now) {
        Window::Open => Plan::Deliver(now),
        _ if drops(webhook) => Plan::Leave("it is outside of the schedule"),
        Window::OpensAt(at) => Plan::Deliver(at),
        Window::Never => Plan::Leave("the schedule never opens"),
    }
}

/// Decides on a delivery whose turn it is.
pub(crate) fn select(
    webhook: Option<&Webhook>,
    delivery: DeliveryId,
    alert: AlertRaised,
    phase: Phase,
    now: Timestamp,
) -> Turn {
    let Some(webhook) = webhook else {
        return Turn::GiveUp("the webhook was deleted".to_owned());
    };
    if !webhook.enabled {
        let reason = webhook.disabled_reason.as_deref().unwrap_or("by an operator");
        return Turn::GiveUp(format!("the webhook is disabled: {reason}"));
    }
    if !ends_an_incident(webhook, phase) {
        match opens(webhook, now) {
            Window::Open => {}
            Window::OpensAt(at) if !drops(webhook) => return Turn::Hold(at),
            _ => return Turn::GiveUp("it is outside of the schedule".to_owned()),
        }
    }
    Turn::Go(Box::new(Selected { webhook: webhook.clone(), alert, phase, delivery }))
}

/// An example for a test or a preview: whatever schedule and filter say.
pub(crate) fn trial(webhook: Webhook, alert: AlertRaised, delivery: DeliveryId) -> Selected {
    Selected { webhook, alert, phase: Phase::Raised, delivery }
}

/// Whether a raised alert says something new to those who heard the other one.
pub(crate) fn is_news(alert: &AlertRaised, heard: &AlertRaised) -> bool {
    alert.severity != heard.severity || alert.title != heard.title
}

/// PagerDuty keeps an incident open until it hears the end, and an end wakes nobody: neither hours nor silences hold it.
fn ends_an_incident(webhook: &Webhook, phase: Phase) -> bool {
    webhook.kind == WebhookKind::Pagerduty && phase != Phase::Raised
}

fn drops(webhook: &Webhook) -> bool {
    webhook.schedule.as_ref().is_some_and(|schedule| schedule.outside == Outside::Drop)
}

fn opens(webhook: &Webhook, now: Timestamp) -> Window {
    let Some(schedule) = &webhook.schedule else { return Window::Open };
    window(schedule, now).unwrap_or_else(|error| {
        // Better an alert at a wrong time than none.
        warn!(webhook.id = %webhook.id, error = %error, "The schedule of webhook {} cannot be read; it is taken as open.", webhook.id);
        Window::Open
    })
}

impl Selected {
    /// To which webhook.
    pub(crate) const fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// The alert.
    pub(crate) const fn alert(&self) -> &AlertRaised {
        &self.alert
    }

    /// What happened to it.
    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// The delivery's id: the receiver's idempotency key.
    pub(crate) const fn delivery(&self) -> &DeliveryId {
        &self.delivery
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use serde_json::{Value, json};

    /// Wednesday, 10:00 in UTC.
    const NOW: &str = "2026-01-14T10:00:00Z";

    fn webhook(fields: &Value) -> Webhook {
        let mut body = json!({"id": "ops", "kind": "slack", "url": "", "enabled": true});
        for (name, value) in fields.as_object().expect("an object") {
            body[name] = value.clone();
        }
        serde_json::from_value(body).expect("a webhook")
    }

    fn check(fields: &Value, phase: Phase, silences: &Value, expected: &str) {
        let silences: Vec<Silence> = serde_json::from_value(silences.clone()).expect("silences");
        let now = Timestamp::parse(NOW).expect("a time");
        let plan = match plan(&webhook(fields), &examples::price(), phase, &silences, now) {
            Plan::Deliver(at) => at.to_string(),
            Plan::Leave(why) => why.to_owned(),
        };
        assert_eq!(plan, expected, "{fields}");
    }

    #[test]
    fn filters_are_joined_by_and_and_empty_ones_let_all_through() {
        for (filter, wanted) in [
            (json!({}), true),
            (json!({"severities": ["error", "critical"]}), true),
            (json!({"severities": ["info"]}), false),
            (json!({"alert_types": ["price"], "personas": ["macro-analyst"], "sources": ["screener"]}), true),
            (json!({"alert_types": ["price"], "sources": ["other"]}), false),
            (json!({"personas": ["somebody"]}), false),
        ] {
            assert_eq!(wants(&webhook(&json!({"filter": filter})), &examples::price()), wanted, "{filter}");
        }
        let nobodys = AlertRaised { persona: None, ..examples::price() };
        assert!(!wants(&webhook(&json!({"filter": {"personas": ["macro-analyst"]}})), &nobodys));
    }

    #[test]
    fn alerts_outside_of_the_schedule_wait_or_are_left() {
        let now = "2026-01-14T10:00:00.000Z";
        let late = |outside: &str| json!({"schedule": {"timezone": "UTC", "from": "12:00", "to": "13:00", "outside": outside}});
        check(&json!({}), Phase::Raised, &json!([]), now);
        check(&late("hold"), Phase::Raised, &json!([]), "2026-01-14T12:00:00.000Z");
        check(&late("drop"), Phase::Raised, &json!([]), "it is outside of the schedule");
        check(&json!({"enabled": false}), Phase::Raised, &json!([]), "the webhook is disabled");
        check(
            &json!({"schedule": {"timezone": "No/Zone", "from": "12:00", "to": "13:00"}}),
            Phase::Raised,
            &json!([]),
            now,
        );
    }

    #[test]
    fn silences_keep_alerts_from_people_and_not_their_end_from_pagerduty() {
        let all = json!([{"matchers": {}}]);
        check(&json!({}), Phase::Raised, &all, "a silence covers it");
        check(&json!({}), Phase::Resolved, &all, "a silence covers it");
        check(&json!({"kind": "pagerduty"}), Phase::Raised, &all, "a silence covers it");
        check(&json!({"kind": "pagerduty"}), Phase::Resolved, &all, "2026-01-14T10:00:00.000Z");
    }

    #[test]
    fn a_delivery_is_looked_at_again_when_its_turn_comes() {
        let now = Timestamp::parse(NOW).expect("a time");
        let turn = |webhook: Option<&Webhook>| {
            let delivery = DeliveryId::make(now, 1);
            select(webhook, delivery, examples::price(), Phase::Raised, now)
        };
        assert!(matches!(turn(Some(&webhook(&json!({})))), Turn::Go(_)));
        assert!(matches!(turn(None), Turn::GiveUp(_)));
        let gone = webhook(&json!({"enabled": false, "disabled_reason": "answered 410"}));
        let Turn::GiveUp(why) = turn(Some(&gone)) else { panic!("a disabled webhook gets nothing") };
        assert_eq!(why, "the webhook is disabled: answered 410");
        let late = webhook(&json!({"schedule": {"timezone": "UTC", "from": "12:00", "to": "13:00"}}));
        assert!(matches!(turn(Some(&late)), Turn::Hold(at) if at > now));
    }
}
