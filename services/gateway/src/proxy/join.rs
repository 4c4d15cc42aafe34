//! Puts a caller's path and query under an integration's base URL.
//!
//! Pure. A path is looked at decoded, once and once more, and refused when any reading of it could leave the base:
//! dot segments, encoded slashes, backslashes, control characters (T15). What passes is passed on byte for byte.

use egress::credential::QUERY;
use http::uri::PathAndQuery;
use percent_encoding::{percent_decode_str, utf8_percent_encode};

/// The longest path with its query, in bytes.
pub(crate) const TARGET_BYTES_MAX: usize = 16 * 1024;

/// Why a path is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// `.` or `..`, however written.
    #[error("the path has a dot segment")]
    Dots,
    /// An encoded `/`, or a backslash.
    #[error("the path has an encoded slash or a backslash")]
    Slash,
    /// A control character, a broken escape or bytes that are not UTF-8.
    #[error("the path has a control character or a broken escape")]
    Character,
    /// It begins with `//`.
    #[error("the path begins with an empty segment")]
    Empty,
    /// It is too long.
    #[error("the path is longer than 16 KiB")]
    TooLong,
}

/// A parameter that is added to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    name: String,
    pair: String,
}

impl Parameter {
    pub(crate) fn new(name: &str, value: &str) -> Self {
        let pair = format!("{}={}", utf8_percent_encode(name, QUERY), utf8_percent_encode(value, QUERY));
        Self { name: name.to_owned(), pair }
    }
}

/// Checks a caller's path: what follows the integration's or route's id, with or without its first `/`.
pub(crate) fn check(path: &str) -> Result<(), Refused> {
    if path.len() > TARGET_BYTES_MAX {
        return Err(Refused::TooLong);
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.starts_with('/') {
        return Err(Refused::Empty);
    }
    path.split('/').try_for_each(segment)
}

fn segment(raw: &str) -> Result<(), Refused> {
    // What nobody reads in two ways.
    let plain = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.' | b',' | b':' | b'@' | b'=')
    };
    if raw.as_bytes().iter().all(plain) && raw != "." && raw != ".." {
        return Ok(());
    }
    let broken = |text: &str| {
        let bytes = text.as_bytes();
        let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        (0..bytes.len()).any(|at| bytes[at] == b'%' && !(hex(at + 1) && hex(at + 2)))
    };
    if broken(raw) {
        return Err(Refused::Character);
    }
    let once = percent_decode_str(raw).decode_utf8().map_err(|_| Refused::Character)?;
    // Somebody behind us may decode once more: that reading must be as harmless.
    let twice = percent_decode_str(&once).decode_utf8_lossy();
    for text in [&once, &twice] {
        if text.contains(['/', '\\']) {
            return Err(Refused::Slash);
        }
        if text.chars().any(char::is_control) {
            return Err(Refused::Character);
        }
        // Some servers cut a segment at its first `;`, and a second reading at a `?` that was escaped.
        if matches!(text.split([';', '?', '#']).next(), Some("." | "..")) {
            return Err(Refused::Dots);
        }
    }
    Ok(())
}

/// The part of a path below the base: a client whose own base URL ends as ours does (`…/v1`) says it twice.
///
/// Only an overlap that holds a version (`v1`, `v1beta`) is one; `/data` under `/data` stays `/data/data`.
pub(crate) fn below<'p>(base: &str, path: &'p str) -> &'p str {
    if base.is_empty() {
        return path;
    }
    let base: Vec<&str> = base.split('/').filter(|s| !s.is_empty()).collect();
    let given = path.strip_prefix('/').unwrap_or(path);
    let segments: Vec<&str> = given.split('/').collect();
    for len in (1..=base.len().min(segments.len())).rev() {
        let overlap = &base[base.len() - len..];
        if overlap == &segments[..len] && overlap.iter().any(|s| is_version(s)) {
            let cut: usize = segments[..len].iter().map(|s| s.len() + 1).sum();
            return given.get(cut - 1..).unwrap_or_default();
        }
    }
    path
}

fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The path and query to send: `base` (no `/` at its end), the part below it, the caller's query byte for byte, and
/// those of `add` that the caller did not give.
pub(crate) fn join(
    base: &str,
    below: &str,
    query: Option<&str>,
    add: &[Parameter],
) -> Result<PathAndQuery, Refused> {
    let mut text = String::with_capacity(base.len() + below.len() + query.map_or(0, str::len) + 64);
    text.push_str(base);
    if !below.is_empty() && !below.starts_with('/') {
        text.push('/');
    }
    text.push_str(below);
    if text.is_empty() {
        text.push('/');
    }
    let mut mark = '?';
    if let Some(query) = query {
        text.push(mark);
        text.push_str(query);
        mark = if query.is_empty() { ' ' } else { '&' };
    }
    for parameter in add.iter().filter(|p| !has(query.unwrap_or_default(), &p.name)) {
        if mark != ' ' {
            text.push(mark);
        }
        text.push_str(&parameter.pair);
        mark = '&';
    }
    if text.len() > TARGET_BYTES_MAX {
        return Err(Refused::TooLong);
    }
    PathAndQuery::try_from(text).map_err(|_| Refused::Character)
}

