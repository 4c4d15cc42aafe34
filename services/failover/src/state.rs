//! What failover remembers of one integration, and of one route.
//!
//! Pure data. Both are kept in their buckets beside what everyone reads there ([`HealthNow`], [`RouteNow`]),
//! so that a new leader or a restart continues where the last one stopped. Other readers ignore the rest.

use std::collections::VecDeque;

use model::alert::AlertRaised;
use model::health::{Health, HealthCompared, HealthNow, Reason};
use model::route::RouteNow;
use model::{IntegrationId, ProviderId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::vote::{Figures, Vote};

/// Votes that decide: the M of N of M.
pub const WINDOW_VOTES: usize = 5;
/// Votes among which changes are counted to see flapping (conventions, section 9).
pub const HISTORY_VOTES: usize = 21;
/// Seconds between observations while no probe has said how long.
pub const EVERY_SECS_DEFAULT: u32 = 30;

/// What is known of an integration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Which integration.
    pub integration: IntegrationId,
    /// Its provider.
    pub provider: ProviderId,
    /// What it is.
    pub health: Health,
    /// Why; absent when it is up.
    pub reason: Option<Reason>,
    /// When the run of observations that made it so began.
    pub since: Timestamp,
    /// When that was decided.
    pub entered_at: Timestamp,
    /// The last votes, oldest first: at most [`WINDOW_VOTES`].
    pub votes: VecDeque<Vote>,
    /// What the last votes said, oldest first: at most [`HISTORY_VOTES`].
    pub history: VecDeque<Health>,
    /// Whether it changes so often that alerts are held.
    pub flapping: bool,
    /// The one open alert, as it was last raised.
    pub alert: Option<AlertRaised>,
    /// Counts what was decided; the ids of events and alerts come from it, so that a decision that is taken again
    /// has the same ids.
    pub version: u64,
    /// When a probe last observed it.
    pub probe_at: Option<Timestamp>,
    /// When traffic last observed it.
    pub traffic_at: Option<Timestamp>,
    /// Seconds between probes.
    pub every_secs: u32,
    /// Latency of the last answered probe, in milliseconds.
    pub latency_ms: Option<u32>,
    /// Status code of the last probe.
    pub status_code: Option<u16>,
    /// What the last observation says, for people.
    pub detail: Option<String>,
    /// What the last observation measured that shows the trouble it has. While it is up, the last probe's count.
    #[serde(default)]
    pub shown: Figures,
    /// The last word of each who observes on how it compares with its usual self.
    #[serde(default)]
    pub compared: Vec<HealthCompared>,
}

impl State {
    /// An integration of which nothing is known yet.
    pub fn new(integration: IntegrationId, provider: ProviderId, now: Timestamp) -> Self {
        Self {
            integration,
            provider,
            health: Health::Unknown,
            reason: None,
            since: now,
            entered_at: now,
            votes: VecDeque::new(),
            history: VecDeque::new(),
            flapping: false,
            alert: None,
            version: 0,
            probe_at: None,
            traffic_at: None,
            every_secs: EVERY_SECS_DEFAULT,
            latency_ms: None,
            status_code: None,
            detail: None,
            shown: Figures::default(),
            compared: Vec::new(),
        }
    }

    /// When it was last observed.
    pub fn checked_at(&self) -> Option<Timestamp> {
        self.probe_at.max(self.traffic_at)
    }

    /// The figures that belong to its health: a slow provider is not shown with the time of one quick answer, nor a
    /// silent one with its last good answer.
    pub fn figures(&self) -> Figures {
        match self.health {
            Health::Up => Figures { latency_ms: self.latency_ms, status_code: self.status_code },
            _ => self.shown,
        }
    }

    /// What shows that it is worse than usual. More errors come before slow answers.
    pub fn worse_than_usual(&self) -> Option<&HealthCompared> {
        self.compared.iter().filter(|told| told.worse).max_by_key(|told| told.reason == Reason::MoreErrors)
    }

    /// The comparison that makes it degraded, if one does.
    pub fn evidence(&self) -> Option<&HealthCompared> {
        let of_it = |told: &&HealthCompared| told.worse && Some(told.reason) == self.reason;
        self.compared.iter().find(of_it).filter(|_| self.health == Health::Degraded)
    }

    /// As everyone may know it.
    pub fn now(&self) -> HealthNow {
        let Figures { latency_ms, status_code } = self.figures();
        HealthNow {
            integration: self.integration.clone(),
            health: self.health,
            reason: self.reason,
            since: self.since,
            checked_at: self.checked_at(),
            latency_ms,
            status_code,
            detail: self.evidence().map(|told| told.detail.clone()).or_else(|| self.detail.clone()),
            flapping: self.flapping,
        }
    }
}

/// An entry of the `health` bucket: what everyone reads, and what failover remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthEntry {
    /// What everyone reads.
    #[serde(flatten)]
    pub now: HealthNow,
    /// The term of the leader who wrote it.
    #[serde(default)]
    pub epoch: u64,
    /// What failover remembers. Absent when somebody else made the entry.
    #[serde(default)]
    pub state: Option<State>,
}

/// An entry of the `routes` bucket: where the traffic goes, and the alert that it goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// What everyone reads.
    #[serde(flatten)]
    pub now: RouteNow,
    /// The open alert, as it was raised.
    #[serde(default)]
    pub alert: Option<AlertRaised>,
}
