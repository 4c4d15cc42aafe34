//! The configuration that is served: one compiled snapshot, swapped in whole.
//!
//! It comes from the `config` bucket and nowhere else. An older revision is refused; when the bus is away the last good
//! one stays. What one integration has wrong breaks that integration only.

mod compile;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bus::{Bucket, Bus, Change};
use catalogue::Catalogue;
use egress::{Egress, Upstream};
use futures_util::StreamExt;
use metrics::{Counter, gauge};
use model::auth::Auth;
use model::integration::Retry;
use model::route::Order;
use model::snapshot::{self, Snapshot};
use model::token::Token;
use model::{IntegrationId, RouteId, Timestamp};
use tokio_util::sync::CancellationToken;
use vault::Cached;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, Scheme};

use crate::breaker::Gate;
use crate::budget::Extra;
use crate::cache::rules::Rules;
use crate::live::Live;
use crate::map::Map;
use crate::merge::Merges;
use crate::near::Near;
use crate::proxy::join::Parameter;
use crate::proxy::key::Slot;
use crate::proxy::operate::Operations;
use crate::quota::book::Book;
use crate::quota::limits::Limits;
use crate::quota::pause::Pause;
use crate::telemetry;

/// Pause before a bucket that cannot be opened is asked for again.
pub(crate) const BUCKET_PAUSE: Duration = Duration::from_millis(500);

/// A snapshot, ready to serve.
pub(crate) struct Config {
    /// Its revision.
    pub(crate) revision: u64,
    /// Tokens, by the SHA-256 of their text.
    pub(crate) tokens: Map<[u8; 32], Arc<Caller>>,
    /// All integrations, disabled and broken ones too.
    pub(crate) integrations: Map<IntegrationId, Arc<Integration>>,
    /// All routes.
    pub(crate) routes: Map<RouteId, Arc<Route>>,
}

/// Who calls.
pub(crate) struct Caller {
    /// The token.
    pub(crate) token: Token,
    /// The networks that it is bound to. Empty: none.
    pub(crate) networks: Vec<ipnet::IpNet>,
}

/// An integration, ready to be called.
pub(crate) struct Integration {
    /// Its id.
    pub(crate) id: IntegrationId,
    /// Its id as a header.
    pub(crate) id_header: HeaderValue,
    /// Its provider's rules.
    pub(crate) provider: &'static catalogue::Provider,
    /// Why it cannot be called; nothing when it can.
    pub(crate) fault: Option<Fault>,
    /// Where it answers.
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// The connections to it, or why there can be none.
    pub(crate) upstream: Result<Upstream, egress::Error>,
    /// The path of its base URL, without a `/` at its end.
    pub(crate) base: String,
    /// How it wants to be shown its key.
    pub(crate) auth: Auth,
    /// Its key.
    pub(crate) key: KeyUse,
    /// The key, ready for requests.
    pub(crate) slot: Slot,
    /// Headers of every call.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers that carry further fields of its key.
    pub(crate) field_headers: Vec<(HeaderName, String)>,
    /// Query parameters of every call that does not bring its own.
    pub(crate) params: Vec<Parameter>,
    /// How long an answer's head may take, in milliseconds.
    pub(crate) timeout_ms: u64,
    /// Limits of a call's steps.
    pub(crate) timeouts: model::integration::Timeouts,
    /// From when on an answer is slow, in milliseconds.
    pub(crate) slow_ms: u64,
    /// Repeats here.
    pub(crate) retry: Retry,
    /// What a call costs, in millionths of a dollar.
    pub(crate) cost_micros: u64,
    /// In which dialect it chats, if it does.
    pub(crate) dialect: Option<catalogue::ChatDialect>,
    /// Which model to ask for instead of the one that a caller names.
    pub(crate) models: std::collections::BTreeMap<String, String>,
    /// How what language models used is read from its answers; nothing where none answer.
    pub(crate) tokens: Option<Arc<crate::tokens::Rules>>,
    /// Tokens of an answer to a chat where the caller does not say.
    pub(crate) max_tokens: Option<u64>,
    /// The canonical operations that it can be asked.
    pub(crate) operations: Operations,
    /// Whether a 200 of its provider can be an error, told in the body.
    pub(crate) reads_good_bodies: bool,
    /// Changes with whatever changes its answers: cached ones of another print are not used.
    pub(crate) print: u64,
    /// How answers are cached that are asked for past any route; nothing where they are not.
    pub(crate) cache: Option<Arc<Rules>>,
    /// Which of its calls are merged; nothing where none are.
    pub(crate) merges: Option<Arc<Merges<crate::proxy::merge::Caller>>>,
    /// Its counters.
    pub(crate) live: Arc<Live>,
    /// Its breaker.
    pub(crate) gate: Arc<Gate>,
    /// The limits that it keeps to; nothing where it has none.
    pub(crate) limits: Option<Arc<Limits>>,
    /// Until when its provider wants no calls.
    pub(crate) pause: Arc<Pause>,
    /// How near its limits are; only for members of a route that asks, where there are any.
    pub(crate) near: Option<Arc<Near>>,
}

