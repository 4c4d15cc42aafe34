//! The gateway: carries requests to providers. It adds the key, keeps to deadlines, fails over, caches, and counts.
//!
//! All that a call needs is in memory: a snapshot of the configuration, who answers for each route, and keys at hand. The
//! bus and the key store can be away and traffic goes on. It has no database, decides nothing about health or routes, and
//! changes a body only where a route is asked in canonical words. `proxy` reads as the list of a call's phases; `lanes`
//! are the threads that carry them.

pub mod settings;
pub mod telemetry;

mod body;
mod chat;
mod problem;

mod breaker;
mod budget;
mod cache;
mod live;
mod map;
mod merge;
mod near;

mod board;
mod snapshot;

mod guard;
mod lanes;
mod proxy;
mod serve;

mod quota;

mod observe;
mod tokens;
mod usage;

use std::sync::Arc;

use anyhow::Context;
use bus::Bus;
use catalogue::Catalogue;
use egress::Egress;
use futures_util::FutureExt;
use futures_util::future::join_all;
use model::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vault::{Cached, CachedSettings, Vault};

pub use settings::Settings;

/// What the gateway speaks to the world through.
#[derive(Clone)]
pub struct Doors {
    /// The bus.
    pub bus: Bus,
    /// The key store.
    pub vault: Vault,
    /// The way out.
    pub egress: Egress,
    /// The providers that it knows.
    pub catalogue: &'static Catalogue,
}

/// A gateway. Clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

/// What a call needs.
struct Inner {
    settings: Settings,
    egress: Egress,
    keys: Cached,
    bus: Bus,
    config: snapshot::Current,
    board: board::Board,
    cache: cache::Cache,
    lingering: proxy::linger::Lingering,
    book: Arc<quota::book::Book>,
    /// Differs from start to start, so that what two of them count is never taken for the same.
    instance: String,
}

/// Serves until `stopping`, then until the calls under way are answered and counted.
pub async fn run(
    settings: Settings,
    doors: Doors,
    listener: TcpListener,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    Gateway::new(settings, doors).serve(listener, stopping).await
}

impl Gateway {
    /// A gateway that serves nothing yet.
    pub fn new(settings: Settings, doors: Doors) -> Self {
        telemetry::describe();
        let keys = CachedSettings { max_stale_secs: settings.key_stale_secs, ..CachedSettings::default() };
        let started = Timestamp::now().as_millis();
        let instance = format!("{started:x}-{:08x}", rand::random::<u32>());
        let book = Arc::new(quota::book::Book::new(&instance));
        let usual = snapshot::Usual {
            slow_ms: settings.slow_ms,
            replicas: settings.replicas_max,
            output: settings.chat_max_tokens,
        };
        Self(Arc::new(Inner {
            cache: cache::Cache::new(settings.cache_bytes_max),
            settings,
            config: snapshot::Current::new(doors.catalogue, doors.egress.clone(), usual, book.clone()),
            book,
            egress: doors.egress,
            keys: Cached::new(doors.vault, keys),
            bus: doors.bus,
            board: board::Board::default(),
            lingering: proxy::linger::Lingering::default(),
            instance,
        }))
    }

    /// Whether a configuration was seen: from then on calls are answered, whatever else is away.
    pub fn ready(&self) -> bool {
        self.0.ready()
    }

    /// The revision of the configuration that is served.
    pub fn revision(&self) -> Option<u64> {
        self.0.config.get().map(|config| config.revision)
    }

    /// Follows the buckets, answers calls and tells what was counted, until `stopping`; then answers the calls under
    /// way and tells the rest. That has no time limit of its own: the process has one.
    pub async fn serve(&self, listener: TcpListener, stopping: CancellationToken) -> anyhow::Result<()> {
        let Inner { bus, config, board, cache, keys, lingering, book, instance, .. } = &*self.0;
        let served = CancellationToken::new();
        // If one of the tasks fails the others must end too.
        let ending = stopping.child_token();
        let stop = || ending.clone();
        let tasks = [
            ("follow the snapshot", config.clone().follow(bus.clone(), keys.clone(), stop()).boxed()),
            ("follow the routes", board.clone().follow_routes(bus.clone(), stop()).boxed()),
            ("follow the health", board.clone().follow_health(bus.clone(), stop()).boxed()),
            ("follow invalidations", cache::drops::follow(cache.clone(), bus.clone(), stop()).boxed()),
            ("wait for those that linger", lingering.wait(stop()).boxed()),
            ("tell observations", observe::tell(bus.clone(), config.clone(), stop()).boxed()),
            (
                "keep limits",
                quota::lease::keep(bus.clone(), config.clone(), book.clone(), served.clone()).boxed(),
            ),
            (
                "share pauses",
                quota::pause::share(bus.clone(), instance.clone(), book.clone(), stop()).boxed(),
            ),
            ("tell usage", usage::tell(bus.clone(), config.clone(), instance, served.clone()).boxed()),
        ];
        let tasks = tasks.into_iter().map(async |(name, task)| {
            let outcome = task.await.context(name);
            if outcome.is_err() {
                ending.cancel();
            }
            outcome
        });
        let serving = async {
            let outcome = serve::serve(self.0.clone(), listener, stop()).await;
            served.cancel();
            if outcome.is_err() {
                ending.cancel();
            }
            outcome.context("serve")
        };
        let (outcomes, serving) = tokio::join!(join_all(tasks), serving);
        outcomes.into_iter().chain([serving]).collect()
    }
}

impl Inner {
    fn ready(&self) -> bool {
        self.config.get().is_some()
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("instance", &self.0.instance).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
