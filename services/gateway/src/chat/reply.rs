//! An answer to a chat, whoever gave it: read from its provider's words, written in OpenAI's or in the canonical ones.

mod read;

use serde_json::{Value, json};

use catalogue::{ChatAnswer, ChatUsage, Provider, TokenPrice, ToolCall};

/// Why an answer ended. Its words are OpenAI's.
pub(crate) use catalogue::FinishReason as Finish;
pub(crate) use read::{finish_of, gemini_parts, read, usage_of};

/// How ids of calls begin that the provider did not name.
pub(crate) const OWN_CALL_ID: &str = "call_sb_";

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) calls: Vec<Called>,
    pub(crate) finish: Finish,
    pub(crate) usage: Usage,
}

/// A tool that the model wants to be called.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Called {
    pub(crate) id: String,
    pub(crate) name: String,
    /// JSON, as the provider wrote it.
    pub(crate) arguments: String,
    /// What Google wants to see again with the call.
    pub(crate) signature: Option<String>,
}

/// Tokens. Of the question: `input` holds those read from and written to a cache too. Of the answer: `output` holds
/// those of thought too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) cache_write: u64,
    /// Those among them that are kept for an hour.
    pub(crate) cache_write_1h: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
    /// What the answer itself says that it cost, in millionths of a dollar.
    pub(crate) said_micros: Option<u64>,
}

/// Who is answered, and what about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// The model, by the caller's name.
    pub(crate) model: String,
    /// When it was asked, in seconds since 1970.
    pub(crate) created: i64,
    /// Whether a stream ends with its use.
    pub(crate) include_usage: bool,
}

// === impl Usage ===

impl Usage {
    /// In OpenAI's words.
    pub(crate) fn to_openai(self) -> Value {
        json!({
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input.saturating_add(self.output),
            "prompt_tokens_details": { "cached_tokens": self.cached, "cache_write_tokens": self.cache_write },
            "completion_tokens_details": { "reasoning_tokens": self.reasoning },
        })
    }
}

// === impl Called ===

impl Called {
    /// In OpenAI's words. What belongs to Google alone stands where Google's own way has it.
    pub(crate) fn to_openai(&self) -> Value {
        let function = json!({ "name": self.name, "arguments": self.arguments });
        let mut written = json!({ "id": self.id, "type": "function", "function": function });
        if let Some(signature) = &self.signature {
            written["extra_content"] = json!({ "google": { "thought_signature": signature } });
        }
        written
    }
}

// === impl Reply ===

impl Reply {
    /// As OpenAI's `chat.completion`.
    pub(crate) fn to_openai(&self, words: &Words) -> Value {
        let content = if self.text.is_empty() && !self.calls.is_empty() {
            Value::Null
        } else {
            self.text.as_str().into()
        };
        let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
        if !self.calls.is_empty() {
            message["tool_calls"] = self.calls.iter().map(Called::to_openai).collect();
        }
        json!({
            "id": self.id, "object": "chat.completion", "created": words.created, "model": words.model,
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": self.finish }],
            "usage": self.usage.to_openai(),
        })
    }

    /// As the canonical document of `schemas/operations/chat.json`. `price` is that of the provider's model.
    pub(crate) fn to_canonical(
        &self,
        words: &Words,
        provider: &Provider,
        price: Option<&TokenPrice>,
    ) -> ChatAnswer {
        let usage = self.usage;
        let calls = self.calls.iter().map(|call| ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        });
        ChatAnswer {
            id: self.id.clone(),
            model: words.model.clone(),
            text: self.text.clone(),
            finish_reason: self.finish,
            tool_calls: calls.collect(),
            usage: ChatUsage {
                input_tokens: usage.input,
                cached_input_tokens: usage.cached,
                cache_write_tokens: usage.cache_write,
                output_tokens: usage.output,
                reasoning_tokens: usage.reasoning,
            },
            cost_micros: super::cost::micros(price, usage),
            provider: provider.id.to_string(),
        }
    }
}
