//! Counts use and cost, and gives notice when a quota runs low.
//!
//! Takes `usage.counted` events into buckets in the database, each event once however often it is delivered.
//! It never stands between a caller and a provider: limits are the gateway's. It answers what was used.

mod settings;
mod shared;
mod telemetry;

pub mod anomaly;
pub mod degrade;
pub mod forecast;
mod order;

mod anomalies;
mod answer;
mod budget;
mod count;
mod fold;
mod forecasts;
mod keep;
mod limits;
mod notice;
mod rules;
mod unpriced;
mod uptime;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bus::{Bus, table};
use model::snapshot::Snapshot;
use store::Store;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use settings::Settings;

/// The doors of this service.
#[derive(Clone)]
pub struct Doors {
    /// Where counts come from and notices go.
    pub bus: Bus,
    /// Where they are kept.
    pub store: Store,
}

/// The service's state: cheap to clone.
#[derive(Clone)]
struct Meter {
    bus: Bus,
    store: Store,
    snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    forecasts: forecasts::Forecasts,
    ledgers: rules::Ledgers,
    /// Rung when something was tallied.
    tallied: Arc<Notify>,
    /// Whether more waits in the stream than is counted at once.
    behind: Arc<AtomicBool>,
    /// Rung when something new is in the figures.
    fresh: Arc<Notify>,
}

/// Counts until told to stop.
pub async fn run(settings: Settings, doors: Doors, stopping: CancellationToken) -> anyhow::Result<()> {
    telemetry::describe();
    let Doors { bus, store } = doors;
    let snapshot = bus.snapshots(stopping.clone()).await?;
    let forecasts = forecasts::Forecasts::default();
    let meter = Meter {
        bus: bus.clone(),
        store,
        snapshot,
        forecasts,
        ledgers: rules::Ledgers::default(),
        tallied: Arc::default(),
        behind: Arc::default(),
        fresh: Arc::default(),
    };

    let counting = meter.clone();
    let count = bus
        .consume_batches(&table::METER, settings.meter_at_once, move |messages| {
            let meter = counting.clone();
            meter.behind.store(messages.len() >= settings.meter_at_once, Ordering::Relaxed);
            async move { count::count(&meter, messages).await }
        })
        .until(stopping.clone());
    // What is counted last is folded, too.
    let counted = CancellationToken::new();
    let fold = fold::run(meter.clone(), counted.clone());
    let count = async move {
        let _counted = counted.drop_guard();
        count.await
    };
    let keep = keep::sweep(meter.clone(), stopping.clone());
    let answers = answer::answers(meter.clone(), stopping.clone());
    let sweep = notice::sweep(meter.clone(), stopping.clone());
    let anomalies = anomalies::run(meter.clone(), settings.meter_watched_series, stopping.clone());
    let rules = rules::watch(meter.clone(), stopping.clone());
    let ledgers = rules::follow(meter.clone(), stopping.clone());
    let uptime = uptime::run(meter.clone(), stopping.clone());
    let trials = rules::answers(meter, stopping);
    let (count, fold, keep, answers, sweep, anomalies, rules, ledgers, uptime, trials) =
        tokio::join!(count, fold, keep, answers, sweep, anomalies, rules, ledgers, uptime, trials);
    count?;
    fold?;
    keep?;
    answers?;
    anomalies?;
    rules?;
    ledgers?;
    uptime?;
    trials?;
    sweep
}
