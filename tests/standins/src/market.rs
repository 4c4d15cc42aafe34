//! Prices that walk: a function of a seed, a symbol and the time, so that charts look alive and
//! two runs with one seed and clock agree.
//!
//! Slow and quick waves with phases drawn from the symbol, and a small step each second. Symbols
//! that begin with `NOPE` or `UNKNOWN` do not exist.

use jiff::Timestamp;

/// The market one stand-in shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Market {
    /// Two seeds, two markets.
    pub(crate) seed: u64,
}

/// One bar. Times in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candle {
    pub(crate) start_ms: i64,
    pub(crate) open: f64,
    pub(crate) high: f64,
    pub(crate) low: f64,
    pub(crate) close: f64,
    pub(crate) volume: f64,
}

/// Prices around which well-known symbols walk; others get one between 10 and 500.
const ANCHORS: &[(&str, f64)] = &[
    ("BTC", 67_269.0),
    ("XBT", 67_269.0),
    ("BITCOIN", 67_269.0),
    ("ETH", 3_471.6),
    ("SOL", 152.4),
    ("XRP", 0.62),
    ("DOGE", 0.14),
    ("LTC", 84.2),
    ("IBM", 234.3),
    ("AAPL", 268.5),
    ("MSFT", 431.2),
    ("SPY", 612.0),
    ("TSLA", 288.0),
    ("NVDA", 176.4),
    ("EUR", 1.085),
    ("GBP", 1.27),
];

/// Waves: length in seconds, share of the price.
const WAVES: [(f64, f64); 4] = [(86_400.0 * 9.0, 0.04), (86_400.0, 0.015), (3_600.0, 0.004), (240.0, 0.0012)];
/// Share of the price that the step of each second can reach.
const NOISE: f64 = 0.0004;
/// Points looked at inside a bar for its high and low.
const SAMPLES: i64 = 8;

impl Market {
    /// The price at a time. `None`: no such symbol.
    pub(crate) fn price(&self, symbol: &str, at_ms: i64) -> Option<f64> {
        let symbol = symbol.to_ascii_uppercase();
        if symbol.starts_with("NOPE") || symbol.starts_with("UNKNOWN") || symbol.is_empty() {
            return None;
        }
        let mark = self.seed ^ fingerprint(&symbol);
        let seconds = at_ms as f64 / 1000.0;
        let mut share = 0.0;
        for (number, (length, height)) in WAVES.iter().enumerate() {
            let phase = unit(mark.wrapping_add(number as u64)) * std::f64::consts::TAU;
            share += height * (std::f64::consts::TAU * seconds / length + phase).sin();
        }
        let second = at_ms.div_euclid(1000) as u64;
        share += NOISE * (unit(mark ^ scramble(second)) * 2.0 - 1.0);
        Some(anchor(&symbol, mark) * (1.0 + share))
    }

    /// `count` bars, oldest first, the last one holding `end_ms`.
    pub(crate) fn candles(&self, symbol: &str, step_ms: i64, count: i64, end_ms: i64) -> Option<Vec<Candle>> {
        let step_ms = step_ms.max(1000);
        let last = end_ms - end_ms.rem_euclid(step_ms);
        (0..count.clamp(0, 5000))
            .rev()
            .map(|back| self.candle(symbol, last - back * step_ms, step_ms))
            .collect()
    }

    /// Bars between two times, at most `max`, oldest first.
    pub(crate) fn between(
        &self,
        symbol: &str,
        step_ms: i64,
        from_ms: i64,
        to_ms: i64,
        max: i64,
    ) -> Option<Vec<Candle>> {
        let step_ms = step_ms.max(1000);
        let first = from_ms.div_euclid(step_ms) + i64::from(from_ms.rem_euclid(step_ms) > 0);
        let last = to_ms.div_euclid(step_ms);
        self.candles(symbol, step_ms, (last - first + 1).clamp(0, max), to_ms)
    }

    fn candle(&self, symbol: &str, start_ms: i64, step_ms: i64) -> Option<Candle> {
        let open = self.price(symbol, start_ms)?;
        let close = self.price(symbol, start_ms + step_ms - 1)?;
        let (mut high, mut low) = (open.max(close), open.min(close));
        for sample in 1..SAMPLES {
            let price = self.price(symbol, start_ms + step_ms * sample / SAMPLES)?;
            high = high.max(price);
            low = low.min(price);
        }
        let volume = 100.0 + (unit(self.seed ^ scramble(start_ms as u64)) * 90_000.0).round() / 100.0;
        Some(Candle { start_ms, open, high, low, close, volume })
    }
}

fn anchor(symbol: &str, mark: u64) -> f64 {
    let bare = symbol.trim_start_matches("X:").trim_start_matches("C:");
    let known =
        ANCHORS.iter().find(|(name, _)| bare == *name || (bare.starts_with(name) && is_pair(bare, name)));
    known.map_or_else(|| 10.0 + unit(mark) * 490.0, |(_, price)| *price)
}

fn is_pair(symbol: &str, base: &str) -> bool {
    let rest = symbol[base.len()..].trim_start_matches(['-', '/', '_']);
    rest.starts_with("USD") || matches!(rest, "EUR" | "GBP")
}

fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads a number over all 64 bits (SplitMix64's last step).
pub(crate) fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn unit(number: u64) -> f64 {
    (scramble(number) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A price as decimal text: two digits, more for small prices.
pub(crate) fn decimal(price: f64) -> String {
    if price.abs() >= 10.0 { format!("{price:.2}") } else { format!("{price:.6}") }
}

/// A price as a number rounded as `decimal` does.
pub(crate) fn rounded(price: f64) -> f64 {
    let digits = if price.abs() >= 10.0 { 1e2 } else { 1e6 };
    (price * digits).round() / digits
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub(crate) fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// Milliseconds since 1970 in a format of `jiff::fmt::strtime`, UTC.
pub(crate) fn stamp(ms: i64, format: &str) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().strftime(format).to_string()
}

/// The start of a `YYYY-MM-DD` day or the milliseconds in a number, in milliseconds since 1970.
pub(crate) fn moment(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(number);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let day = text.parse::<jiff::civil::Date>().ok()?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}
