//! The canonical answer to a chat: what every provider's becomes. `schemas/operations/chat.json` is made from here.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The schema's `$id`.
pub const CHAT_SCHEMA_ID: &str = "https://signalbox.invalid/schemas/operations/chat.json";

/// An answer to a chat. It is asked for with the body of OpenAI's chat completions, without `stream`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Chat")]
pub struct ChatAnswer {
    /// The provider's own name of the answer.
    pub id: String,
    /// The model, by the name that was asked for.
    pub model: String,
    /// What was said; empty where only tools are to be called.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The tools that are to be called, in order. Absent when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Tokens.
    pub usage: ChatUsage,
    /// What it cost, in millionths of a US dollar. Null when the model's price is not known.
    pub cost_micros: Option<u64>,
    /// The provider that answered, as the catalogue names it; `custom` for one that it does not know.
    pub provider: String,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was all said.
    #[default]
    Stop,
    /// It reached the most that it could say.
    Length,
    /// Tools are to be called.
    ToolCalls,
    /// It may not be said.
    ContentFilter,
}

/// A tool that is to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// The call's name, by which its result is told.
    pub id: String,
    /// The function.
    pub name: String,
    /// Its arguments: a JSON object as a text.
    pub arguments: String,
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatUsage {
    /// Of the question, all of them.
    pub input_tokens: u64,
    /// Those among them that were read from a cache.
    pub cached_input_tokens: u64,
    /// Those among them that were written to a cache.
    pub cache_write_tokens: u64,
    /// Of the answer, all of them.
    pub output_tokens: u64,
    /// Those among them that were thought and not said.
    pub reasoning_tokens: u64,
}

/// JSON Schema (2020-12) of [`ChatAnswer`].
pub fn chat_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<ChatAnswer>();
    schema.insert("$id".to_owned(), CHAT_SCHEMA_ID.into());
    schema.to_value()
}
