//! For how long an answer is fresh, and for how long it is better than none: what is configured, then what it says.
//!
//! Pure. An operator's own time stands above the provider's: `max-age` and `private` speak to caches that serve many
//! owners of keys, and all callers of a route share the one of its integration. `no-store` stands above everybody.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use model::cache::{Caching, EndpointCaching, HEADERS_MAX, is_below};

use super::kept::Varies;
use super::said::Said;
use crate::proxy::dress;

/// Headers of callers that answers are always kept apart by.
const APART_BY: [HeaderName; 3] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE];
/// Headers that an answer is told to vary by, besides those of its key, that are looked at.
const VARIES_MAX: usize = 16;

/// How answers of a route or an integration are cached. There are none where nothing is cached.
#[derive(Debug)]
pub(crate) struct Rules {
    all: Times,
    /// Endpoints with times of their own, longest first.
    endpoints: Vec<(String, Times)>,
    /// Headers of callers that answers are kept apart by.
    pub(crate) headers: Vec<HeaderName>,
    /// Whether each caller has answers of its own.
    pub(crate) per_caller: bool,
}

/// The times that are configured, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    ttl: u32,
    stale_if_error: u32,
    stale_while_revalidate: u32,
    by_provider: bool,
}

/// Up to which age an answer is good for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// Fresh.
    pub(crate) fresh: Duration,
    /// Served while a new one is fetched.
    pub(crate) while_revalidate: Duration,
    /// Served when no new one can be had.
    pub(crate) if_error: Duration,
}

impl Rules {
    /// Makes settings ready; nothing where nothing is cached.
    pub(crate) fn of(given: &Caching) -> Option<Arc<Self>> {
        if given.is_off() {
            return None;
        }
        let all = Times {
            ttl: given.ttl_secs,
            stale_if_error: given.stale_if_error_secs,
            stale_while_revalidate: given.stale_while_revalidate_secs,
            by_provider: given.by_provider.unwrap_or_else(|| !only_endpoints(given)),
        };
        let mut endpoints: Vec<_> =
            given.endpoints.iter().map(|(path, own)| (path.clone(), all.with(own))).collect();
        endpoints.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        let own = given.headers.iter().take(HEADERS_MAX).filter_map(|name| name.parse::<HeaderName>().ok());
        let own = own.filter(|name| !dress::is_callers_own(name) && !APART_BY.contains(name));
        let headers = APART_BY.into_iter().chain(own).collect();
        Some(Arc::new(Self { all, endpoints, headers, per_caller: given.per_caller }))
    }

    /// The times of a path; nothing when its answers are not cached.
    pub(crate) fn times(&self, path: &str) -> Option<Times> {
        let own = self.endpoints.iter().find(|(endpoint, _)| is_below(endpoint, path));
        let times = own.map_or(self.all, |(_, times)| *times);
        let on = times.by_provider
            || times.ttl > 0
            || times.stale_if_error > 0
            || times.stale_while_revalidate > 0;
        on.then_some(times)
    }

    /// What an answer says it varies by, besides what answers are kept apart by: as it was in the request, undressed.
    /// Nothing where no later request can be known to be the same.
    pub(crate) fn varies(&self, answer: &HeaderMap, request: &HeaderMap) -> Option<Varies> {
        let mut varies = Varies::new();
        for value in answer.get_all(VARY) {
            let names = value.to_str().ok()?.split(',').map(str::trim);
            for name in names.filter(|name| !name.is_empty()) {
                let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| name != "*")?;
                // No provider sees what is the caller's own, whatever it says.
                if self.headers.contains(&name) || dress::is_callers_own(&name) {
                    continue;
                }
                if varies.len() == VARIES_MAX {
                    return None;
                }
                // In memory of their own: a request's headers are slices of what was read.
                let own = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
                let values = request.get_all(&name).iter().map(own).collect::<Option<_>>()?;
                varies.push((name, values));
            }
        }
        Some(varies)
    }
}

/// Whether times are given for endpoints alone: the rest is not cached then.
fn only_endpoints(given: &Caching) -> bool {
    given.ttl_secs | given.stale_if_error_secs | given.stale_while_revalidate_secs == 0
}

impl Times {
    fn with(self, own: &EndpointCaching) -> Self {
        Self {
            ttl: own.ttl_secs.unwrap_or(self.ttl),
            stale_if_error: own.stale_if_error_secs.unwrap_or(self.stale_if_error),
            stale_while_revalidate: own.stale_while_revalidate_secs.unwrap_or(self.stale_while_revalidate),
            // A time of 0 that is said for an endpoint means it.
            by_provider: own.by_provider.unwrap_or(self.by_provider && own.ttl_secs != Some(0)),
        }
    }

    /// Whether an answer is worth keeping, and may be.
    pub(crate) fn keeps(self, said: &Said) -> bool {
        if said.no_store || (said.private && self.ttl == 0 && self.stale_if_error == 0) {
            return false;
        }
        let windows = self.windows(said);
        let longest = windows.fresh.max(windows.while_revalidate).max(windows.if_error);
        !longest.is_zero() || (self.by_provider && said.has_validator)
    }

