//! Merged calls: single calls for one symbol that come within a few milliseconds go as one call for several, and each gets
//! the part of the answer that it would have got alone.
//!
//! What is here decides: whose calls are equal but for the symbol (`ask`), who goes together (`groups`), and which part is
//! whose (`split`). It calls nobody; `proxy/merge` does. Who may call the integration may be merged: each was admitted for
//! itself before, and all use the same key. Integrations that name no endpoint have none of this.

pub(crate) mod ask;
pub(crate) mod groups;
pub(crate) mod split;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catalogue::Provider;
use metrics::{Counter, counter};
use model::integration as configured;
use model::merge::Form;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry;
use groups::{Bounds, Groups};

/// Merged calls of one integration that gather or are under way. Calls beyond them go by themselves.
const UNDER_WAY_MAX: usize = 256;
/// Bytes of all symbols of one call, as they are written in its query.
const SYMBOLS_BYTES_MAX: usize = 4 * 1024;
/// Callers of one call: many may ask for the same symbol.
const CALLERS_MAX: usize = 1_024;
/// Merged calls of an endpoint that may come to nothing in a row; then each goes by itself for a while.
const FAILURES_MAX: u32 = 3;
/// For how long, in milliseconds.
const PAUSE_MS: u64 = 30_000;

/// What is merged at one integration. `T` is whoever waits.
pub(crate) struct Merges<T> {
    endpoints: Vec<Endpoint>,
    pub(crate) groups: Arc<Groups<T>>,
    places: Arc<Semaphore>,
    since: Instant,
    pub(crate) meters: Meters,
}

/// One endpoint whose calls are merged.
pub(crate) struct Endpoint {
    /// Its path below the base URL, without a `/` at its end.
    path: String,
    /// How several symbols are asked for and answered.
    pub(crate) form: Form,
    /// How long a call waits for others.
    pub(crate) window: Duration,
    /// What one call may hold.
    pub(crate) bounds: Bounds,
    failures: AtomicU32,
    /// Until when nothing is merged, in milliseconds after the beginning.
    paused_until_ms: AtomicU64,
}

/// What is counted.
pub(crate) struct Meters {
    /// Calls for several symbols that were sent.
    pub(crate) sent: Counter,
    /// Callers who had an answer from one.
    pub(crate) answered: Counter,
    /// Callers who had to go by themselves after one.
    pub(crate) apart: Counter,
}

// === impl Merges ===

impl<T> Merges<T> {
    /// What an integration wants; nothing when that is nothing. What cannot be meant is left out and logged.
    pub(crate) fn of(given: &configured::Integration, provider: &Provider) -> Option<Arc<Self>> {
        if given.merge.is_empty() {
            return None;
        }
        if let Err(wrong) = catalogue::merge::check_own(&given.merge, Some(provider)) {
            let (at, why) = (wrong.pointer(), &wrong.reason);
            tracing::warn!(integration.id = %given.id, at, why, "Calls of integration {} are not merged: {at}: {why}.", given.id);
            return None;
        }
        let endpoints = given.merge.iter().filter_map(|(path, merge)| {
            let form = catalogue::merge::form(path, merge, Some(provider))?.clone();
            let symbols = merge.symbols_max.unwrap_or(form.symbols_max) as usize;
            Some(Endpoint {
                path: path.trim_end_matches('/').to_owned(),
                form,
                window: Duration::from_millis(merge.window_ms.into()),
                bounds: Bounds { symbols, bytes: SYMBOLS_BYTES_MAX, callers: CALLERS_MAX },
                failures: AtomicU32::new(0),
                paused_until_ms: AtomicU64::new(0),
            })
        });
        let of = |outcome: &'static str| {
            let labels = [("integration", given.id.to_string()), ("outcome", outcome.to_owned())];
            counter!(telemetry::MERGED, &labels)
        };
        Some(Arc::new(Self {
            endpoints: endpoints.collect(),
            groups: Arc::new(Groups::new(UNDER_WAY_MAX)),
            places: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            since: Instant::now(),
            meters: Meters {
                sent: counter!(telemetry::MERGES, "integration" => given.id.to_string()),
                answered: of("answered"),
                apart: of("apart"),
            },
        }))
    }

    /// The endpoint of a path below the base URL and its number, if its calls are merged now.
    pub(crate) fn endpoint(&self, path: &str) -> Option<(usize, &Endpoint)> {
        let path = path.trim_matches('/');
        let is = |endpoint: &Endpoint| endpoint.path.trim_start_matches('/') == path;
        let (number, endpoint) = self.endpoints.iter().enumerate().find(|(_, endpoint)| is(endpoint))?;
        let paused = endpoint.paused_until_ms.load(Ordering::Relaxed);
        (paused <= self.now_ms()).then_some((number, endpoint))
    }

    /// The endpoint of a number.
    pub(crate) fn numbered(&self, number: usize) -> &Endpoint {
        &self.endpoints[number]
    }

    /// A place for one more call under way.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Notes whether a merged call was of use. Where none is, merging rests: it would only be a call more.
    pub(crate) fn came(&self, number: usize, of_use: bool) {
        let endpoint = &self.endpoints[number];
        if of_use {
            endpoint.failures.store(0, Ordering::Relaxed);
        } else if endpoint.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX {
            endpoint.failures.store(0, Ordering::Relaxed);
            endpoint.paused_until_ms.store(self.now_ms() + PAUSE_MS, Ordering::Relaxed);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merges(provider: &str, merge: &serde_json::Value) -> Option<Arc<Merges<()>>> {
        let body = json!({ "id": "a", "provider": provider, "merge": merge });
        let given = serde_json::from_value(body).expect("an integration");
        let provider = catalogue::Catalogue::builtin().get(provider).expect("a provider");
        Merges::of(&given, provider)
    }

    #[test]
    fn nothing_is_merged_unless_an_endpoint_is_named() {
        assert!(merges("binance", &json!({})).is_none());
        assert!(merges("binance", &json!({ "/api/v3/depth": {} })).is_none(), "nothing is known of it");
        let tiingo = merges("tiingo", &json!({ "/iex": { "window_ms": 7 } })).expect("merges");
        for (path, wanted) in
            [("/iex", true), ("/iex/", true), ("iex", true), ("/iex/aapl", false), ("/", false)]
        {
            assert_eq!(tiingo.endpoint(path).is_some(), wanted, "{path}");
        }
        assert_eq!(tiingo.numbered(0).window, Duration::from_millis(7));
    }

    #[test]
    fn merging_rests_when_it_comes_to_nothing() {
        let merges = merges("binance", &json!({ "/api/v3/ticker/price": {} })).expect("merges");
        let path = "/api/v3/ticker/price";
        for of_use in [false, false, true, false, false] {
            merges.came(0, of_use);
            assert!(merges.endpoint(path).is_some());
        }
        merges.came(0, false);
        assert!(merges.endpoint(path).is_none());
    }
}
