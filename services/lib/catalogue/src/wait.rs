//! How long a provider asks to wait: seconds, HTTP dates, Go's durations.
//!
//! Pure: a date is measured by the answer's own `Date`, never by our clock, so a skewed clock on either side
//! changes nothing. Without a `Date` an absolute time says nothing.

use std::time::{Duration, UNIX_EPOCH};

use model::Timestamp;

/// The longest wait that is believed: a quota by the month.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(31 * 86_400);
/// The longest text that is read, in bytes.
const TEXT_BYTES_MAX: usize = 64;

/// Reads a `Retry-After`: seconds (decimals rounded up to milliseconds), a Go duration, or an HTTP date after `date`.
/// `None` for anything else. At most [`RETRY_AFTER_MAX`]; a date in the past is zero.
pub fn retry_after(text: &str, date: Option<Timestamp>) -> Option<Duration> {
    let text = text.trim();
    seconds(text)
        .or_else(|| go_duration(text))
        .or_else(|| Some(http_date(text)?.since(date?)))
        .map(|wait| wait.min(RETRY_AFTER_MAX))
}

/// Reads seconds with at most nine decimals. Bounded by [`RETRY_AFTER_MAX`].
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    scaled(text, 1_000_000_000)
}

/// Reads a duration as Go writes it: `1s`, `6m0s`, `250ms`, `1h2m3.5s`. Bounded by [`RETRY_AFTER_MAX`].
pub fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() || rest.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let nanos = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        sum = sum.saturating_add(scaled(number, nanos)?);
        rest = after;
    }
    Some(sum.min(RETRY_AFTER_MAX))
}

/// Reads whole seconds since 1970 at a text's beginning, and says how long after `date` that is.
pub(crate) fn until_epoch_secs(text: &str, date: Timestamp) -> Option<Duration> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let secs: i64 = text[..end].parse().ok()?;
    Some(Timestamp::from_millis(secs.saturating_mul(1000)).since(date).min(RETRY_AFTER_MAX))
}

/// A decimal number of units of so many nanoseconds, without floats.
fn scaled(text: &str, nanos: u128) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || text.len() > TEXT_BYTES_MAX || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(9)];
    let size = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = fraction.parse::<u128>().unwrap_or(0) * nanos / size;
    let whole = whole.parse::<u128>().unwrap_or(u128::MAX).saturating_mul(nanos);
    let total = whole.saturating_add(part).min(RETRY_AFTER_MAX.as_nanos());
    Some(Duration::from_nanos(u64::try_from(total).ok()?))
}

/// Reads an HTTP date in any of its three forms (RFC 9110, section 5.6.7), the modern one being
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(text: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted_ms: Option<u64>) {
        let date = http_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(date.is_some());
        assert_eq!(retry_after(text, date), wanted_ms.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn all_ways_of_writing_a_wait_are_read() {
        check("0", Some(0));
        check("120", Some(120_000));
        check(" 1.5 ", Some(1_500));
        check("46s", Some(46_000));
        check("6m0s", Some(360_000));
        check("250ms", Some(250));
        check("1h2m3.5s", Some(3_723_500));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000));
        // The forms that nobody writes any more, and everybody must read.
        check("Sunday, 06-Nov-94 08:50:37 GMT", Some(60_000));
        check("Sun Nov  6 08:50:37 1994", Some(60_000));
    }

    #[test]
    fn a_date_in_the_past_is_no_wait() {
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
    }

    #[test]
    fn no_wait_is_longer_than_a_month() {
        check("99999999999999999999999999999999999999999999999999", Some(31 * 86_400_000));
        check("99999h", Some(31 * 86_400_000));
    }

    #[test]
    fn what_is_no_time_says_nothing() {
        for text in [
            "",
            "-1",
            "soon",
            "1x",
            "s",
            ".",
            "1e3",
            "Sun, 06 Xxx 1994 08:50:37 GMT",
            "Sun, 99 Nov 1994 08:50:37 GMT",
        ] {
            check(text, None);
        }
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", None), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = retry_after(&text, Some(Timestamp::from_millis(0)));
        }
    }
}
