//! Composes what a channel gets: its own shape, within its limits. Pure.
//!
//! Without a template each kind has a default that looks good there. With one, its text is the message; where the text is a
//! JSON object with what the kind requires, it is the whole body. What is longer than the channel takes is cut and
//! ends in `…`, and a warning says so. A composed body holds no secret: PagerDuty's routing key is put in when it is sent.

mod discord;
mod http_target;
mod pagerduty;
mod slack;
pub(crate) mod text;

use model::Timestamp;
use model::alert::{AlertRaised, Phase, Severity};
use model::webhook::WebhookKind;
use serde_json::{Map, Value};

use crate::render::variables::FollowUp;

/// Keys of `data` that describe the alert in a sentence, the best first.
const DESCRIPTIONS: [&str; 4] = ["description", "detail", "message", "summary"];

/// What is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice<'a> {
    /// The alert.
    pub(crate) alert: &'a AlertRaised,
    /// What happened to it.
    pub(crate) phase: Phase,
    /// Who did, and when, if it was not raised.
    pub(crate) follow_up: &'a FollowUp,
}

/// A composed message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    /// The body, without secrets.
    pub(crate) body: Value,
    /// The same without its layout, for a channel that refuses that.
    pub(crate) plainer: Option<Value>,
    /// What was cut or added, in sentences.
    pub(crate) warnings: Vec<String>,
}

/// Composes a message; `text` is what the user's template became.
pub(crate) fn compose(kind: WebhookKind, notice: &Notice<'_>, text: Option<&str>) -> Message {
    let mut warnings = Vec::new();
    let text = text.filter(|text| {
        let empty = text.trim().is_empty();
        if empty {
            warnings.push("the template gave no text; the default is sent".to_owned());
        }
        !empty
    });
    let given = text.map(Given::of);
    let mut message = match kind {
        WebhookKind::Slack => slack::compose(notice, given),
        WebhookKind::Discord => discord::compose(notice, given),
        WebhookKind::Pagerduty => pagerduty::compose(notice, given),
        WebhookKind::Http => http_target::compose(notice, given),
    };
    warnings.append(&mut message.warnings);
    Message { warnings, ..message }
}

/// What a template gave: a JSON object, perhaps the whole body, or a text.
struct Given {
    text: String,
    object: Option<Map<String, Value>>,
}

impl Given {
    fn of(text: &str) -> Self {
        let object = match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        };
        Self { text: text.trim().to_owned(), object }
    }

    /// The whole body, when it has one of these fields.
    fn body(&mut self, required: &[&str]) -> Option<Map<String, Value>> {
        self.object.take_if(|object| required.iter().any(|field| object.contains_key(*field)))
    }
}

impl<'a> Notice<'a> {
    /// When what is told happened.
    fn at(&self) -> Timestamp {
        self.follow_up.at.unwrap_or(self.alert.at)
    }

    fn emoji(&self) -> &'static str {
        match (self.phase, self.alert.severity) {
            (Phase::Resolved, _) => "✅",
            (Phase::Acknowledged, _) => "👀",
            (Phase::Raised, Severity::Info) => "ℹ️",
            (Phase::Raised, Severity::Warning) => "⚠️",
            (Phase::Raised, Severity::Error) => "🔴",
            (Phase::Raised, Severity::Critical) => "🚨",
        }
    }

    /// One line that says what happened.
    fn headline(&self) -> String {
        match self.phase {
            Phase::Raised => self.alert.title.clone(),
            Phase::Acknowledged => format!("Acknowledged: {}", self.alert.title),
            Phase::Resolved => format!("Resolved: {}", self.alert.title),
        }
    }

    /// A sentence or two from the alert's data, and who did what.
    fn story(&self) -> Option<String> {
        let described = DESCRIPTIONS.iter().find_map(|key| self.alert.data.get(*key)?.as_str());
        let by = self.follow_up.by.as_ref().map(|by| match self.phase {
            Phase::Acknowledged => format!("{by} takes care."),
            _ => format!("Resolved by {by}."),
        });
        let parts: Vec<&str> =
            [described, by.as_deref(), self.follow_up.note.as_deref()].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("\n"))
    }

    /// What is known, as names and values for people, the most important first.
    fn facts(&self) -> Vec<(String, String)> {
        let alert = self.alert;
        let mut facts = vec![
            ("Severity".to_owned(), alert.severity.as_str().to_owned()),
            ("Type".to_owned(), alert.alert_type.clone()),
            ("Source".to_owned(), alert.source.to_string()),
        ];
        facts.extend(alert.persona.iter().map(|persona| ("Persona".to_owned(), persona.clone())));
        let data = alert.data.iter().filter(|(name, _)| !DESCRIPTIONS.contains(&name.as_str()));
        facts.extend(data.map(|(name, value)| (name.clone(), shown(value))));
        facts.extend(alert.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
        facts.retain(|(name, value)| !name.trim().is_empty() && !value.trim().is_empty());
        facts
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Cuts a text field of an object and says so.
fn cut_field(object: &mut Map<String, Value>, field: &str, max: usize, warnings: &mut Vec<String>) {
    if let Some(Value::String(text)) = object.get_mut(field)
        && text::length(text) > max
    {
        warnings.push(format!("`{field}` is longer than {max} characters and is cut"));
        *text = text::cut_escaped(text, max);
    }
}

/// Shortens a list of an object and says so.
fn cut_list(object: &mut Map<String, Value>, field: &str, max: usize, warnings: &mut Vec<String>) {
    if let Some(Value::Array(items)) = object.get_mut(field)
        && items.len() > max
    {
        warnings.push(format!("`{field}` has more than {max} entries; the rest is left out"));
        items.truncate(max);
    }
}

#[cfg(test)]
mod tests;
