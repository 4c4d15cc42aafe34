//! Anthropic: key and version headers, named events in its streams, token headers on every answer.

use http::Method;
use serde_json::{Value, json};

use super::chat::{Turn, event, prompt, text_of};
use super::tools::ToolUse;
use super::{Desk, Provider, tools};
use crate::call::{Answer, Call};
use crate::config::Tokens;
use crate::limits::{Rule, Tally};
use crate::market::rfc3339;

/// Input and output tokens a minute, as the headers say.
const TOKENS_PER_MINUTE: [u64; 2] = [500_000, 100_000];

#[derive(Debug)]
pub(crate) struct Anthropic;

impl Provider for Anthropic {
    fn id(&self) -> &'static str {
        "anthropic"
    }

    fn limits(&self) -> Vec<Rule> {
        vec![Rule::rolling(1000, 60)]
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.header("x-api-key")
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        let given = self.credential(call);
        if !desk.accepts("api_key", given.as_deref()) {
            return Err(self.bad_key(desk, call));
        }
        if call.header("anthropic-version").is_none() {
            return Err(error(desk, 400, "invalid_request_error", "anthropic-version: header is required"));
        }
        Ok(())
    }

    fn bad_key(&self, desk: &Desk<'_>, _call: &Call) -> Answer {
        error(desk, 401, "authentication_error", "invalid x-api-key")
    }

    fn throttled(&self, desk: &Desk<'_>, _call: &Call, tally: &Tally) -> Answer {
        let text = format!(
            "This request would exceed your organization's rate limit of {} requests per minute",
            tally.max
        );
        error(desk, 429, "rate_limit_error", &text).with("retry-after", tally.reset_secs())
    }

    fn label(&self, desk: &Desk<'_>, mut answer: Answer, tally: &Tally) -> Answer {
        let reset = rfc3339((desk.now_ms / 1000 + i64::try_from(tally.reset_secs()).unwrap_or(0)) * 1000);
        let [input, output] = TOKENS_PER_MINUTE;
        let left = |max: u64| if tally.left() == 0 { 0 } else { max - 1000 };
        for (name, max, left) in [
            ("requests", tally.max, tally.left()),
            ("tokens", input + output, left(input + output)),
            ("input-tokens", input, left(input)),
            ("output-tokens", output, left(output)),
        ] {
            answer = answer
                .with(&format!("anthropic-ratelimit-{name}-limit"), max)
                .with(&format!("anthropic-ratelimit-{name}-remaining"), left)
                .with(&format!("anthropic-ratelimit-{name}-reset"), &reset);
        }
        answer.with("request-id", request_id(desk))
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        match (&call.method, call.path.as_str()) {
            (&Method::GET, "/v1/models") => {
                let data = json!([{ "type": "model", "id": "claude-sonnet-4-6", "display_name": "Claude Sonnet 4.6", "created_at": "2026-02-01T00:00:00Z" }]);
                Answer::ok(
                    json!({ "data": data, "has_more": false, "first_id": "claude-sonnet-4-6", "last_id": "claude-sonnet-4-6" }),
                )
            }
            (&Method::POST, "/v1/messages/count_tokens") => {
                let body = call.json().unwrap_or_default();
                match prompt(&body["messages"], "content") {
                    Some((whole, last)) => {
                        Answer::ok(json!({ "input_tokens": Turn::of(desk, &whole, &last).tokens.input }))
                    }
                    None => error(
                        desk,
                        400,
                        "invalid_request_error",
                        "messages: at least one message is required",
                    ),
                }
            }
            (&Method::POST, "/v1/messages") => match read(desk, call) {
                Err(refusal) => refusal,
                Ok((body, turn)) if body["stream"] == true => Answer::events(frames(desk, &body, &turn)),
                Ok((body, turn)) => Answer::ok(message(desk, &body, &turn)),
            },
            _ => error(desk, 404, "not_found_error", "Not found"),
        }
    }

    fn broken_stream(&self, desk: &Desk<'_>, call: &Call) -> Option<Answer> {
        let (body, turn) = read(desk, call).ok().filter(|(body, _)| body["stream"] == true)?;
        let mut frames = frames(desk, &body, &turn);
        frames.truncate(3);
        frames.push(event(
            "error",
            &json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }),
        ));
        Some(Answer::events(frames))
    }
}

