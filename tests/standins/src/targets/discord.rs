//! Discord webhooks: limits as JSON paths, rate-limit headers on every answer, seconds with decimals.
//!
//! An address without a version means API v6, where waits are in milliseconds, as documented.

use http::Method;
use serde_json::{Map, Value, json};

use super::{State, Verdict};
use crate::call::{Answer, Call};
use crate::limits::Tally;
use crate::market::rfc3339;

/// Embeds of a message.
const EMBEDS_MAX: usize = 10;
/// Characters over all embeds.
const EMBEDS_CHARS_MAX: usize = 6000;
/// The first version that counts waits in seconds.
const SECONDS_SINCE: u32 = 8;
/// The version of an address without one.
const VERSION_DEFAULT: u32 = 6;

pub(super) fn judge(state: &mut State, call: &Call) -> Verdict {
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
    let (version, parts) = match parts.split_first() {
        Some((first, rest)) if first.starts_with('v') => {
            (first[1..].parse().unwrap_or(VERSION_DEFAULT), rest)
        }
        _ => (VERSION_DEFAULT, parts.as_slice()),
    };
    let (id, token) = match parts {
        ["webhooks", id, token] | ["webhooks", id, token, "messages", _] => (*id, *token),
        _ => {
            return Verdict::refused(
                error(404, 0, "404: Not Found"),
                "the path is not /api/v10/webhooks/{id}/{token}",
            );
        }
    };
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_digit()) {
        let body = json!({ "webhook_id": [format!("Value \"{id}\" is not snowflake.")] });
        return Verdict::refused(Answer::json(400, body), "the webhook id is no number");
    }
    let tally = match state.limits.take(&format!("{id}/{token}"), 1, call.at_ms) {
        Ok(tally) => tally,
        Err(tally) => {
            // Up to v7 the body counts milliseconds.
            let wait = if version < SECONDS_SINCE { tally.reset_ms * 1000 } else { tally.reset_ms };
            return Verdict::refused(
                label(throttled(wait, tally.max, tally.reset_ms), Some(&tally), call.at_ms),
                "too many messages",
            );
        }
    };
    let mut verdict = match call.method {
        Method::POST => post(state, call, id),
        Method::GET => Verdict::taken(Answer::ok(
            json!({ "type": 1, "id": id, "name": "stand-in", "channel_id": "199737254929760256", "token": token }),
        )),
        Method::PATCH => Verdict::taken(Answer::ok(json!({ "id": parts.last(), "webhook_id": id }))),
        _ => Verdict::refused(error(405, 0, "405: Method Not Allowed"), "method"),
    };
    verdict.answer = label(verdict.answer, tally.as_ref(), call.at_ms);
    verdict
}

pub(super) fn error(status: u16, code: u32, message: &str) -> Answer {
    Answer::json(status, json!({ "message": message, "code": code }))
}

/// A 429 whose body says `wait` thousandths, and whose header says whole seconds.
pub(super) fn throttled(wait: u64, max: u64, reset_ms: u64) -> Answer {
    Answer::json(429, json!({ "message": "You are being rate limited.", "retry_after": wait as f64 / 1000.0, "global": false }))
        .with("retry-after", wait.div_ceil(1000).max(1))
        .with("x-ratelimit-limit", max)
        .with("x-ratelimit-remaining", 0)
        .with("x-ratelimit-reset-after", reset_ms as f64 / 1000.0)
        .with("x-ratelimit-scope", "user")
}

fn label(answer: Answer, tally: Option<&Tally>, at_ms: i64) -> Answer {
    let Some(tally) = tally else { return answer };
    answer
        .with("x-ratelimit-limit", tally.max)
        .with("x-ratelimit-remaining", tally.left())
        .with("x-ratelimit-reset", format!("{:.3}", (at_ms as f64 + tally.reset_ms as f64) / 1000.0))
        .with("x-ratelimit-reset-after", format!("{:.3}", tally.reset_ms as f64 / 1000.0))
        .with("x-ratelimit-bucket", "b3c35c2d86b2ca5c0ec8a58e8ee5c3ae")
}

