//! What is kept, what is not, and what it takes.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use model::{IntegrationId, Timestamp};
use rand::Rng;

use super::*;
use kept::Origin;
use key::Door;
use said::Said;

fn key(path: &str, query: Option<&str>) -> Key {
    Key::new(Door::Route("quotes"), None, path, query, &HeaderMap::new(), &[])
}

fn kept(integration: &str, body: Bytes) -> Arc<Kept> {
    let integration = IntegrationId::new(integration).expect("a slug");
    let origin = Origin { integration, print: 1, endpoint: "/quote".into() };
    // As they are read: each a slice of a large buffer.
    let read = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut headers = HeaderMap::new();
    for name in ["content-type", "date", "x-request-cost", "x-more"] {
        let value = HeaderValue::from_maybe_shared(read.slice(0..20)).expect("text");
        headers.insert(name, value);
    }
    let mut kept = Kept::new(&headers, origin, Said::default(), Since::default(), Vec::new());
    kept.body = body;
    Arc::new(kept)
}

fn invalidated(integration: &str, endpoint: Option<&str>, pattern: Option<&str>) -> CacheInvalidated {
    CacheInvalidated {
        integration: IntegrationId::new(integration).expect("a slug"),
        endpoint: endpoint.map(str::to_owned),
        pattern: pattern.map(str::to_owned),
        actor: "user:ada".to_owned(),
        at: Timestamp::default(),
    }
}

/// The memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}

/// Twenty times of what it may hold goes in, of all sizes, with headers that are slices of large buffers. Whole pages
/// that the process takes are compared, so what an entry weighs is what it really takes.
#[test]
fn it_takes_no_more_memory_than_it_may() {
    const MAX: u64 = 16 * 1024 * 1024;
    let cache = Cache::new(MAX);
    let before = resident();
    let mut given = 0;
    for (n, size) in [100_usize, 900, 4_000, 30_000, 200_000].into_iter().cycle().enumerate() {
        if given > 20 * MAX {
            break;
        }
        let key = key(&format!("/quote/{n}"), Some("symbol=IBM"));
        let kept = kept("a", Bytes::from(vec![7; size]));
        given += kept.bytes(&key) as u64;
        cache.keep(&key, &kept, Moment::default());
    }
    let (weight, took) = (cache.0.map.weight(), resident().saturating_sub(before));
    assert!(weight <= MAX && weight > MAX / 2, "{weight}");
    // What the allocator keeps free for later, and the map itself, are not entries.
    assert!(took < MAX + MAX / 2, "{took} bytes for {weight}");
}

/// Puts, replacements, removals and invalidations at random: what is held is never more than it may be, not even for a
/// moment, and is the sum of what the entries take.
#[test]
fn whatever_is_put_in_the_bound_is_kept_to() {
    let mut rng = rand::rng();
    for max in [64 * 1024, 256 * 1024, 2 * 1024 * 1024] {
        let cache = Cache::new(max);
        let keys: Vec<Key> = (0..200).map(|n| key(&format!("/quote/{n}"), None)).collect();
        for _ in 0..3_000 {
            let key = &keys[rng.random_range(0..keys.len())];
            match rng.random_range(0..100_u8) {
                0 => cache.invalidate(&invalidated("a", None, Some("/quote/1*"))),
                1..10 => cache.remove(key),
                _ => {
                    let largest = [100, 2_000, 20_000, 200_000][rng.random_range(0..4)];
                    let body = Bytes::from(vec![0; rng.random_range(0..largest)]);
                    cache.keep(key, &kept("a", body), cache.moment());
                }
            }
            assert!(cache.0.map.weight() <= max, "{} of {max}", cache.0.map.weight());
        }
        let entries: u64 = cache.0.map.iter().map(|(key, kept)| kept.bytes(&key) as u64).sum();
        assert_eq!(entries, cache.0.map.weight());
    }
}

#[test]
fn a_write_ends_what_was_asked_for_before_it() {
    let cache = Cache::new(1024 * 1024);
    let (a, b) = (IntegrationId::new("a").expect("a slug"), IntegrationId::new("b").expect("a slug"));
    let put = |before: Moment| {
        let mut answer = Arc::into_inner(kept("a", Bytes::new())).expect("nobody else has it");
        answer.since = cache.since(&a, "/quote", before);
        cache.keep(&key("/quote", None), &Arc::new(answer), before);
        cache.get(&key("/quote", None)).is_some()
    };
    let before = cache.moment();
    assert!(put(before));
    cache.wrote(&a, "/other");
    cache.wrote(&b, "/quote");
    assert!(cache.get(&key("/quote", None)).is_some());
    cache.wrote(&a, "/%71uote");
    assert!(cache.get(&key("/quote", None)).is_none());
    // What was under way meanwhile is from before, too.
    assert!(!put(before) && put(cache.moment()));
}

#[test]
fn a_large_answer_does_not_push_out_the_others() {
    let cache = Cache::new(64 * 64 * 1024);
    let (small, large) = (key("/small", None), key("/large", None));
    cache.keep(&small, &kept("a", Bytes::from(vec![0; 1_000])), Moment::default());
    cache.keep(&large, &kept("a", Bytes::from(vec![0; 64 * 1024])), Moment::default());
    assert!(cache.get(&small).is_some() && cache.get(&large).is_none());
}

#[test]
fn invalidation_is_by_integration_endpoint_and_pattern() {
    let paths = ["/v1/quote", "/v1/quote/IBM", "/v1/quotes", "/v2/quote"];
    let left = |which: &CacheInvalidated| {
        let cache = Cache::new(1024 * 1024);
        for path in paths {
            cache.keep(&key(path, Some("symbol=IBM")), &kept("a", Bytes::new()), Moment::default());
        }
        cache.keep(&key("/v1/quote", None), &kept("b", Bytes::new()), Moment::default());
        cache.invalidate(which);
        let mut left: Vec<String> = cache.0.map.iter().map(|(key, _)| key.path().to_owned()).collect();
        left.sort_unstable();
        left.join(" ")
    };
    assert_eq!(left(&invalidated("a", None, None)), "/v1/quote");
    assert_eq!(left(&invalidated("a", Some("/v1/quote"), None)), "/v1/quote /v1/quotes /v2/quote");
    assert_eq!(left(&invalidated("a", None, Some("*symbol=IBM"))), "/v1/quote");
    assert_eq!(left(&invalidated("a", None, Some("/v?/quote*"))).split(' ').count(), 5);
    assert_eq!(left(&invalidated("a", None, Some("/v1/quotes?*"))).split(' ').count(), 4);
    assert_eq!(left(&invalidated("b", None, None)).split(' ').count(), 4);
}

#[test]
fn an_answer_from_before_an_invalidation_is_not_kept_after_it() {
    let cache = Cache::new(1024 * 1024);
    let (key, before) = (key("/a", None), cache.moment());
    cache.invalidate(&invalidated("other", None, None));
    cache.keep(&key, &kept("a", Bytes::new()), before);
    assert!(cache.get(&key).is_none());
    cache.keep(&key, &kept("a", Bytes::new()), cache.moment());
    assert!(cache.get(&key).is_some_and(|kept| kept.age() < Duration::from_secs(60)));
}
