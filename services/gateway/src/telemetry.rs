//! The names of the gateway's metrics, each described once.
//!
//! Labels are ids of the configuration and words of the program; nothing that a caller sends becomes one.

use std::sync::LazyLock;

use metrics::{Counter, counter, describe_counter, describe_gauge, describe_histogram, gauge};

/// Answers to callers, by `integration` (`none` for the gateway's own) and `code_class` (`2xx`).
pub const REQUESTS: &str = "signalbox_gateway_requests_total";
/// Seconds until the head of a provider's answer, by `integration`.
pub const UPSTREAM_LATENCY: &str = "signalbox_gateway_upstream_latency_seconds";
/// Calls to providers, repeats included, by `integration` and `outcome` (`ok`, or the reason).
pub const ATTEMPTS: &str = "signalbox_gateway_attempts_total";
/// What the cache did, by `result`: `hit`, `miss`, `stale`, `refresh`, `coalesced`, `bypass`.
pub const CACHE: &str = "signalbox_gateway_cache_total";
/// Kept answers that were fetched anew behind their callers, by `outcome`: `done`, `failed`, `left` (no place was free).
pub const CACHE_BEHIND: &str = "signalbox_gateway_cache_refreshes_total";
/// Memory of all kept answers, in bytes.
pub const CACHE_BYTES: &str = "signalbox_gateway_cache_bytes";
/// Kept answers.
pub const CACHE_ENTRIES: &str = "signalbox_gateway_cache_entries";
/// Calls that went on to another member of their route, by `route`.
pub const FAILOVERS: &str = "signalbox_gateway_failovers_total";
/// Calls for which another member was asked beside, because no answer came in the usual time, by `integration`.
pub const BESIDE: &str = "signalbox_gateway_beside_total";
/// The breaker, by `integration` and `state` (`closed`, `half_open`, `open`, `blocked`: its provider refuses calls for a
/// time): 1 for its state, 0 for the others.
pub const BREAKER: &str = "signalbox_gateway_breaker_state";
/// Changes of the breaker, by `integration` and the `state` that it came into.
pub const BREAKER_CHANGES: &str = "signalbox_gateway_breaker_changes_total";
/// Repeats at the same integration, by `integration` and `outcome`: `made`, or `refused` where the budget was used up.
pub const REPEATS: &str = "signalbox_gateway_repeats_total";
/// Calls for several symbols that were sent instead of single ones, by `integration`.
pub const MERGES: &str = "signalbox_gateway_merges_total";
/// Callers whose calls went together with others, by `integration` and `outcome`: `answered`, or `apart` (they had to go by
/// themselves afterwards).
pub const MERGED: &str = "signalbox_gateway_merged_calls_total";
/// The revision of the configuration that is served. 0: none yet.
pub const REVISION: &str = "signalbox_gateway_snapshot_revision";
/// Places in answers that held the key of their integration and were hidden, by `integration`.
pub const ECHOES: &str = "signalbox_gateway_key_echoes_total";
/// Events that the bus does not have yet.
pub const UNSENT: &str = "signalbox_gateway_usage_unsent";

/// Connections to an integration that are open and carry no call, by `integration`. Those of HTTP/2 are not counted.
pub const IDLE: &str = "signalbox_gateway_upstream_idle_connections";
/// Answers that were decoded for callers that do not accept what the provider sent, by `coding`: `gzip`, `deflate`, `br`,
/// `zstd`.
pub const DECODED: &str = "signalbox_gateway_decoded_answers_total";

/// What is left of a limit that all calls share, here and with what nobody has leased, by `integration` and `quota`.
pub const QUOTA_LEFT: &str = "signalbox_gateway_quota_remaining";
/// Calls that wait for units of such a limit, by `integration` and `quota`.
pub const QUOTA_WAITING: &str = "signalbox_gateway_quota_waiting_calls";
/// Calls that were not let go, by `integration` and the `quota` that did not, or `provider` where that wants no calls.
pub const QUOTA_REFUSED: &str = "signalbox_gateway_quota_refused_total";
/// How often ledgers of limits were asked: each is a read and mostly a write.
pub const QUOTA_ASKS: &str = "signalbox_gateway_quota_asks_total";

/// WebSockets that are open.
pub const WEBSOCKETS: &str = "signalbox_gateway_websockets";

/// The integration of answers that are the gateway's own.
pub(crate) const NOBODY: &str = "none";

