//! One kept answer: its body and a head that is ready to be sent again, in memory of its own.
//!
//! Headers and body as they come are slices of the buffers that were read from the network, and would keep all of these
//! alive: what is kept is copied, once, to its exact size. What an entry takes is known to the byte that it is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use egress::lane;
use http::header::{
    AGE, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use model::IntegrationId;

use super::key::Key;
use super::lines::Lines;
use super::said::Said;
use super::writes::Since;
use crate::snapshot::Integration;

/// What the allocator and a reference count add to each allocation, in bytes.
const ALLOCATION: usize = 48;
/// What a header takes besides its text, in bytes: its name may be in an allocation of its own.
const HEADER: usize = 40 + ALLOCATION;
/// What an entry takes in the map of all, in bytes.
const SLOT: usize = 160;
/// How soon after a failed refresh the next may begin, in milliseconds.
const PAUSE_MS: u64 = 1_000;
/// A refresh is under way.
const BUSY: u64 = u64::MAX;

/// Who gave an answer.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Who.
    pub(crate) integration: IntegrationId,
    /// How that was configured, its key's version included.
    pub(crate) print: u64,
    /// The name under which the call was counted.
    pub(crate) endpoint: Arc<str>,
}

/// Headers of the request that an answer says it varies by, besides those of its key, as they were.
pub(crate) type Varies = Vec<(HeaderName, Vec<HeaderValue>)>;

/// A kept answer. Its status is 200.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its end-to-end headers.
    pub(crate) headers: Lines,
    /// Its body.
    pub(crate) body: Bytes,
    /// Who gave it.
    pub(crate) origin: Origin,
    /// What it says of being kept.
    pub(crate) said: Said,
    /// Which writes end it.
    pub(crate) since: Since,
    /// What else must be the same in a request that it answers.
    varies: Varies,
    at: Instant,
    /// How often it was asked for.
    asked: AtomicU32,
    /// From when on it may be fetched anew behind, in milliseconds after `at`.
    refresh_at_ms: AtomicU64,
}

impl Kept {
    /// Copies an answer's head, as callers get it. Its body comes later.
    pub(crate) fn new(headers: &HeaderMap, origin: Origin, said: Said, since: Since, varies: Varies) -> Self {
        Self {
            headers: Lines::without(headers, &AGE),
            body: Bytes::new(),
            origin,
            said,
            since,
            varies,
            at: lane::now().into_std(),
            asked: AtomicU32::new(0),
            refresh_at_ms: AtomicU64::new(0),
        }
    }

