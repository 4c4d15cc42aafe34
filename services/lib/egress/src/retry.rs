//! When to come back: what the target asks for, and our own growing pause. Pure: time and chance are arguments.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use model::Timestamp;

/// The longest wait that `Retry-After` is read as; the caller has its own, smaller bound.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// After so many doublings the pause grows no more.
const DOUBLINGS_MAX: u32 = 32;

/// How long the target asks us to wait (RFC 9110, section 10.2.3): whole or decimal seconds, or a date. A past
/// date or a negative number is zero. Of several values the longest counts.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    headers.get_all(RETRY_AFTER).iter().filter_map(|value| wait(value.to_str().ok()?.trim(), now)).max()
}

fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        if seconds.is_nan() {
            return None;
        }
        return Some(Duration::from_secs_f64(seconds.clamp(0.0, RETRY_AFTER_MAX.as_secs_f64())));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since_1970 = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp::from_millis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX));
    Some(at.since(now).min(RETRY_AFTER_MAX))
}

/// The pause before repeat number `attempt` (0 is the first repeat), with full jitter:
/// `random01 × min(cap_ms, base_ms × 2^attempt)`.
pub fn backoff(attempt: u32, base_ms: u64, cap_ms: u64, random01: f64) -> Duration {
    let grown = base_ms.saturating_mul(1 << attempt.min(DOUBLINGS_MAX)).min(cap_ms);
    Duration::from_millis(grown).mul_f64(if random01.is_nan() { 1.0 } else { random01.clamp(0.0, 1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(values: &[&str], expected_ms: Option<u64>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(RETRY_AFTER, HeaderValue::from_str(value).expect("a header value"));
        }
        let now = Timestamp::parse("1994-11-06T08:49:00Z").expect("a time");
        assert_eq!(retry_after(&headers, now), expected_ms.map(Duration::from_millis), "{values:?}");
    }

    #[test]
    fn seconds_decimals_and_dates_are_read() {
        check(&["120"], Some(120_000));
        check(&["0"], Some(0));
        check(&["0.65"], Some(650));
        check(&[" 3 "], Some(3_000));
        check(&["-5"], Some(0));
        check(&["Sun, 06 Nov 1994 08:49:37 GMT"], Some(37_000));
        check(&["Sunday, 06-Nov-94 08:49:37 GMT"], Some(37_000));
        check(&["Sun Nov  6 08:49:37 1994"], Some(37_000));
        check(&["Sun, 06 Nov 1994 08:48:00 GMT"], Some(0));
        check(&["1", "7", "soon"], Some(7_000));
    }

    #[test]
    fn nonsense_is_no_wish_and_huge_wishes_have_a_bound() {
        for nonsense in [&[][..], &["soon"], &[""], &["NaN"], &["1s"]] {
            check(nonsense, None);
        }
        let bound = u64::try_from(RETRY_AFTER_MAX.as_millis()).expect("fits");
        check(&["99999999999999999999"], Some(bound));
        check(&["inf"], Some(bound));
        check(&["Fri, 31 Dec 9999 23:59:59 GMT"], Some(bound));
    }

    #[test]
    fn the_pause_doubles_up_to_its_cap() {
        let pauses: Vec<u128> = (0..6).map(|n| backoff(n, 100, 1_000, 1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff(3, 100, 1_000, 0.5).as_millis(), 400);
        assert_eq!(backoff(u32::MAX, u64::MAX, 5_000, 1.0).as_millis(), 5_000);
        assert_eq!(backoff(1, 100, 1_000, 0.0), Duration::ZERO);
        assert_eq!(backoff(1, 100, 1_000, f64::NAN).as_millis(), 200);
    }
}
