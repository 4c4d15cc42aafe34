//! The whole configuration as typed values, read in one go: what a decision is made on.

use std::collections::BTreeMap;

use model::budget::Budget;
use model::config::Kind;
use model::id::Slug;
use model::integration::Integration;
use model::key::Key;
use model::rule::Rule;
use model::snapshot::{KeyRef, PinnedRoute, Snapshot};
use model::token::{Role, Token};
use model::webhook::Webhook;
use model::{IntegrationId, KeyId, RouteId, Timestamp, TokenId, WebhookId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Document, Everything};
use utoipa::ToSchema;

/// A document with what the database says around it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Kept<T> {
    /// The thing itself.
    #[serde(flatten)]
    pub body: T,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Its version, as in the `ETag` header.
    pub etag: String,
    #[serde(skip)]
    pub(crate) revision: u64,
}

/// A route as it is stored: with the operator's pin.
pub type StoredRoute = PinnedRoute;

/// A person who may log in to the console.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The name: `ada`.
    pub id: Slug,
    /// What they may do.
    pub role: Role,
    /// Argon2id, in PHC string format.
    pub password_hash: String,
    /// Whether the password was made by the program and must be changed.
    #[serde(default)]
    pub one_time_password: bool,
}

/// Alerts that nobody wants to hear of for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Its id.
    pub id: Slug,
    /// Which alerts: all that this filter lets through.
    pub matchers: model::webhook::Filter,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Why.
    pub comment: String,
}

/// Everything that is configured, at one revision.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Which revision.
    pub revision: u64,
    /// Integrations.
    pub integrations: BTreeMap<IntegrationId, Kept<Integration>>,
    /// Routes.
    pub routes: BTreeMap<RouteId, Kept<StoredRoute>>,
    /// Keys, without values.
    pub keys: BTreeMap<KeyId, Kept<Key>>,
    /// Webhooks, without secrets.
    pub webhooks: BTreeMap<WebhookId, Kept<Webhook>>,
    /// Tokens, as hashes.
    pub tokens: BTreeMap<TokenId, Kept<Token>>,
    /// Users.
    pub users: BTreeMap<Slug, Kept<User>>,
    /// Silences.
    pub silences: BTreeMap<Slug, Kept<Silence>>,
    /// Alert rules that somebody made, and built-in ones that somebody changed.
    pub rules: BTreeMap<Slug, Kept<Rule>>,
    /// Budgets.
    pub budgets: BTreeMap<Slug, Kept<Budget>>,
}

/// The strong entity tag of a document at a revision.
pub fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}

pub(crate) fn kept<T: DeserializeOwned>(document: Document) -> Result<Kept<T>, serde_json::Error> {
    Ok(Kept {
        body: serde_json::from_value(document.body)?,
        created_at: document.created_at,
        updated_at: document.updated_at,
        etag: etag(document.revision),
        revision: document.revision,
    })
}

impl Config {
    /// Reads documents as they are stored. A document that cannot be read is an error that names it.
    pub fn of(all: Everything) -> Result<Self, Unreadable> {
        let mut config = Self { revision: all.revision, ..Self::default() };
        for document in all.documents {
            let (kind, id) = (document.kind, document.id.clone());
            config.take(document).map_err(|source| Unreadable { kind, id, source })?;
        }
        Ok(config)
    }

    fn take(&mut self, document: Document) -> Result<(), serde_json::Error> {
        macro_rules! put {
            ($map:ident) => {{
                let kept = kept(document)?;
                self.$map.insert(key_of(&kept), kept);
            }};
        }
        match document.kind {
            Kind::Integration => put!(integrations),
            Kind::Route => put!(routes),
            Kind::Key => put!(keys),
            Kind::Webhook => put!(webhooks),
            Kind::Token => put!(tokens),
            Kind::User => put!(users),
            Kind::Silence => put!(silences),
            Kind::Rule => put!(rules),
            Kind::Budget => put!(budgets),
        }
        Ok(())
    }

    /// What gateways, probers and failover need of it.
    pub fn snapshot(&self, at: Timestamp) -> Snapshot {
        let keys = self.keys.iter().map(|(id, key)| {
            let version = key.body.active().map(|version| version.version);
            (id.clone(), KeyRef { version, expires_at: key.body.expires_at })
        });
        Snapshot {
            revision: self.revision,
            built_at: at,
            integrations: self
                .integrations
                .iter()
                .map(|(id, kept)| (id.clone(), kept.body.clone()))
                .collect(),
            keys: keys.collect(),
            routes: self.routes.iter().map(|(id, kept)| (id.clone(), kept.body.clone())).collect(),
            tokens: self
                .tokens
                .values()
                .map(|kept| kept.body.clone())
                .filter(|t| t.revoked_at.is_none())
                .collect(),
        }
    }
}

trait Named<K> {
    fn name(&self) -> K;
}

fn key_of<K, T: Named<K>>(kept: &Kept<T>) -> K {
    kept.body.name()
}

macro_rules! named {
    ($($type:ty, $key:ty, |$it:ident| $name:expr;)*) => {
        $(impl Named<$key> for $type {
            fn name(&self) -> $key {
                let $it = self;
                $name.clone()
            }
        })*
    };
}

named! {
    Integration, IntegrationId, |it| it.id;
    StoredRoute, RouteId, |it| it.route.id;
    Key, KeyId, |it| it.id;
    Webhook, WebhookId, |it| it.id;
    Token, TokenId, |it| it.id;
    User, Slug, |it| it.id;
    Silence, Slug, |it| it.id;
    Rule, Slug, |it| it.id;
    Budget, Slug, |it| it.id;
}

/// A stored document is not what this program writes.
#[derive(Debug, thiserror::Error)]
#[error("the stored {} `{id}` cannot be read", kind.as_str())]
pub struct Unreadable {
    kind: Kind,
    id: String,
    #[source]
    source: serde_json::Error,
}
