//! Under which key of the `quota` bucket a limit's ledger lies.
//!
//! Pure. Names are chosen by people and endpoints come from callers' paths, so what is no letter, digit, `-` or `_` is
//! written as `=` and two hexadecimal digits: no two names become one key, none holds a wildcard, none makes a token of its
//! own.

use std::fmt::Write;

use super::{Limit, Scope, Span};
use crate::integration::Window as Per;
use crate::{IntegrationId, KeyId};

/// The longest key, in characters. A longer name is no limit's: callers count such endpoints as one.
pub const KEY_CHARS_MAX: usize = 400;

/// The key of a limit: what it belongs to (an integration or a credential), its name, and the caller or endpoint where
/// each has its own. Nothing when it is too long.
pub fn of(owner: &str, limit: &str, part: Option<&str>) -> Option<String> {
    let mut key = String::with_capacity(owner.len() + limit.len() + 16);
    for (place, token) in [Some(owner), Some(limit), part].into_iter().flatten().enumerate() {
        if place > 0 {
            key.push('.');
        }
        if token.is_empty() {
            key.push('=');
        }
        for byte in token.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                key.push(char::from(byte));
            } else {
                write!(key, "={byte:02x}").expect("a string takes all");
            }
        }
        if key.len() > KEY_CHARS_MAX {
            return None;
        }
    }
    Some(key)
}

/// What a limit belongs to: the integration, or the credential that it shares with others.
pub fn owner(integration: &IntegrationId, key: Option<&KeyId>, scope: Scope) -> String {
    match (key, scope) {
        (Some(key), Scope::Credential) => format!("key/{key}"),
        _ => integration.to_string(),
    }
}

/// A limit's name in its key: what makes it another one is when its units come again, and whether each caller, token or
/// endpoint has its own.
pub fn limit(limit: &Limit, has_parts: bool) -> String {
    let parts = if has_parts { PARTS } else { "" };
    match &limit.span {
        Span::Calendar { per, zone } => {
            format!("{}/{} {}{parts}", limit.name, word(*per), zone.iana_name().unwrap_or("UTC"))
        }
        Span::Rolling { millis } => format!("{}/{millis} ms{parts}", limit.name),
        Span::Bucket { millis } => format!("{}/{millis} ms bucket{parts}", limit.name),
        Span::Concurrent => format!("{}/at once{parts}", limit.name),
    }
}

/// What a key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The integration, or `key/` and the credential.
    pub owner: String,
    /// The limit's name.
    pub limit: String,
    /// The calendar window and its zone, where it has one.
    pub window: Option<(Per, String)>,
    /// The caller, token or endpoint, where each has its own.
    pub part: Option<String>,
}

/// Reads a key that [`of`] and [`limit`] made. Nothing when they did not.
pub fn parse(key: &str) -> Option<Named> {
    let mut tokens = key.split('.').map(plain);
    let (owner, name, part) = (tokens.next()??, tokens.next()??, tokens.next());
    if tokens.next().is_some() {
        return None;
    }
    let part = part.map_or(Some(None), |part| part.map(Some))?;
    let name = if part.is_some() { name.strip_suffix(PARTS)? } else { &name };
    let (before, last) = name.rsplit_once(' ')?;
    let (limit, first) = before.rsplit_once('/')?;
    let window = match last {
        "ms" | "once" | "bucket" => None,
        zone => Some((PERS.into_iter().find(|per| word(*per) == first)?, zone.to_owned())),
    };
    Some(Named { owner, limit: limit.to_owned(), window, part })
}

const PARTS: &str = "/parts";
const PERS: [Per; 6] = [Per::Second, Per::Minute, Per::Hour, Per::Day, Per::Week, Per::Month];

const fn word(per: Per) -> &'static str {
    match per {
        Per::Second => "Second",
        Per::Minute => "Minute",
        Per::Hour => "Hour",
        Per::Day => "Day",
        Per::Week => "Week",
        Per::Month => "Month",
    }
}

/// A token of a key as it was before it was written so.
fn plain(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'=' || token == "=" {
            bytes.extend((token != "=").then_some(byte));
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let zone = jiff::tz::TimeZone::get("America/New_York").expect("a zone");
        let spans = [
            (Span::Calendar { per: Per::Day, zone }, Some((Per::Day, "America/New_York".to_owned()))),
            (Span::Rolling { millis: 1_500 }, None),
            (Span::Bucket { millis: 1_500 }, None),
            (Span::Concurrent, None),
        ];
        for (span, window) in spans {
            for part in [None, Some("agent:ada"), Some("GET /v1/{a.b}"), Some("")] {
                for name in ["day", "per minute/x", "ümlaut. y"] {
                    let made = Limit { name: name.to_owned(), amount: 5, span: span.clone(), replicas: None };
                    let key = of("key/a", &limit(&made, part.is_some()), part).expect("short");
                    let named = parse(&key).expect("is read");
                    assert_eq!((&*named.owner, &*named.limit, &named.window), ("key/a", name, &window));
                    assert_eq!(named.part.as_deref(), part, "{key}");
                }
            }
        }
        for not in ["clock", "a.b", "a.b.c.d", "a.b=2", ""] {
            assert_eq!(parse(not), None, "{not}");
        }
    }

    #[test]
    fn no_name_is_a_wildcard_or_another_name() {
        assert_eq!(of("polygon", "per minute", None).as_deref(), Some("polygon.per=20minute"));
        assert_eq!(of("a", "b", Some("GET /v1/*")).as_deref(), Some("a.b.GET=20=2fv1=2f=2a"));
        assert_eq!(of("a", "b.c", None).as_deref(), Some("a.b=2ec"));
        assert_eq!(of("a", "", Some("=")).as_deref(), Some("a.=.=3d"));
        assert_eq!(of("a", &"/".repeat(200), None), None);
    }
}
