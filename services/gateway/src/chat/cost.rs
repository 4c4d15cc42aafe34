//! What an answer cost, by the catalogue's prices.
//!
//! Whole millionths of a dollar, rounded once at the end. A model without a price has no cost, which is not a cost of 0.

use catalogue::Provider;

use super::reply::Usage;

/// Prices are for so many tokens.
const PER_TOKENS: u128 = 1_000_000;

/// The cost in millionths of a dollar; nothing when it is not known.
pub(crate) fn micros(provider: &Provider, model: &str, usage: Usage) -> Option<u64> {
    if let Some(said) = usage.said_micros {
        return Some(said);
    }
    let price = provider.price_of(model)?;
    let is_long = price.long_above_tokens.is_some_and(|above| usage.input > above);
    let long = |long: Option<u64>, usual: u64| long.filter(|_| is_long).unwrap_or(usual);
    let (input, output) = (long(price.long_input, price.input), long(price.long_output, price.output));
    let write = price.cache_write.unwrap_or(input);
    let hours = usage.cache_write_1h.min(usage.cache_write);
    let fresh = usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_write);
    let parts = [
        (fresh, input),
        (usage.cached, price.cached_read.unwrap_or(input)),
        (usage.cache_write - hours, write),
        (hours, price.cache_write_1h.unwrap_or(write)),
        (usage.output, output),
    ];
    let sum: u128 = parts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(*price)).sum();
    u64::try_from((sum + PER_TOKENS / 2) / PER_TOKENS).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(provider: &str, model: &str, usage: Usage, wanted: Option<u64>) {
        let provider = catalogue::Catalogue::builtin().get(provider).expect("a provider");
        assert_eq!(micros(provider, model, usage), wanted);
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
