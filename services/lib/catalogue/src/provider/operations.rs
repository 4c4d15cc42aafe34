//! What a provider can be asked under a name that is the same for all.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A canonical operation: the call it becomes. `{name}` in path, query and body stands for a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderOperation)]
pub struct Operation {
    /// `GET` or `POST`.
    #[serde(default = "get")]
    pub method: String,
    /// Below the base URL; begins with `/`.
    pub path: String,
    /// Query parameters. One whose placeholder has no value is left out.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Environments that have it. Empty: all.
    #[serde(default)]
    pub environments: Vec<String>,
    /// The plan from which on it is allowed. Absent: every plan.
    #[serde(default)]
    pub plan: Option<String>,
    /// What to know about its answer.
    #[serde(default)]
    pub note: Option<String>,
    /// Whether no source was found for a part of it.
    #[serde(default)]
    pub unsourced: bool,
}

/// A parameter of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderParameter)]
pub struct Parameter {
    /// Its name: `symbol`, `from`, `to`, `interval`, `series_id`, `model`, …
    pub name: String,
    /// Whether the operation cannot do without.
    #[serde(default)]
    pub required: bool,
    /// What is taken when it is not given.
    #[serde(default)]
    pub default: Option<String>,
    /// How this provider writes it, by an example.
    #[serde(default)]
    pub example: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}
