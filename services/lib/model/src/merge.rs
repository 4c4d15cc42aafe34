//! How single calls that wait at the same time become one call for several symbols: settings of an integration, and how a
//! provider takes and answers such a call.
//!
//! Off where nothing is said. The shape of a provider's answer is data; the gateway takes it apart.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Endpoints of one integration whose calls are merged.
pub const ENDPOINTS_MAX: usize = 16;
/// The longest that a call waits for others, in milliseconds.
pub const WINDOW_MS_MAX: u32 = 50;
/// Symbols in one call, at most.
pub const SYMBOLS_MAX: u32 = 100;

/// How calls of one endpoint are merged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IntegrationMerge)]
pub struct Merge {
    /// How long a call waits for others, in milliseconds: 1 to 50.
    #[serde(default = "window_ms")]
    pub window_ms: u32,
    /// Symbols in one call: 2 to 100, and at most as many as the provider takes. Absent: as many as that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols_max: Option<u32>,
    /// How the provider takes and answers several symbols. Absent: as the catalogue has it for this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Form>,
}

/// How a provider takes several symbols in one call, and where its answer holds each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MergeForm)]
pub struct Form {
    /// The query parameter of a single call that holds its symbol.
    pub parameter: String,
    /// The parameter for several. Absent: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub many: Option<String>,
    /// The path for several, below the base URL. Absent: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How several symbols are written.
    #[serde(default)]
    pub list: List,
    /// Symbols that the provider takes in one call: 2 to 100.
    #[serde(default = "symbols_max")]
    pub symbols_max: u32,
    /// Where the answer holds the parts: a JSON pointer to a list or an object. Absent: it is all of the answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// The field of an element of the list that holds its symbol; case does not matter. Absent: it is an object, and its
    /// names are the symbols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// How the answer to a single call holds its part.
    #[serde(default)]
    pub single: Single,
}

/// How several symbols are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MergeList)]
pub enum List {
    /// `A,B`.
    #[default]
    Comma,
    /// `["A","B"]`.
    Json,
}

/// How the answer to a single call holds its part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MergeSingle)]
pub enum Single {
    /// It is the part.
    #[default]
    Part,
    /// It is a list that holds the part.
    List,
    /// It is as the answer for several, with this part alone.
    Same,
}

const fn window_ms() -> u32 {
    5
}

const fn symbols_max() -> u32 {
    SYMBOLS_MAX
}
