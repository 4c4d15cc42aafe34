//! The names under which use is counted: bounded, whatever paths callers send.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Provider;

/// The longest endpoint name, in characters.
pub const ENDPOINT_CHARS_MAX: usize = 64;
/// The longest path segment that is taken for a word and not for an id, in characters.
const WORD_CHARS_MAX: usize = 24;
/// Segments of a path that a name is made of when no declared endpoint fits.
const SEGMENTS: usize = 2;

/// One name under which use is counted. It takes all paths that begin with `path`; the longest fitting one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderEndpoint)]
pub struct Endpoint {
    /// The path's beginning, with `{placeholders}`.
    pub path: String,
    /// The method. Absent: any.
    #[serde(default)]
    pub method: Option<String>,
    /// Query parameters that it must have, where one path serves many purposes.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Its name, when that is not the path; required with `query`.
    #[serde(default)]
    pub label: Option<String>,
}

impl Endpoint {
    /// Its name.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.path)
    }

    fn fit(&self, method: &str, path: &str, query: &str) -> Option<(usize, usize, usize)> {
        if self.method.as_ref().is_some_and(|m| !m.eq_ignore_ascii_case(method)) {
            return None;
        }
        let has = |(name, value): (&String, &String)| {
            query.split('&').any(|pair| pair.split_once('=') == Some((name.as_str(), value.as_str())))
        };
        if !self.query.iter().all(has) {
            return None;
        }
        let (segments, literals) = fit(&self.path, path)?;
        Some((segments, literals, self.query.len()))
    }
}

impl Provider {
    /// The name under which a call is counted: a declared endpoint's, else the path's first two segments with what
    /// looks like an id replaced by `{}`. At most [`ENDPOINT_CHARS_MAX`] characters. `path` may hold a query.
    pub fn endpoint_of(&self, method: &str, path: &str) -> Cow<'_, str> {
        let (bare, query) = path.split_once('?').unwrap_or((path, ""));
        self.endpoint(method, bare, query)
    }

    /// The same, with path and query apart.
    pub fn endpoint(&self, method: &str, bare: &str, query: &str) -> Cow<'_, str> {
        let fitting = self.endpoints.iter().filter_map(|e| Some((e.fit(method, bare, query)?, e)));
        if let Some((_, endpoint)) = fitting.max_by_key(|(fit, _)| *fit) {
            return Cow::Borrowed(endpoint.label());
        }
        let mut name = String::new();
        for segment in bare.split('/').filter(|s| !s.is_empty()).take(SEGMENTS) {
            name.push('/');
            name.push_str(if is_word(segment) { segment } else { "{}" });
        }
        if name.is_empty() { Cow::Borrowed("/") } else { Cow::Owned(name) }
    }
}

/// A path without what follows its `?`.
pub(crate) fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// How well a path begins as a pattern says: its segments, and those of them without a placeholder.
pub fn fit(pattern: &str, path: &str) -> Option<(usize, usize)> {
    let mut given = path.split('/').filter(|s| !s.is_empty());
    let (mut segments, mut literals) = (0, 0);
    for wanted in pattern.split('/').filter(|s| !s.is_empty()) {
        let segment = given.next()?;
        segments += 1;
        match wanted.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?.1))) {
            None if wanted == segment => literals += 1,
            Some((head, tail)) if segment.len() > head.len() + tail.len() => {
                if !segment.starts_with(head) || !segment.ends_with(tail) {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some((segments, literals))
}

/// The names between `{` and `}` in a pattern.
pub(crate) fn placeholders(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

/// Whether a segment is a word of an API (`quote`, `v3`, `historical-price`) and not an id or a symbol.
fn is_word(segment: &str) -> bool {
    let version = |s: &str| !s.is_empty() && s.len() <= 2 && s.bytes().all(|b| b.is_ascii_digit());
    if version(segment) || segment.strip_prefix('v').is_some_and(version) {
        return true;
    }
    segment.len() <= WORD_CHARS_MAX
        && segment.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'_'))
        && segment.bytes().any(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Catalogue;

    #[track_caller]
    fn check(provider: &str, path: &str, wanted: &str) {
        let provider = Catalogue::builtin().get(provider).expect("a provider of the catalogue");
        assert_eq!(provider.endpoint_of("GET", path), wanted, "{path}");
    }

    #[test]
    fn the_longest_declared_endpoint_counts() {
        check("polygon", "/v2/aggs/ticker/AAPL/prev", "/v2/aggs");
        check("openai", "/chat/completions", "/chat/completions");
        check("openai", "/models/gpt-4o", "/models");
        check("coingecko", "/coins/bitcoin/ohlc?days=1", "/coins/{id}/ohlc");
        check("coingecko", "/coins/bitcoin/history", "/coins/{id}");
        check("kraken", "/0/private/AddOrder", "/0/private/AddOrder");
        check("kraken", "/0/private/CancelOrder", "/0/private");
    }

    #[test]
    fn a_placeholder_may_be_a_part_of_a_segment() {
        let chat = "/v1beta/models/{model}:generateContent";
        check("gemini", "/v1beta/models/gemini-2.5-pro:generateContent", chat);
        check("gemini", "/v1beta/models/gemini-2.5-pro", "/v1beta/models");
        check("gemini", "/v1beta/models/:generateContent", "/v1beta/models");
    }

    #[test]
    fn one_path_with_many_purposes_is_told_apart_by_its_query() {
        check("alpha_vantage", "/query?function=GLOBAL_QUOTE&symbol=IBM", "GLOBAL_QUOTE");
        check("alpha_vantage", "/query?symbol=IBM&function=CPI", "CPI");
        check("alpha_vantage", "/query?function=SOMETHING_NEW", "/query");
    }

    #[test]
    fn an_undeclared_path_loses_what_looks_like_an_id() {
        check("custom", "/v1/quotes/AAPL", "/v1/quotes");
        check("custom", "/users/3f2c9a10-0000-4000-8000-000000000000/keys", "/users/{}");
        check("custom", "/quote/AAPL?apikey=x", "/quote/{}");
        check("custom", "/12345/x", "/{}/x");
        check("custom", "/a%2Fb", "/{}");
        check("custom", "", "/");
        check("custom", "//", "/");
    }

    proptest! {
        #[test]
        fn any_path_has_a_short_name(path in ".{0,300}", method in "[A-Z]{0,8}") {
            for provider in Catalogue::builtin().all().chain([Provider::custom()]) {
                prop_assert!(provider.endpoint_of(&method, &path).chars().count() <= ENDPOINT_CHARS_MAX);
            }
        }
    }
}
