//! What an answer's headers say of the provider's limits.

use std::time::Duration;

use model::Timestamp;

use crate::{Answer, Provider, ResetUnit, UsageHeaders, wait};

/// What one answer says of one limit. Non-positive limits say nothing: some providers send 0 or -1 for "unknown".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint<'a> {
    /// Which limit: the name in the provider's `usage_headers`.
    pub name: &'a str,
    /// What is used.
    pub used: Option<u64>,
    /// What is left.
    pub remaining: Option<u64>,
    /// The limit.
    pub limit: Option<u64>,
    /// How long until the window begins again, at most [`crate::RETRY_AFTER_MAX`].
    pub reset_after: Option<Duration>,
}

/// Reads all usage headers that an answer has. Absolute times are measured by the answer's own `Date`.
pub fn hints<'a>(provider: &'a Provider, answer: &Answer<'_>) -> Vec<Hint<'a>> {
    provider.usage_headers.iter().filter_map(|headers| hint(headers, answer)).collect()
}

fn hint<'a>(headers: &'a UsageHeaders, answer: &Answer<'_>) -> Option<Hint<'a>> {
    let number = |name: &Option<String>| answer.header(name.as_deref()?)?.trim().parse::<u64>().ok();
    let reset = headers.reset.as_deref().and_then(|name| answer.header(name));
    let hint = Hint {
        name: &headers.name,
        used: number(&headers.used),
        remaining: number(&headers.remaining),
        limit: number(&headers.limit).filter(|limit| *limit > 0),
        reset_after: reset
            .zip(headers.reset_unit)
            .and_then(|(text, unit)| reset_after(text.trim(), unit, answer.date())),
    };
    let said = hint.used.is_some() || hint.remaining.is_some() || hint.limit.is_some();
    (said || hint.reset_after.is_some()).then_some(hint)
}

fn reset_after(text: &str, unit: ResetUnit, date: Option<Timestamp>) -> Option<Duration> {
    let wait = match unit {
        ResetUnit::Secs => wait::seconds(text)?,
        ResetUnit::Millis => Duration::from_millis(text.parse().ok()?),
        ResetUnit::EpochSecs => wait::until_epoch_secs(text, date?)?,
        ResetUnit::EpochMillis => Timestamp::from_millis(text.parse().ok()?).since(date?),
        ResetUnit::Duration => wait::go_duration(text)?,
        ResetUnit::Rfc3339 => Timestamp::parse(text).ok()?.since(date?),
    };
    Some(wait.min(wait::RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalogue;

    #[track_caller]
    fn check(provider: &str, headers: &[(&str, &str)], wanted: &[(&str, Option<u64>, Option<u64>)]) {
        let provider = Catalogue::builtin().get(provider).expect("a provider of the catalogue");
        let answer = Answer { status: 200, headers, body: b"" };
        let found = hints(provider, &answer);
        let found: Vec<_> = found
            .iter()
            .map(|h| (h.name, h.remaining.or(h.used), h.reset_after.map(|d| d.as_secs())))
            .collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn each_dialect_is_read() {
        check(
            "openai",
            &[("X-RateLimit-Remaining-Tokens", "149984"), ("x-ratelimit-reset-tokens", "6m0s")],
            &[("tokens", Some(149_984), Some(360))],
        );
        check(
            "anthropic",
            &[
                ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("anthropic-ratelimit-requests-remaining", "9"),
                ("anthropic-ratelimit-requests-reset", "1994-11-06T08:50:37Z"),
            ],
            &[("requests", Some(9), Some(60))],
        );
        check("binance", &[("x-mbx-used-weight-1m", "42")], &[("weight_minute", Some(42), None)]);
        check(
            "kucoin",
            &[("gw-ratelimit-remaining", "1990"), ("gw-ratelimit-reset", "28000")],
            &[("pool", Some(1990), Some(28))],
        );
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        check("binance", &[("x-mbx-used-weight-1m", "-1")], &[]);
        check("openai", &[], &[]);
    }
}
