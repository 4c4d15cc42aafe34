//! The messages of a request: who says what, which tools were called, and what these said.

use serde_json::Value;

use super::{list, object, only, text};
use crate::chat::Refused;

/// One turn of a conversation. System and developer messages are no turns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Turn {
    /// The user's.
    User(Vec<Part>),
    /// The model's own, from before.
    Assistant {
        /// What it said.
        text: Vec<String>,
        /// The tools that it called.
        calls: Vec<Call>,
    },
    /// What a tool said.
    Tool {
        /// The call that it answers.
        call: String,
        /// The function that was called.
        name: String,
        /// Its answer.
        parts: Vec<Part>,
    },
}

/// A part of a message. Each knows where it stood, for who has no words for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// Text.
    Text(String),
    /// An image or a document, in base64.
    Data {
        /// Its media type.
        media_type: String,
        /// Its bytes.
        base64: String,
        /// Where it stood.
        at: String,
    },
    /// An image somewhere else.
    Url {
        /// Where it is.
        url: String,
        /// Where it stood.
        at: String,
    },
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    /// An object.
    pub(crate) arguments: Value,
    /// What Google wants to see again with a call of its own models.
    pub(crate) signature: Option<String>,
}

/// Reads all messages: what the system says, and the turns.
pub(super) fn read(value: &Value) -> Result<(Vec<String>, Vec<Turn>), Refused> {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for (i, message) in list("messages", value)?.iter().enumerate() {
        let at = format!("messages[{i}]");
        let fields = object(&at, message)?;
        let content = format!("{at}.content");
        match message["role"].as_str() {
            Some("system" | "developer") => {
                only(&at, fields, &["role", "content"])?;
                system.extend(texts(&content, &message["content"])?);
            }
            Some("user") => {
                only(&at, fields, &["role", "content"])?;
                turns.push(Turn::User(parts(&content, &message["content"])?));
            }
            Some("assistant") => {
                only(&at, fields, &["role", "content", "refusal", "tool_calls", "annotations"])?;
                turns.push(assistant(&at, message)?);
            }
            Some("tool") => {
                only(&at, fields, &["role", "content", "tool_call_id"])?;
                let place = format!("{at}.tool_call_id");
                let call = text(&place, &message["tool_call_id"])?;
                let name = called(&turns, &call)
                    .ok_or_else(|| Refused::at(place, "no message before it has a tool call of this id"))?;
                turns.push(Turn::Tool { call, name, parts: parts(&content, &message["content"])? });
            }
            _ => {
                let known = "must be `system`, `developer`, `user`, `assistant` or `tool`";
                return Err(Refused::at(format!("{at}.role"), known));
            }
        }
    }
    Ok((system, turns))
}

/// The function of an earlier call.
fn called(turns: &[Turn], id: &str) -> Option<String> {
    turns.iter().rev().find_map(|turn| match turn {
        Turn::Assistant { calls, .. } => {
            calls.iter().find(|call| call.id == id).map(|call| call.name.clone())
        }
        _ => None,
    })
}

fn assistant(at: &str, message: &Value) -> Result<Turn, Refused> {
    let mut text = match &message["content"] {
        Value::Null => Vec::new(),
        content => texts(&format!("{at}.content"), content)?,
    };
    text.extend(message["refusal"].as_str().map(str::to_owned));
    let calls = match &message["tool_calls"] {
        Value::Null => Vec::new(),
        calls => {
            let at = format!("{at}.tool_calls");
            let calls = list(&at, calls)?.iter().enumerate();
            calls.map(|(i, given)| call(&format!("{at}[{i}]"), given)).collect::<Result<_, _>>()?
        }
    };
    Ok(Turn::Assistant { text, calls })
}

fn call(at: &str, given: &Value) -> Result<Call, Refused> {
    if given["type"].as_str().is_some_and(|kind| kind != "function") {
        return Err(Refused::at(format!("{at}.type"), "only calls of functions can be translated"));
    }
    let place = format!("{at}.function.arguments");
    let arguments = text(&place, &given["function"]["arguments"])?;
    let arguments = if arguments.trim().is_empty() { "{}" } else { &arguments };
    let arguments: Value = crate::chat::strict::parse(arguments.as_bytes())
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Refused::at(place, "must be an object, as JSON in a text"))?;
    Ok(Call {
        id: text(&format!("{at}.id"), &given["id"])?,
        name: text(&format!("{at}.function.name"), &given["function"]["name"])?,
        arguments,
        signature: given["extra_content"]["google"]["thought_signature"].as_str().map(str::to_owned),
    })
}

/// A text, or parts that are texts.
fn texts(at: &str, content: &Value) -> Result<Vec<String>, Refused> {
    if let Value::String(text) = content {
        return Ok(vec![text.clone()]);
    }
    let parts = list(at, content).map_err(|_| Refused::at(at, "must be a text or a list of parts"))?;
    let one = |(i, part): (usize, &Value)| match part["type"].as_str() {
        Some("text") => text(&format!("{at}[{i}].text"), &part["text"]),
        Some("refusal") => text(&format!("{at}[{i}].refusal"), &part["refusal"]),
        _ => Err(Refused::at(format!("{at}[{i}].type"), "only texts can stand here")),
    };
    parts.iter().enumerate().map(one).collect()
}

fn parts(at: &str, content: &Value) -> Result<Vec<Part>, Refused> {
    if let Value::String(text) = content {
        return Ok(vec![Part::Text(text.clone())]);
    }
    let parts = list(at, content).map_err(|_| Refused::at(at, "must be a text or a list of parts"))?;
    parts.iter().enumerate().map(|(i, given)| part(&format!("{at}[{i}]"), given)).collect()
}

fn part(at: &str, given: &Value) -> Result<Part, Refused> {
    match given["type"].as_str() {
        Some("text") => Ok(Part::Text(text(&format!("{at}.text"), &given["text"])?)),
        Some("image_url") => {
            let at = format!("{at}.image_url");
            let url = text(&format!("{at}.url"), &given["image_url"]["url"])?;
            match url.starts_with("data:") {
                true => data(&at, &url),
                false if url.starts_with("https://") || url.starts_with("http://") => {
                    Ok(Part::Url { url, at })
                }
                false => Err(Refused::at(at, "must be a `data:` or `https:` address")),
            }
        }
        Some("file") => {
            let at = format!("{at}.file");
            match given["file"]["file_data"].as_str() {
                Some(url) => data(&at, url),
                None => Err(Refused::at(at, "only files with `file_data` can be translated")),
            }
        }
        _ => Err(Refused::at(format!("{at}.type"), "only `text`, `image_url` and `file` can be translated")),
    }
}

/// `data:<media type>;base64,<bytes>`.
fn data(at: &str, url: &str) -> Result<Part, Refused> {
    let found = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let is_base64 = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    };
    match found {
        Some((media_type, base64)) if media_type.contains('/') && is_base64(base64) => Ok(Part::Data {
            media_type: media_type.split(';').next().unwrap_or_default().to_ascii_lowercase(),
            base64: base64.to_owned(),
            at: at.to_owned(),
        }),
        _ => Err(Refused::at(at, "must be `data:<media type>;base64,<bytes>`")),
    }
}
