//! What an answer cost, by its model's prices.
//!
//! Whole millionths of a dollar. A model without a price has no cost, which is not a cost of 0.

use catalogue::{TokenPrice, TokensUsed};

use super::reply::Usage;

/// The cost in millionths of a dollar; nothing when it is not known.
pub(crate) fn micros(price: Option<&TokenPrice>, usage: Usage) -> Option<u64> {
    if let Some(said) = usage.said_micros {
        return Some(said);
    }
    price?.micros(&TokensUsed {
        question: usage.input,
        plain: usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_write),
        cached_read: usage.cached,
        cache_write: usage.cache_write,
        cache_write_1h: usage.cache_write_1h,
        output: usage.output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(provider: &str, model: &str, usage: Usage, wanted: Option<u64>) {
        let provider = catalogue::Catalogue::builtin().get(provider).expect("a provider");
        assert_eq!(micros(provider.price_of(model), usage), wanted);
    }

    #[test]
    fn every_kind_of_token_has_its_price() {
        let usage = Usage {
            input: 1_000,
            cached: 400,
            cache_write: 100,
            output: 200,
            reasoning: 50,
            ..Usage::default()
        };
        // 500 at 3, 400 at 0.3, 100 at 3.75, 200 at 15.
        check("anthropic", "claude-sonnet-4-6", usage, Some(1_500 + 120 + 375 + 3_000));
        check("anthropic", "claude-unheard-of", usage, None);
        check("openrouter", "x/y", Usage { said_micros: Some(7), ..usage }, Some(7));
    }

    #[test]
    fn a_long_question_is_dearer() {
        let usage = |input| Usage { input, output: 1_000, ..Usage::default() };
        check("google_gemini", "gemini-2.5-pro", usage(200_000), Some(250_000 + 10_000));
        check("google_gemini", "gemini-2.5-pro", usage(200_001), Some(500_003 + 15_000));
    }
}
