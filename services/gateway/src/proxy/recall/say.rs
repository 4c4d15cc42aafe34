//! Says what the cache did, in `cache-status` (RFC 9211), and how old an answer is.

use std::time::Duration;

use http::header::{AGE, HeaderMap, HeaderName, HeaderValue};

/// The name that RFC 9211 has.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Says that an answer was kept: how old it is, and for how many seconds it is fresh; below 0 since when it is not.
pub(super) fn kept(headers: &mut HeaderMap, word: &str, age_secs: u64, here: Duration, fresh: Duration) {
    headers.insert(AGE, HeaderValue::from(age_secs));
    let what: &[u8] = match word {
        "coalesced" => b"signalbox; fwd=miss; collapsed; ttl=",
        "refresh" => b"signalbox; fwd=stale; fwd-status=304; stored; ttl=",
        _ => b"signalbox; hit; ttl=",
    };
    let (left, gone) = (fresh.saturating_sub(here).as_secs(), here.saturating_sub(fresh).as_secs());
    let mut text = Vec::with_capacity(what.len() + 21);
    text.extend_from_slice(what);
    if gone > 0 {
        text.push(b'-');
    }
    text.extend_from_slice(itoa::Buffer::new().format(left.max(gone)).as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
        headers.append(CACHE_STATUS, value);
    }
}

/// Says why a provider was asked, and whether its answer is kept.
pub(super) fn forwarded(headers: &mut HeaderMap, word: &str, was_stale: bool, is_stored: bool) {
    let text = match (word, was_stale, is_stored) {
        ("bypass", _, true) => "signalbox; fwd=request; stored",
        ("bypass", _, false) => "signalbox; fwd=request",
        (_, true, true) => "signalbox; fwd=stale; stored",
        (_, true, false) => "signalbox; fwd=stale",
        (_, false, true) => "signalbox; fwd=miss; stored",
        (_, false, false) => "signalbox; fwd=miss",
    };
    headers.append(CACHE_STATUS, HeaderValue::from_static(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_answer_says_its_age_and_its_time() {
        for (word, here, fresh, wanted) in [
            ("hit", 3, 15, "signalbox; hit; ttl=12"),
            ("hit", 3, 3, "signalbox; hit; ttl=0"),
            ("stale", 1_200, 200, "signalbox; hit; ttl=-1000"),
            ("coalesced", 0, 10, "signalbox; fwd=miss; collapsed; ttl=10"),
        ] {
            let mut headers = HeaderMap::new();
            kept(&mut headers, word, here + 2, Duration::from_secs(here), Duration::from_secs(fresh));
            assert_eq!(headers["cache-status"], wanted);
            assert_eq!(headers["age"], (here + 2).to_string());
        }
    }
}
