//! Slack incoming webhooks: `POST /services/T…/B…/…` answers `ok`, or a word that names what is wrong.

use std::collections::HashSet;

use http::Method;
use serde_json::{Value, json};

use super::{State, Verdict};
use crate::call::{Answer, Call};

/// Blocks of a message.
const BLOCKS_MAX: usize = 50;
/// Attachments of a message.
const ATTACHMENTS_MAX: usize = 100;
/// Characters of all block text together, below what has been seen refused.
const BLOCK_TEXT_MAX: usize = 13_200;

pub(super) fn judge(state: &mut State, call: &Call) -> Verdict {
    if call.method != Method::POST {
        return refuse(400, "invalid_payload", "not a POST");
    }
    let segments = call.segments();
    let known = |part: &str, letter: char| part.starts_with(letter) && part.len() > 1;
    match segments.as_slice() {
        [_, team, service, token] if known(team, 'T') && known(service, 'B') && !token.is_empty() => {}
        _ => return refuse(404, "no_team", "the path is not /services/T…/B…/…"),
    }
    if let Err(tally) = state.limits.take(&call.path, 1, call.at_ms) {
        return Verdict::refused(throttled(tally.reset_secs()), "more than one message a second");
    }
    if !call.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        return refuse(400, "invalid_payload", "the content type is not application/json");
    }
    let Some(body) = call.json().filter(Value::is_object) else {
        return refuse(400, "invalid_payload", "the body is not a JSON object");
    };
    match fault(&body) {
        Some((word, note)) => refuse(400, word, &note),
        None => Verdict::taken(Answer::text(200, "ok")),
    }
}

fn refuse(status: u16, word: &str, note: &str) -> Verdict {
    Verdict::refused(Answer::text(status, word), format!("{word}: {note}"))
}

pub(super) fn throttled(secs: u64) -> Answer {
    Answer::json(429, json!({ "retry_after": secs, "ok": false, "error": "rate_limited" }))
        .with("retry-after", secs)
}

/// The word and the reason a body is refused for.
fn fault(body: &Value) -> Option<(&'static str, String)> {
    let text = &body["text"];
    if !text.is_null() && !text.is_string() {
        return Some(("invalid_payload", "`text` is not a string".to_owned()));
    }
    let list = |name: &str| body[name].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let (blocks, attachments) = (list("blocks"), list("attachments"));
    if text.as_str().unwrap_or_default().trim().is_empty() && blocks.is_empty() && attachments.is_empty() {
        return Some(("no_text", "neither text, blocks nor attachments".to_owned()));
    }
    if attachments.len() > ATTACHMENTS_MAX {
        return Some(("too_many_attachments", format!("{} attachments", attachments.len())));
    }
    if !body["blocks"].is_null() && !body["blocks"].is_array() {
        return Some(("invalid_blocks_format", "`blocks` is not a list".to_owned()));
    }
    if blocks.len() > BLOCKS_MAX {
        return Some(("invalid_blocks", format!("{} blocks", blocks.len())));
    }
    let mut ids = HashSet::new();
    for (index, block) in blocks.iter().enumerate() {
        if let Some(id) = block["block_id"].as_str()
            && (id.chars().count() > 255 || !ids.insert(id))
        {
            return Some(("invalid_blocks", format!("block {index}: block_id is too long or used twice")));
        }
        if let Some(note) = block_fault(block) {
            return Some(("invalid_blocks", format!("block {index}: {note}")));
        }
    }
    let total: usize = blocks.iter().map(text_chars).sum();
    (total > BLOCK_TEXT_MAX).then(|| ("invalid_blocks", format!("msg_blocks_too_long: {total} characters")))
}

fn block_fault(block: &Value) -> Option<String> {
    match block["type"].as_str() {
        Some("section") => {
            let fields = block["fields"].as_array();
            if block["text"].is_null() && fields.is_none_or(Vec::is_empty) {
                return Some("a section has neither text nor fields".to_owned());
            }
            let kinds = ["mrkdwn", "plain_text"];
            let text =
                (!block["text"].is_null()).then(|| check(&block["text"], "text", 3000, &kinds)).flatten();
            let fields = fields.map_or(&[] as &[Value], Vec::as_slice);
            text.or_else(|| (fields.len() > 10).then(|| format!("{} fields", fields.len())))
                .or_else(|| fields.iter().find_map(|field| check(field, "field", 2000, &kinds)))
        }
        Some("header") => check(&block["text"], "header text", 150, &["plain_text"]),
        Some("context") => too_many(block, 10),
        Some("actions") => too_many(block, 25),
        Some("image") => {
            let long = |name: &str, max: usize| {
                block[name].as_str().is_none_or(|text| text.is_empty() || text.chars().count() > max)
            };
            (long("image_url", 3000) || long("alt_text", 2000))
                .then(|| "image_url or alt_text is missing or too long".to_owned())
        }
        Some("markdown") => block["text"]
            .as_str()
            .is_none_or(|text| text.is_empty() || text.chars().count() > 12_000)
            .then(|| "markdown text is missing or over 12000 characters".to_owned()),
        Some("divider" | "input" | "file" | "rich_text" | "video" | "table") => None,
        other => Some(format!("unknown block type {other:?}")),
    }
}

fn check(object: &Value, what: &str, max: usize, kinds: &[&str]) -> Option<String> {
    let kind = object["type"].as_str().unwrap_or_default();
    match object["text"].as_str().map(|text| text.chars().count()) {
        _ if !kinds.contains(&kind) => Some(format!("{what} has type `{kind}`, not {}", kinds.join(" or "))),
        None => Some(format!("{what} has no text")),
        Some(length) if length == 0 || length > max => {
            Some(format!("{what} has {length} characters, allowed are 1 to {max}"))
        }
        Some(_) => None,
    }
}

fn too_many(block: &Value, max: usize) -> Option<String> {
    match block["elements"].as_array() {
        None => Some("`elements` is missing".to_owned()),
        Some(elements) if elements.is_empty() || elements.len() > max => {
            Some(format!("{} elements, allowed are 1 to {max}", elements.len()))
        }
        Some(_) => None,
    }
}

/// Characters of all strings named `text` in a block.
fn text_chars(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => text.chars().count(),
                other => text_chars(other),
            })
            .sum(),
        Value::Array(items) => items.iter().map(text_chars).sum(),
        _ => 0,
    }
}
