//! Errors in OpenAI's words, and what an error in the middle of a stream means.

use serde_json::{Value, json};

use super::{Dialect, Refused};

/// Characters of a provider's message that are passed on.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// An error as a provider tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The status that it would have had, had the answer not begun.
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) code: Option<String>,
}

impl Fault {
    /// As OpenAI says it.
    pub(crate) fn to_openai(&self) -> Value {
        error(&self.message, &self.kind, None, self.code.as_deref())
    }

    /// The provider broke off, or says what nobody understands.
    pub(crate) fn broken(message: &str) -> Self {
        Self { status: 502, kind: "server_error".to_owned(), message: message.to_owned(), code: None }
    }
}

/// The error of a request that is not translated.
pub(crate) fn refused(refused: &Refused) -> Value {
    let message = match &refused.param {
        Some(param) => format!("{param}: {}", refused.why),
        None => refused.why.clone(),
    };
    error(&message, "invalid_request_error", refused.param.as_deref(), Some("untranslatable"))
}

/// `{"error":{…}}`.
pub(crate) fn error(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
}

/// The kind that OpenAI gives errors of a status.
pub(crate) const fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

/// An error of a provider, from the body of an answer or the data of an event. `status` is the answer's, if it is one.
pub(crate) fn read(dialect: Dialect, body: &Value, status: Option<u16>) -> Option<Fault> {
    // Some tell one error as a list of one.
    let told = body.get(0).unwrap_or(body).get("error")?;
    let message: String = match told["message"].as_str().or_else(|| told.as_str()) {
        Some(message) => message.chars().take(MESSAGE_CHARS_MAX).collect(),
        None => "the provider tells an error without a message".to_owned(),
    };
    let name = |field: &str| told[field].as_str().map(str::to_owned);
    let number = told["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let own = match dialect {
        Dialect::Anthropic => name("type").as_deref().map(anthropic_status),
        Dialect::Gemini => number,
        Dialect::Openai => number.or_else(|| openai_status(&name("code").or_else(|| name("type"))?)),
    };
    let status = status.or(own.filter(|status| (400..600).contains(status))).unwrap_or(500);
    let code = match dialect {
        Dialect::Anthropic => name("type"),
        Dialect::Gemini => name("status"),
        Dialect::Openai => name("code"),
    };
    Some(Fault { status, kind: kind(status).to_owned(), message, code })
}

fn anthropic_status(kind: &str) -> u16 {
    match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    }
}

fn openai_status(name: &str) -> Option<u16> {
    match name {
        "invalid_request_error" => Some(400),
        "invalid_api_key" => Some(401),
        "insufficient_quota" | "rate_limit_exceeded" | "rate_limit_error" | "requests" | "tokens" => {
            Some(429)
        }
        _ => None,
    }
}
