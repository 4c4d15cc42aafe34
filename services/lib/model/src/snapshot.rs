//! The snapshot: all configuration that gateways, probers and failover need, as one value with a revision.
//!
//! Lives in the `config` bucket under [`KEY`]. Whoever holds one swaps it in whole, refuses an older
//! revision, and keeps the last good one. It holds no secret: keys by id and version, tokens by hash.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::integration::Integration;
use crate::route::Route;
use crate::token::Token;
use crate::{IntegrationId, KeyId, RouteId, Timestamp};

/// The key of the snapshot in the `config` bucket.
pub const KEY: &str = "snapshot";

/// All configuration at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Grows with every change of configuration.
    pub revision: u64,
    /// When it was made.
    pub built_at: Timestamp,
    /// All integrations, disabled ones too.
    pub integrations: BTreeMap<IntegrationId, Integration>,
    /// The state of all keys.
    pub keys: BTreeMap<KeyId, KeyRef>,
    /// All routes.
    pub routes: BTreeMap<RouteId, PinnedRoute>,
    /// Tokens that are not revoked.
    pub tokens: Vec<Token>,
}

/// A key as gateways and probers need to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRef {
    /// The version in use. Absent when the key is revoked.
    pub version: Option<u32>,
    /// When the provider stops taking it.
    pub expires_at: Option<Timestamp>,
}

/// A route with the operator's words on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PinnedRoute {
    /// The route.
    #[serde(flatten)]
    pub route: Route,
    /// The integration that an operator pinned it to.
    #[serde(default)]
    pub pinned: Option<IntegrationId>,
    /// Integrations that an operator drains: they get no calls while another one can answer.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub drained: BTreeSet<IntegrationId>,
}
