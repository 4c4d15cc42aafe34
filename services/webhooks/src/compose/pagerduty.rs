//! PagerDuty's shape (Events API v2): trigger, acknowledge, resolve, joined by a key made of the alert's fingerprint.
//!
//! The routing key is a secret and is put in when the message is sent. Limits: summary 1,024 characters, the whole
//! request 512 KB.

use model::alert::Phase;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Given, Message, Notice, cut_field, text};

/// Bytes of a request, the routing key included.
pub(crate) const REQUEST_BYTES_MAX: usize = 512_000;
const SUMMARY_MAX: usize = 1_024;
/// Bytes that the routing key and its quotes may need.
const ROUTING_BYTES: usize = 256;
const SEVERITIES: [&str; 4] = ["critical", "error", "warning", "info"];

/// What joins the events of one alert: SHA-256 of its fingerprint in hex, always 64 characters.
pub(crate) fn dedup_key(fingerprint: &str) -> String {
    Sha256::digest(fingerprint.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn compose(notice: &Notice<'_>, given: Option<Given>) -> Message {
    let mut warnings = Vec::new();
    let alert = notice.alert;
    let action = match notice.phase {
        Phase::Raised => "trigger",
        Phase::Acknowledged => "acknowledge",
        Phase::Resolved => "resolve",
    };
    let key = dedup_key(&alert.fingerprint);
    if notice.phase != Phase::Raised {
        let body = json!({ "event_action": action, "dedup_key": key });
        return Message { body, plainer: None, warnings };
    }
    let mut body = Map::new();
    let mut summary = alert.title.clone();
    if let Some(mut given) = given {
        match given.object.take_if(|object| object.get("payload").is_some_and(Value::is_object)) {
            Some(object) => body = object,
            None => summary = given.text,
        }
    }
    body.insert("event_action".to_owned(), json!(action));
    body.insert("dedup_key".to_owned(), json!(key));
    body.remove("routing_key");
    body.entry("client").or_insert_with(|| json!("Signalbox"));
    let payload = body.entry("payload").or_insert_with(|| json!({}));
    if let Value::Object(payload) = payload {
        complete(payload, notice, summary);
        cut_field(payload, "summary", SUMMARY_MAX, &mut warnings);
    }
    let mut body = Value::Object(body);
    if body.to_string().len() + ROUTING_BYTES > REQUEST_BYTES_MAX {
        warnings.push("the event is larger than 512 KB; its details are left out".to_owned());
        body["payload"]["custom_details"] =
            json!({ "left_out": "the details are larger than PagerDuty takes" });
    }
    Message { body, plainer: None, warnings }
}

/// Fills in what PagerDuty requires and a template did not say.
fn complete(payload: &mut Map<String, Value>, notice: &Notice<'_>, summary: String) {
    let alert = notice.alert;
    let blank =
        |value: Option<&Value>| value.and_then(Value::as_str).is_none_or(|text| text.trim().is_empty());
    if blank(payload.get("summary")) {
        let summary = if summary.trim().is_empty() { "(no title)".to_owned() } else { summary };
        payload.insert("summary".to_owned(), Value::String(summary));
    }
    if blank(payload.get("source")) {
        payload.insert("source".to_owned(), json!(alert.source));
    }
    let known =
        payload.get("severity").and_then(Value::as_str).is_some_and(|word| SEVERITIES.contains(&word));
    if !known {
        payload.insert("severity".to_owned(), json!(alert.severity));
    }
    payload.entry("timestamp").or_insert_with(|| json!(alert.at));
    payload.entry("class").or_insert_with(|| json!(text::cut(&alert.alert_type, SUMMARY_MAX)));
    if let Some(persona) = &alert.persona {
        payload.entry("group").or_insert_with(|| json!(text::cut(persona, SUMMARY_MAX)));
    }
    payload.entry("custom_details").or_insert_with(|| Value::Object(alert.data.clone()));
}
