//! Slack's shape: a text for notifications, and blocks. Everything that comes from an alert is escaped.
//!
//! Limits by Slack's Block Kit reference: 50 blocks; header 150; section 3,000 with 10 fields of 2,000; context 10
//! elements; text 40,000.

use serde_json::{Map, Value, json};

use super::{Given, Message, Notice, cut_field, cut_list, text};

const TEXT_MAX: usize = 40_000;
const BLOCKS_MAX: usize = 50;
const ATTACHMENTS_MAX: usize = 100;
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
const FIELDS_MAX: usize = 10;
const FIELD_MAX: usize = 2_000;
/// Characters of a fact in our own layout: all blocks together must stay well below 10,000.
const FACT_MAX: usize = 300;
const ELEMENTS_MAX: usize = 10;

pub(super) fn compose(notice: &Notice<'_>, given: Option<Given>) -> Message {
    let mut warnings = Vec::new();
    let fallback = fallback(notice);
    let Some(mut given) = given else {
        let body = json!({ "text": fallback, "blocks": blocks(notice) });
        return Message { body, plainer: Some(json!({ "text": fallback })), warnings };
    };
    match given.body(&["text", "blocks", "attachments"]) {
        Some(mut body) => {
            fit(&mut body, &mut warnings);
            let text = body.entry("text").or_insert_with(|| Value::String(fallback)).clone();
            let plainer = body.contains_key("blocks").then(|| json!({ "text": text }));
            Message { body: Value::Object(body), plainer, warnings }
        }
        None => {
            let mut body = Map::from_iter([("text".to_owned(), Value::String(given.text))]);
            cut_field(&mut body, "text", TEXT_MAX, &mut warnings);
            Message { body: Value::Object(body), plainer: None, warnings }
        }
    }
}

/// What notifications and screen readers show.
fn fallback(notice: &Notice<'_>) -> String {
    let alert = notice.alert;
    let line =
        format!("{} [{}] {} ({})", notice.emoji(), alert.severity.as_str(), notice.headline(), alert.source);
    text::cut_escaped(&text::slack(&line), SECTION_MAX)
}

fn blocks(notice: &Notice<'_>) -> Vec<Value> {
    // A header is plain text: nothing in it is markup, so nothing is escaped.
    let headline = text::cut(&format!("{} {}", notice.emoji(), notice.headline()), HEADER_MAX);
    let mut blocks =
        vec![json!({ "type": "header", "text": { "type": "plain_text", "text": headline, "emoji": true } })];
    if let Some(story) = notice.story() {
        let story = text::cut_escaped(&text::slack(&story), SECTION_MAX);
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": story } }));
    }
    let fields: Vec<Value> = notice
        .facts()
        .into_iter()
        .take(FIELDS_MAX)
        .map(|(name, value)| {
            let name = text::cut_escaped(&text::slack(&name), FACT_MAX);
            let value = text::cut_escaped(&text::slack(&value), FACT_MAX);
            json!({ "type": "mrkdwn", "text": format!("*{name}*\n{value}") })
        })
        .collect();
    blocks.push(json!({ "type": "section", "fields": fields }));
    let at = notice.at();
    let said = format!(
        "{} · <!date^{}^{{date_short_pretty}} {{time_secs}}|{at}>",
        text::slack(notice.alert.source.as_str()),
        at.as_secs()
    );
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": said }] }));
    blocks
}

/// Cuts a user's own body to Slack's limits.
fn fit(body: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    cut_field(body, "text", TEXT_MAX, warnings);
    cut_list(body, "blocks", BLOCKS_MAX, warnings);
    cut_list(body, "attachments", ATTACHMENTS_MAX, warnings);
    let Some(Value::Array(blocks)) = body.get_mut("blocks") else { return };
    for block in blocks.iter_mut().filter_map(Value::as_object_mut) {
        let header = block.get("type").and_then(Value::as_str) == Some("header");
        if let Some(Value::Object(text)) = block.get_mut("text") {
            cut_field(text, "text", if header { HEADER_MAX } else { SECTION_MAX }, warnings);
        }
        cut_list(block, "fields", FIELDS_MAX, warnings);
        if block.get("type").and_then(Value::as_str) == Some("context") {
            cut_list(block, "elements", ELEMENTS_MAX, warnings);
        }
        let Some(Value::Array(fields)) = block.get_mut("fields") else { continue };
        for field in fields.iter_mut().filter_map(Value::as_object_mut) {
            cut_field(field, "text", FIELD_MAX, warnings);
        }
    }
}