/// Why an integration cannot be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An operator does not want it to be.
    Disabled,
    /// Its configuration makes no sense here: why.
    Broken(String),
}

/// An integration's key.
#[derive(Clone, Debug)]
pub(crate) enum KeyUse {
    /// None: what the provider offers without one.
    None,
    /// This version.
    Version {
        /// Where it is kept.
        path: vault::Path,
        /// Which.
        version: u32,
        /// When the provider stops taking it.
        expires_at: Option<Timestamp>,
    },
    /// It was revoked.
    Revoked,
    /// There is no such key.
    Missing,
}

/// A route, ready to be followed.
pub(crate) struct Route {
    /// Its id.
    pub(crate) id: RouteId,
    /// Whether calls go on to another member.
    pub(crate) failover: bool,
    /// Its members, best first. Those that are not configured are left out.
    pub(crate) members: Vec<Arc<Integration>>,
    /// In which order those that can answer are asked.
    pub(crate) order: Order,
    /// The parts of the calls, where the order is by weights.
    pub(crate) weights: BTreeMap<IntegrationId, u16>,
    /// The member that an operator pinned it to.
    pub(crate) pinned: Option<IntegrationId>,
    /// Members that an operator drains.
    pub(crate) drained: BTreeSet<IntegrationId>,
    /// What calls in trouble may do besides their first attempt.
    pub(crate) extra: Arc<Mutex<Extra>>,
    /// How answers are cached; nothing where they are not.
    pub(crate) cache: Option<Arc<Rules>>,
    /// Methods that are safe to repeat besides those that always are.
    pub(crate) repeatable: Vec<Method>,
    /// Whether a member chats in a dialect that is known.
    pub(crate) chats: bool,
    /// Whether a member has a canonical operation.
    pub(crate) operates: bool,
    /// Counts calls that went on.
    pub(crate) failovers: Counter,
}

/// The configuration now. Clones share it.
#[derive(Clone)]
pub(crate) struct Current {
    served: Arc<ArcSwapOption<Config>>,
    /// The providers that integrations may be of.
    catalogue: &'static Catalogue,
    /// The way out to them.
    egress: Egress,
    /// What integrations have where nobody says.
    usual: Usual,
    /// What is counted of limits.
    book: Arc<Book>,
}

/// What integrations have where nobody says.
#[derive(Clone, Copy)]
pub(crate) struct Usual {
    /// From when on an answer is slow, in milliseconds.
    pub(crate) slow_ms: u32,
    /// How many gateways share a limit at most.
    pub(crate) replicas: u32,
    /// Tokens of an answer.
    pub(crate) output: u64,
}

// === impl Integration ===