/// What the cache can do.
const RESULTS: [&str; 6] = ["hit", "miss", "stale", "refresh", "coalesced", "bypass"];

/// Describes the metrics and creates the series that are known beforehand.
pub fn describe() {
    describe_counter!(REQUESTS, "Answers to callers of the gateway.");
    describe_histogram!(UPSTREAM_LATENCY, "Seconds until the head of a provider's answer.");
    describe_counter!(ATTEMPTS, "Calls that the gateway sent to providers.");
    describe_counter!(CACHE, "Calls, by what the cache did.");
    describe_counter!(CACHE_BEHIND, "Kept answers that were fetched anew behind their callers.");
    describe_gauge!(CACHE_BYTES, "Memory of all kept answers.");
    describe_gauge!(CACHE_ENTRIES, "Kept answers.");
    gauge!(CACHE_BYTES).set(0.0);
    gauge!(CACHE_ENTRIES).set(0.0);
    describe_counter!(FAILOVERS, "Calls that went on to another member of their route.");
    describe_counter!(BESIDE, "Calls for which another member was asked beside one that did not answer.");
    describe_gauge!(BREAKER, "The breaker of an integration: 1 for its state, 0 for the others.");
    describe_counter!(
        BREAKER_CHANGES,
        "Changes of an integration's breaker, by the state that it came into."
    );
    describe_counter!(REPEATS, "Repeats at the same integration, made or refused by its budget.");
    describe_counter!(MERGES, "Calls for several symbols that were sent instead of single ones.");
    describe_counter!(MERGED, "Calls that went together with others.");
    describe_gauge!(REVISION, "The revision of the configuration that the gateway serves.");
    describe_counter!(ECHOES, "Places in answers that held a key and were hidden.");
    describe_gauge!(UNSENT, "Usage events that wait for the bus.");
    gauge!(REVISION).set(0.0);
    gauge!(UNSENT).set(0.0);
    describe_gauge!(IDLE, "Connections to an integration that are open and carry no call.");
    describe_counter!(DECODED, "Answers that were decoded for callers that do not accept their coding.");
    for coding in ["gzip", "deflate", "br", "zstd"] {
        counter!(DECODED, "coding" => coding).absolute(0);
    }
    describe_gauge!(QUOTA_LEFT, "What is left of a limit, here and with what no gateway has leased.");
    describe_gauge!(QUOTA_WAITING, "Calls that wait for units of a limit.");
    describe_counter!(QUOTA_REFUSED, "Calls that a limit or a pause of the provider did not let go.");
    describe_counter!(QUOTA_ASKS, "How often ledgers of limits were asked.");
    counter!(QUOTA_ASKS).absolute(0);
    describe_gauge!(WEBSOCKETS, "WebSockets between callers and providers that are open.");
    gauge!(WEBSOCKETS).set(0.0);
    for result in RESULTS {
        counter!(CACHE, "result" => result).absolute(0);
    }
}

/// Counters of answers that are the gateway's own, and of what the cache did, looked up once.
struct Handles {
    own: [Counter; 5],
    cache: [(&'static str, Counter); RESULTS.len()],
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| Handles {
    own: ["1xx", "2xx", "3xx", "4xx", "5xx"]
        .map(|class| counter!(REQUESTS, "integration" => NOBODY, "code_class" => class)),
    cache: RESULTS.map(|result| (result, counter!(CACHE, "result" => result))),
});

/// Counts an answer that is the gateway's own.
pub(crate) fn own_answer(status: u16) {
    let class = usize::from(status / 100).clamp(1, 5) - 1;
    HANDLES.own[class].increment(1);
}

/// Counts what the cache did.
pub(crate) fn cache(result: &'static str) {
    if let Some((_, counter)) = HANDLES.cache.iter().find(|(known, _)| *known == result) {
        counter.increment(1);
    }
}

/// Counts an answer that is decoded. Decoding costs far more than looking the counter up.
pub(crate) fn decoded(coding: &'static str) {
    counter!(DECODED, "coding" => coding).increment(1);
}

/// Counts a WebSocket for as long as it is open.
pub(crate) struct OpenWebSocket(());

impl OpenWebSocket {
    pub(crate) fn new() -> Self {
        gauge!(WEBSOCKETS).increment(1.0);
        Self(())
    }
}

impl Drop for OpenWebSocket {
    fn drop(&mut self) {
        gauge!(WEBSOCKETS).decrement(1.0);
    }
}
