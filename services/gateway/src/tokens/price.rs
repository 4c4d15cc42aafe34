//! What tokens cost, in whole millionths of a dollar. Pure; there is no float, and one rounding at the end.

use catalogue::{TokenPrice, TokensUsed};

use super::usage::Sums;

/// Digits after the point of a sum of money that still say something of a millionth.
const DIGITS_MAX: i32 = 30;

/// What a call costs by its model's prices, rounded half up.
pub(super) fn of(price: &TokenPrice, input_includes_cached: bool, used: &Sums) -> u64 {
    let cached = used.cached_read.saturating_add(used.cache_write);
    let (question, plain) = if input_includes_cached {
        (used.input, used.input.saturating_sub(cached))
    } else {
        (used.input.saturating_add(cached), used.input)
    };
    let used = TokensUsed {
        question,
        plain,
        cached_read: used.cached_read,
        cache_write: used.cache_write,
        cache_write_1h: used.cache_write_1h,
        output: used.output,
    };
    price.micros(&used).unwrap_or(u64::MAX)
}

/// Dollars as they are written in JSON, in millionths, rounded half up. Nothing for what is negative or no number.
pub(super) fn dollars(text: &str) -> Option<u64> {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let all: u128 = format!("{whole}{part}").parse().ok()?;
    let shift = exponent.parse::<i32>().ok()?.checked_add(6)?.checked_sub(i32::try_from(part.len()).ok()?)?;
    let micros = match shift {
        0.. => all.checked_mul(10_u128.checked_pow(shift.unsigned_abs())?)?,
        _ if shift < -DIGITS_MAX => 0,
        _ => {
            let by = 10_u128.pow(shift.unsigned_abs());
            (all / by) + u128::from(all % by >= by / 2)
        }
    };
    u64::try_from(micros).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_rounded_once_and_half_up() {
        let price = TokenPrice { input: 150_000, output: 600_000, ..TokenPrice::default() };
        let cost = |input, output| of(&price, true, &Sums { input, output, ..Sums::default() });
        assert_eq!(cost(1_000_000, 1_000_000), 750_000);
        // 0.15 each: three are 0.45, four are 0.6 micros.
        assert_eq!((cost(3, 0), cost(4, 0)), (0, 1));
        assert_eq!(cost(u64::MAX, u64::MAX), 13_835_058_055_282_163_711);
    }

    #[test]
    fn caches_and_long_questions_have_their_prices() {
        let price = TokenPrice {
            input: 2_000_000,
            output: 10_000_000,
            cached_read: Some(200_000),
            cache_write: Some(2_500_000),
            cache_write_1h: Some(4_000_000),
            long_above_tokens: Some(1_000),
            long_input: Some(4_000_000),
            ..TokenPrice::default()
        };
        let used = Sums { input: 600, cached_read: 300, cache_write: 200, cache_write_1h: 50, output: 10 };
        // Included in the question: 100 plain, 300 read, 150 and 50 written, 10 answered.
        assert_eq!(of(&price, true, &used), 200 + 60 + 375 + 200 + 100);
        // Beside it: 600 plain, which makes the question long: 1,100.
        assert_eq!(of(&price, false, &used), 2_400 + 60 + 375 + 200 + 100);
    }

    #[test]
    fn dollars_are_read_as_they_are_written() {
        for (text, micros) in [
            ("0.00014", Some(140)),
            ("1.4e-4", Some(140)),
            ("1e-7", Some(0)),
            ("5e-7", Some(1)),
            ("12", Some(12_000_000)),
            ("0.0000004999", Some(0)),
            ("1e300", None),
            ("-1", None),
            ("1e-99", Some(0)),
            ("", None),
        ] {
            assert_eq!(dollars(text), micros, "{text}");
        }
    }
}
