//! What a template may name: the alert's fields, what its `data` holds, the phase, the time and the webhook's name. Pure.

use model::Timestamp;
use model::alert::{AlertRaised, Phase};
use model::webhook::WebhookKind;
use serde_json::{Map, Value, json};

use crate::compose::text;

/// What came after an alert was raised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FollowUp {
    /// Who or what acknowledged or resolved it.
    pub(crate) by: Option<String>,
    /// When.
    pub(crate) at: Option<Timestamp>,
    /// What they said.
    pub(crate) note: Option<String>,
}

/// The variables of one message. For Slack every text is escaped, because markup in an alert's data could otherwise
/// call whole channels; what the template itself says stays as it is.
pub(crate) fn variables(
    webhook: &str,
    kind: WebhookKind,
    alert: &AlertRaised,
    phase: Phase,
    follow_up: &FollowUp,
    now: Timestamp,
) -> Map<String, Value> {
    let at = |phase_of: Phase| follow_up.at.filter(|_| phase == phase_of).map(|at| at.to_string());
    let by = |phase_of: Phase| follow_up.by.clone().filter(|_| phase == phase_of);
    let fields = json!({
        "alert": alert.alert,
        "severity": alert.severity,
        "alert_type": alert.alert_type,
        "title": alert.title,
        "persona": alert.persona,
        "source": alert.source,
        "fingerprint": alert.fingerprint,
        "at": alert.at,
        "labels": alert.labels,
        "data": alert.data,
        "phase": phase,
        "acknowledged_at": at(Phase::Acknowledged),
        "acknowledged_by": by(Phase::Acknowledged),
        "resolved_at": at(Phase::Resolved),
        "resolved_by": by(Phase::Resolved),
        "note": follow_up.note,
        "now": now,
        "webhook": { "name": webhook, "kind": kind },
    });
    let Value::Object(mut named) = fields else { return Map::new() };
    for (name, value) in &alert.data {
        if !named.contains_key(name) {
            named.insert(name.clone(), value.clone());
        }
    }
    if kind == WebhookKind::Slack {
        named.values_mut().for_each(escape);
    }
    named
}

fn escape(value: &mut Value) {
    match value {
        Value::String(text) => *text = text::slack(text),
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(fields) => fields.values_mut().for_each(escape),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    fn of(kind: WebhookKind, alert: &AlertRaised) -> Map<String, Value> {
        variables("ops", kind, alert, Phase::Raised, &FollowUp::default(), Timestamp::from_millis(0))
    }

    #[test]
    fn data_is_at_the_top_and_takes_nobodys_name() {
        let mut alert = examples::price();
        alert.data.insert("title".to_owned(), json!("another"));
        let named = of(WebhookKind::Http, &alert);
        assert_eq!(named["ticker"], json!("IBM"));
        assert_eq!(named["title"], json!("IBM crossed 190"));
        assert_eq!(named["data"]["title"], json!("another"));
    }

    #[test]
    fn texts_for_slack_call_nobody() {
        let mut alert = examples::price();
        alert.title = "<!channel> & co".to_owned();
        assert_eq!(of(WebhookKind::Slack, &alert)["title"], json!("&lt;!channel&gt; &amp; co"));
        assert_eq!(of(WebhookKind::Discord, &alert)["title"], json!("<!channel> & co"));
    }
}
