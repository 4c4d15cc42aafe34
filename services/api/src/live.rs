//! What is true now, followed from the buckets: the health of integrations, and where routes go.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use bus::{Bucket, Change};
use futures_util::StreamExt;
use model::health::HealthNow;
use model::route::RouteNow;
use model::{IntegrationId, RouteId};
use tokio_util::sync::CancellationToken;

use crate::state::Api;

/// The last known state of everything.
#[derive(Default)]
pub(crate) struct Live {
    health: RwLock<BTreeMap<String, HealthNow>>,
    routes: RwLock<BTreeMap<String, RouteNow>>,
}

impl Live {
    /// The health of an integration; absent before it was first decided.
    pub(crate) fn health(&self, id: &IntegrationId) -> Option<HealthNow> {
        self.health.read().unwrap_or_else(PoisonError::into_inner).get(id.as_str()).cloned()
    }

    /// Where a route goes; absent before it was first decided.
    pub(crate) fn route(&self, id: &RouteId) -> Option<RouteNow> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).get(id.as_str()).cloned()
    }
}

fn take<T>(map: &RwLock<BTreeMap<String, T>>, change: Change<T>) {
    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
    match change {
        Change::Put { key, value, .. } => drop(map.insert(key, value)),
        Change::Deleted { key, .. } => drop(map.remove(&key)),
    }
}

/// Follows both buckets until told to stop. The watches re-open by themselves after a disconnect.
pub(crate) async fn follow(api: Api, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut health = api.bus.bucket(Bucket::Health).await?.watch::<HealthNow>();
    let mut routes = api.bus.bucket(Bucket::Routes).await?.watch::<RouteNow>();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            Some(change) = health.next() => take(&api.live.health, change),
            Some(change) = routes.next() => take(&api.live.routes, change),
        }
    }
}
