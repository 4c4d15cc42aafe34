//! Decimal numbers as texts: the digits stay as they are, exponents are written out. Never a float.

/// The most characters of a number, read and written. Longer ones are no prices.
pub(super) const DIGITS_MAX: usize = 96;

/// A number in plain digits, such as `-0.00000123`; nothing when the text is none, or a very long one.
///
/// Zeros at the end stay: `232.00` says more than `232`.
pub(super) fn decimal(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() > DIGITS_MAX {
        return None;
    }
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => (text, 0),
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            (mantissa, if plain { exponent.parse::<i32>().ok()? } else { return None })
        }
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        None => (mantissa, ""),
        Some((_, "")) => return None,
        Some(parts) => parts,
    };
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if exponent.unsigned_abs() as usize > DIGITS_MAX {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()? + exponent;
    let plain = place_point(&digits, point)?;
    (plain.len() <= DIGITS_MAX).then(|| if negative { format!("-{plain}") } else { plain })
}

/// Digits with a point after so many of them, zeros filled in where it lies outside.
fn place_point(digits: &str, point: i32) -> Option<String> {
    let at = usize::try_from(point.max(0)).ok()?;
    let (mut whole, mut fraction) = (String::new(), String::new());
    if at >= digits.len() {
        whole.push_str(digits);
        whole.push_str(&"0".repeat(at - digits.len()));
    } else {
        whole.push_str(&digits[..at]);
        fraction.push_str(&"0".repeat(usize::try_from((-point).max(0)).ok()?));
        fraction.push_str(&digits[at..]);
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    Some(if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &str) {
        assert_eq!(decimal(text).as_deref(), Some(wanted), "{text}");
    }

    #[test]
    fn digits_stay_and_exponents_are_written_out() {
        check("234.32", "234.32");
        check("232.00", "232.00");
        check("4.00000200", "4.00000200");
        check("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827");
        check("9007199254740993", "9007199254740993");
        check("1e-7", "0.0000001");
        check("1.25E+3", "1250");
        check("12.5e1", "125");
        check("-3.5e-2", "-0.035");
        check("1.50e0", "1.50");
        check(" 0123.4 ", "123.4");
        check(".5", "0.5");
        check("+7", "7");
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "", "-", ".", "5.", "1,000", "NaN", "Infinity", "0x1", "1e", "1e+", "1e--2", "1e999999", "--1",
            "1.2.3",
        ] {
            assert_eq!(decimal(text), None, "{text}");
        }
        assert_eq!(decimal(&"9".repeat(DIGITS_MAX + 1)), None);
    }

    proptest! {
        #[test]
        fn plain_numbers_stay_digit_by_digit(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?") {
            prop_assert_eq!(decimal(&text), Some(text));
        }

        #[test]
        fn an_exponent_moves_the_point_and_nothing_else(digits in "[1-9][0-9]{0,17}", exponent in 0_i32..30) {
            let written_out = decimal(&format!("{digits}e-{exponent}")).expect("a number");
            let all = written_out.replace('.', "");
            prop_assert_eq!(all.trim_start_matches('0'), digits.as_str());
            let back = decimal(&format!("{written_out}e{exponent}")).expect("a number");
            prop_assert_eq!(back, digits);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,120}") {
            let _ = decimal(&text);
        }
    }
}
