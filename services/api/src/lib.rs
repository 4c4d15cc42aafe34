//! The configuration API: what people and programs decide, checked, written down and told to everyone.
//!
//! A change is one transaction: the document, the configuration's revision, its event and its audit entry.
//! The api never touches the outside world: to try a connection it asks the prober, to try a webhook it asks
//! `webhooks`, by request and reply, so that the trial and the real thing are one path.

pub mod settings;
pub mod telemetry;

mod ask;
pub mod bootstrap;
pub mod change;
pub mod config;
mod keys;
mod live;
pub mod publish;

mod access;
mod actions;
mod csv;
mod idempotency;
mod page;
mod parameters;
mod problems;
mod resources;
mod router;
mod state;
mod validate;

pub use router::{openapi, router};
pub use settings::Settings;
pub use state::{Api, Doors};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

/// Keeps the snapshot in the `config` bucket equal to the database, what is live at hand,
/// and an eye on keys that expire, until told to stop.
///
/// The HTTP side is [`router`], served by whoever owns the listener.
pub async fn run(api: Api, stopping: CancellationToken) -> anyhow::Result<()> {
    let live = live::follow(api.clone(), stopping.clone());
    let publish = publish::run(api.clone(), stopping.clone());
    let sweep = resources::trial::sweep(api.clone(), stopping.clone());
    let watch = keys::watch(api.clone(), stopping.clone());
    let renew = keys::renew(api.clone(), stopping.clone());
    let (live, publish, sweep, watch, renew) = tokio::join!(live, publish, sweep, watch, renew);
    live.context("follow what is live")?;
    publish.context("publish the configuration")?;
    sweep.context("sweep trials")?;
    watch.context("watch keys' expiry")?;
    renew.context("renew keys' fingerprints")
}
