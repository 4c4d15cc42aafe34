//! What an answer says of being kept: RFC 9111 (storage, freshness), RFC 5861 (stale answers).
//!
//! Pure: the time is an argument. Read once, when an answer is kept. What cannot be read counts as the stricter thing.

use std::cell::RefCell;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, LAST_MODIFIED, PRAGMA};
use model::Timestamp;

/// The longest time that is believed, in seconds: a year, as RFC 9111 recommends to cut.
const SECS_MAX: u32 = 365 * 86_400;

/// The longest of the three forms of a date has 33 bytes.
const DATE_BYTES_MAX: usize = 40;

/// A difference of the clocks that says nothing, in seconds: dates are whole seconds, and some are written a while before.
const DRIFT_SECS: u32 = 2;

/// What an answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// It is not to be kept by anybody.
    pub(crate) no_store: bool,
    /// It is for its first caller only.
    pub(crate) private: bool,
    /// It is not to be served stale.
    pub(crate) must_revalidate: bool,
    /// For how many seconds it is fresh, from when it came; nothing when it does not say.
    pub(crate) fresh_secs: Option<u32>,
    /// Seconds for which it may be served stale while a new one is fetched.
    pub(crate) stale_while_revalidate_secs: u32,
    /// Seconds for which it may be served stale when no new one can be had.
    pub(crate) stale_if_error_secs: u32,
    /// How old it was already, in seconds.
    pub(crate) age_secs: u32,
    /// Whether its provider can be asked if it is still true.
    pub(crate) has_validator: bool,
}

impl Said {
    /// Reads an answer's headers.
    pub(crate) fn of(headers: &HeaderMap, now: Timestamp) -> Self {
        let mut said = Self {
            age_secs: text(headers, &AGE).and_then(secs).unwrap_or_default().max(apparent(headers, now)),
            has_validator: headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED),
            ..Self::default()
        };
        let (mut max_age, mut shared_max_age, mut no_cache) = (None, None, false);
        directives(headers, |name, value| match name {
            "no-store" => said.no_store = true,
            // With names of fields it speaks of these only; a cache may take it for the whole.
            "private" => said.private = true,
            "no-cache" => no_cache = true,
            "must-revalidate" | "proxy-revalidate" => said.must_revalidate = true,
            "max-age" => max_age = least(max_age, value),
            "s-maxage" => shared_max_age = least(shared_max_age, value),
            "stale-while-revalidate" => said.stale_while_revalidate_secs = value.and_then(secs).unwrap_or(0),
            "stale-if-error" => said.stale_if_error_secs = value.and_then(secs).unwrap_or(0),
            _ => {}
        });
        let pragma = !headers.contains_key(CACHE_CONTROL)
            && text(headers, &PRAGMA).is_some_and(|value| value.eq_ignore_ascii_case("no-cache"));
        let lifetime = shared_max_age.or(max_age).or_else(|| expires(headers, now));
        said.fresh_secs = lifetime.map(|secs| secs.saturating_sub(said.age_secs));
        if no_cache || pragma {
            said.fresh_secs = Some(0);
            said.must_revalidate = true;
        }
        said
    }
}

/// How old an answer is by its date, in seconds (RFC 9111, section 4.2.3): a cache before us may not say its age.
fn apparent(headers: &HeaderMap, now: Timestamp) -> u32 {
    let Some(date) = text(headers, &DATE).and_then(date) else { return 0 };
    let secs = now.as_millis().saturating_sub(date.as_millis()).max(0) / 1_000;
    let secs = u32::try_from(secs).unwrap_or(SECS_MAX).min(SECS_MAX);
    if secs > DRIFT_SECS { secs } else { 0 }
}

thread_local! {
    /// The date that was read last: answers of one second say the same.
    static DATE_READ: RefCell<(String, Option<Timestamp>)> = const { RefCell::new((String::new(), None)) };
}

/// Reads a date, or remembers it.
fn date(text: &str) -> Option<Timestamp> {
    if text.len() > DATE_BYTES_MAX {
        return None;
    }
    DATE_READ.with_borrow_mut(|(read, date)| {
        if read != text {
            *date = catalogue::http_date(text);
            read.clear();
            read.push_str(text);
        }
        *date
    })
}

