//! Discord's shape: an embed in the colour of the severity; a user's text as content. Nobody is ever mentioned unless a
//! template's own body asks for it.
//!
//! Limits by Discord's reference: content 2,000; 10 embeds; title 256; description 4,096; 25 fields of 256 and 1,024;
//! footer 2,048; all of an embed's texts together 6,000.

use model::alert::{Phase, Severity};
use serde_json::{Map, Value, json};

use super::{Given, Message, Notice, cut_field, cut_list, text};

const CONTENT_MAX: usize = 2_000;
const EMBEDS_MAX: usize = 10;
const TITLE_MAX: usize = 256;
const DESCRIPTION_MAX: usize = 4_096;
const FIELDS_MAX: usize = 25;
const NAME_MAX: usize = 256;
const VALUE_MAX: usize = 1_024;
const FOOTER_MAX: usize = 2_048;
const ALL_MAX: usize = 6_000;
/// In our own layout: what the description may take of all, and how much a fact's value.
const STORY_MAX: usize = 2_000;
const FACT_MAX: usize = 300;
/// Facts in our own layout: rows of three.
const FACTS_MAX: usize = 12;

pub(super) fn compose(notice: &Notice<'_>, given: Option<Given>) -> Message {
    let mut warnings = Vec::new();
    let mut body = match given {
        None => {
            let body = json!({ "embeds": [embed(notice)] });
            body.as_object().cloned().unwrap_or_default()
        }
        Some(mut given) => match given.body(&["content", "embeds", "components", "poll"]) {
            Some(body) => body,
            None => Map::from_iter([("content".to_owned(), Value::String(given.text))]),
        },
    };
    fit(&mut body, &mut warnings);
    body.entry("allowed_mentions").or_insert_with(|| json!({ "parse": [] }));
    let plain = format!("{} {}", notice.emoji(), text::discord(&notice.headline()));
    let plainer = json!({ "content": text::cut(&plain, CONTENT_MAX), "allowed_mentions": { "parse": [] } });
    Message { body: Value::Object(body), plainer: Some(plainer), warnings }
}

const fn colour(notice: &Notice<'_>) -> u32 {
    match (notice.phase, notice.alert.severity) {
        (Phase::Resolved, _) => 0x2E_B6_7D,
        (Phase::Acknowledged, _) => 0x95_A5_A6,
        (Phase::Raised, Severity::Info) => 0x34_98_DB,
        (Phase::Raised, Severity::Warning) => 0xF1_C4_0F,
        (Phase::Raised, Severity::Error) => 0xE6_7E_22,
        (Phase::Raised, Severity::Critical) => 0xE7_4C_3C,
    }
}

fn embed(notice: &Notice<'_>) -> Value {
    let fields: Vec<Value> = notice
        .facts()
        .into_iter()
        .take(FACTS_MAX)
        .map(|(name, value)| {
            let value = text::cut(&text::discord(value.trim()), FACT_MAX);
            json!({ "name": text::cut(name.trim(), NAME_MAX / 4), "value": value, "inline": true })
        })
        .collect();
    let mut embed = json!({
        "title": text::cut(&format!("{} {}", notice.emoji(), text::discord(&notice.headline())), TITLE_MAX),
        "color": colour(notice),
        "fields": fields,
        "footer": { "text": text::cut(notice.alert.source.as_str(), FOOTER_MAX) },
        "timestamp": notice.at().to_string(),
    });
    if let Some(story) = notice.story() {
        embed["description"] = Value::String(text::cut(&text::discord(&story), STORY_MAX));
    }
    embed
}

/// Cuts a body to Discord's limits.
fn fit(body: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    cut_field(body, "content", CONTENT_MAX, warnings);
    cut_list(body, "embeds", EMBEDS_MAX, warnings);
    let Some(Value::Array(embeds)) = body.get_mut("embeds") else { return };
    let mut left = ALL_MAX;
    for embed in embeds.iter_mut().filter_map(Value::as_object_mut) {
        take(embed, "title", TITLE_MAX, &mut left, warnings);
        for (part, field, max) in [("footer", "text", FOOTER_MAX), ("author", "name", NAME_MAX)] {
            if let Some(Value::Object(part)) = embed.get_mut(part) {
                take(part, field, max, &mut left, warnings);
            }
        }
        cut_list(embed, "fields", FIELDS_MAX, warnings);
        if let Some(Value::Array(fields)) = embed.get_mut("fields") {
            take_fields(fields, &mut left, warnings);
        }
        take(embed, "description", DESCRIPTION_MAX, &mut left, warnings);
    }
    // An embed without anything is refused.
    embeds.retain(|embed| embed.as_object().is_some_and(|embed| !embed.is_empty()));
}

/// Cuts a text to its own limit and to what is left of all texts together; without room it is left out.
fn take(
    object: &mut Map<String, Value>,
    field: &str,
    max: usize,
    left: &mut usize,
    warnings: &mut Vec<String>,
) {
    if *left == 0 && object.remove(field).is_some() {
        warnings.push(format!("`{field}` is beyond 6,000 characters in all and is left out"));
        return;
    }
    cut_field(object, field, max.min(*left), warnings);
    *left = left.saturating_sub(long(object, field));
}

/// Cuts names and values, and leaves out fields that are empty or beyond what is left of all texts together.
fn take_fields(fields: &mut Vec<Value>, left: &mut usize, warnings: &mut Vec<String>) {
    let before = fields.len();
    fields.retain_mut(|field| {
        let Some(field) = field.as_object_mut() else { return false };
        cut_field(field, "name", NAME_MAX, warnings);
        cut_field(field, "value", VALUE_MAX, warnings);
        let (name, value) = (long(field, "name"), long(field, "value"));
        let fits = name > 0 && value > 0 && name + value <= *left;
        *left -= if fits { name + value } else { 0 };
        fits
    });
    if fields.len() < before {
        warnings.push("fields without text or beyond 6,000 characters in all are left out".to_owned());
    }
}

fn long(object: &Map<String, Value>, field: &str) -> usize {
    object.get(field).and_then(Value::as_str).map_or(0, |text| text::length(text.trim()))
}