fn post(state: &mut State, call: &Call, id: &str) -> Verdict {
    let Some(body) = call.json().filter(Value::is_object) else {
        return Verdict::refused(
            error(400, 50_109, "The request body contains invalid JSON."),
            "the body is not a JSON object",
        );
    };
    let mut faults = Faults::default();
    check(&body, &mut faults);
    if let Some(note) = faults.notes.first().cloned() {
        let answer = json!({ "message": "Invalid Form Body", "code": 50_035, "errors": faults.tree });
        return Verdict::refused(Answer::json(400, answer), note);
    }
    let empty = |name: &str| body[name].as_array().is_none_or(Vec::is_empty);
    let blank = body["content"].as_str().is_none_or(|text| text.trim().is_empty());
    if blank && empty("embeds") && empty("components") && body["poll"].is_null() {
        return Verdict::refused(error(400, 50_006, "Cannot send an empty message"), "empty message");
    }
    state.taken += 1;
    let mut verdict = if call.param("wait").as_deref() == Some("true") {
        Verdict::taken(Answer::ok(json!({
            "id": (1_100_000_000_000_000_000 + state.taken).to_string(), "type": 0, "channel_id": "199737254929760256", "webhook_id": id,
            "content": body["content"], "embeds": body["embeds"], "timestamp": rfc3339(call.at_ms)
        })))
    } else {
        Verdict::taken(Answer::empty(204))
    };
    let open = body["allowed_mentions"]["parse"].as_array().is_none_or(|kinds| !kinds.is_empty());
    if open && (call.text().contains("@everyone") || call.text().contains("@here")) {
        verdict.note = Some("this message pings everyone: allowed_mentions.parse is not empty".to_owned());
    }
    verdict
}

/// Errors as the nested object the answer carries, and as sentences.
#[derive(Default)]
struct Faults {
    tree: Map<String, Value>,
    notes: Vec<String>,
}

impl Faults {
    fn add(&mut self, path: &[&str], code: &str, message: &str) {
        let mut node = &mut self.tree;
        for part in path {
            let next = node.entry((*part).to_owned()).or_insert_with(|| json!({}));
            let Value::Object(inner) = next else { return };
            node = inner;
        }
        node.insert("_errors".to_owned(), json!([{ "code": code, "message": message }]));
        self.notes.push(format!("{}: {message}", path.join(".")));
    }

    fn length(&mut self, path: &[&str], value: &Value, max: usize, required: bool) -> usize {
        let length = value.as_str().map_or(0, |text| text.trim().chars().count());
        if required && length == 0 {
            self.add(path, "BASE_TYPE_REQUIRED", "This field is required");
        }
        if length > max {
            self.add(path, "BASE_TYPE_MAX_LENGTH", &format!("Must be {max} or fewer in length."));
        }
        length
    }
}

fn check(body: &Value, faults: &mut Faults) {
    if !body["content"].is_null() && !body["content"].is_string() {
        faults.add(&["content"], "STRING_TYPE_CONVERT", "Could not interpret value as string.");
    }
    faults.length(&["content"], &body["content"], 2000, false);
    faults.length(&["username"], &body["username"], 80, false);
    let name = body["username"].as_str().unwrap_or_default().to_ascii_lowercase();
    if name.contains("discord") || name.contains("clyde") {
        faults.add(
            &["username"],
            "USERNAME_INVALID_CONTAINS",
            "Username cannot contain \"discord\" or \"clyde\"",
        );
    }
    for kind in body["allowed_mentions"]["parse"].as_array().into_iter().flatten() {
        if !matches!(kind.as_str(), Some("users" | "roles" | "everyone")) {
            faults.add(
                &["allowed_mentions", "parse"],
                "BASE_TYPE_CHOICES",
                "Value must be one of ('users', 'everyone', 'roles').",
            );
        }
    }
    let embeds = body["embeds"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    if embeds.len() > EMBEDS_MAX {
        faults.add(&["embeds"], "BASE_TYPE_BAD_LENGTH", "Must be 10 or fewer in length.");
    }
    let total: usize =
        embeds.iter().enumerate().map(|(index, embed)| check_embed(embed, &index.to_string(), faults)).sum();
    if total > EMBEDS_CHARS_MAX {
        faults.add(&["embeds"], "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000");
    }
}

fn check_embed(embed: &Value, index: &str, faults: &mut Faults) -> usize {
    let mut total = faults.length(&["embeds", index, "title"], &embed["title"], 256, false);
    total += faults.length(&["embeds", index, "description"], &embed["description"], 4096, false);
    total += faults.length(&["embeds", index, "footer", "text"], &embed["footer"]["text"], 2048, false);
    total += faults.length(&["embeds", index, "author", "name"], &embed["author"]["name"], 256, false);
    let fields = embed["fields"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    if fields.len() > 25 {
        faults.add(&["embeds", index, "fields"], "BASE_TYPE_BAD_LENGTH", "Must be 25 or fewer in length.");
    }
    for (number, field) in fields.iter().enumerate() {
        let number = number.to_string();
        total += faults.length(&["embeds", index, "fields", &number, "name"], &field["name"], 256, true);
        total += faults.length(&["embeds", index, "fields", &number, "value"], &field["value"], 1024, true);
    }
    let colour = &embed["color"];
    if !colour.is_null() && colour.as_u64().is_none_or(|number| number > 16_777_215) {
        faults.add(
            &["embeds", index, "color"],
            "NUMBER_TYPE_MAX",
            "int value should be less than or equal to 16777215.",
        );
    }
    total
}
