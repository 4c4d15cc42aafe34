//! A chat completion as it is asked for in OpenAI's words, read field by field.
//!
//! Every field is known, or refused by name: a field that is not understood could be one that matters. What says nothing
//! of the answer itself (where to keep it, under which labels, how to route it) is left out.

mod messages;
mod tools;

use serde_json::{Map, Number, Value};

use super::Refused;

pub(crate) use messages::{Part, Turn};
pub(crate) use tools::{Choice, Tool};

/// A request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ask {
    /// The model, by the caller's name.
    pub(crate) model: String,
    /// What system and developer messages say, in order.
    pub(crate) system: Vec<String>,
    /// The conversation.
    pub(crate) turns: Vec<Turn>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: Option<Choice>,
    /// Whether several tools may be called at once.
    pub(crate) parallel: Option<bool>,
    pub(crate) temperature: Option<Number>,
    pub(crate) top_p: Option<Number>,
    pub(crate) presence_penalty: Option<Number>,
    pub(crate) frequency_penalty: Option<Number>,
    pub(crate) seed: Option<i64>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) stop: Vec<String>,
    pub(crate) format: Format,
    pub(crate) effort: Option<String>,
    /// Who asks, for the provider's care about abuse.
    pub(crate) user: Option<String>,
    pub(crate) stream: bool,
    /// Whether a stream ends with its use.
    pub(crate) include_usage: bool,
}

/// In which form the text of an answer is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Format {
    /// Any.
    #[default]
    Text,
    /// Some JSON object.
    Json,
    /// JSON by this schema.
    Schema(Value),
}

impl Ask {
    /// Reads a body.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refused> {
        let Value::Object(body) = super::strict::parse(bytes)? else {
            return Err(Refused { param: None, why: "the body is not an object".to_owned() });
        };
        let mut ask = Self::default();
        for (name, value) in body.iter().filter(|(_, value)| !value.is_null()) {
            ask.field(name, value)?;
        }
        if ask.model.is_empty() {
            return Err(Refused::at("model", "is required"));
        }
        if ask.turns.is_empty() {
            return Err(Refused::at("messages", "at least one message of the user is required"));
        }
        if ask.tools.is_empty() && matches!(ask.choice, Some(Choice::Required | Choice::Named(_))) {
            return Err(Refused::at("tool_choice", "there are no tools to choose from"));
        }
        Ok(ask)
    }

    fn field(&mut self, name: &str, value: &Value) -> Result<(), Refused> {
        match name {
            "model" => self.model = text(name, value)?,
            "messages" => (self.system, self.turns) = messages::read(value)?,
            "tools" => self.tools = tools::read(value)?,
            "tool_choice" => self.choice = Some(tools::choice(value)?),
            "parallel_tool_calls" => self.parallel = Some(flag(name, value)?),
            "temperature" => self.temperature = Some(number(name, value, 0.0, 2.0)?),
            "top_p" => self.top_p = Some(number(name, value, 0.0, 1.0)?),
            "presence_penalty" => self.presence_penalty = penalty(name, value)?,
            "frequency_penalty" => self.frequency_penalty = penalty(name, value)?,
            "seed" => {
                let seed = value.as_i64().ok_or_else(|| Refused::at(name, "must be a whole number"))?;
                self.seed = Some(seed);
            }
            "max_tokens" | "max_completion_tokens" => {
                let tokens = value.as_u64().filter(|tokens| *tokens > 0);
                let tokens = tokens.ok_or_else(|| Refused::at(name, "must be a whole number above 0"))?;
                if self.max_tokens.is_some_and(|other| other != tokens) {
                    return Err(Refused::at(name, "`max_tokens` and `max_completion_tokens` differ"));
                }
                self.max_tokens = Some(tokens);
            }
            "stop" => self.stop = stop(value)?,
            "response_format" => self.format = format(value)?,
            "reasoning_effort" => self.effort = Some(text(name, value)?),
            "user" | "safety_identifier" => self.user = Some(text(name, value)?),
            "stream" => self.stream = flag(name, value)?,
            "stream_options" => self.include_usage = stream_options(value)?,
            _ => return other(name, value),
        }
        Ok(())
    }
}

