//! Where a provider answers, and what its keys consist of.

use model::auth::Auth;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Probe;

/// One of a provider's worlds: production, paper trading, a test network, a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderEnvironment)]
pub struct Environment {
    /// Its name: `production`, `testnet`, …
    pub name: String,
    /// Where it answers: `https`, without a `/` at the end.
    pub base_url: String,
    /// What it is, when the name does not say.
    #[serde(default)]
    pub note: Option<String>,
    /// How it wants to be shown a key, where that differs.
    #[serde(default)]
    #[schema(value_type = Option<Auth>)]
    pub auth: Option<Auth>,
    /// How it is asked how it is, where that differs.
    #[serde(default)]
    pub probe: Option<Probe>,
}

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderField)]
pub struct Field {
    /// Its name: `api_key`.
    pub name: String,
    /// What people read beside the input.
    pub label: String,
    /// Whether a key without it is incomplete.
    #[serde(default = "yes")]
    pub required: bool,
    /// Whether it is shown masked and kept sealed.
    #[serde(default = "yes")]
    pub secret: bool,
    /// What it usually looks like, as a regular expression. Only warns: formats change.
    #[serde(default)]
    pub pattern: Option<String>,
    /// What to know about it, in a sentence.
    #[serde(default)]
    pub help: Option<String>,
    /// What is taken when it is not given.
    #[serde(default)]
    pub default: Option<String>,
    /// Sent as this header when it is given.
    #[serde(default)]
    pub header: Option<String>,
}

impl Field {
    /// A warning when the value does not look as such values do; never holds the value.
    pub fn warn(&self, value: &str) -> Option<String> {
        let pattern = regex::Regex::new(self.pattern.as_deref()?).ok()?;
        (!pattern.is_match(value.trim_end_matches(['\r', '\n'])))
            .then(|| format!("this does not look like a usual {}: it may still be right", self.label))
    }
}

const fn yes() -> bool {
    true
}
