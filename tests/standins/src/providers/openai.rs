//! OpenAI, and Mistral and OpenRouter, which speak its chat language with their own errors,
//! headers and paths.

use http::Method;
use serde_json::{Value, json};

use super::chat::{Turn, data, prompt, text_of};
use super::{Desk, Provider, tools};
use crate::call::{Answer, Call};
use crate::config::Tokens;
use crate::limits::{Rule, Tally};

/// Cost of a token at OpenRouter's stand-in, in credits.
const CREDITS_PER_TOKEN: f64 = 0.000_002;
/// Numbers of an embedding.
const EMBEDDING_LENGTH: usize = 8;

/// OpenAI.
pub(crate) const OPENAI: OpenAiLike = OpenAiLike { dialect: Dialect::OpenAi };
/// Mistral.
pub(crate) const MISTRAL: OpenAiLike = OpenAiLike { dialect: Dialect::Mistral };
/// OpenRouter.
pub(crate) const OPENROUTER: OpenAiLike = OpenAiLike { dialect: Dialect::OpenRouter };

#[derive(Debug)]
pub(crate) struct OpenAiLike {
    dialect: Dialect,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dialect {
    OpenAi,
    Mistral,
    OpenRouter,
}

impl Provider for OpenAiLike {
    fn id(&self) -> &'static str {
        match self.dialect {
            Dialect::OpenAi => "openai",
            Dialect::Mistral => "mistral",
            Dialect::OpenRouter => "openrouter",
        }
    }

    fn base_path(&self) -> &'static str {
        match self.dialect {
            Dialect::OpenAi => "/v1",
            Dialect::Mistral => "",
            Dialect::OpenRouter => "/api/v1",
        }
    }

    fn limits(&self) -> Vec<Rule> {
        match self.dialect {
            Dialect::OpenAi => vec![Rule::rolling(500, 60)],
            Dialect::Mistral => vec![Rule::rolling(1, 1)],
            Dialect::OpenRouter => vec![Rule::rolling(20, 60)],
        }
    }

    fn credential(&self, call: &Call) -> Option<String> {
        call.authorization("bearer")
    }

    fn admit(&self, desk: &Desk<'_>, call: &Call) -> Result<(), Answer> {
        if self.dialect == Dialect::OpenRouter && call.path == "/api/v1/models" {
            return Ok(());
        }
        let given = self.credential(call);
        if desk.accepts("api_key", given.as_deref()) { Ok(()) } else { Err(self.bad_key(desk, call)) }
    }

    fn bad_key(&self, _desk: &Desk<'_>, call: &Call) -> Answer {
        match self.dialect {
            Dialect::OpenAi => {
                let masked = masked(&self.credential(call).unwrap_or_default());
                let text = format!(
                    "Incorrect API key provided: {masked}. You can find your API key at https://platform.openai.com/account/api-keys."
                );
                self.error(401, "invalid_request_error", Some("invalid_api_key"), &text)
            }
            Dialect::Mistral => Answer::json(401, json!({ "detail": "Unauthorized" })),
            Dialect::OpenRouter => self.error(401, "", None, "No auth credentials found"),
        }
    }

    fn throttled(&self, _desk: &Desk<'_>, _call: &Call, tally: &Tally) -> Answer {
        match self.dialect {
            Dialect::OpenAi if tally.is_quota() => self.error(
                429,
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            Dialect::OpenAi => {
                let text = format!(
                    "Rate limit reached for requests per min (RPM): Limit {}, Used {}, Requested 1. Please try again in {}.",
                    tally.max,
                    tally.used,
                    go_duration(tally.reset_ms)
                );
                self.error(429, "requests", Some("rate_limit_exceeded"), &text)
                    .with("retry-after", tally.reset_secs())
            }
            Dialect::Mistral => self
                .error(429, "rate_limit_error", Some("1300"), "Rate limit exceeded")
                .with("retry-after", tally.reset_secs()),
            Dialect::OpenRouter if tally.is_quota() => self.error(402, "", None, "Insufficient credits"),
            Dialect::OpenRouter => self.error(429, "", None, "Rate limit exceeded: free-models-per-min"),
        }
    }

    fn label(&self, desk: &Desk<'_>, answer: Answer, tally: &Tally) -> Answer {
        match self.dialect {
            Dialect::OpenAi => answer
                .with("x-request-id", format!("req_{:032x}", desk.sequence))
                .with("x-ratelimit-limit-requests", tally.max)
                .with("x-ratelimit-remaining-requests", tally.left())
                .with("x-ratelimit-reset-requests", go_duration(tally.reset_ms))
                .with("x-ratelimit-limit-tokens", 30_000)
                .with("x-ratelimit-remaining-tokens", 29_900)
                .with("x-ratelimit-reset-tokens", "200ms"),
            Dialect::Mistral => answer.with("x-ratelimit-remaining", tally.left()),
            Dialect::OpenRouter => answer,
        }
    }

    fn answer(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let own = match self.dialect {
            Dialect::OpenRouter => call.path.strip_prefix("/api/v1"),
            _ => call.path.strip_prefix("/v1"),
        };
        match (&call.method, own.unwrap_or_default()) {
            (&Method::GET, "/models") => self.models(desk),
            (&Method::POST, "/chat/completions") => self.chat(desk, call),
            (&Method::POST, "/embeddings") => self.embeddings(desk, call),
            (&Method::POST, "/responses") if self.dialect == Dialect::OpenAi => self.responses(desk, call),
            (&Method::GET, "/key") if self.dialect == Dialect::OpenRouter => Answer::ok(json!({ "data": {
                "label": "sk-or-v1-…", "limit": 10.0, "limit_reset": "monthly", "limit_remaining": 9.5, "usage": 0.5,
                "usage_daily": 0.1, "usage_weekly": 0.3, "usage_monthly": 0.5, "is_free_tier": false
            }})),
            _ => self.error(
                404,
                "invalid_request_error",
                None,
                &format!("Invalid URL ({} {})", call.method, call.path),
            ),
        }
    }

    fn broken_stream(&self, desk: &Desk<'_>, call: &Call) -> Option<Answer> {
        let body = call.json().filter(|body| body["stream"] == true)?;
        let (whole, last) = prompt(&body["messages"], "content")?;
        let turn = Turn::of(desk, &whole, &last);
        let first =
            self.chunk(desk, &body, &json!({ "role": "assistant", "content": turn.pieces().first() }), None);
        let error = json!({ "error": { "message": "The server had an error while processing your request.", "type": "server_error", "param": null, "code": null } });
        Some(Answer::events(vec![data(&first), data(&error)]))
    }
}

