//! How answers are cached: settings of a route or an integration, and the word that what is kept is not to be used.
//!
//! Caching is off where nothing is said. Times are whole seconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{IntegrationId, Timestamp};

/// The longest time that is set here, in seconds: 30 days.
pub const SECS_MAX: u32 = 30 * 86_400;
/// Endpoints with times of their own.
pub const ENDPOINTS_MAX: usize = 64;
/// Headers that answers are kept apart by.
pub const HEADERS_MAX: usize = 8;
/// The longest endpoint or pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// How answers to GET are cached. A TTL that is set here stands above what a provider says, but for `no-store`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RouteCache)]
pub struct Caching {
    /// Seconds for which an answer is fresh, whatever its provider says. 0: no time of ours.
    #[serde(default)]
    pub ttl_secs: u32,
    /// Seconds for which a stale answer may be served when every integration fails or has no quota left.
    #[serde(default)]
    pub stale_if_error_secs: u32,
    /// Seconds for which a stale answer is served at once while a new one is fetched behind. Answers that are asked for
    /// often are then also fetched anew before they are stale.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stale_while_revalidate_secs: u32,
    /// Whether answers without a time of ours are fresh for as long as their provider says (RFC 9111, RFC 5861).
    /// Absent: if anything else here is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_provider: Option<bool>,
    /// Times of endpoints, by path: that path and those below it; the longest wins. At most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, EndpointCaching>,
    /// Names of callers' headers that change the answer, besides `accept`, `accept-encoding` and `accept-language`.
    /// At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Whether each caller gets only answers that it asked for itself: for providers whose answers depend on who asks.
    /// Callers are told apart as in the counts of use. What a provider calls `private` is then fresh for as long as it says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_caller: bool,
}

/// How answers of one endpoint are cached. What is absent is as for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointCaching {
    /// Seconds for which an answer is fresh. 0: never fresh, unless `by_provider` is set here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_secs: Option<u32>,
    /// Seconds for which a stale answer may be served when every integration fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_if_error_secs: Option<u32>,
    /// Seconds for which a stale answer is served while a new one is fetched behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate_secs: Option<u32>,
    /// Whether the provider's word counts where there is no time of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_provider: Option<bool>,
}

/// Kept answers of an integration are not to be used any more: all, or those that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct CacheInvalidated {
    /// Whose answers.
    pub integration: IntegrationId,
    /// Only those of this path and of paths below it.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Only those whose path with its query matches: `*` stands for any text, all else for itself.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Who wants it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

impl Caching {
    /// Whether nothing is kept at all.
    pub fn is_off(&self) -> bool {
        let own = self.ttl_secs | self.stale_if_error_secs | self.stale_while_revalidate_secs;
        own == 0 && self.by_provider != Some(true) && self.endpoints.is_empty()
    }
}

impl CacheInvalidated {
    /// Whether an answer to this path and query, as callers asked, is meant.
    pub fn matches(&self, path: &str, query: Option<&str>) -> bool {
        let endpoint = self.endpoint.as_deref();
        endpoint.is_none_or(|endpoint| is_below(endpoint, path))
            && self.pattern.as_deref().is_none_or(|pattern| match query {
                Some(query) => glob(pattern, &[path, "?", query]),
                None => glob(pattern, &[path]),
            })
    }
}

/// Whether a path is an endpoint or lies below it. A `/` at the beginning or the end makes no difference.
pub fn is_below(endpoint: &str, path: &str) -> bool {
    let endpoint = endpoint.trim_matches('/');
    let rest = path.trim_start_matches('/').strip_prefix(endpoint);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || endpoint.is_empty())
}

/// Whether a pattern with `*` matches the texts put together. Takes at most pattern times text steps, and no stack.
fn glob(pattern: &str, texts: &[&str]) -> bool {
    let text: Vec<u8> = texts.iter().flat_map(|text| text.bytes()).collect();
    let pattern = pattern.as_bytes();
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: only the last one must ever be tried again.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            again = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((star, from)) = again {
            again = Some((star, from + 1));
            (p, t) = (star, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("/q", "/q", true),
            ("/q", "/quote", false),
            ("/q*", "/quote", true),
            ("*symbol=IBM*", "/quote?symbol=IBM&x=1", true),
            ("*symbol=IBM", "/quote?symbol=IBM&x=1", false),
            ("/a*b*c", "/aXbYbZc", true),
            ("/a*b*c", "/aXcYb", false),
            ("/a.c", "/abc", false),
            ("**a**", "bab", true),
        ] {
            assert_eq!(glob(pattern, &[text]), wanted, "{pattern} {text}");
        }
        let hard = format!("{}b", "a*".repeat(400));
        assert!(!glob(&hard, &[&"a".repeat(16_000)]));
    }

    #[test]
    fn an_endpoint_is_its_path_and_those_below() {
        for (endpoint, path, wanted) in [
            ("/v1/quote", "/v1/quote", true),
            ("v1/quote/", "/v1/quote/IBM", true),
            ("/v1/quote", "/v1/quotes", false),
            ("/", "/any", true),
            ("", "/any", true),
        ] {
            assert_eq!(is_below(endpoint, path), wanted, "{endpoint} {path}");
        }
    }

    #[test]
    fn nothing_said_is_off() {
        let of = |text: &str| serde_json::from_str::<Caching>(text).expect("settings");
        assert!(of("{}").is_off());
        assert!(of(r#"{"ttl_secs":0,"by_provider":false}"#).is_off());
        for on in [
            r#"{"ttl_secs":1}"#,
            r#"{"stale_if_error_secs":1}"#,
            r#"{"by_provider":true}"#,
            r#"{"endpoints":{"/a":{"ttl_secs":5}}}"#,
        ] {
            assert!(!of(on).is_off(), "{on}");
        }
    }
}
