//! Reads whole answers, and those parts of answers that streams have in common with them.

use serde_json::Value;

use super::{Called, Finish, OWN_CALL_ID, Reply, Usage};
use crate::chat::Dialect;

/// A whole answer; nothing when it is none that this dialect has.
pub(crate) fn read(dialect: Dialect, body: &[u8]) -> Option<Reply> {
    let body: Value = serde_json::from_slice(body).ok()?;
    match dialect {
        Dialect::Openai => openai(&body),
        Dialect::Anthropic => anthropic(&body),
        Dialect::Gemini => gemini(&body),
    }
}

fn openai(body: &Value) -> Option<Reply> {
    let choice = body["choices"].get(0)?;
    let message = &choice["message"];
    let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| Called {
        id: text(&call["id"]),
        name: text(&call["function"]["name"]),
        arguments: text(&call["function"]["arguments"]),
        signature: None,
    });
    Some(Reply {
        id: text(&body["id"]),
        // Some providers of this dialect answer in parts.
        text: match &message["content"] {
            Value::Array(parts) => parts.iter().map(|part| text(&part["text"])).collect(),
            content => text(content),
        },
        calls: calls.collect(),
        finish: finish_of(Dialect::Openai, choice["finish_reason"].as_str()?, false),
        usage: usage_of(Dialect::Openai, &body["usage"]),
    })
}

fn anthropic(body: &Value) -> Option<Reply> {
    let mut reply = Reply { id: text(&body["id"]), ..Reply::default() };
    for block in body["content"].as_array()? {
        match block["type"].as_str() {
            Some("text") => reply.text.push_str(block["text"].as_str().unwrap_or_default()),
            Some("tool_use") => reply.calls.push(Called {
                id: text(&block["id"]),
                name: text(&block["name"]),
                arguments: block["input"].to_string(),
                signature: None,
            }),
            // Thoughts are no part of what is said.
            _ => {}
        }
    }
    reply.finish = finish_of(Dialect::Anthropic, body["stop_reason"].as_str()?, false);
    reply.usage = usage_of(Dialect::Anthropic, &body["usage"]);
    Some(reply)
}

fn gemini(body: &Value) -> Option<Reply> {
    let mut reply = Reply {
        id: text(&body["responseId"]),
        usage: usage_of(Dialect::Gemini, &body["usageMetadata"]),
        ..Reply::default()
    };
    let Some(candidate) = body["candidates"].get(0) else {
        // A question that may not be asked has no answer but why.
        body["promptFeedback"]["blockReason"].as_str()?;
        reply.finish = Finish::ContentFilter;
        return Some(reply);
    };
    let (text, calls) = gemini_parts(candidate, &reply.id, 0);
    (reply.text, reply.calls) = (text, calls);
    let finish = candidate["finishReason"].as_str()?;
    reply.finish = finish_of(Dialect::Gemini, finish, !reply.calls.is_empty());
    Some(reply)
}

/// What a candidate says, and the tools that it wants to be called; `before` of them came already.
pub(crate) fn gemini_parts(candidate: &Value, id: &str, before: usize) -> (String, Vec<Called>) {
    let (mut said, mut calls) = (String::new(), Vec::new());
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        if let Some(call) = part.get("functionCall") {
            let own = || format!("{OWN_CALL_ID}{id}_{}", before + calls.len());
            calls.push(Called {
                id: call["id"].as_str().map_or_else(own, str::to_owned),
                name: text(&call["name"]),
                arguments: call.get("args").map_or_else(|| "{}".to_owned(), Value::to_string),
                signature: part["thoughtSignature"].as_str().map(str::to_owned),
            });
        } else if part["thought"] != true {
            said.push_str(part["text"].as_str().unwrap_or_default());
        }
    }
    (said, calls)
}

/// Why it ended. Google says `STOP` also where tools are to be called.
pub(crate) fn finish_of(dialect: Dialect, reason: &str, calls: bool) -> Finish {
    match (dialect, reason) {
        (Dialect::Openai, "length")
        | (Dialect::Openai, "model_length")
        | (Dialect::Anthropic, "max_tokens" | "model_context_window_exceeded")
        | (Dialect::Gemini, "MAX_TOKENS") => Finish::Length,
        (Dialect::Openai, "tool_calls" | "function_call") | (Dialect::Anthropic, "tool_use") => {
            Finish::ToolCalls
        }
        (Dialect::Openai, "content_filter")
        | (Dialect::Anthropic, "refusal")
        | (
            Dialect::Gemini,
            "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE"
            | "IMAGE_SAFETY",
        ) => Finish::ContentFilter,
        _ if calls => Finish::ToolCalls,
        _ => Finish::Stop,
    }
}

/// The tokens that an answer says it used.
pub(crate) fn usage_of(dialect: Dialect, usage: &Value) -> Usage {
    let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    match dialect {
        Dialect::Openai => Usage {
            input: count("/prompt_tokens"),
            cached: count("/prompt_tokens_details/cached_tokens"),
            cache_write: count("/prompt_tokens_details/cache_write_tokens"),
            output: count("/completion_tokens"),
            reasoning: count("/completion_tokens_details/reasoning_tokens"),
            said_micros: usage["cost"].as_f64().and_then(micros),
            ..Usage::default()
        },
        Dialect::Anthropic => {
            let (read, written) = (count("/cache_read_input_tokens"), count("/cache_creation_input_tokens"));
            Usage {
                // What is given leaves both out.
                input: count("/input_tokens").saturating_add(read).saturating_add(written),
                cached: read,
                cache_write: written,
                cache_write_1h: count("/cache_creation/ephemeral_1h_input_tokens"),
                output: count("/output_tokens"),
                ..Usage::default()
            }
        }
        Dialect::Gemini => {
            let thoughts = count("/thoughtsTokenCount");
            Usage {
                input: count("/promptTokenCount"),
                cached: count("/cachedContentTokenCount"),
                output: count("/candidatesTokenCount").saturating_add(thoughts),
                reasoning: thoughts,
                ..Usage::default()
            }
        }
    }
}

/// Dollars as millionths.
fn micros(dollars: f64) -> Option<u64> {
    let micros = (dollars * 1e6).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a trillion")]
    (0.0..=1e12).contains(&micros).then_some(micros as u64)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
