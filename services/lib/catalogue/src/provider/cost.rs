//! What a provider costs. Money is whole millionths of a US dollar; there is no float.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Provider;

use model::integration::Integration;
pub use model::price::{TokenPrice, TokensUsed};

/// What a provider costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderCost)]
pub struct Cost {
    /// What is paid for.
    #[serde(default)]
    pub model: CostModel,
    /// Its plans, cheapest first.
    #[serde(default)]
    pub plans: Vec<Plan>,
    /// The plan that new accounts have.
    #[serde(default)]
    pub default_plan: Option<String>,
    /// What one request costs, in millionths of a dollar.
    #[serde(default)]
    pub per_request_micros: u64,
    /// Where answers say how many tokens were used.
    #[serde(default)]
    pub tokens: Option<TokenFields>,
    /// JSON pointer of the money that an answer itself names, in dollars as a decimal number.
    #[serde(default)]
    pub reported: Option<String>,
    /// Where the prices are from.
    #[serde(default)]
    pub source: Option<String>,
    /// As of when, as `YYYY-MM-DD`. The version of the prices: a cost entry names it.
    #[serde(default)]
    pub as_of: Option<String>,
    /// Prices per model.
    #[serde(default)]
    pub prices: Vec<TokenPrice>,
}

/// What is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderCostModel)]
pub enum CostModel {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Nothing.
    Free,
    /// A plan by the month.
    Plan,
    /// Tokens.
    PerToken,
    /// What each answer says.
    Reported,
}

/// A plan by the month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderPlan)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Its price for a month, in millionths of a dollar. Absent: not known.
    #[serde(default)]
    pub per_month_micros: Option<u64>,
    /// What to know about it.
    #[serde(default)]
    pub note: Option<String>,
}

/// Where an answer says how many tokens were used: JSON pointers whose numbers are added; a missing one is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderTokenFields)]
pub struct TokenFields {
    /// Tokens of the question.
    pub input: Vec<String>,
    /// Whether these include those read from a cache and written to it.
    pub input_includes_cached: bool,
    /// Tokens read from a cache.
    #[serde(default)]
    pub cached_read: Vec<String>,
    /// Tokens written to a cache.
    #[serde(default)]
    pub cache_write: Vec<String>,
    /// Those among them that are kept for an hour.
    #[serde(default)]
    pub cache_write_1h: Vec<String>,
    /// Tokens of the answer that are paid for, thoughts included.
    pub output: Vec<String>,
    /// Thoughts among them.
    #[serde(default)]
    pub reasoning: Vec<String>,
}

impl Provider {
    /// What one request of an integration costs before its tokens, in millionths of a dollar: by its own word, else by the
    /// catalogue's.
    pub fn request_micros(&self, it: &Integration) -> u64 {
        match it.cost.per_request_micros {
            0 => self.cost.per_request_micros,
            own => own,
        }
    }

    /// A model's prices: by its exact name, else by its name without a date or `-latest` at its end.
    /// `None` is an unknown cost, never none.
    pub fn price_of(&self, model: &str) -> Option<&TokenPrice> {
        TokenPrice::find(&self.cost.prices, model)
    }
}
