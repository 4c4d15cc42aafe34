//! Audit: who did what, from where, and what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::token::Actor;

/// What kind of thing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[expect(missing_docs, reason = "the verbs say it")]
pub enum Verb {
    View,
    Create,
    Update,
    Delete,
    Use,
}

impl Verb {
    /// The word used in answers and exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "View",
            Self::Create => "Create",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Use => "Use",
        }
    }
}

/// Somebody did something, or was refused. Never holds a value, only names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct AuditRecorded {
    /// When.
    pub at: Timestamp,
    /// Who. `system:anonymous` for callers that could not be known.
    pub actor: Actor,
    /// How they were known: `token:<id>`, `session`, `password`, `none`.
    pub method: String,
    /// From where; absent for the program itself.
    pub source_ip: Option<String>,
    /// What exactly: `key.reveal`.
    pub action: String,
    /// What kind of thing.
    pub verb: Verb,
    /// To what: `key/polygon-prod`.
    pub target: String,
    /// `ok`, `intent` (about to be done), `denied`, or `failed`.
    pub outcome: String,
    /// Why, as given by the actor, or why it was refused.
    #[serde(default)]
    pub reason: Option<String>,
    /// The request that it belongs to.
    #[serde(default)]
    pub request_id: Option<String>,
}