impl Integration {
    /// The provider's name of a model that a caller asks for.
    pub(crate) fn model<'m>(&'m self, asked: &'m str) -> &'m str {
        self.models.get(asked).or_else(|| self.models.get("*")).map_or(asked, String::as_str)
    }
}

// === impl Current ===

impl Current {
    /// No configuration yet.
    pub(crate) fn new(catalogue: &'static Catalogue, egress: Egress, usual: Usual, book: Arc<Book>) -> Self {
        Self { served: Arc::default(), catalogue, egress, usual, book }
    }

    /// The configuration now; nothing before the first one came.
    pub(crate) fn get(&self) -> Option<Arc<Config>> {
        self.served.load_full()
    }

    /// Serves a snapshot from now on, unless it is not newer than the one that is served.
    pub(crate) fn swap(&self, snapshot: &Snapshot) -> bool {
        let before = self.get();
        if let Some(before) = before.as_ref().filter(|before| before.revision >= snapshot.revision) {
            if before.revision > snapshot.revision {
                let (given, served) = (snapshot.revision, before.revision);
                tracing::warn!(given, served, "Refused revision {given}: {served} is served.");
            }
            return false;
        }
        let (before, now) = (before.as_deref(), Instant::now());
        let doors = (self.catalogue, &self.egress, &self.book);
        let config = compile::compile(doors, self.usual, snapshot, before, now);
        let revision = config.revision;
        self.served.store(Some(Arc::new(config)));
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; revisions stay far below 2^53")]
        gauge!(telemetry::REVISION).set(revision as f64);
        let (integrations, routes) = (snapshot.integrations.len(), snapshot.routes.len());
        tracing::info!(
            revision,
            integrations,
            routes,
            "Serving revision {revision}: {integrations} integrations, {routes} routes."
        );
        true
    }

    /// Keys that a new configuration uses in another version, or not at all.
    fn forget(before: Option<&Config>, after: &Config, keys: &Cached) {
        for old in before.iter().flat_map(|config| config.integrations.values()) {
            let KeyUse::Version { path, version, .. } = &old.key else { continue };
            let same = after.integrations.get(&old.id).is_some_and(
                |new| matches!(&new.key, KeyUse::Version { path: p, version: v, .. } if p == path && v == version),
            );
            if !same {
                keys.forget(path);
            }
        }
    }

    /// Follows the bucket until `stopping`.
    pub(crate) async fn follow(
        self,
        bus: Bus,
        keys: Cached,
        stopping: CancellationToken,
    ) -> anyhow::Result<()> {
        let Some(bucket) = open(&bus, Bucket::Config, &stopping).await else { return Ok(()) };
        let mut changes = bucket.watch_key::<Snapshot>(snapshot::KEY);
        loop {
            let change = tokio::select! {
                change = changes.next() => change,
                () = stopping.cancelled() => return Ok(()),
            };
            match change {
                Some(Change::Put { value, .. }) => {
                    let before = self.get();
                    if self.swap(&value)
                        && let Some(after) = self.get()
                    {
                        Self::forget(before.as_deref(), &after, &keys);
                    }
                }
                Some(Change::Deleted { .. }) => {
                    tracing::warn!("The snapshot was deleted; the last one stays.");
                }
                None => anyhow::bail!("the watch of the snapshot ended"),
            }
        }
    }
}

/// Opens a bucket, however long that takes. Nothing when the process stops before.
pub(crate) async fn open(bus: &Bus, bucket: Bucket, stopping: &CancellationToken) -> Option<bus::Kv> {
    let mut told = false;
    loop {
        match bus.bucket(bucket).await {
            Ok(kv) => return Some(kv),
            Err(error) if !told => {
                told = true;
                let bucket = bucket.name();
                tracing::warn!(bucket, %error, "Bucket {bucket} cannot be opened yet: {error}.");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(BUCKET_PAUSE) => {}
            () = stopping.cancelled() => return None,
        }
    }
}
