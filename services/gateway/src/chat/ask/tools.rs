//! The tools of a request, and which of them must be used.

use serde_json::{Value, json};

use super::{flag, list, object, only, text};
use crate::chat::Refused;

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// A JSON schema of an object.
    pub(crate) parameters: Value,
    /// Whether calls must fit the schema.
    pub(crate) strict: bool,
}

/// Which tools must be used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    /// As the model likes.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

pub(super) fn read(value: &Value) -> Result<Vec<Tool>, Refused> {
    list("tools", value)?.iter().enumerate().map(|(i, given)| tool(&format!("tools[{i}]"), given)).collect()
}

fn tool(at: &str, given: &Value) -> Result<Tool, Refused> {
    if given["type"] != "function" {
        return Err(Refused::at(format!("{at}.type"), "only functions can be translated"));
    }
    let at = format!("{at}.function");
    let function = object(&at, &given["function"])?;
    only(&at, function, &["name", "description", "parameters", "strict"])?;
    let place = format!("{at}.parameters");
    let parameters = match &given["function"]["parameters"] {
        Value::Null => json!({ "type": "object", "properties": {} }),
        schema => Value::Object(object(&place, schema)?.clone()),
    };
    let optional = |name: &str| function.get(name).filter(|value| !value.is_null());
    let place = |name: &str| format!("{at}.{name}");
    Ok(Tool {
        name: text(&place("name"), &given["function"]["name"])?,
        description: optional("description").map(|it| text(&place("description"), it)).transpose()?,
        parameters,
        strict: optional("strict").map_or(Ok(false), |it| flag(&place("strict"), it))?,
    })
}

pub(super) fn choice(value: &Value) -> Result<Choice, Refused> {
    match (value.as_str(), value["type"].as_str()) {
        (Some("auto"), _) => Ok(Choice::Auto),
        (Some("none"), _) => Ok(Choice::None),
        (Some("required"), _) => Ok(Choice::Required),
        (_, Some("function")) => {
            Ok(Choice::Named(text("tool_choice.function.name", &value["function"]["name"])?))
        }
        _ => Err(Refused::at("tool_choice", "must be `auto`, `none`, `required` or a function")),
    }
}
