//! A provider as data: what one file under `providers/` says, and what `GET /api/v1/providers/{id}` answers.
//!
//! Every number is a preset that people may change, and what live answers say wins over it. Holds no secret.

mod cost;
mod credentials;
mod dialect;
mod endpoint;
mod limits;
mod operations;
mod probe;
mod rules;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use model::ProviderId;
use model::auth::Auth;
use model::integration::CUSTOM_PROVIDER;
use model::merge::Form;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use cost::{Cost, CostModel, Plan, TokenFields, TokenPrice, TokensUsed};
pub use credentials::{Environment, Field};
pub use dialect::ChatDialect;
pub use endpoint::{ENDPOINT_CHARS_MAX, Endpoint, fit as fit_path};
pub use limits::{Dialect, Limit, LimitKind, LimitScope, ResetUnit, UsageHeaders, Weight};
pub use operations::{Case, Operation, Pair, Parameter, Reading, Time, TimeUnit};
pub use probe::{Probe, ProbeState};
pub use rules::{BodyTest, ErrorRule, HeaderTest, RetryFrom, RetryUnit, Scalar, StatusTest};

pub(crate) use endpoint::placeholders;

/// A definition of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its id, with underscores: `alpha_vantage`.
    pub id: ProviderId,
    /// Its name for people.
    pub name: String,
    /// Other names by which it is found.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What it is used for.
    pub category: Category,
    /// Whether it is still there.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// Where its documentation is. Absent for a defunct one.
    #[serde(default)]
    pub docs_url: Option<String>,
    /// Where it says how it is: a second opinion, never a probe.
    #[serde(default)]
    pub status_page: Option<String>,
    /// How to get a key, step by step.
    #[serde(default)]
    pub key_steps: Vec<String>,
    /// What people should know, in sentences.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What is widely said but was not found in a source: check before relying on it.
    #[serde(default)]
    pub unsourced: Vec<String>,
    /// Where it answers. The first is `production`; empty for a defunct one.
    #[serde(default)]
    pub environments: Vec<Environment>,
    /// What a key consists of.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// How it wants to be shown a key.
    #[serde(default = "no_auth")]
    #[schema(value_type = Auth)]
    pub auth: Auth,
    /// Headers of every call.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Query parameters of every call.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// The header under which it takes a key for safe repeats of a POST. Absent: none is known.
    #[serde(default)]
    pub idempotency_header: Option<String>,
    /// How it is asked how it is. Absent: only whether it can be reached.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// The cheapest call that needs a key: tries one, where the probe needs none.
    #[serde(default)]
    pub key_probe: Option<Probe>,
    /// Its limits, as documented.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// Where its answers say what is left.
    #[serde(default)]
    pub usage_headers: Vec<UsageHeaders>,
    /// What its errors mean, in the order in which they are looked at; the first that fits decides.
    #[serde(default)]
    pub error_rules: Vec<ErrorRule>,
    /// Beginnings of paths that need no key.
    #[serde(default)]
    pub public_paths: Vec<String>,
    /// In which dialect it is asked to chat. Absent: it does not chat.
    #[serde(default)]
    pub dialect: Option<ChatDialect>,
    /// Canonical operations: `quote`, `candles`, `series`, `chat`, …
    #[serde(default)]
    pub operations: BTreeMap<String, Operation>,
    /// Endpoints that take several symbols in one call, by the path of the single call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub merges: BTreeMap<String, Form>,
    /// Names under which use is counted.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// What it costs.
    #[serde(default)]
    pub cost: Cost,
}

/// What a provider is used for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderCategory)]
pub enum Category {
    /// Market and economic data.
    Financial,
    /// Language models.
    Llm,
    /// Exchanges and brokers.
    Trading,
    /// Anything else.
    Other,
}

/// Whether a provider is still there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderLifecycle)]
pub struct Lifecycle {
    /// What became of it.
    #[serde(default)]
    pub state: LifecycleState,
    /// Since when, as `YYYY-MM-DD`.
    #[serde(default)]
    pub since: Option<String>,
    /// Why, in a sentence.
    #[serde(default)]
    pub reason: Option<String>,
    /// Providers of the catalogue to use instead.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub alternatives: Vec<ProviderId>,
}

/// What became of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderLifecycleState)]
pub enum LifecycleState {
    /// It works under this name.
    #[default]
    Active,
    /// It works under a new name; the old one is an alias.
    Renamed,
    /// It is gone: it cannot be enabled, and nothing is ever sent to it.
    Defunct,
}

// === impl Provider ===

impl Provider {
    /// Whether it is the one that stands for all that the catalogue does not know.
    pub fn is_custom(&self) -> bool {
        self.id.as_str() == CUSTOM_PROVIDER
    }

    /// The provider of integrations that bring their own address and scheme: no rules, default judging.
    pub fn custom() -> &'static Self {
        static CUSTOM: LazyLock<Provider> = LazyLock::new(|| {
            toml::from_str(&format!("id = \"{CUSTOM_PROVIDER}\"\nname = \"Custom\"\ncategory = \"other\"\n"))
                .expect("these three lines are a provider; a test reads them")
        });
        &CUSTOM
    }

    /// Whether it is gone, so that nothing may be sent to it.
    pub fn is_defunct(&self) -> bool {
        self.lifecycle.state == LifecycleState::Defunct
    }

    /// An environment by name, its case ignored.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.iter().find(|e| e.name.eq_ignore_ascii_case(name))
    }

    /// Where an environment answers, without a `/` at the end.
    pub fn base_url(&self, environment: &str) -> Option<&str> {
        self.environment(environment).map(|e| e.base_url.as_str())
    }

    /// How an environment wants to be shown a key: its own way, else the provider's.
    pub fn auth_in(&self, environment: &str) -> &Auth {
        self.environment(environment).and_then(|e| e.auth.as_ref()).unwrap_or(&self.auth)
    }

    /// How an environment is asked how it is: its own way, else the provider's.
    pub fn probe_in(&self, environment: &str) -> Option<&Probe> {
        self.environment(environment).and_then(|e| e.probe.as_ref()).or(self.probe.as_ref())
    }

    /// A credential field by name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Whether a path (its query ignored) needs no key.
    pub fn is_public(&self, path: &str) -> bool {
        let path = endpoint::without_query(path);
        self.public_paths.iter().any(|public| {
            path.strip_prefix(public.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || public.ends_with('/'))
        })
    }
}

fn no_auth() -> Auth {
    Auth::None {}
}