    /// Up to which age an answer is good for what.
    pub(crate) fn windows(self, said: &Said) -> Windows {
        let theirs = |secs: u32| if self.by_provider && !said.must_revalidate { secs } else { 0 };
        let fresh = match self.ttl {
            0 if self.by_provider && !said.private => said.fresh_secs.unwrap_or(0),
            own => own,
        };
        let or = |own: u32, theirs: u32| if own > 0 { own } else { theirs };
        let behind = or(self.stale_while_revalidate, theirs(said.stale_while_revalidate_secs));
        let error = or(self.stale_if_error, theirs(said.stale_if_error_secs));
        let secs = |more: u32| Duration::from_secs(u64::from(fresh) + u64::from(more));
        // An answer that may be served while there is hope may be served when there is none.
        Windows { fresh: secs(0), while_revalidate: secs(behind), if_error: secs(error.max(behind)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Option<Arc<Rules>> {
        Rules::of(&serde_json::from_str(text).expect("settings"))
    }

    fn seconds(text: &str, path: &str, said: &Said) -> Option<(u64, u64, u64)> {
        let times = rules(text)?.times(path)?;
        let windows = times.windows(said);
        let secs = |window: Duration| window.as_secs();
        times
            .keeps(said)
            .then(|| (secs(windows.fresh), secs(windows.while_revalidate), secs(windows.if_error)))
    }

    #[test]
    fn our_own_time_stands_above_the_providers() {
        let max_age = Said { fresh_secs: Some(60), ..Said::default() };
        let private = Said { private: true, ..max_age };
        let no_store = Said { no_store: true, ..max_age };
        let stale = Said { stale_while_revalidate_secs: 7, stale_if_error_secs: 9, ..max_age };
        let strict = Said { must_revalidate: true, ..stale };
        for (text, said, wanted) in [
            ("{}", max_age, None),
            (r#"{"ttl_secs":5}"#, max_age, Some((5, 5, 5))),
            (r#"{"ttl_secs":5}"#, private, Some((5, 5, 5))),
            (r#"{"ttl_secs":5}"#, no_store, None),
            (r#"{"ttl_secs":5}"#, Said::default(), Some((5, 5, 5))),
            (r#"{"by_provider":true}"#, max_age, Some((60, 60, 60))),
            (r#"{"by_provider":true}"#, private, None),
            (r#"{"by_provider":true}"#, Said::default(), None),
            (r#"{"by_provider":true}"#, Said { has_validator: true, ..Said::default() }, Some((0, 0, 0))),
            (r#"{"by_provider":true}"#, stale, Some((60, 67, 69))),
            (r#"{"by_provider":true}"#, strict, Some((60, 60, 60))),
            (r#"{"stale_if_error_secs":300}"#, Said::default(), Some((0, 0, 300))),
            (r#"{"stale_if_error_secs":300}"#, max_age, Some((60, 60, 360))),
            (r#"{"stale_if_error_secs":300}"#, private, Some((0, 0, 300))),
            (r#"{"stale_if_error_secs":300,"by_provider":false}"#, max_age, Some((0, 0, 300))),
            (r#"{"ttl_secs":2,"stale_while_revalidate_secs":10}"#, strict, Some((2, 12, 12))),
        ] {
            assert_eq!(seconds(text, "/x", &said), wanted, "{text} {said:?}");
        }
    }

    #[test]
    fn the_longest_endpoint_wins() {
        let text = r#"{"ttl_secs":60,"stale_if_error_secs":300,"endpoints":{
            "/v1":{"ttl_secs":10},"/v1/quote":{"ttl_secs":1},"/v1/account":{"ttl_secs":0,"stale_if_error_secs":0}}}"#;
        let said = Said { fresh_secs: Some(99), ..Said::default() };
        for (path, wanted) in [
            ("/x", Some((60, 60, 360))),
            ("/v1/x", Some((10, 10, 310))),
            ("/v1/quote/IBM", Some((1, 1, 301))),
            ("/v1/quotes", Some((10, 10, 310))),
            ("/v1/account", None),
        ] {
            assert_eq!(seconds(text, path, &said), wanted, "{path}");
        }
        let only = r#"{"endpoints":{"/v1/quote":{"ttl_secs":5}}}"#;
        assert_eq!(seconds(only, "/v1/quote", &said), Some((5, 5, 5)));
        assert_eq!(seconds(only, "/v1/other", &said), None);
    }

    #[test]
    fn what_an_answer_varies_by_is_remembered() {
        let rules = rules(r#"{"ttl_secs":1,"headers":["X-Tenant","authorization"]}"#).expect("on");
        assert!(rules.headers.iter().all(|name| name != "authorization"));
        let of = |name, value: &str| (name, HeaderValue::from_str(value).expect("text"));
        let request: HeaderMap = [of(http::header::ORIGIN, "x"), of(ACCEPT, "*/*")].into_iter().collect();
        for (vary, wanted) in [
            ("Accept, accept-encoding", Some("")),
            ("X-TENANT,, Authorization, Cookie", Some("")),
            ("*", None),
            ("accept, *", None),
            ("accept, a b", None),
            ("accept, x-user", Some("x-user=[]")),
            ("Origin, accept", Some("origin=[\"x\"]")),
        ] {
            let answer = [of(VARY, vary)].into_iter().collect();
            let varies = rules.varies(&answer, &request);
            let text = varies.map(|varies| {
                varies.iter().map(|(name, values)| format!("{name}={values:?}")).collect::<String>()
            });
            assert_eq!(text.as_deref(), wanted, "{vary}");
        }
    }
}
