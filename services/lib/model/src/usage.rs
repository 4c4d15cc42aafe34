//! Usage: what passed, counted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{IntegrationId, ProviderId, Timestamp};

/// Calls of one integration in one short span, counted by one gateway or prober.
///
/// The event's id is made of the counter's instance, the span's start and the integration, so that counting
/// it twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct UsageCounted {
    /// Which integration.
    pub integration: IntegrationId,
    /// Its provider.
    pub provider: ProviderId,
    /// Who counted: a role and its instance, `gateway/h7k2`.
    pub counter: String,
    /// The span's start.
    pub from: Timestamp,
    /// The span's end. Both ends lie in the same minute.
    pub to: Timestamp,
    /// By endpoint.
    pub counts: Vec<Count>,
}

/// Calls of one endpoint by one caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Count {
    /// A bounded name of the endpoint: `/v2/aggs`.
    pub endpoint: String,
    /// Who called: an actor; `system:prober` for probes.
    pub actor: String,
    /// Calls that were sent to the provider.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Answers that came from the cache instead.
    #[serde(default)]
    pub cache_hits: u64,
    /// Bytes of request bodies.
    #[serde(default)]
    pub request_bytes: u64,
    /// Bytes of answer bodies.
    #[serde(default)]
    pub response_bytes: u64,
    /// Sum of the times to the answers' heads, in milliseconds.
    #[serde(default)]
    pub latency_sum_ms: u64,
    /// What it cost, in millionths of a US dollar.
    #[serde(default)]
    pub cost_micros: u64,
}