impl OpenAiLike {
    fn error(&self, status: u16, kind: &str, code: Option<&str>, message: &str) -> Answer {
        Answer::json(
            status,
            match self.dialect {
                Dialect::OpenAi => {
                    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
                }
                Dialect::Mistral => {
                    json!({ "object": "error", "message": message, "type": kind, "param": null, "code": code })
                }
                Dialect::OpenRouter => json!({ "error": { "code": status, "message": message } }),
            },
        )
    }

    fn models(&self, desk: &Desk<'_>) -> Answer {
        let names = match self.dialect {
            Dialect::OpenAi => ["gpt-4o", "gpt-4o-mini", "text-embedding-3-small"],
            Dialect::Mistral => ["mistral-large-latest", "mistral-small-latest", "mistral-embed"],
            Dialect::OpenRouter => {
                ["openai/gpt-4o", "anthropic/claude-sonnet-4-6", "mistralai/mistral-small"]
            }
        };
        let data: Vec<Value> = names
            .iter()
            .map(|id| json!({ "id": id, "object": "model", "created": desk.now_secs() - 86_400, "owned_by": "system" }))
            .collect();
        Answer::ok(json!({ "object": "list", "data": data }))
    }

    fn chat(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let Some(body) = call.json() else {
            return self.error(
                400,
                "invalid_request_error",
                None,
                "We could not parse the JSON body of your request.",
            );
        };
        let (Some(_), Some((whole, last))) = (body["model"].as_str(), prompt(&body["messages"], "content"))
        else {
            let status = if self.dialect == Dialect::Mistral { 422 } else { 400 };
            return self.error(
                status,
                "invalid_request_error",
                None,
                "you must provide a model and messages",
            );
        };
        let turn = Turn::of(desk, &whole, &last).asking(desk, tools::openai(&body, &last));
        if body["stream"] == true {
            return self.stream(desk, &body, &turn);
        }
        Answer::ok(json!({
            "id": format!("chatcmpl-{:024x}", desk.sequence), "object": "chat.completion", "created": desk.now_secs(),
            "model": body["model"],
            "choices": [{ "index": 0, "message": message(desk, &turn), "finish_reason": finish(&turn) }],
            "usage": self.usage(turn.tokens), "service_tier": "default"
        }))
    }

    fn stream(&self, desk: &Desk<'_>, body: &Value, turn: &Turn) -> Answer {
        let usage_asked = body["stream_options"]["include_usage"] == true;
        let mut first = json!({ "role": "assistant", "content": "" });
        let mut further: Vec<Value> = turn.pieces().iter().map(|piece| json!({ "content": piece })).collect();
        if let Some(tool) = &turn.tool {
            first = message(desk, turn);
            first["tool_calls"][0]["index"] = json!(0);
            first["tool_calls"][0]["function"]["arguments"] = json!("");
            let arguments = tool.pieces().into_iter();
            let arguments = arguments.map(|piece| json!({ "index": 0, "function": { "arguments": piece } }));
            further = arguments.map(|call| json!({ "tool_calls": [call] })).collect();
        }
        let deltas = [first].into_iter().chain(further);
        let mut frames: Vec<String> =
            deltas.map(|delta| data(&self.chunk(desk, body, &delta, None))).collect();
        let mut end = self.chunk(desk, body, &json!({}), Some(finish(turn)));
        if self.dialect == Dialect::Mistral {
            end["usage"] = self.usage(turn.tokens);
        }
        frames.push(data(&end));
        if self.dialect == Dialect::OpenRouter || (self.dialect == Dialect::OpenAi && usage_asked) {
            let mut last = self.chunk(desk, body, &json!({}), None);
            last["choices"] = json!([]);
            last["usage"] = self.usage(turn.tokens);
            frames.push(data(&last));
        }
        frames.push("data: [DONE]\n\n".to_owned());
        Answer::events(frames)
    }

