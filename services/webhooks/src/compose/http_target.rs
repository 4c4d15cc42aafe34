//! The shape for any other target, as Standard Webhooks recommends: type, time and data.

use model::alert::Phase;
use serde_json::{Map, Value, json};

use super::{Given, Message, Notice};

pub(super) fn compose(notice: &Notice<'_>, given: Option<Given>) -> Message {
    let mut text = None;
    if let Some(given) = given {
        match given.object {
            Some(body) => return Message { body: Value::Object(body), plainer: None, warnings: Vec::new() },
            None => text = Some(given.text),
        }
    }
    let mut body = json!({
        "type": format!("alert.{}", notice.phase.as_str()),
        "timestamp": notice.at(),
        "data": data(notice),
    });
    if let Some(text) = text {
        body["text"] = Value::String(text);
    }
    Message { body, plainer: None, warnings: Vec::new() }
}

/// The alert as its event has it, with what came after.
fn data(notice: &Notice<'_>) -> Map<String, Value> {
    let mut data = match serde_json::to_value(notice.alert) {
        Ok(Value::Object(data)) => data,
        _ => Map::new(),
    };
    let (at, by) = match notice.phase {
        Phase::Raised => return data,
        Phase::Acknowledged => ("acknowledged_at", "acknowledged_by"),
        Phase::Resolved => ("resolved_at", "resolved_by"),
    };
    data.insert(at.to_owned(), json!(notice.follow_up.at));
    data.insert(by.to_owned(), json!(notice.follow_up.by));
    if let Some(note) = &notice.follow_up.note {
        data.insert("note".to_owned(), json!(note));
    }
    data
}
