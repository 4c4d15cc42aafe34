//! Keys: what may be known of a provider's credential. The values are in the key store only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{KeyId, ProviderId, Timestamp};

/// A provider's credential, without its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Key {
    /// Its id, chosen by people.
    pub id: KeyId,
    /// The provider that it is for.
    pub provider: ProviderId,
    /// Which of the provider's environments it is for.
    pub environment: String,
    /// Words to select by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When the provider stops taking it. Absent: not known.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// All versions that were ever used, oldest first.
    pub versions: Vec<KeyVersion>,
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct KeyVersion {
    /// Counts from 1; the version in the key store.
    pub version: u32,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    /// Each field with all but its last characters hidden.
    pub fields: BTreeMap<String, String>,
    /// Tells whether two keys are the same without telling what they are: a keyed hash, 32 hex digits. Empty when the
    /// value was destroyed before it had one.
    pub fingerprint: String,
}

/// Where a version is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// In use.
    Active,
    /// Replaced; still valid at the provider for a while.
    Retiring,
    /// Not to be used any more; its value is destroyed.
    Revoked,
}

impl Key {
    /// The version in use.
    pub fn active(&self) -> Option<&KeyVersion> {
        self.versions.iter().rev().find(|version| version.state == KeyState::Active)
    }
}

/// A key's life as events tell it. Never a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct KeyFact {
    /// Which key.
    pub key: KeyId,
    /// Its provider.
    pub provider: ProviderId,
    /// Which version.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// Who did it; `vault-watch` for what nobody did.
    pub actor: String,
    /// When the provider stops taking it.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}
