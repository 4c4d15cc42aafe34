//! Routes: an ordered list of integrations behind one name. The shape is the body of `POST /api/v1/routes`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cache::Caching;
use crate::health::Reason;
use crate::{IntegrationId, RouteId, Timestamp};

/// An ordered list of integrations behind one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its id, chosen by people.
    pub id: RouteId,
    /// Whether traffic moves on when the active integration fails.
    #[serde(default = "yes")]
    pub failover: bool,
    /// Who may answer, best first: 1 to 16, none twice.
    pub integrations: Vec<IntegrationId>,
    /// In which order those that can answer are asked.
    #[serde(default, skip_serializing_if = "Order::is_default")]
    pub order: Order,
    /// With the order `weighted`: how many calls of all each gets, 1 to 1,000. An integration without a word has 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<IntegrationId, u16>,
    /// How answers are cached.
    #[serde(default)]
    pub cache: Caching,
    /// Methods besides GET, HEAD and OPTIONS that are safe to repeat here.
    #[serde(default)]
    pub repeatable_methods: Vec<String>,
}

/// In which order the members of a route are asked, among those that can answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RouteOrder)]
pub enum Order {
    /// As they are listed; failover's switch says who is first.
    #[default]
    Priority,
    /// Drawn for each call, by their weights.
    Weighted,
    /// By what a call costs there, then by what tokens cost there.
    #[serde(alias = "cheapest-first")]
    CheapestFirst,
    /// As they are listed, but those whose quota is nearly used up come after the others.
    #[serde(alias = "quota-aware")]
    QuotaAware,
}

impl Order {
    /// Whether it is the one that a route has without a word.
    pub const fn is_default(&self) -> bool {
        matches!(self, Self::Priority)
    }
}

/// Where a route's traffic goes now: the entry of the `routes` bucket, keyed by the route's id.
///
/// Written by compare-and-set only. A reader never goes back from a higher epoch to a lower one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RouteNow {
    /// Which route.
    pub route: RouteId,
    /// Who answers. Absent when no integration of the route is usable.
    pub active: Option<IntegrationId>,
    /// Why it is this one.
    pub cause: RouteCause,
    /// What was wrong with the one before.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// Since when.
    pub since: Timestamp,
    /// The term of the leader who wrote it; grows with every leader.
    pub epoch: u64,
    /// Counts the changes of this route; grows with every write.
    pub version: u64,
    /// The integration that an operator pinned the route to.
    #[serde(default)]
    pub pinned: Option<IntegrationId>,
}

/// Why a route's traffic goes where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteCause {
    /// It is the first of the list.
    Preferred,
    /// The ones before it are not usable.
    Failover,
    /// An operator said so.
    Pinned,
    /// Nobody is usable.
    Exhausted,
}

/// A route's traffic moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RouteSwitched {
    /// Which route.
    pub route: RouteId,
    /// Who answered before. Absent when nobody did.
    pub from: Option<IntegrationId>,
    /// Who answers now.
    pub to: IntegrationId,
    /// Why.
    pub cause: RouteCause,
    /// What was wrong with the one before.
    pub reason: Option<Reason>,
    /// When.
    pub at: Timestamp,
    /// The leader's term.
    pub epoch: u64,
}

/// No integration of a route is usable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RouteExhausted {
    /// Which route.
    pub route: RouteId,
    /// Who answered last.
    pub from: Option<IntegrationId>,
    /// What is wrong with each, in the route's order: `polygon-main: down (unreachable)`.
    pub why: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// The leader's term.
    pub epoch: u64,
}

const fn yes() -> bool {
    true
}