/// Seconds from `Date` to `Expires`; 0 for an `Expires` that is no date (`0`, `-1`).
fn expires(headers: &HeaderMap, now: Timestamp) -> Option<u32> {
    let value = headers.get(EXPIRES)?;
    let Some(expires) = value.to_str().ok().and_then(catalogue::http_date) else { return Some(0) };
    let date = text(headers, &DATE).and_then(date).unwrap_or(now);
    let millis = expires.as_millis().saturating_sub(date.as_millis()).max(0);
    Some(u32::try_from(millis / 1_000).unwrap_or(SECS_MAX).min(SECS_MAX))
}

/// The shorter of two times; one that cannot be read is none at all.
fn least(before: Option<u32>, value: Option<&str>) -> Option<u32> {
    let this = value.and_then(secs).unwrap_or(0);
    Some(before.map_or(this, |before| before.min(this)))
}

/// Whole seconds, cut to what is believed.
fn secs(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(SECS_MAX).min(SECS_MAX))
}

fn text<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Every directive of `Cache-Control`, its name in lower case and its value without quotes.
pub(crate) fn directives<'h>(headers: &'h HeaderMap, mut each: impl FnMut(&str, Option<&'h str>)) {
    for value in headers.get_all(CACHE_CONTROL) {
        // Bytes that are no text could be anything.
        let Ok(text) = value.to_str() else { return each("no-store", None) };
        let mut quoted = false;
        let parts = text.split(|c: char| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        for part in parts {
            let (name, value) =
                part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            let value = value.map(|value| value.trim().trim_matches('"'));
            each(&name.trim().to_ascii_lowercase(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn said(text: &'static str) -> Said {
        let headers = text.split('\n').filter_map(|line| line.split_once(": "));
        let headers = headers
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Said::of(&headers, catalogue::http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date"))
    }

    #[test]
    fn freshness_is_as_rfc_9111_has_it() {
        for (text, wanted) in [
            ("", None),
            ("cache-control: public", None),
            ("cache-control: max-age=60", Some(60)),
            ("cache-control: Max-Age=60", Some(60)),
            ("cache-control: max-age=\"60\"", Some(60)),
            ("cache-control: s-maxage=5, max-age=60", Some(5)),
            ("cache-control: max-age=60, max-age=5", Some(5)),
            ("cache-control: max-age=60\nage: 20", Some(40)),
            ("cache-control: max-age=60\nage: 90", Some(0)),
            ("cache-control: max-age=soon", Some(0)),
            ("cache-control: max-age=-1", Some(0)),
            ("cache-control: max-age", Some(0)),
            ("cache-control: max-age=99999999999999999999", Some(SECS_MAX)),
            ("cache-control: no-cache, max-age=60", Some(0)),
            ("cache-control: ext=\"a, max-age=1\", max-age=60", Some(60)),
            ("pragma: no-cache", Some(0)),
            ("pragma: no-cache\ncache-control: max-age=60", Some(60)),
            ("expires: 0", Some(0)),
            ("expires: Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("expires: Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("expires: Sun, 06 Nov 1994 08:50:37 GMT\ndate: Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("expires: Sun, 06 Nov 1994 08:50:37 GMT\ncache-control: max-age=5", Some(5)),
            ("last-modified: Sun, 06 Nov 1994 08:00:00 GMT", None),
            ("cache-control: max-age=60\ndate: Sun, 06 Nov 1994 08:49:17 GMT", Some(40)),
            ("cache-control: max-age=60\ndate: Sun, 06 Nov 1994 08:49:17 GMT\nage: 50", Some(10)),
            ("cache-control: max-age=60\ndate: Sun, 06 Nov 1994 08:49:36 GMT", Some(60)),
            ("cache-control: max-age=60\ndate: Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ] {
            assert_eq!(said(text).fresh_secs, wanted, "{text}");
        }
    }

    #[test]
    fn what_is_forbidden_and_what_is_allowed_besides() {
        assert!(said("cache-control: max-age=3, NO-STORE").no_store);
        assert!(said("cache-control: private=\"set-cookie\"").private);
        assert!(said("cache-control: must-revalidate").must_revalidate);
        assert!(said("cache-control: no-cache").must_revalidate);
        let both = said("cache-control: max-age=1, stale-while-revalidate=2, stale-if-error=3\netag: \"a\"");
        assert_eq!((both.stale_while_revalidate_secs, both.stale_if_error_secs), (2, 3));
        assert!(both.has_validator && !both.no_store && !both.private && !both.must_revalidate);
    }
}
