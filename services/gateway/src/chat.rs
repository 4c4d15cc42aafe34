//! Chat in three dialects: OpenAI's requests for whoever answers, and whoever's answers in OpenAI's words.
//!
//! Pure: bytes in, bytes out; no I/O and no clock. What a dialect has no words for is refused by the name of its field
//! and never dropped where that would change what was asked. `proxy/converse.rs` is where calls come by.

pub(crate) mod strict;

pub(crate) mod ask;
mod to_anthropic;
mod to_gemini;

pub(crate) mod reply;
pub(crate) mod sse;
pub(crate) mod stream;

pub(crate) mod cost;
pub(crate) mod fault;

pub(crate) use ask::Ask;
pub(crate) use catalogue::ChatDialect as Dialect;

/// Why a request is not translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The field, as a path in the request: `messages[0].content`. Nothing: the request as a whole.
    pub(crate) param: Option<String>,
    /// What is wrong with it.
    pub(crate) why: String,
}

impl Refused {
    pub(crate) fn at(param: impl Into<String>, why: impl Into<String>) -> Self {
        Self { param: Some(param.into()), why: why.into() }
    }
}

/// A request for a provider: its path below `/`, its query and its body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) path: String,
    pub(crate) query: Option<&'static str>,
    pub(crate) body: serde_json::Value,
}

/// Writes a request in the dialect of a provider that has another than OpenAI's.
///
/// `model` is the provider's name of it; `max_tokens` is for providers that must be told when the caller does not say.
pub(crate) fn write(
    ask: &Ask,
    dialect: Dialect,
    model: &str,
    max_tokens: u64,
) -> Result<Option<Written>, Refused> {
    match dialect {
        Dialect::Openai => Ok(None),
        Dialect::Anthropic => to_anthropic::write(ask, model, max_tokens).map(Some),
        Dialect::Gemini => to_gemini::write(ask, model).map(Some),
    }
}

#[cfg(test)]
mod tests;
