//! What a caller asks of the cache, in its method and its `Cache-Control` (RFC 9111, section 5.2.1).
//!
//! Pure. What cannot be read counts as the stricter thing.

use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderName, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, Method};

use super::super::admit::Call;
use crate::cache::kept::Kept;
use crate::cache::rules::Windows;
use crate::cache::said::directives;

/// Headers of a request whose answer is of this moment or of a part.
const OF_THE_MOMENT: [HeaderName; 4] = [RANGE, IF_MATCH, IF_UNMODIFIED_SINCE, IF_RANGE];

/// What a caller asks of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asks {
    /// Whether a kept answer may be taken.
    pub(super) reads: bool,
    /// Whether the answer may be kept.
    pub(super) keeps: bool,
    /// Whether no provider is to be asked.
    pub(super) only_if_cached: bool,
    /// Whether only the head of an answer is wanted.
    pub(super) head: bool,
    /// How old an answer may be, in seconds.
    age_max: Option<u64>,
    /// For how long it must still be fresh.
    fresh_min: Duration,
    /// For how long it may have been stale.
    stale_max: Duration,
}

impl Asks {
    /// Reads a call; nothing when no cache has to do with it.
    pub(super) fn of(call: &Call) -> Option<Self> {
        let head = call.method == Method::HEAD;
        if !head && call.method != Method::GET {
            return None;
        }
        if is_of_the_moment(&call.headers) {
            return None;
        }
        let asks = Self::read(&call.headers);
        Some(Self { head, keeps: asks.keeps && !head, ..asks })
    }

    /// What is asked behind a caller: a whole answer, to be kept.
    pub(super) fn behind(self) -> Self {
        Self { head: false, keeps: true, ..self }
    }

    fn read(headers: &HeaderMap) -> Self {
        let mut asks = Self {
            reads: true,
            keeps: true,
            only_if_cached: false,
            head: false,
            age_max: None,
            fresh_min: Duration::ZERO,
            stale_max: Duration::ZERO,
        };
        if headers.contains_key(CACHE_CONTROL) {
            let secs = |value: Option<&str>| value.and_then(|secs| secs.parse::<u32>().ok());
            let long = |secs: u32| Duration::from_secs(u64::from(secs));
            directives(headers, |name, value| match name {
                "no-cache" => asks.reads = false,
                "no-store" => (asks.reads, asks.keeps) = (false, false),
                "only-if-cached" => asks.only_if_cached = true,
                "max-age" => asks.age_max = Some(secs(value).map_or(0, u64::from)),
                "min-fresh" => asks.fresh_min = long(secs(value).unwrap_or(u32::MAX)),
                "max-stale" if value.is_none() => asks.stale_max = long(u32::MAX),
                "max-stale" => asks.stale_max = long(secs(value).unwrap_or(0)),
                _ => {}
            });
            asks.reads &= asks.age_max != Some(0);
        }
        asks
    }

    /// Whether a kept answer of this age is good as it is.
    pub(super) fn takes(&self, kept: &Kept, age: Duration, windows: Windows) -> bool {
        let stale_max = if kept.said.must_revalidate { Duration::ZERO } else { self.stale_max };
        let until = windows.while_revalidate.max(windows.fresh.saturating_add(stale_max));
        let is_fresh = self.fresh_min.is_zero() || age + self.fresh_min <= windows.fresh;
        age < until && is_fresh && self.age_max.is_none_or(|max| kept.age_secs(age) <= max)
    }
}

/// Whether a request is for an answer of this moment or for a part of one.
pub(crate) fn is_of_the_moment(headers: &HeaderMap) -> bool {
    OF_THE_MOMENT.iter().any(|name| headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use model::IntegrationId;

    use super::*;
    use crate::cache::kept::Origin;
    use crate::cache::said::Said;
    use crate::cache::writes::Since;

    fn read(control: &'static str) -> Asks {
        Asks::read(&[(CACHE_CONTROL, HeaderValue::from_static(control))].into_iter().collect())
    }

    #[test]
    fn a_caller_says_what_it_takes() {
        for (control, reads, keeps) in [
            ("no-cache", false, true),
            ("no-store", false, false),
            ("max-age=0", false, true),
            ("max-age=x", false, true),
            ("max-age=5", true, true),
            ("", true, true),
        ] {
            let asks = read(control);
            assert_eq!((asks.reads, asks.keeps), (reads, keeps), "{control}");
        }
    }

    #[test]
    fn freshness_that_a_caller_wants_is_kept_to() {
        let integration = IntegrationId::new("a").expect("a slug");
        let kept = |said: Said| {
            let origin = Origin { integration: integration.clone(), print: 1, endpoint: "/".into() };
            Kept::new(&HeaderMap::new(), origin, said, Since::default(), Vec::new())
        };
        let secs = Duration::from_secs;
        let windows = Windows { fresh: secs(10), while_revalidate: secs(12), if_error: secs(20) };
        for (control, age, wanted) in [
            ("", 9, true),
            ("", 11, true),
            ("", 12, false),
            ("max-age=3", 3, true),
            ("max-age=3", 4, false),
            ("min-fresh=4", 6, true),
            ("min-fresh=4", 7, false),
            ("min-fresh", 1, false),
            ("max-stale", 1_000, true),
            ("max-stale=5", 14, true),
            ("max-stale=5", 15, false),
            ("max-stale=x", 13, false),
        ] {
            let takes = read(control).takes(&kept(Said::default()), secs(age), windows);
            assert_eq!(takes, wanted, "{control} {age}");
        }
        let strict = kept(Said { must_revalidate: true, ..Said::default() });
        assert!(!read("max-stale").takes(&strict, secs(13), windows));
    }
}