/// Fields that say nothing of the answer, and those that do so only with some values.
fn other(name: &str, value: &Value) -> Result<(), Refused> {
    let is_default = match name {
        "metadata" | "prompt_cache_key" | "prompt_cache_retention" | "prediction" => true,
        "n" => *value == 1,
        "store" | "logprobs" => *value == false,
        "service_tier" => *value == "auto" || *value == "default",
        "verbosity" => *value == "medium",
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        "modalities" => *value == serde_json::json!(["text"]),
        _ => {
            return Err(Refused::at(name, "this field is not known, or has no counterpart at this provider"));
        }
    };
    if is_default { Ok(()) } else { Err(Refused::at(name, "this value has no counterpart at this provider")) }
}

fn stop(value: &Value) -> Result<Vec<String>, Refused> {
    match value {
        Value::String(one) => Ok(vec![one.clone()]),
        Value::Array(all) => {
            all.iter().enumerate().map(|(i, one)| text(&format!("stop[{i}]"), one)).collect()
        }
        _ => Err(Refused::at("stop", "must be a text or a list of texts")),
    }
}

fn format(value: &Value) -> Result<Format, Refused> {
    match value["type"].as_str() {
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(Format::Json),
        Some("json_schema") => {
            let schema = &value["json_schema"]["schema"];
            if !schema.is_object() {
                return Err(Refused::at("response_format.json_schema.schema", "must be an object"));
            }
            Ok(Format::Schema(schema.clone()))
        }
        _ => Err(Refused::at("response_format.type", "must be `text`, `json_object` or `json_schema`")),
    }
}

fn stream_options(value: &Value) -> Result<bool, Refused> {
    let options = object("stream_options", value)?;
    let mut include = false;
    for (name, value) in options {
        let at = format!("stream_options.{name}");
        match name.as_str() {
            "include_usage" => include = flag(&at, value)?,
            // Padding against the guessing of lengths: nothing of the answer.
            "include_obfuscation" => drop(flag(&at, value)?),
            _ => return Err(Refused::at(at, "this field is not known")),
        }
    }
    Ok(include)
}

fn penalty(at: &str, value: &Value) -> Result<Option<Number>, Refused> {
    let given = number(at, value, -2.0, 2.0)?;
    Ok((given.as_f64() != Some(0.0)).then_some(given))
}

fn number(at: &str, value: &Value, min: f64, max: f64) -> Result<Number, Refused> {
    let given = value.as_number().filter(|given| given.as_f64().is_some_and(|f| (min..=max).contains(&f)));
    given.cloned().ok_or_else(|| Refused::at(at, format!("must be a number from {min} to {max}")))
}

fn flag(at: &str, value: &Value) -> Result<bool, Refused> {
    value.as_bool().ok_or_else(|| Refused::at(at, "must be true or false"))
}

fn text(at: &str, value: &Value) -> Result<String, Refused> {
    value.as_str().map(str::to_owned).ok_or_else(|| Refused::at(at, "must be a text"))
}

fn object<'v>(at: &str, value: &'v Value) -> Result<&'v Map<String, Value>, Refused> {
    value.as_object().ok_or_else(|| Refused::at(at, "must be an object"))
}

fn list<'v>(at: &str, value: &'v Value) -> Result<&'v [Value], Refused> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| Refused::at(at, "must be a list"))
}

/// Refuses fields of an object that are not among `known`.
fn only(at: &str, object: &Map<String, Value>, known: &[&str]) -> Result<(), Refused> {
    match object.iter().find(|(name, value)| !value.is_null() && !known.contains(&name.as_str())) {
        Some((name, _)) => Err(Refused::at(format!("{at}.{name}"), "this field is not known")),
        None => Ok(()),
    }
}