    /// The same answer after its provider said that it is still true, with what it said then (RFC 9111, 3.2).
    pub(crate) fn confirmed(&self, newer: &HeaderMap, said: Said, since: Since) -> Self {
        let mut headers = self.headers.table(newer.len());
        let changes = newer.keys().filter(|name| **name != CONTENT_LENGTH);
        for name in changes {
            headers.remove(name);
            for value in newer.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let said = Said { has_validator: self.said.has_validator || said.has_validator, ..said };
        let (origin, varies) = (self.origin.clone(), self.varies.clone());
        Self { body: self.body.clone(), ..Self::new(&headers, origin, said, since, varies) }
    }

    /// Whether it is an answer to a request with these headers, as far as its key does not say.
    pub(crate) fn suits(&self, headers: &HeaderMap) -> bool {
        self.varies.iter().all(|(name, values)| headers.get_all(name).iter().eq(values))
    }

    /// Whether an answer to HEAD says that this is not the answer any more (RFC 9111, section 4.3.5).
    pub(crate) fn differs(&self, head: &HeaderMap) -> bool {
        let other = |name: &HeaderName| {
            head.get(name).is_some_and(|said| self.headers.get(name).as_ref() != Some(said))
        };
        let length = head.get(CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse().ok());
        other(&ETAG) || other(&LAST_MODIFIED) || length.is_some_and(|len: usize| len != self.body.len())
    }

    /// How old it is here.
    pub(crate) fn age(&self) -> Duration {
        lane::now().into_std().saturating_duration_since(self.at)
    }

    /// Its age as callers are told it, in seconds.
    pub(crate) fn age_secs(&self, here: Duration) -> u64 {
        here.as_secs() + u64::from(self.said.age_secs)
    }

    /// Counts that it was asked for, and says how often it was.
    pub(crate) fn ask(&self) -> u32 {
        self.asked.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Whether it may be fetched anew behind now; takes the right to.
    pub(crate) fn begin_refresh(&self) -> bool {
        let now = self.now_ms();
        let before = self.refresh_at_ms.load(Ordering::Relaxed);
        let taken = |before| {
            self.refresh_at_ms.compare_exchange(before, BUSY, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        before <= now && taken(before)
    }

    /// A refresh came to nothing: the next one may begin after a pause.
    pub(crate) fn end_refresh(&self) {
        self.refresh_at_ms.store(self.now_ms() + PAUSE_MS, Ordering::Relaxed);
    }

    /// Asks a provider whether this is still true, instead of for all of it.
    pub(crate) fn ask_if_changed(&self, integration: &Integration, headers: &mut HeaderMap) {
        // Another one's validators say nothing here.
        let same = (&integration.id, integration.print) == (&self.origin.integration, self.origin.print);
        if !same {
            return;
        }
        for (validator, condition) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
            if let Some(value) = self.headers.get(&validator) {
                headers.insert(condition, value);
            }
        }
    }

    /// What it takes with its key, in bytes.
    pub(crate) fn bytes(&self, key: &Key) -> usize {
        let texts = self.headers.text_bytes();
        let names = self.headers.len() * HEADER;
        let fixed = size_of::<Self>() + SLOT + 6 * ALLOCATION;
        let varies = self.varies.iter().flat_map(|(name, values)| {
            let each = values.iter().map(|value| value.len() + size_of::<HeaderValue>() + ALLOCATION);
            each.chain([size_of::<(HeaderName, Vec<HeaderValue>)>() + name_bytes(name) + ALLOCATION])
        });
        let texts = texts + varies.sum::<usize>();
        fixed + names + texts + self.body.len() + self.origin.endpoint.len() + key.len()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.age().as_millis()).unwrap_or(BUSY - 1)
    }
}

/// A header that has no fixed place in the program has its name in an allocation of its own.
fn name_bytes(name: &HeaderName) -> usize {
    name.as_str().len() + ALLOCATION
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(headers: &[(&'static str, &'static str)]) -> Kept {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let integration = IntegrationId::new("a").expect("a slug");
        let origin = Origin { integration, print: 1, endpoint: "/".into() };
        let body = Bytes::from_static(b"body");
        Kept { body, ..Kept::new(&headers, origin, Said::default(), Since::default(), Vec::new()) }
    }

    #[test]
    fn a_confirmed_answer_has_the_newer_headers_and_the_older_body() {
        let old = kept(&[("etag", "\"1\""), ("x-a", "1"), ("x-b", "1"), ("age", "5")]);
        let newer = kept(&[("x-a", "2"), ("content-length", "0")]).headers.table(0);
        let said = Said { fresh_secs: Some(9), ..Said::default() };
        let new = old.confirmed(&newer, said, Since::default());
        let headers = new.headers.table(0);
        let text = |name| headers.get(name).map(|value| value.to_str().expect("text"));
        assert_eq!((text("etag"), text("x-a"), text("x-b")), (Some("\"1\""), Some("2"), Some("1")));
        assert_eq!((text("age"), text("content-length")), (None, None));
        assert_eq!((new.body.as_ptr(), new.said.fresh_secs), (old.body.as_ptr(), Some(9)));
    }

    #[test]
    fn a_head_that_says_otherwise_differs() {
        let kept = kept(&[("etag", "\"1\""), ("last-modified", "then")]);
        let head = |name, value| [(HeaderName::from_static(name), HeaderValue::from_static(value))];
        for (name, value, wanted) in [
            ("etag", "\"1\"", false),
            ("etag", "\"2\"", true),
            ("last-modified", "now", true),
            ("content-length", "4", false),
            ("content-length", "5", true),
            ("x-more", "1", false),
        ] {
            assert_eq!(kept.differs(&head(name, value).into_iter().collect()), wanted, "{name} {value}");
        }
    }

    #[test]
    fn one_refresh_at_a_time_and_a_pause_after_a_failure() {
        let kept = kept(&[]);
        assert!(kept.begin_refresh() && !kept.begin_refresh());
        kept.end_refresh();
        assert!(!kept.begin_refresh());
    }
}
