//! PagerDuty Events v2: `POST /v2/enqueue` queues events; open alerts are kept by key.

use http::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::{State, Verdict};
use crate::call::{Answer, Call};
use crate::config::TargetsConfig;

/// The largest event, in bytes.
const EVENT_MAX_BYTES: usize = 512 * 1024;
/// Characters of a routing key.
const ROUTING_KEY_CHARS: usize = 32;
/// Alerts that are kept; when there are more, resolved ones go first.
const ALERTS_MAX: usize = 10_000;

/// An alert as PagerDuty shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Alert {
    /// The integration's key.
    pub routing_key: String,
    /// What joins events.
    pub dedup_key: String,
    /// `triggered`, `acknowledged` or `resolved`.
    pub state: &'static str,
    /// Triggers that joined it.
    pub triggers: u64,
    /// The last summary.
    pub summary: String,
    /// The last severity.
    pub severity: String,
}

pub(super) fn judge(state: &mut State, config: &TargetsConfig, call: &Call) -> Verdict {
    if call.method != Method::POST {
        return Verdict::refused(Answer::text(405, "Method Not Allowed"), "not a POST");
    }
    if call.body.len() > EVENT_MAX_BYTES {
        return Verdict::refused(Answer::text(413, "Request Entity Too Large"), "over 512 KB");
    }
    let Some(event) = call.json().filter(Value::is_object) else {
        return refuse(&["Unable to parse the request body as JSON".to_owned()]);
    };
    let errors = faults(&event, config);
    if !errors.is_empty() {
        return refuse(&errors);
    }
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let routing_key = text(&event["routing_key"]);
    if state.limits.take(&routing_key, 1, call.at_ms).is_err() {
        return Verdict::refused(throttled(), "too many events");
    }
    state.taken += 1;
    let dedup_key = event["dedup_key"]
        .as_str()
        .filter(|key| !key.is_empty())
        .map_or_else(|| format!("{:032x}", state.taken), str::to_owned);
    let mut verdict = Verdict::taken(Answer::json(
        202,
        json!({ "status": "success", "message": "Event processed", "dedup_key": dedup_key }),
    ));
    let name = format!("{routing_key}/{dedup_key}");
    let open = state.alerts.get_mut(&name).filter(|alert| alert.state != "resolved");
    match (text(&event["event_action"]).as_str(), open) {
        ("trigger", Some(alert)) => {
            alert.triggers += 1;
            alert.summary = text(&event["payload"]["summary"]);
            alert.severity = text(&event["payload"]["severity"]);
            verdict.duplicate = true;
        }
        ("trigger", None) => {
            let (summary, severity) =
                (text(&event["payload"]["summary"]), text(&event["payload"]["severity"]));
            make_room(state);
            state.alerts.insert(
                name,
                Alert { routing_key, dedup_key, state: "triggered", triggers: 1, summary, severity },
            );
        }
        ("acknowledge", Some(alert)) => alert.state = "acknowledged",
        ("resolve", Some(alert)) => alert.state = "resolved",
        _ => verdict.note = Some("no open alert has this key; the event is dropped".to_owned()),
    }
    verdict
}

fn make_room(state: &mut State) {
    if state.alerts.len() >= ALERTS_MAX {
        let goes = state
            .alerts
            .iter()
            .find(|(_, alert)| alert.state == "resolved")
            .or_else(|| state.alerts.iter().next());
        if let Some(name) = goes.map(|(name, _)| name.clone()) {
            state.alerts.remove(&name);
        }
    }
}

fn refuse(errors: &[String]) -> Verdict {
    let note = errors.join("; ");
    Verdict::refused(invalid(errors), note)
}

pub(super) fn invalid(errors: &[String]) -> Answer {
    Answer::json(
        400,
        json!({ "status": "invalid event", "message": "Event object is invalid", "errors": errors }),
    )
}

pub(super) fn throttled() -> Answer {
    Answer::json(
        429,
        json!({ "status": "throttle exceeded", "message": "Requests for this service are arriving too quickly. Please retry later." }),
    )
}

fn faults(event: &Value, config: &TargetsConfig) -> Vec<String> {
    let mut errors = Vec::new();
    let known =
        |key: &str| config.routing_keys.is_empty() || config.routing_keys.iter().any(|known| known == key);
    match event["routing_key"].as_str() {
        None => errors.push("'routing_key' is missing or blank".to_owned()),
        Some(key) if key.chars().count() != ROUTING_KEY_CHARS => {
            errors.push("'routing_key' must be 32 characters".to_owned());
        }
        Some(key) if !known(key) => errors.push("Invalid routing key".to_owned()),
        Some(_) => {}
    }
    let dedup_chars = event["dedup_key"].as_str().map_or(0, |key| key.chars().count());
    if dedup_chars > 255 {
        errors.push("'dedup_key' is longer than 255 characters".to_owned());
    }
    match event["event_action"].as_str() {
        Some("trigger") => payload_faults(event, &mut errors),
        Some("acknowledge" | "resolve") if dedup_chars == 0 => {
            errors.push("'dedup_key' is missing or blank".to_owned());
        }
        Some("acknowledge" | "resolve") => {}
        _ => errors.push("'event_action' must be one of trigger, acknowledge, resolve".to_owned()),
    }
    errors
}

fn payload_faults(event: &Value, errors: &mut Vec<String>) {
    let payload = &event["payload"];
    for field in ["summary", "source", "severity"] {
        if payload[field].as_str().is_none_or(str::is_empty) {
            errors.push(format!("'payload.{field}' is missing or blank"));
        }
    }
    if payload["summary"].as_str().is_some_and(|text| text.chars().count() > 1024) {
        errors.push("'payload.summary' is longer than 1024 characters".to_owned());
    }
    if payload["severity"]
        .as_str()
        .is_some_and(|word| !matches!(word, "critical" | "error" | "warning" | "info"))
    {
        errors.push("'payload.severity' must be one of critical, error, warning, info".to_owned());
    }
    if !payload["custom_details"].is_null() && !payload["custom_details"].is_object() {
        errors.push("'payload.custom_details' must be an object".to_owned());
    }
    if payload["timestamp"].as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_err()) {
        errors.push("'payload.timestamp' is not an ISO 8601 time".to_owned());
    }
    for (list, field) in [("links", "href"), ("images", "src")] {
        for item in event[list].as_array().into_iter().flatten() {
            if item[field].as_str().is_none_or(str::is_empty) {
                errors.push(format!("'{list}.{field}' is missing or blank"));
            }
        }
    }
}
