//! What the LLM stand-ins share: the text they answer, the tokens they count, SSE framing.

use serde_json::Value;

use super::Desk;
use super::tools::ToolUse;
use crate::config::Tokens;

/// Characters of one token, roughly, as providers say of English text.
const CHARS_PER_TOKEN: usize = 4;

/// A turn of a conversation, answered.
#[derive(Debug)]
pub(crate) struct Turn {
    /// What is answered; nothing where a tool is asked for.
    pub(crate) text: String,
    /// The tool that is asked for instead.
    pub(crate) tool: Option<ToolUse>,
    /// What is counted.
    pub(crate) tokens: Tokens,
}

impl Turn {
    /// Answers a prompt: the configured reply, or an echo of its last words.
    pub(crate) fn of(desk: &Desk<'_>, prompt: &str, last: &str) -> Turn {
        let text = desk.reply.map_or_else(|| format!("You said: {last}"), str::to_owned);
        let counted = Tokens { input: count(prompt), output: count(&text), ..Tokens::default() };
        Turn { tokens: desk.tokens.unwrap_or(counted), text, tool: None }
    }

    /// The same that asks for a tool, if it does.
    pub(crate) fn asking(self, desk: &Desk<'_>, tool: Option<ToolUse>) -> Turn {
        let Some(tool) = tool else { return self };
        let counted = Tokens { output: count(&tool.arguments.to_string()), ..self.tokens };
        Turn { tokens: desk.tokens.unwrap_or(counted), text: String::new(), tool: Some(tool) }
    }

    /// The text in pieces as a stream brings them.
    pub(crate) fn pieces(&self) -> Vec<&str> {
        self.text.split_inclusive(' ').collect()
    }
}

fn count(text: &str) -> u64 {
    text.chars().count().div_ceil(CHARS_PER_TOKEN).max(1) as u64
}

/// The text of a message's content: a string, or what its parts say.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(said).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}

/// What a part says: its `text`, or what a tool answered.
fn said(part: &Value) -> Option<String> {
    let answer = &part["functionResponse"]["response"];
    match part["text"].as_str() {
        Some(text) => Some(text.to_owned()),
        None if part["type"] == "tool_result" => Some(text_of(&part["content"])),
        None => answer.is_object().then(|| answer.to_string()),
    }
}

/// The whole prompt and the last message's text.
pub(crate) fn prompt(messages: &Value, content: &str) -> Option<(String, String)> {
    let texts: Vec<String> = messages.as_array()?.iter().map(|message| text_of(&message[content])).collect();
    let last = texts.last()?.clone();
    Some((texts.join("\n"), last))
}

/// A frame with data only.
pub(crate) fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// A frame with a name and data.
pub(crate) fn event(name: &str, value: &Value) -> String {
    format!("event: {name}\ndata: {value}\n\n")
}
