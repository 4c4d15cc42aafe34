//! A caller's own condition: it has an answer already, and wants a new one only if that is another (RFC 9110, section 13).
//!
//! Pure. Tags are compared weakly, as GET and HEAD are to be; where tags are named the time says nothing.

use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What speaks of a body, and has no place in an answer without one (RFC 9110, section 15.4.5).
const OF_THE_BODY: [HeaderName; 5] =
    [ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE];

/// What a caller has already.
#[derive(Debug)]
pub(crate) struct Condition {
    /// The tags of what it has, as it wrote them.
    tags: Vec<HeaderValue>,
    /// When that was changed.
    since: Option<HeaderValue>,
}

impl Condition {
    /// Reads a request's headers; nothing where they hold no condition that a cache can judge.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let (tags, since) = (headers.contains_key(IF_NONE_MATCH), headers.get(IF_MODIFIED_SINCE));
        if !tags && since.is_none() {
            return None;
        }
        let tags = headers.get_all(IF_NONE_MATCH).iter().cloned().collect();
        Some(Self { tags, since: since.cloned() })
    }

    /// Takes it off a request: its provider is asked for all of the answer, which is kept then, and judged here.
    pub(crate) fn strip(headers: &mut HeaderMap) {
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
            headers.remove(name);
        }
    }

    /// Whether the caller has this answer already.
    pub(crate) fn has(&self, answer: &HeaderMap) -> bool {
        if self.tags.is_empty() {
            return self.since.as_ref().is_some_and(|since| is_unchanged(answer, since));
        }
        let own = answer.get(ETAG).map(|tag| opaque(tag.as_bytes()));
        self.tags.iter().any(|list| lists(list.as_bytes(), own))
    }
}

/// Makes a head that of an answer without a body.
pub(crate) fn without_body(headers: &mut HeaderMap) {
    for name in OF_THE_BODY {
        headers.remove(name);
    }
}

/// Whether an answer was not changed since. One that does not say when it was is as old as its date (RFC 9111, 4.3.2).
fn is_unchanged(answer: &HeaderMap, since: &HeaderValue) -> bool {
    let Some(changed) = answer.get(LAST_MODIFIED).or_else(|| answer.get(DATE)) else { return false };
    let time = |value: &HeaderValue| value.to_str().ok().and_then(catalogue::http_date);
    changed == since || time(changed).zip(time(since)).is_some_and(|(changed, since)| changed <= since)
}

/// A tag without its weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a list of tags holds this one. `*` is any answer that there is.
fn lists(list: &[u8], own: Option<&[u8]>) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(own) = own else { return false };
    let mut quoted = false;
    // A comma may stand inside of a tag.
    let mut tags = list.split(|c| {
        quoted ^= *c == b'"';
        *c == b',' && !quoted
    });
    tags.any(|tag| opaque(tag) == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &'static str) -> HeaderMap {
        let lines = text.split('\n').filter_map(|line| line.split_once(": "));
        lines.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_caller_has_what_its_tag_or_its_time_names() {
        const EARLIER: &str = "if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT";
        const SAME: &str = "if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT";
        const LATER: &str = "if-modified-since: Sun, 06 Nov 1994 08:49:38 GMT";
        const CHANGED: &str = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT";
        for (asks, answer, wanted) in [
            ("if-none-match: \"a\"", "etag: \"a\"", true),
            ("if-none-match: \"a\"", "etag: \"b\"", false),
            ("if-none-match: \"a\"", "", false),
            ("if-none-match: W/\"a\"", "etag: \"a\"", true),
            ("if-none-match: \"a\"", "etag: W/\"a\"", true),
            ("if-none-match: \"x\", \"a\" ,\"y\"", "etag: \"a\"", true),
            ("if-none-match: \"x\"\nif-none-match: \"a\"", "etag: \"a\"", true),
            ("if-none-match: \"x,\"a\",y\"", "etag: \"a\"", false),
            ("if-none-match: \"a,b\"", "etag: \"a,b\"", true),
            ("if-none-match: a", "etag: a", true),
            ("if-none-match: *", "", true),
            ("if-none-match: \"\"", "etag: \"\"", true),
            (SAME, CHANGED, true),
            (LATER, CHANGED, true),
            (EARLIER, CHANGED, false),
            (LATER, "date: Sun, 06 Nov 1994 08:49:37 GMT", true),
            (LATER, "", false),
            ("if-modified-since: yesterday", CHANGED, false),
            // Tags stand above times.
            ("if-none-match: \"b\"\nif-modified-since: Sun, 06 Nov 1994 08:49:38 GMT", CHANGED, false),
        ] {
            let condition = Condition::of(&headers(asks)).expect("a condition");
            assert_eq!(condition.has(&headers(answer)), wanted, "{asks} {answer}");
        }
        assert!(Condition::of(&headers("if-match: \"a\"")).is_none());
    }
}
