//! Callers: actors, roles, permissions, and the tokens that carry them.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::Slug;
use crate::{IntegrationId, RouteId, Timestamp, TokenId};

/// A person, an agent, or a part of the program: `user:ada`, `agent:macro-analyst`, `system:failover`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema, ToSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Actor(String);

impl Actor {
    /// Takes `user:<name>`, `agent:<name>` or `system:<name>`; a name is 1 to 63 of `a-z 0-9 . _ -`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        let named = !name.is_empty() && name.len() <= 63 && name.chars().all(ok);
        (matches!(kind, "user" | "agent" | "system") && named).then(|| Self(text.to_owned()))
    }

    /// A part of the program.
    pub fn system(name: &'static str) -> Self {
        Self(format!("system:{name}"))
    }

    /// The actor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a token of a subject: `user-ada`.
    pub fn slug(&self) -> Slug {
        Slug::of(&self.0)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(
                "must be `user:<name>` or `agent:<name>`, the name of a-z, 0-9, `.`, `_`, `-`",
            )
        })
    }
}

/// A named set of permissions.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything but secrets; calls the gateway.
    Viewer,
    /// Changes everything but keys, tokens and users.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// The word used in bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether the role contains the permission.
    pub const fn allows(self, permission: Permission) -> bool {
        match permission {
            Permission::Read | Permission::Call => true,
            Permission::Configure | Permission::Alert => matches!(self, Self::Operator | Self::Admin),
            Permission::Keys
            | Permission::Reveal
            | Permission::Tokens
            | Permission::Users
            | Permission::Audit => {
                matches!(self, Self::Admin)
            }
        }
    }
}

/// Something that a caller may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Read configuration, health, usage, alerts and deliveries.
    Read,
    /// Call providers through the gateway.
    Call,
    /// Change integrations, routes, webhooks, silences; replay deliveries.
    Configure,
    /// Raise, acknowledge and resolve alerts.
    Alert,
    /// Create, rotate, revoke and delete keys.
    Keys,
    /// See a key's value.
    Reveal,
    /// Create and revoke tokens.
    Tokens,
    /// Create and change users.
    Users,
    /// Read and export the audit log.
    Audit,
}

impl Permission {
    /// The word used in problems: `keys.reveal` is written `reveal`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Call => "call",
            Self::Configure => "configure",
            Self::Alert => "alert",
            Self::Keys => "keys",
            Self::Reveal => "reveal",
            Self::Tokens => "tokens",
            Self::Users => "users",
            Self::Audit => "audit",
        }
    }
}

/// Who goes first where calls wait for a limit. The order is that of the words: the highest goes first, and the lower
/// ones get a ninth of what goes, so that nobody waits for ever.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After the others: work that can wait, such as a night's.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// Before the others: where somebody waits for the answer.
    High,
}

impl Priority {
    /// All of them, the highest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The word used in bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// A caller's credential to Signalbox, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Who carries it.
    pub actor: Actor,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the token, 64 hex digits. The token has 256 random bits, so a fast hash is right.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is valid.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    /// What it is bound to.
    #[serde(default)]
    pub bounds: Bounds,
    /// Who goes first where its calls wait for a limit.
    #[serde(default)]
    pub priority: Priority,
}

/// What a token is bound to. An empty list binds to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Only callers from these networks (CIDR).
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Only these integrations.
    #[serde(default)]
    pub integrations: BTreeSet<IntegrationId>,
    /// Only these routes.
    #[serde(default)]
    pub routes: BTreeSet<RouteId>,
}
