//! Reads a provider's events into pieces of an answer, which are the same for all dialects.

use serde_json::{Map, Value};

use crate::chat::Dialect;
use crate::chat::fault::{self, Fault};
use crate::chat::reply::{Called, Finish, Usage, finish_of, gemini_parts, usage_of};

/// Tool calls of one answer. Further ones are not followed.
const CALLS_MAX: usize = 256;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// It begins, under this id.
    Start(String),
    /// More text; never empty.
    Text(String),
    /// A tool is to be called.
    Call {
        /// Which of the calls.
        index: usize,
        /// Its arguments as far as they are known.
        call: Called,
    },
    /// More of a call's arguments.
    Arguments {
        /// Which of the calls.
        index: usize,
        /// More JSON.
        text: String,
    },
    /// The tokens used so far.
    Usage(Usage),
    /// Why it ended.
    Finish(Finish),
    /// It is at its end.
    Done,
    /// Trouble.
    Fault(Fault),
}

/// What must be remembered between events.
pub(crate) struct Pieces {
    dialect: Dialect,
    id: Option<String>,
    calls: usize,
    /// What was said of tokens so far, field by field.
    usage: Map<String, Value>,
    /// The block of a call under way: its place among the blocks, and what it began with until arguments come.
    block: Option<(u64, Option<String>)>,
}

// === impl Pieces ===

impl Pieces {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, id: None, calls: 0, usage: Map::new(), block: None }
    }

    /// The pieces of an event.
    pub(crate) fn of(&mut self, data: &str) -> Vec<Piece> {
        if self.dialect == Dialect::Openai && data.trim() == "[DONE]" {
            return vec![Piece::Done];
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else {
            return vec![Piece::Fault(Fault::broken("the provider sent an event that cannot be read"))];
        };
        if let Some(fault) = fault::read(self.dialect, &event, None) {
            return vec![Piece::Fault(fault)];
        }
        match self.dialect {
            Dialect::Openai => self.openai(&event),
            Dialect::Anthropic => self.anthropic(&event),
            Dialect::Gemini => self.gemini(&event),
        }
    }

    /// As far as it must be known whether an answer began: these streams are not translated.
    fn openai(&mut self, event: &Value) -> Vec<Piece> {
        let choice = &event["choices"][0];
        let delta = &choice["delta"];
        let says = |field: &str| delta[field].as_str().filter(|text| !text.is_empty());
        let mut pieces = Vec::new();
        pieces.extend(says("content").or_else(|| says("refusal")).map(|text| Piece::Text(text.to_owned())));
        if delta["tool_calls"].is_array() {
            pieces.push(Piece::Call { index: 0, call: Called::default() });
        }
        let finish = choice["finish_reason"].as_str();
        pieces.extend(finish.map(|reason| Piece::Finish(finish_of(self.dialect, reason, false))));
        pieces
    }

    fn anthropic(&mut self, event: &Value) -> Vec<Piece> {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let index = event["index"].as_u64().unwrap_or_default();
        match event["type"].as_str() {
            Some("message_start") => {
                let id = event["message"]["id"].as_str().unwrap_or_default().to_owned();
                vec![Piece::Start(id), self.used(&event["message"]["usage"])]
            }
            Some("content_block_start") => {
                let block = &event["content_block"];
                match block["type"].as_str() {
                    Some("text") => text(&block["text"]).map(Piece::Text).into_iter().collect(),
                    Some("tool_use") if self.calls < CALLS_MAX => {
                        self.block = Some((index, Some(block["input"].to_string())));
                        self.calls += 1;
                        let name = |field: &str| block[field].as_str().unwrap_or_default().to_owned();
                        let call = Called { id: name("id"), name: name("name"), ..Called::default() };
                        vec![Piece::Call { index: self.calls - 1, call }]
                    }
                    _ => Vec::new(),
                }
            }
            Some("content_block_delta") => {
                let delta = &event["delta"];
                match (delta["type"].as_str(), &mut self.block) {
                    (Some("text_delta"), _) => text(&delta["text"]).map(Piece::Text).into_iter().collect(),
                    (Some("input_json_delta"), Some((block, whole))) if *block == index => {
                        let more = text(&delta["partial_json"]);
                        if more.is_some() {
                            *whole = None;
                        }
                        let at = self.calls - 1;
                        more.map(|text| Piece::Arguments { index: at, text }).into_iter().collect()
                    }
                    _ => Vec::new(),
                }
            }
            Some("content_block_stop") => match self.block.take_if(|(block, _)| *block == index) {
                // Nothing came after what it began with: that is all.
                Some((_, Some(text))) => vec![Piece::Arguments { index: self.calls - 1, text }],
                _ => Vec::new(),
            },
            Some("message_delta") => {
                let reason = event["delta"]["stop_reason"].as_str();
                let finish = reason.map(|reason| Piece::Finish(finish_of(self.dialect, reason, false)));
                [self.used(&event["usage"])].into_iter().chain(finish).collect()
            }
            Some("message_stop") => vec![Piece::Done],
            _ => Vec::new(),
        }
    }

    fn gemini(&mut self, event: &Value) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let id = self.id.get_or_insert_with(|| {
            let id = event["responseId"].as_str().unwrap_or_default().to_owned();
            pieces.push(Piece::Start(id.clone()));
            id
        });
        let usage = &event["usageMetadata"];
        if usage.is_object() {
            pieces.push(Piece::Usage(usage_of(self.dialect, usage)));
        }
        let candidate = &event["candidates"][0];
        let (text, calls) = gemini_parts(candidate, id, self.calls);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        for call in calls.into_iter().take(CALLS_MAX - self.calls.min(CALLS_MAX)) {
            pieces.push(Piece::Call { index: self.calls, call });
            self.calls += 1;
        }
        if let Some(reason) = candidate["finishReason"].as_str() {
            pieces.push(Piece::Finish(finish_of(self.dialect, reason, self.calls > 0)));
        } else if candidate.is_null() && event["promptFeedback"]["blockReason"].is_string() {
            pieces.push(Piece::Finish(Finish::ContentFilter));
        }
        pieces
    }

    /// The output is the sum so far; the input may be said again, and is kept where it is not.
    fn used(&mut self, usage: &Value) -> Piece {
        let said = usage.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        self.usage.extend(said.map(|(name, value)| (name.clone(), value.clone())));
        Piece::Usage(usage_of(self.dialect, &Value::Object(self.usage.clone())))
    }
}
