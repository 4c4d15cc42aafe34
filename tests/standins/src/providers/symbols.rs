//! Symbols and intervals as the providers spell them.

/// Quote assets of pairs written without a separator, longest first.
const QUOTES: [&str; 12] =
    ["FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "GBP", "BTC", "ETH", "BNB", "TRY"];

/// Splits a pair: at `-`, `/` or `_`, else before a known quote asset.
pub(crate) fn split(pair: &str) -> (String, String) {
    let upper = pair.to_ascii_uppercase();
    if let Some((base, quote)) = upper.split_once(['-', '/', '_']) {
        return (base.to_owned(), quote.to_owned());
    }
    let quote = QUOTES.iter().find(|quote| upper.len() > quote.len() && upper.ends_with(**quote));
    match quote {
        Some(quote) => (upper[..upper.len() - quote.len()].to_owned(), (*quote).to_owned()),
        None => (upper, "USD".to_owned()),
    }
}

/// The length of `1m`, `15min`, `4h`, `1hour`, `1d`, `1day`, `1w`, `1month`, in milliseconds.
pub(crate) fn interval_ms(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let count: i64 = text[..digits].parse().ok().filter(|count| (1..=1000).contains(count))?;
    let unit = match text[digits..].to_ascii_lowercase().as_str() {
        "s" | "sec" | "second" => 1_000,
        "m" | "min" | "minute" => 60_000,
        "h" | "hour" => 3_600_000,
        "d" | "day" => 86_400_000,
        "w" | "wk" | "week" => 604_800_000,
        "mo" | "month" => 2_592_000_000,
        _ => return None,
    };
    Some(count * unit)
}

/// The first day, `back` whole months ago, in milliseconds since 1970 at midnight UTC.
pub(crate) fn month_ms(now_ms: i64, back: i64) -> i64 {
    let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let first = today.first_of_month().saturating_sub(jiff::Span::new().months(back));
    first.to_zoned(jiff::tz::TimeZone::UTC).map_or(now_ms, |start| start.timestamp().as_millisecond())
}

/// A day in milliseconds.
pub(crate) const DAY_MS: i64 = 86_400_000;
