//! The board: all that the leader holds in memory, with the revisions of its entries in the buckets.
//!
//! Plain data. It is read from the buckets when a term begins, and changed only after a change was written there.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::integration::Integration;
use model::snapshot::Snapshot;
use model::{IntegrationId, RouteId, Timestamp};

use crate::choose::Member;
use crate::decide::Rules;
use crate::state::{RouteEntry, State};

/// What stands in a bucket, and the revision at which it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept<T> {
    /// The value.
    pub value: T,
    /// The revision that the next write must replace.
    pub revision: u64,
}

/// All that the leader holds.
#[derive(Clone, Debug)]
pub struct Board {
    /// How patient decisions are.
    pub rules: Rules,
    /// The leader's term.
    pub epoch: u64,
    /// The configuration. Absent until it was read: then nothing is decided.
    pub snapshot: Option<Arc<Snapshot>>,
    /// What is known of integrations.
    pub health: BTreeMap<IntegrationId, Kept<State>>,
    /// Where routes go.
    pub routes: BTreeMap<RouteId, Kept<RouteEntry>>,
}

impl Board {
    /// An empty board for a term.
    pub fn new(rules: Rules, epoch: u64) -> Self {
        Self { rules, epoch, snapshot: None, health: BTreeMap::new(), routes: BTreeMap::new() }
    }

    /// The configured integration.
    pub fn integration(&self, id: &IntegrationId) -> Option<&Integration> {
        self.snapshot.as_ref()?.integrations.get(id)
    }

    /// What is known of a configured integration; a new state when nothing is.
    pub fn state(&self, id: &IntegrationId, now: Timestamp) -> Option<State> {
        let configured = self.integration(id)?;
        let known = self.health.get(id).map(|kept| kept.value.clone());
        Some(known.unwrap_or_else(|| State::new(id.clone(), configured.provider.clone(), now)))
    }

    /// A member of a route. Where nothing is known of it, it is unknown.
    pub fn member(&self, id: &IntegrationId, now: Timestamp) -> Option<Member> {
        let enabled = self.integration(id)?.enabled;
        let state = self.state(id, now)?;
        Some(Member { enabled, health: state.health, reason: state.reason, entered_at: state.entered_at })
    }
}
