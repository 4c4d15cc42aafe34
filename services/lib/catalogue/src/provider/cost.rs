//! What a provider costs. Money is whole millionths of a US dollar; there is no float.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Provider;

/// Prices of tokens are for so many.
const PER_TOKENS: u128 = 1_000_000;

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

/// A model's prices, in millionths of a dollar for a million tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderTokenPrice)]
pub struct TokenPrice {
    /// The model's name, without a date at its end.
    pub model: String,
    /// Question.
    pub input: u64,
    /// Answer.
    pub output: u64,
    /// Read from a cache. Absent: as `input`.
    #[serde(default)]
    pub cached_read: Option<u64>,
    /// Written to a cache. Absent: as `input`.
    #[serde(default)]
    pub cache_write: Option<u64>,
    /// Written to a cache for an hour. Absent: as `cache_write`.
    #[serde(default)]
    pub cache_write_1h: Option<u64>,
    /// Tokens of the question above which the long prices hold for the whole call.
    #[serde(default)]
    pub long_above_tokens: Option<u64>,
    /// Question, when it is long.
    #[serde(default)]
    pub long_input: Option<u64>,
    /// Answer, when the question is long.
    #[serde(default)]
    pub long_output: Option<u64>,
    /// The day on which the model ends, as `YYYY-MM-DD`.
    #[serde(default)]
    pub ends: Option<String>,
}

/// The tokens of one call, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokensUsed {
    /// All of the question, as it is compared with `long_above_tokens`.
    pub question: u64,
    /// Those of it that were neither read from a cache nor written to one.
    pub plain: u64,
    /// Read from a cache.
    pub cached_read: u64,
    /// Written to a cache.
    pub cache_write: u64,
    /// Those among them that are kept for an hour; more than `cache_write` counts as that.
    pub cache_write_1h: u64,
    /// Tokens of the answer that are paid for.
    pub output: u64,
}

impl TokenPrice {
    /// What a call costs, in millionths of a dollar: summed exactly, rounded half up once. `None` beyond what fits.
    pub fn micros(&self, used: &TokensUsed) -> Option<u64> {
        let is_long = self.long_above_tokens.is_some_and(|above| used.question > above);
        let long = |long: Option<u64>, usual: u64| long.filter(|_| is_long).unwrap_or(usual);
        let input = long(self.long_input, self.input);
        let write = self.cache_write.unwrap_or(input);
        let hour = used.cache_write_1h.min(used.cache_write);
        let parts = [
            (used.plain, input),
            (used.cached_read, self.cached_read.unwrap_or(input)),
            (used.cache_write - hour, write),
            (hour, self.cache_write_1h.unwrap_or(write)),
            (used.output, long(self.long_output, self.output)),
        ];
        let cost = |(tokens, price): &(u64, u64)| u128::from(*tokens) * u128::from(*price);
        let sum = parts.iter().map(cost).fold(0_u128, u128::saturating_add);
        u64::try_from(sum.saturating_add(PER_TOKENS / 2) / PER_TOKENS).ok()
    }
}

impl Provider {
    /// A model's prices: by its exact name, else by its name without a date or `-latest` at its end.
    /// `None` is an unknown cost, never none.
    pub fn price_of(&self, model: &str) -> Option<&TokenPrice> {
        let model = model.strip_prefix("models/").unwrap_or(model);
        let prices = &self.cost.prices;
        if let Some(exact) = prices.iter().find(|p| p.model == model) {
            return Some(exact);
        }
        let dated =
            prices.iter().filter(|p| model.strip_prefix(p.model.as_str()).is_some_and(is_date_suffix));
        dated.max_by_key(|p| p.model.len())
    }
}

/// Whether a name's end is `-2024-08-06`, `-20240806`, `-001` or `-latest`.
fn is_date_suffix(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('-') else { return false };
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    rest == "latest" || (matches!(digits, 3 | 4 | 8) && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
}
