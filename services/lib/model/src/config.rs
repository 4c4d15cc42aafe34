//! Configuration as it changes: which kinds there are, and the event that one of them changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// A kind of configuration.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the resources")]
pub enum Kind {
    Integration,
    Route,
    Key,
    Webhook,
    Token,
    User,
    Silence,
    Rule,
    Budget,
}

impl Kind {
    /// The word used in subjects, audit targets and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integration => "integration",
            Self::Route => "route",
            Self::Key => "key",
            Self::Webhook => "webhook",
            Self::Token => "token",
            Self::User => "user",
            Self::Silence => "silence",
            Self::Rule => "rule",
            Self::Budget => "budget",
        }
    }
}

/// What happened to a piece of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum Change {
    Created,
    Updated,
    Deleted,
}

/// A piece of configuration was created, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct ConfigChanged {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// What happened.
    pub change: Change,
    /// The configuration's revision from then on.
    pub revision: u64,
    /// Who did it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}
