//! Answers kept for a while: what a route may say again without asking, or when nobody else answers.
//!
//! Only whole 200 answers to GET through routes that ask for it. An entry is bound to the integration it came from, as
//! configured then: a change of that ends it (T16). Bytes are bounded. The key holds no secret and nothing of the caller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, HeaderName, SET_COOKIE, VARY};
use model::{IntegrationId, RouteId};
use quick_cache::Weighter;
use quick_cache::sync::Cache as Map;

/// The largest body that is kept, in bytes.
pub(crate) const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// What an entry weighs besides its texts, in bytes.
const ENTRY_BYTES_MIN: u64 = 512;
/// For how many entries the map is made; it grows.
const ENTRIES_EXPECTED: usize = 1_024;
/// What the key holds of a request: an answer that varies by more is not kept.
const VARIES_BY: [HeaderName; 2] = [ACCEPT, ACCEPT_ENCODING];

/// All kept answers. Clones share them.
#[derive(Clone)]
pub(crate) struct Cache(Arc<Map<Key, Arc<Kept>, Weight>>);

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    route: RouteId,
    target: String,
    accept: Vec<Bytes>,
}

/// A kept answer. Its status is 200.
pub(crate) struct Kept {
    /// Its end-to-end headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
    /// Who answered.
    pub(crate) integration: IntegrationId,
    /// How that was configured.
    pub(crate) print: u64,
    /// The name under which the call was counted.
    pub(crate) endpoint: Arc<str>,
    at: Instant,
}

/// Where an answer goes once its body is whole.
pub(crate) struct Place {
    cache: Cache,
    key: Key,
    kept: Kept,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Kept>> for Weight {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        let headers: usize = kept.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        ENTRY_BYTES_MIN + (key.target.len() + headers + kept.body.len()) as u64
    }
}

// === impl Cache ===

impl Cache {
    /// Holds at most so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Map::with_weighter(ENTRIES_EXPECTED, bytes_max, Weight)))
    }

    /// The answer kept for a request, whatever its age.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Kept>> {
        self.0.get(key)
    }

    /// A place for an answer whose body is still coming.
    pub(crate) fn place(
        &self,
        key: Key,
        headers: &HeaderMap,
        integration: IntegrationId,
        print: u64,
        endpoint: Arc<str>,
    ) -> Place {
        let kept = Kept {
            headers: headers.clone(),
            body: Bytes::new(),
            integration,
            print,
            endpoint,
            at: Instant::now(),
        };
        Place { cache: self.clone(), key, kept }
    }
}

/// Whether an answer's headers, as they came, let it be kept. A route's explicit word stands above `max-age` and
/// `private`, which speak to caches that serve many owners of keys; `no-store` stands above the route.
pub(crate) fn may_keep(headers: &HeaderMap) -> bool {
    let forbidden = has_directive(headers, "no-store") || headers.contains_key(SET_COOKIE);
    let varies = headers.get_all(VARY).iter().any(|value| {
        let names = value.to_str().unwrap_or("*").split(',').map(str::trim);
        names.into_iter().any(|name| {
            !name.is_empty()
                && !VARIES_BY.iter().any(|v| name.eq_ignore_ascii_case(v.as_str()))
                && !name.eq_ignore_ascii_case("origin")
        })
    });
    !forbidden && !varies
}

/// Whether `Cache-Control` holds a directive.
pub(crate) fn has_directive(headers: &HeaderMap, directive: &str) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').any(|part| part.trim().eq_ignore_ascii_case(directive))
    })
}

// === impl Key, Kept, Place ===

impl Key {
    /// What a GET through a route asks for.
    pub(crate) fn new(route: &RouteId, path: &str, query: Option<&str>, headers: &HeaderMap) -> Self {
        let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        let accept = VARIES_BY
            .iter()
            .flat_map(|name| {
                let own = headers.get_all(name).iter().map(|value| Bytes::copy_from_slice(value.as_bytes()));
                own.chain(std::iter::once(Bytes::new()))
            })
            .collect();
        Self { route: route.clone(), target, accept }
    }
}

impl Kept {
    /// How old it is.
    pub(crate) fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

impl Place {
    /// The largest body that is kept.
    pub(crate) fn bytes_max(&self) -> usize {
        ENTRY_BYTES_MAX
    }

    /// Keeps the answer with its whole body.
    pub(crate) fn keep(mut self, body: Bytes) {
        self.kept.body = body;
        self.cache.0.insert(self.key, Arc::new(self.kept));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_an_answer_forbids_is_not_kept() {
        assert!(may_keep(&headers(&[])));
        assert!(may_keep(&headers(&[
            ("cache-control", "private, max-age=0"),
            ("vary", "Accept, accept-encoding")
        ])));
        assert!(!may_keep(&headers(&[("cache-control", "max-age=3, no-store")])));
        assert!(!may_keep(&headers(&[("set-cookie", "a=b")])));
        assert!(!may_keep(&headers(&[("vary", "*")])));
        assert!(!may_keep(&headers(&[("vary", "accept, x-user")])));
    }

    #[test]
    fn keys_differ_in_each_part() {
        let (quotes, other) =
            (RouteId::new("quotes").expect("a slug"), RouteId::new("other").expect("a slug"));
        let (none, json) = (headers(&[]), headers(&[("accept", "application/json")]));
        let gzip = headers(&[("accept-encoding", "application/json")]);
        let keys = [
            Key::new(&quotes, "/a", None, &none),
            Key::new(&other, "/a", None, &none),
            Key::new(&quotes, "/b", None, &none),
            Key::new(&quotes, "/a", Some(""), &none),
            Key::new(&quotes, "/a", Some("b"), &none),
            Key::new(&quotes, "/a", None, &json),
            Key::new(&quotes, "/a", None, &gzip),
        ];
        for (n, key) in keys.iter().enumerate() {
            assert!(keys[..n].iter().all(|before| before != key), "{key:?}");
        }
    }

    #[test]
    fn bytes_are_bounded() {
        let cache = Cache::new(16 * 1024);
        let route = RouteId::new("quotes").expect("a slug");
        let integration = IntegrationId::new("a").expect("a slug");
        for n in 0..100 {
            let key = Key::new(&route, &format!("/{n}"), None, &headers(&[]));
            let place = cache.place(key, &headers(&[]), integration.clone(), 1, "/".into());
            place.keep(Bytes::from(vec![0; 512]));
        }
        assert!(cache.0.weight() <= 16 * 1024 && !cache.0.is_empty(), "{}", cache.0.weight());
    }
}