fn request_id(desk: &Desk<'_>) -> String {
    format!("req_{:024x}", desk.sequence)
}

fn error(desk: &Desk<'_>, status: u16, kind: &str, message: &str) -> Answer {
    let body = json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": request_id(desk) });
    Answer::json(status, body).with("request-id", request_id(desk))
}

fn read(desk: &Desk<'_>, call: &Call) -> Result<(Value, Turn), Answer> {
    let refuse = |text: &str| error(desk, 400, "invalid_request_error", text);
    let body = call.json().ok_or_else(|| refuse("The request body is not valid JSON"))?;
    for field in ["model", "max_tokens", "messages"] {
        if body[field].is_null() {
            return Err(refuse(&format!("{field}: Field required")));
        }
    }
    let (whole, last) = prompt(&body["messages"], "content")
        .ok_or_else(|| refuse("messages: at least one message is required"))?;
    let turn = Turn::of(desk, &format!("{}{whole}", text_of(&body["system"])), &last);
    let turn = turn.asking(desk, tools::anthropic(&body, &last));
    Ok((body, turn))
}

/// Input tokens exclude the cache; output tokens include thinking.
fn usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.input, "cache_creation_input_tokens": tokens.cache_write,
        "cache_creation": { "ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0 },
        "cache_read_input_tokens": tokens.cached_input, "output_tokens": tokens.output + tokens.reasoning, "service_tier": "standard"
    })
}

fn message(desk: &Desk<'_>, body: &Value, turn: &Turn) -> Value {
    let block = match &turn.tool {
        None => json!({ "type": "text", "text": turn.text }),
        Some(tool) => tool_use(desk, tool, &tool.arguments),
    };
    json!({
        "id": format!("msg_{:024x}", desk.sequence), "type": "message", "role": "assistant", "model": body["model"],
        "content": [block], "stop_reason": stop(turn), "stop_sequence": null, "usage": usage(turn.tokens)
    })
}

fn tool_use(desk: &Desk<'_>, tool: &ToolUse, input: &Value) -> Value {
    json!({ "type": "tool_use", "id": format!("toolu_{:024x}", desk.sequence), "name": tool.name, "input": input })
}

fn stop(turn: &Turn) -> &'static str {
    if turn.tool.is_some() { "tool_use" } else { "end_turn" }
}

fn frames(desk: &Desk<'_>, body: &Value, turn: &Turn) -> Vec<String> {
    let mut start = message(desk, body, turn);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    // The first piece of arguments is empty.
    let (block, deltas): (Value, Vec<Value>) = match &turn.tool {
        None => {
            let pieces = turn.pieces().into_iter();
            let deltas = pieces.map(|piece| json!({ "type": "text_delta", "text": piece }));
            (json!({ "type": "text", "text": "" }), deltas.collect())
        }
        Some(tool) => {
            let pieces = [String::new()].into_iter().chain(tool.pieces());
            let deltas = pieces.map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }));
            (tool_use(desk, tool, &json!({})), deltas.collect())
        }
    };
    let mut frames = vec![
        event("message_start", &json!({ "type": "message_start", "message": start })),
        event(
            "content_block_start",
            &json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        ),
        event("ping", &json!({ "type": "ping" })),
    ];
    for delta in deltas {
        let delta = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
        frames.push(event("content_block_delta", &delta));
    }
    let output = turn.tokens.output + turn.tokens.reasoning;
    frames.push(event("content_block_stop", &json!({ "type": "content_block_stop", "index": 0 })));
    frames.push(event("message_delta", &json!({ "type": "message_delta", "delta": { "stop_reason": stop(turn), "stop_sequence": null }, "usage": { "output_tokens": output } })));
    frames.push(event("message_stop", &json!({ "type": "message_stop" })));
    frames
}
