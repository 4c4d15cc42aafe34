//! Tools in a chat: whether the stand-in asks for one, and with which arguments.
//!
//! It asks where tools are offered, may be called, and the last word is not a tool's own; for the one that is named,
//! else for the first. Arguments fit the tool's schema: the last message for a text, a fixed value for anything else.

use serde_json::{Map, Value, json};

/// Characters of a piece of arguments in a stream.
const PIECE_CHARS: usize = 8;
/// How deep a schema is filled in.
const DEPTH_MAX: usize = 8;

/// A tool that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolUse {
    /// Its name.
    pub(crate) name: String,
    /// Its arguments: an object.
    pub(crate) arguments: Value,
}

impl ToolUse {
    /// Its arguments as text, in pieces as a stream brings them.
    pub(crate) fn pieces(&self) -> Vec<String> {
        let characters: Vec<char> = self.arguments.to_string().chars().collect();
        characters.chunks(PIECE_CHARS).map(|piece| piece.iter().collect()).collect()
    }
}

/// What OpenAI's dialect asks for.
pub(crate) fn openai(body: &Value, last: &str) -> Option<ToolUse> {
    let choice = &body["tool_choice"];
    let answers = body["messages"].as_array()?.last()?["role"] == "tool";
    let tools = list(&body["tools"]).map(|tool| (&tool["function"]["name"], &tool["function"]["parameters"]));
    let named = choice["function"]["name"].as_str();
    choose(tools.collect(), named, answers || choice == "none", last)
}

/// What Anthropic's does.
pub(crate) fn anthropic(body: &Value, last: &str) -> Option<ToolUse> {
    let choice = &body["tool_choice"];
    let content = &body["messages"].as_array()?.last()?["content"];
    let answers = list(content).any(|block| block["type"] == "tool_result");
    let tools = list(&body["tools"]).map(|tool| (&tool["name"], &tool["input_schema"]));
    choose(tools.collect(), choice["name"].as_str(), answers || choice["type"] == "none", last)
}

/// What Google's does.
pub(crate) fn gemini(body: &Value, last: &str) -> Option<ToolUse> {
    let config = &body["toolConfig"]["functionCallingConfig"];
    let parts = &body["contents"].as_array()?.last()?["parts"];
    let answers = list(parts).any(|part| part["functionResponse"].is_object());
    let tools = list(&body["tools"]).flat_map(|tool| list(&tool["functionDeclarations"])).map(|tool| {
        let schema = tool.get("parametersJsonSchema").unwrap_or(&tool["parameters"]);
        (&tool["name"], schema)
    });
    let named = config["allowedFunctionNames"][0].as_str();
    choose(tools.collect(), named, answers || config["mode"] == "NONE", last)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn choose(tools: Vec<(&Value, &Value)>, named: Option<&str>, is_off: bool, last: &str) -> Option<ToolUse> {
    let is_it = |name: &Value| named.is_none_or(|named| name == named);
    let (name, schema) = tools.into_iter().find(|(name, _)| is_it(name)).filter(|_| !is_off)?;
    Some(ToolUse { name: name.as_str()?.to_owned(), arguments: filled(schema, last, DEPTH_MAX) })
}

/// A value that fits a schema; the depth that is left bounds it.
fn filled(schema: &Value, last: &str, depth: usize) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    // Google's own schemas have their types in capitals.
    match schema["type"].as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("string") => json!(last),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        _ if depth == 0 => json!({}),
        _ => {
            let members = schema["properties"].as_object().into_iter().flatten();
            let members = members.map(|(name, member)| (name.clone(), filled(member, last, depth - 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}