/// Whether a query has a parameter of this name, however it is escaped.
fn has(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| {
        let key = pair.split('=').next().unwrap_or_default();
        key == name || percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy() == name
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[track_caller]
    fn joined(base: &str, path: &str, query: Option<&str>, wanted: &str) {
        check(path).expect("a path that is passed on");
        let add = [Parameter::new("units", "1 & 2"), Parameter::new("given", "ours")];
        let text = join(base, below(base, path), query, &add).expect("joins").to_string();
        assert_eq!(text, wanted);
    }

    #[test]
    fn paths_and_queries_stay_byte_for_byte() {
        joined("", "/query", Some("a=%20b&&given=x"), "/query?a=%20b&&given=x&units=1%20%26%202");
        joined("/v1", "/chat/%C3%A4;p=1", None, "/v1/chat/%C3%A4;p=1?units=1%20%26%202&given=ours");
        joined("", "", Some("given"), "/?given&units=1%20%26%202");
        joined("/fred", "/", Some(""), "/fred/?units=1%20%26%202&given=ours");
        joined("/a", "/b//c/", Some("%67iven=1"), "/a/b//c/?%67iven=1&units=1%20%26%202");
    }

    #[test]
    fn a_version_is_not_said_twice() {
        for (base, path, wanted) in [
            ("/v1", "/v1/chat/completions", "/chat/completions"),
            ("/api/v1", "/v1/models", "/models"),
            ("/api/v1", "/api/v1/quote", "/quote"),
            ("/v1", "/v1", ""),
            ("/v1", "/v2/x", "/v2/x"),
            ("/v1", "/v10/x", "/v10/x"),
            ("/data", "/data/x", "/data/x"),
            ("/api/v1", "/api/quote", "/api/quote"),
            ("", "/v1/x", "/v1/x"),
        ] {
            assert_eq!(below(base, path), wanted, "{base} {path}");
        }
    }

    #[test]
    fn no_path_leaves_its_base() {
        for dots in [
            "/..",
            "/../x",
            "/a/../b",
            "/./a",
            "/%2e%2e/a",
            "/%2E./a",
            "/.%2e",
            "/%252e%252e/a",
            "/..;x=1/a",
            "/..%3f",
            "/a/.",
        ] {
            assert_eq!(check(dots), Err(Refused::Dots), "{dots}");
        }
        for slash in ["/a%2fb", "/..%2fb", "/a%5cb", "/a\\b", "/..\\b", "/a%252fb", "/%255c"] {
            assert_eq!(check(slash), Err(Refused::Slash), "{slash}");
        }
        for character in
            ["/%00", "/%0d%0a", "/%7f", "/%2500", "/%", "/%zz", "/%c0%ae%c0%ae/", "/%ff", "/a%c2%85"]
        {
            assert_eq!(check(character), Err(Refused::Character), "{character}");
        }
        assert_eq!(check("//evil.example/a"), Err(Refused::Empty));
        assert_eq!(check(&"a".repeat(TARGET_BYTES_MAX + 1)), Err(Refused::TooLong));
    }

    proptest! {
        /// Whatever passes is still below the base when somebody decodes and normalises it, once or twice.
        #[test]
        fn nothing_that_passes_leaves_the_base(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "/", "//", ".", "..", "%2e", "%2E%2e", "%252e", "%2f", "%252F", "\\", "%5c", ";", "a", "v1", "%25", "%",
                "%00", "%c0%ae", "\u{e4}", "?", "#", "@", ":", "%3b", "%3f",
            ]), 0..12),
        ) {
            let text = format!("/{}", pieces.concat());
            let path = text.split(['?', '#']).next().unwrap_or_default();
            if check(path).is_ok() && let Ok(joined) = join("/base/v1", below("/base/v1", path), None, &[]) {
                let mut reading = joined.path().to_owned();
                for _ in 0..3 {
                    let url = Url::parse(&format!("https://host.example{reading}")).expect("a URL");
                    prop_assert!(url.path() == "/base/v1" || url.path().starts_with("/base/v1/"), "{path} {url}");
                    prop_assert_eq!(url.host_str(), Some("host.example"));
                    reading = percent_decode_str(&reading).decode_utf8_lossy().replace('\u{fffd}', "");
                }
            }
        }
    }

    #[test]
    fn ordinary_paths_are_passed_on() {
        for path in
            ["", "/", "/a/b", "/...", "/.well-known/x", "/a..b", "/a%20b", "/AAPL:US", "/a//b/", "/100%25"]
        {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }
}
