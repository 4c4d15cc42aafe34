//! Prices: what tokens cost, and what a plan includes. Money is whole millionths of a US dollar; there is no float.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Prices of tokens are for so many.
const PER_TOKENS: u128 = 1_000_000;
/// The dearest request that anybody asks for, in millionths of a dollar: 1,000 dollars.
pub const REQUEST_MICROS_MAX: u64 = 1_000_000_000;
/// The dearest million tokens: 10,000 dollars.
pub const TOKENS_MICROS_MAX: u64 = 10_000_000_000;
/// The dearest plan: 10 million dollars a month.
pub const PLAN_MICROS_MAX: u64 = 10_000_000_000_000;

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

/// What is paid for by the month, and what that includes. Months are those of UTC. Calls and tokens beyond cost what they
/// cost without a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IntegrationPlan)]
pub struct Plan {
    /// The price of a month, in millionths of a dollar.
    pub per_month_micros: u64,
    /// Requests of a month that are included. Absent: none is counted, each costs `per_request_micros`.
    #[serde(default)]
    pub included_requests: Option<u64>,
    /// Tokens of a month, of questions and answers, that are included. Absent: all are paid for.
    #[serde(default)]
    pub included_tokens: Option<u64>,
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

    /// The prices of a model among these: by its exact name, else by its name without a date or `-latest` at its end.
    /// `None` is an unknown cost, never none.
    pub fn find<'p>(prices: &'p [Self], model: &str) -> Option<&'p Self> {
        let model = model.strip_prefix("models/").unwrap_or(model);
        if let Some(exact) = prices.iter().find(|price| price.model == model) {
            return Some(exact);
        }
        let dated =
            prices.iter().filter(|p| model.strip_prefix(p.model.as_str()).is_some_and(is_date_suffix));
        dated.max_by_key(|price| price.model.len())
    }

    /// What is wrong with these prices: the member, and why.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        if self.model.is_empty() || self.model.len() > 200 {
            return Some(("model", "must have 1 to 200 characters".to_owned()));
        }
        let prices = [
            ("input", Some(self.input)),
            ("output", Some(self.output)),
            ("cached_read", self.cached_read),
            ("cache_write", self.cache_write),
            ("cache_write_1h", self.cache_write_1h),
            ("long_input", self.long_input),
            ("long_output", self.long_output),
        ];
        let dear = prices.into_iter().find(|(_, price)| price.is_some_and(|price| price > TOKENS_MICROS_MAX));
        if let Some((name, _)) = dear {
            return Some((
                name,
                format!("must be at most {TOKENS_MICROS_MAX}: millionths of a dollar for a million tokens"),
            ));
        }
        let is_long = self.long_input.is_some() || self.long_output.is_some();
        match self.long_above_tokens {
            None if is_long => Some(("long_above_tokens", "must say from how many tokens on".to_owned())),
            Some(0) => Some(("long_above_tokens", "must be at least 1".to_owned())),
            _ => None,
        }
    }
}

/// Whether a name's end is `-2024-08-06`, `-20240806`, `-001` or `-latest`.
fn is_date_suffix(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('-') else { return false };
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    rest == "latest" || (matches!(digits, 3 | 4 | 8) && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
}
