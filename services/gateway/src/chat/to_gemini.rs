//! Writes a request as Google's `generateContent`.
//!
//! The model stands in the path there, so its name is held to characters that cannot leave it.

use serde_json::{Map, Value, json};

use super::ask::{Ask, Choice, Format, Part, Tool, Turn};
use super::{Refused, Written};

/// Tokens of thought for a wanted effort, as Google's own OpenAI-compatible way has it.
const EFFORTS: [(&str, u64); 5] =
    [("none", 0), ("minimal", 1_024), ("low", 1_024), ("medium", 8_192), ("high", 24_576)];

pub(super) fn write(ask: &Ask, model: &str) -> Result<Written, Refused> {
    if ask.parallel == Some(false) && !ask.tools.is_empty() {
        return Err(Refused::at("parallel_tool_calls", "Google has no counterpart of `false`"));
    }
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    if !ask.system.is_empty() {
        let parts: Vec<Value> = ask.system.iter().map(|text| json!({ "text": text })).collect();
        put("systemInstruction", json!({ "parts": parts }));
    }
    put("contents", contents(&ask.turns)?);
    let config = config(ask)?;
    if !config.is_empty() {
        put("generationConfig", config.into());
    }
    if !ask.tools.is_empty() {
        let tools: Vec<Value> = ask.tools.iter().map(tool).collect();
        put("tools", json!([{ "functionDeclarations": tools }]));
        if let Some(choice) = choice(ask) {
            put("toolConfig", json!({ "functionCallingConfig": choice }));
        }
    }
    let (verb, query) = match ask.stream {
        true => ("streamGenerateContent", Some("alt=sse")),
        false => ("generateContent", None),
    };
    let path = format!("/v1beta/{}:{verb}", place(model)?);
    Ok(Written { path, query, body: body.into() })
}

/// `models/<name>`, or the caller's own collection.
fn place(model: &str) -> Result<String, Refused> {
    let (collection, name) = model.split_once('/').unwrap_or(("models", model));
    let is_name = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !is_name || !matches!(collection, "models" | "tunedModels") {
        return Err(Refused::at("model", "is not the name of a model at Google"));
    }
    Ok(format!("{collection}/{name}"))
}

fn contents(turns: &[Turn]) -> Result<Value, Refused> {
    let mut all: Vec<(&str, Vec<Value>)> = Vec::new();
    for turn in turns {
        let (role, parts) = match turn {
            Turn::User(parts) => ("user", parts.iter().map(part).collect::<Result<_, _>>()?),
            Turn::Tool { call, name, parts } => ("user", vec![response(call, name, parts)?]),
            Turn::Assistant { text, calls } => {
                let texts = text.iter().filter(|text| !text.is_empty()).map(|text| json!({ "text": text }));
                let calls = calls.iter().map(|call| {
                    let mut part = json!({ "functionCall": { "name": call.name, "args": call.arguments } });
                    name_call(&mut part["functionCall"], &call.id);
                    if let Some(signature) = &call.signature {
                        part["thoughtSignature"] = signature.as_str().into();
                    }
                    part
                });
                ("model", texts.chain(calls).collect())
            }
        };
        match all.last_mut() {
            Some((before, content)) if *before == role => content.extend(parts),
            _ => all.push((role, parts)),
        }
    }
    let said = all.into_iter().filter(|(_, parts)| !parts.is_empty());
    Ok(said.map(|(role, parts)| json!({ "role": role, "parts": parts })).collect())
}

fn part(part: &Part) -> Result<Value, Refused> {
    match part {
        Part::Text(text) => Ok(json!({ "text": text })),
        Part::Data { media_type, base64, .. } => {
            Ok(json!({ "inlineData": { "mimeType": media_type, "data": base64 } }))
        }
        Part::Url { at, .. } => Err(Refused::at(at, "Google fetches no addresses; send a `data:` address")),
    }
}

/// What a tool said: an object as it is, anything else as `result`.
fn response(call: &str, name: &str, parts: &[Part]) -> Result<Value, Refused> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(more) => text.push_str(more),
            Part::Data { at, .. } | Part::Url { at, .. } => {
                return Err(Refused::at(at, "Google takes only text from a tool"));
            }
        }
    }
    let said = super::strict::parse(text.as_bytes()).ok().filter(Value::is_object);
    let said = said.unwrap_or_else(|| json!({ "result": text }));
    let mut response = json!({ "name": name, "response": said });
    name_call(&mut response, call);
    Ok(json!({ "functionResponse": response }))
}

/// Calls that Google did not name have ids of our own, which it does not know.
fn name_call(written: &mut Value, id: &str) {
    if !id.starts_with(super::reply::OWN_CALL_ID) {
        written["id"] = id.into();
    }
}

fn config(ask: &Ask) -> Result<Map<String, Value>, Refused> {
    let mut config = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    };
    put("temperature", ask.temperature.clone().map(Value::Number));
    put("topP", ask.top_p.clone().map(Value::Number));
    put("presencePenalty", ask.presence_penalty.clone().map(Value::Number));
    put("frequencyPenalty", ask.frequency_penalty.clone().map(Value::Number));
    put("seed", ask.seed.map(Value::from));
    put("maxOutputTokens", ask.max_tokens.map(Value::from));
    put("stopSequences", Some(ask.stop.clone()).filter(|stop| !stop.is_empty()).map(Value::from));
    match &ask.format {
        Format::Text => {}
        Format::Json => put("responseMimeType", Some("application/json".into())),
        Format::Schema(schema) => {
            put("responseMimeType", Some("application/json".into()));
            put("responseJsonSchema", Some(schema.clone()));
        }
    }
    if let Some(effort) = &ask.effort {
        let budget = EFFORTS.iter().find(|(name, _)| name == effort).map(|(_, budget)| *budget);
        let budget = budget.ok_or_else(|| Refused::at("reasoning_effort", "Google has no counterpart"))?;
        put("thinkingConfig", Some(json!({ "thinkingBudget": budget })));
    }
    Ok(config)
}

fn tool(tool: &Tool) -> Value {
    let mut written = json!({ "name": tool.name, "parametersJsonSchema": tool.parameters });
    if let Some(description) = &tool.description {
        written["description"] = description.as_str().into();
    }
    written
}

fn choice(ask: &Ask) -> Option<Value> {
    // Calls are held to their schemas when they must come, and in this mode when they may.
    let strict = ask.tools.iter().any(|tool| tool.strict);
    match &ask.choice {
        None | Some(Choice::Auto) if strict => Some(json!({ "mode": "VALIDATED" })),
        None => None,
        Some(Choice::Auto) => Some(json!({ "mode": "AUTO" })),
        Some(Choice::None) => Some(json!({ "mode": "NONE" })),
        Some(Choice::Required) => Some(json!({ "mode": "ANY" })),
        Some(Choice::Named(name)) => Some(json!({ "mode": "ANY", "allowedFunctionNames": [name] })),
    }
}
