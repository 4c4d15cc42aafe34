//! Writes a request as Anthropic's messages.
//!
//! What several messages of one side say is one message there, and what tools said belongs to the user's.

use serde_json::{Map, Value, json};

use super::ask::{Ask, Choice, Format, Part, Tool, Turn};
use super::{Refused, Written};

/// The highest temperature there.
const TEMPERATURE_MAX: f64 = 1.0;

pub(super) fn write(ask: &Ask, model: &str, max_tokens: u64) -> Result<Written, Refused> {
    let none = "Anthropic has no counterpart";
    let refused = [
        ("presence_penalty", ask.presence_penalty.is_some()),
        ("frequency_penalty", ask.frequency_penalty.is_some()),
        ("seed", ask.seed.is_some()),
        ("reasoning_effort", ask.effort.is_some()),
    ];
    if let Some((name, _)) = refused.into_iter().find(|(_, given)| *given) {
        return Err(Refused::at(name, none));
    }
    if ask.temperature.as_ref().and_then(serde_json::Number::as_f64).is_some_and(|t| t > TEMPERATURE_MAX) {
        return Err(Refused::at("temperature", "Anthropic takes at most 1"));
    }
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("model", model.into());
    put("max_tokens", ask.max_tokens.unwrap_or(max_tokens).into());
    if !ask.system.is_empty() {
        put("system", ask.system.join("\n\n").into());
    }
    put("messages", messages(&ask.turns)?);
    if let Some(given) = &ask.temperature {
        put("temperature", given.clone().into());
    }
    if let Some(given) = &ask.top_p {
        put("top_p", given.clone().into());
    }
    if !ask.stop.is_empty() {
        put("stop_sequences", ask.stop.clone().into());
    }
    if let Some(user) = &ask.user {
        put("metadata", json!({ "user_id": user }));
    }
    match &ask.format {
        Format::Text => {}
        Format::Json => {
            return Err(Refused::at("response_format", "Anthropic needs a schema: use `json_schema`"));
        }
        Format::Schema(schema) => {
            put("output_config", json!({ "format": { "type": "json_schema", "schema": schema } }));
        }
    }
    if !ask.tools.is_empty() {
        put("tools", ask.tools.iter().map(tool).collect());
        if let Some(choice) = choice(ask) {
            put("tool_choice", choice);
        }
    }
    if ask.stream {
        put("stream", true.into());
    }
    Ok(Written { path: "/v1/messages".to_owned(), query: None, body: body.into() })
}

fn messages(turns: &[Turn]) -> Result<Value, Refused> {
    let mut all: Vec<(&str, Vec<Value>)> = Vec::new();
    for turn in turns {
        let (role, blocks) = match turn {
            Turn::User(parts) => ("user", blocks(parts)?),
            Turn::Tool { call, parts, .. } => {
                let result = json!({ "type": "tool_result", "tool_use_id": call, "content": blocks(parts)? });
                ("user", vec![result])
            }
            Turn::Assistant { text, calls } => {
                // An empty block is an error there.
                let texts = text.iter().filter(|text| !text.is_empty());
                let texts = texts.map(|text| json!({ "type": "text", "text": text }));
                let calls = calls.iter().map(|call| {
                    json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments })
                });
                ("assistant", texts.chain(calls).collect())
            }
        };
        match all.last_mut() {
            Some((before, content)) if *before == role => content.extend(blocks),
            _ => all.push((role, blocks)),
        }
    }
    let said = all.into_iter().filter(|(_, content)| !content.is_empty());
    Ok(said.map(|(role, content)| json!({ "role": role, "content": content })).collect())
}

fn blocks(parts: &[Part]) -> Result<Vec<Value>, Refused> {
    let said = parts.iter().filter(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    said.map(block).collect()
}

fn block(part: &Part) -> Result<Value, Refused> {
    Ok(match part {
        Part::Text(text) => json!({ "type": "text", "text": text }),
        Part::Url { url, .. } => json!({ "type": "image", "source": { "type": "url", "url": url } }),
        Part::Data { media_type, base64, at } => {
            let kind = match media_type.as_str() {
                "image/jpeg" | "image/png" | "image/gif" | "image/webp" => "image",
                "application/pdf" => "document",
                _ => {
                    let why = format!("Anthropic takes JPEG, PNG, GIF, WebP and PDF, not `{media_type}`");
                    return Err(Refused::at(at, why));
                }
            };
            json!({ "type": kind, "source": { "type": "base64", "media_type": media_type, "data": base64 } })
        }
    })
}

fn tool(tool: &Tool) -> Value {
    let mut written = json!({ "name": tool.name, "input_schema": tool.parameters });
    if let Some(description) = &tool.description {
        written["description"] = description.as_str().into();
    }
    if tool.strict {
        written["strict"] = true.into();
    }
    written
}

fn choice(ask: &Ask) -> Option<Value> {
    let mut written = match &ask.choice {
        None if ask.parallel != Some(false) => return None,
        None | Some(Choice::Auto) => json!({ "type": "auto" }),
        Some(Choice::None) => return Some(json!({ "type": "none" })),
        Some(Choice::Required) => json!({ "type": "any" }),
        Some(Choice::Named(name)) => json!({ "type": "tool", "name": name }),
    };
    if let Some(parallel) = ask.parallel {
        written["disable_parallel_tool_use"] = (!parallel).into();
    }
    Some(written)
}
