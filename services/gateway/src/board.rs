//! What is true now: who answers for each route, and how each integration is.
//!
//! Followed from the `routes` and `health` buckets and only believed, never decided. A route never goes back to a lower
//! epoch, or to an older write of the same one; when the bus is away the last word stays.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use bus::{Bucket, Bus, Change, Kv};
use futures_util::StreamExt;
use model::health::{Health, HealthNow, Reason};
use model::route::{RouteCause, RouteNow};
use model::{IntegrationId, RouteId};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::map::Map;
use crate::snapshot::open;

/// The board. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Board {
    routes: Arc<ArcSwap<Map<RouteId, Active>>>,
    unusable: Arc<ArcSwap<Map<IntegrationId, ()>>>,
    /// When those that had trouble were last found well again.
    well: Arc<ArcSwap<Map<IntegrationId, Instant>>>,
    /// Those that have trouble now, usable or not. Only whoever follows the bucket looks.
    troubled: Arc<Mutex<HashSet<IntegrationId>>>,
}

/// Who answers for a route.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Active {
    integration: Option<IntegrationId>,
    pinned: bool,
    epoch: u64,
    version: u64,
}

impl Board {
    /// Who answers for a route, as failover said last, and whether an operator said so.
    pub(crate) fn active(&self, route: &RouteId) -> Option<(IntegrationId, bool)> {
        let routes = self.routes.load();
        let active = routes.get(route)?;
        Some((active.integration.clone()?, active.pinned))
    }

    /// Whether calls to an integration are known to fail.
    pub(crate) fn is_unusable(&self, integration: &IntegrationId) -> bool {
        self.unusable.load().contains_key(integration)
    }

    /// When an integration whose calls failed was last found well again by somebody else.
    pub(crate) fn well_since(&self, integration: &IntegrationId) -> Option<Instant> {
        self.well.load().get(integration).copied()
    }

    /// Takes a word on a route, unless it is older than the one before.
    pub(crate) fn route(&self, now: &RouteNow) -> bool {
        let mut routes = Map::clone(&self.routes.load());
        let (epoch, version) = (now.epoch, now.version);
        if let Some(before) = routes.get(&now.route).filter(|b| (b.epoch, b.version) > (epoch, version)) {
            let (route, served) = (&now.route, before.epoch);
            tracing::warn!(%route, epoch, served, "Refused an older word on route {route}.");
            return false;
        }
        let pinned = now.cause == RouteCause::Pinned;
        let active = Active { integration: now.active.clone(), pinned, epoch, version };
        routes.insert(now.route.clone(), active);
        self.routes.store(Arc::new(routes));
        true
    }

    /// A route's entry is gone. Its epoch stays, so that a leader from before cannot bring it back.
    fn forget_route(&self, route: &str) {
        let mut routes = Map::clone(&self.routes.load());
        if let Some(active) = routes.get_mut(route) {
            (active.integration, active.pinned, active.version) = (None, false, 0);
            self.routes.store(Arc::new(routes));
        }
    }

    /// Takes a word on an integration.
    pub(crate) fn health(&self, now: &HealthNow) {
        self.set_unusable(&now.integration, !can_succeed(now.health, now.reason));
        let mut troubled = self.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        if now.health != Health::Up {
            troubled.insert(now.integration.clone());
        } else if troubled.remove(&now.integration) {
            self.found_well(&now.integration);
        }
    }

    /// Somebody else saw it recover.
    fn found_well(&self, integration: &IntegrationId) {
        let mut well = Map::clone(&self.well.load());
        well.insert(integration.clone(), Instant::now());
        self.well.store(Arc::new(well));
    }

    fn set_unusable(&self, integration: &IntegrationId, is: bool) {
        if self.is_unusable(integration) == is {
            return;
        }
        let mut unusable = Map::clone(&self.unusable.load());
        if is {
            unusable.insert(integration.clone(), ());
            let mut well = Map::clone(&self.well.load());
            well.remove(integration);
            self.well.store(Arc::new(well));
        } else {
            unusable.remove(integration);
            self.found_well(integration);
        }
        self.unusable.store(Arc::new(unusable));
    }

    /// Follows the `routes` bucket until `stopping`.
    pub(crate) async fn follow_routes(self, bus: Bus, stopping: CancellationToken) -> anyhow::Result<()> {
        let Some(bucket) = open(&bus, Bucket::Routes, &stopping).await else { return Ok(()) };
        follow::<RouteNow>(&bucket, &stopping, |change| match change {
            Change::Put { value, .. } => drop(self.route(&value)),
            Change::Deleted { key } => self.forget_route(&key),
        })
        .await
    }

    /// Follows the `health` bucket until `stopping`.
    pub(crate) async fn follow_health(self, bus: Bus, stopping: CancellationToken) -> anyhow::Result<()> {
        let Some(bucket) = open(&bus, Bucket::Health, &stopping).await else { return Ok(()) };
        follow::<HealthNow>(&bucket, &stopping, |change| match change {
            Change::Put { value, .. } => self.health(&value),
            Change::Deleted { key } => {
                if let Ok(integration) = IntegrationId::new(key) {
                    self.set_unusable(&integration, false);
                }
            }
        })
        .await
    }
}

async fn follow<T: DeserializeOwned + Send + 'static>(
    bucket: &Kv,
    stopping: &CancellationToken,
    mut take: impl FnMut(Change<T>),
) -> anyhow::Result<()> {
    let mut changes = bucket.watch::<T>();
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(change) => take(change),
                None => anyhow::bail!("a watch ended"),
            },
            () = stopping.cancelled() => return Ok(()),
        }
    }
}

/// Whether calls can succeed there: as failover judges a route's members.
fn can_succeed(health: Health, reason: Option<Reason>) -> bool {
    match health {
        Health::Up | Health::Unknown => true,
        Health::Degraded => reason.is_none_or(Reason::leaves_it_usable),
        Health::Down | Health::Maintenance => false,
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn word(active: &str, epoch: u64, version: u64) -> RouteNow {
        RouteNow {
            route: RouteId::new("quotes").expect("a slug"),
            active: Some(IntegrationId::new(active).expect("a slug")),
            cause: RouteCause::Preferred,
            reason: None,
            since: Timestamp::default(),
            epoch,
            version,
            pinned: None,
        }
    }

    fn active(board: &Board) -> Option<String> {
        board.active(&RouteId::new("quotes").expect("a slug")).map(|(id, _)| id.to_string())
    }

    #[test]
    fn a_lower_epoch_is_refused() {
        let board = Board::default();
        assert!(board.route(&word("a", 5, 7)));
        assert!(!board.route(&word("b", 4, 99)));
        assert!(!board.route(&word("b", 5, 6)));
        assert_eq!(active(&board).as_deref(), Some("a"));
        assert!(board.route(&word("b", 5, 8)));
        assert!(board.route(&word("c", 6, 1)));
        assert_eq!(active(&board).as_deref(), Some("c"));
    }

    #[test]
    fn a_deleted_route_keeps_its_epoch() {
        let board = Board::default();
        board.route(&word("a", 5, 7));
        board.forget_route("quotes");
        assert_eq!(active(&board), None);
        assert!(!board.route(&word("b", 4, 99)));
        assert!(board.route(&word("b", 5, 1)));
        assert_eq!(active(&board).as_deref(), Some("b"));
    }
}
