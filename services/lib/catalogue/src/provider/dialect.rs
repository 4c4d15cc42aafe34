//! In which dialect a provider is asked to chat: whose request and answer it reads and writes.

use model::integration::CUSTOM_PROVIDER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Provider;

/// A way of asking a language model and of being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderChatDialect)]
pub enum ChatDialect {
    /// OpenAI's chat completions: `POST …/v1/chat/completions`.
    Openai,
    /// Anthropic's messages: `POST …/v1/messages`.
    Anthropic,
    /// Google's `POST …/v1beta/models/{model}:generateContent`.
    Gemini,
}

impl ChatDialect {
    /// A dialect by its name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "openai" => Some(Self::Openai),
            "anthropic" => Some(Self::Anthropic),
            "gemini" => Some(Self::Gemini),
            _ => None,
        }
    }
}

impl Provider {
    /// The dialect of an integration: the provider's, and for a custom one what it says of itself.
    pub fn chat_dialect(&self, own: Option<&str>) -> Option<ChatDialect> {
        let may_say = self.id.as_str() == CUSTOM_PROVIDER;
        self.dialect.or_else(|| own.filter(|_| may_say).and_then(ChatDialect::named))
    }
}