    fn chunk(&self, desk: &Desk<'_>, body: &Value, delta: &Value, finish: Option<&str>) -> Value {
        let mut chunk = json!({
            "id": format!("chatcmpl-{:024x}", desk.sequence), "object": "chat.completion.chunk", "created": desk.now_secs(),
            "model": body["model"], "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }]
        });
        if self.dialect == Dialect::OpenAi && body["stream_options"]["include_usage"] == true {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    /// Prompt tokens include the cached ones, completion tokens the reasoning ones.
    fn usage(&self, tokens: Tokens) -> Value {
        let input = tokens.input + tokens.cached_input + tokens.cache_write;
        let output = tokens.output + tokens.reasoning;
        let mut usage = json!({
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": { "cached_tokens": tokens.cached_input, "cache_write_tokens": tokens.cache_write, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": tokens.reasoning, "audio_tokens": 0 }
        });
        if self.dialect == Dialect::OpenRouter {
            usage["cost"] = json!((input + output) as f64 * CREDITS_PER_TOKEN);
        }
        usage
    }

    fn responses(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let body = call.json().unwrap_or_default();
        let Some(model) = body["model"].as_str() else {
            return self.error(
                400,
                "invalid_request_error",
                Some("missing_required_parameter"),
                "Missing required parameter: 'model'.",
            );
        };
        let input = match &body["input"] {
            Value::Array(items) => items.last().map(|item| text_of(&item["content"])).unwrap_or_default(),
            other => text_of(other),
        };
        let turn = Turn::of(desk, &input, &input);
        let t = turn.tokens;
        let (input, output) = (t.input + t.cached_input + t.cache_write, t.output + t.reasoning);
        Answer::ok(json!({
            "id": format!("resp_{:024x}", desk.sequence), "object": "response", "created_at": desk.now_secs(), "status": "completed",
            "model": model,
            "output": [{ "type": "message", "id": format!("msg_{:024x}", desk.sequence), "status": "completed", "role": "assistant",
                         "content": [{ "type": "output_text", "text": turn.text, "annotations": [] }] }],
            "usage": { "input_tokens": input, "input_tokens_details": { "cached_tokens": t.cached_input, "cache_write_tokens": t.cache_write },
                       "output_tokens": output, "output_tokens_details": { "reasoning_tokens": t.reasoning }, "total_tokens": input + output }
        }))
    }

    fn embeddings(&self, desk: &Desk<'_>, call: &Call) -> Answer {
        let body = call.json().unwrap_or_default();
        let inputs = match &body["input"] {
            Value::String(text) => vec![text.clone()],
            Value::Array(texts) => texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect(),
            _ => return self.error(400, "invalid_request_error", None, "'input' is a required property"),
        };
        let data: Vec<Value> = (0..inputs.len())
            .map(|index| json!({ "object": "embedding", "index": index, "embedding": vec![0.125; EMBEDDING_LENGTH] }))
            .collect();
        let tokens = Turn::of(desk, &inputs.join(" "), "").tokens.input;
        Answer::ok(
            json!({ "object": "list", "data": data, "model": body["model"], "usage": { "prompt_tokens": tokens, "total_tokens": tokens } }),
        )
    }
}

fn finish(turn: &Turn) -> &'static str {
    if turn.tool.is_some() { "tool_calls" } else { "stop" }
}

fn message(desk: &Desk<'_>, turn: &Turn) -> Value {
    let Some(tool) = &turn.tool else {
        return json!({ "role": "assistant", "content": turn.text, "refusal": null });
    };
    let function = json!({ "name": tool.name, "arguments": tool.arguments.to_string() });
    let call =
        json!({ "id": format!("call_{:024x}", desk.sequence), "type": "function", "function": function });
    json!({ "role": "assistant", "content": null, "tool_calls": [call], "refusal": null })
}

/// The first and last characters of a key, as the real message shows it.
fn masked(key: &str) -> String {
    let chars: Vec<char> = key.chars().collect();
    if chars.len() < 12 {
        return "*".repeat(chars.len());
    }
    let (head, tail): (String, String) =
        (chars[..8].iter().collect(), chars[chars.len() - 4..].iter().collect());
    format!("{head}{}{tail}", "*".repeat(chars.len() - 12))
}

/// `250ms`, `1s`, `6m0s`.
pub(crate) fn go_duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..60_000 if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        1000..60_000 => format!("{:.3}s", ms as f64 / 1000.0),
        _ => format!("{}m{}s", ms / 60_000, ms % 60_000 / 1000),
    }
}
