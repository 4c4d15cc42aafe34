//! How a provider is asked how it is, and which answers are good ones.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::BodyTest;

/// One question, with the program's defaults of its pace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderProbe)]
pub struct Probe {
    /// `GET`, `HEAD` or `POST`.
    #[serde(default = "get")]
    pub method: String,
    /// Below the base URL; begins with `/`.
    pub path: String,
    /// Its query parameters; the provider's own are added.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Whether it is refused without a key.
    #[serde(default)]
    pub needs_key: bool,
    /// Seconds from start to start.
    #[serde(default = "every_secs")]
    pub every_secs: u32,
    /// Milliseconds until it counts as no answer.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u32,
    /// Milliseconds from which on an answer is slow.
    #[serde(default = "slow_ms")]
    pub slow_ms: u32,
    /// What it takes from the provider's quota: requests, or weight where the limit counts weight. 0: nothing.
    #[serde(default = "one")]
    pub units: u32,
    /// What a good answer's body has: all must hold.
    #[serde(default)]
    pub healthy: Vec<BodyTest>,
    /// The provider's own word for how it is.
    #[serde(default)]
    pub state: Option<ProbeState>,
}

/// Where a provider says how it is, and which words mean what. Any other word is no good answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderProbeState)]
pub struct ProbeState {
    /// JSON pointer of the word.
    pub pointer: String,
    /// All is well.
    pub up: Vec<String>,
    /// It takes only some calls: yellow.
    #[serde(default)]
    pub restricted: Vec<String>,
    /// It is being worked on or closed.
    #[serde(default)]
    pub maintenance: Vec<String>,
}

fn get() -> String {
    "GET".to_owned()
}

const fn every_secs() -> u32 {
    60
}

const fn timeout_ms() -> u32 {
    5_000
}

const fn slow_ms() -> u32 {
    1_500
}

const fn one() -> u32 {
    1
}
