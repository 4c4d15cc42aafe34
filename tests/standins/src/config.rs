//! What is to be played: instances with their keys and limits, targets with their secrets.
//!
//! Read from TOML or JSON, or built in a test. Unknown fields are errors.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::limits::Rule;
use crate::providers;

/// Instances that one process plays at most.
const INSTANCES_MAX: usize = 256;

/// Why a configuration cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration `{path}`")]
    Read {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is no configuration.
    #[error("parse configuration: {0}")]
    Parse(String),
    /// A provider nobody plays here.
    #[error("instance `{instance}`: no stand-in plays `{provider}` (there are: {known})")]
    Provider {
        /// The instance's name.
        instance: String,
        /// The provider asked for.
        provider: String,
        /// All provider ids.
        known: String,
    },
    /// Two instances of one name.
    #[error("two instances are named `{0}`")]
    Twice(String),
    /// A name that cannot stand in a path.
    #[error("instance name `{0}` has other characters than letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// More than fits.
    #[error("more than {INSTANCES_MAX} instances")]
    TooMany,
}

/// The whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the control API listens; port 0 is any.
    pub control_addr: SocketAddr,
    /// The address instances and targets listen on.
    pub host: std::net::IpAddr,
    /// The port that serves all targets; the four kinds follow on the next ports. 0: any.
    pub targets_port: u16,
    /// Seed of prices and chance.
    pub seed: u64,
    /// The providers.
    pub instances: Vec<InstanceConfig>,
    /// The targets' particulars.
    pub targets: TargetsConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            control_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            host: Ipv4Addr::LOCALHOST.into(),
            targets_port: 0,
            seed: 1,
            instances: Vec::new(),
            targets: TargetsConfig::default(),
        }
    }
}

/// One provider, played under a name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceConfig {
    /// Its name, unique. In the control API and the path prefix.
    pub name: String,
    /// The catalogue's provider id or an alias (`polygon`).
    pub provider: String,
    /// Its port. 0: any.
    #[serde(default)]
    pub port: u16,
    /// The key it accepts, field by field. Absent fields: any value is taken, but there must be one.
    #[serde(default)]
    pub key: BTreeMap<String, String>,
    /// Its limit, instead of the documented one.
    #[serde(default)]
    pub limit: LimitSetting,
    /// The clock it checks signatures by, fixed, in milliseconds since 1970. Absent: the real one.
    #[serde(default)]
    pub clock_ms: Option<i64>,
    /// Pause between the chunks of a stream, in milliseconds.
    #[serde(default)]
    pub chunk_ms: u64,
    /// LLM providers: the usage every answer reports. Absent: counted from the text.
    #[serde(default)]
    pub tokens: Option<Tokens>,
    /// LLM providers: the text every answer carries. Absent: an echo of the last message.
    #[serde(default)]
    pub reply: Option<String>,
}

/// Token counts an LLM stand-in reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Input tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Input tokens read from a cache.
    pub cached_input: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// Output tokens without reasoning.
    pub output: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
}

/// How much an instance takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LimitSetting {
    /// What the provider documents for its free plan.
    #[default]
    Documented,
    /// `"none"`: everything.
    Word(NoLimit),
    /// A window of one's own, beginning with the first request.
    Window {
        /// Requests (for Binance and KuCoin: weight) that fit.
        requests: u64,
        /// The window's length in seconds.
        per_secs: u64,
    },
}

/// The word `none`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoLimit {
    /// No limit.
    None,
}

impl LimitSetting {
    /// The rules it means for a provider.
    pub(crate) fn rules(&self, documented: Vec<Rule>) -> Vec<Rule> {
        match self {
            LimitSetting::Documented => documented,
            LimitSetting::Word(NoLimit::None) => Vec::new(),
            LimitSetting::Window { requests, per_secs } => vec![Rule::rolling(*requests, (*per_secs).max(1))],
        }
    }
}

/// The targets' particulars.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetsConfig {
    /// Slack: messages per second and webhook. 0: no limit.
    pub slack_per_sec: u64,
    /// Discord: messages per 2 seconds and webhook. 0: no limit.
    pub discord_per_2_secs: u64,
    /// PagerDuty: events per minute and routing key. 0: no limit.
    pub pagerduty_per_minute: u64,
    /// PagerDuty: the routing keys it knows. Empty: every one of 32 characters.
    pub routing_keys: Vec<String>,
    /// HTTP receiver: secret (`whsec_…`, or `whpk_…` for ed25519) by hook name; `*` for all others.
    pub hook_secrets: BTreeMap<String, String>,
}

impl Default for TargetsConfig {
    fn default() -> TargetsConfig {
        TargetsConfig {
            slack_per_sec: 1,
            discord_per_2_secs: 5,
            pagerduty_per_minute: 120,
            routing_keys: Vec::new(),
            hook_secrets: BTreeMap::new(),
        }
    }
}

impl InstanceConfig {
    /// An instance named `name` that plays `provider` and takes any key.
    pub fn new(name: impl Into<String>, provider: impl Into<String>) -> InstanceConfig {
        InstanceConfig { name: name.into(), provider: provider.into(), ..InstanceConfig::default() }
    }

    /// The same that takes only this value in a key field.
    #[must_use]
    pub fn key(mut self, field: impl Into<String>, value: impl Into<String>) -> InstanceConfig {
        self.key.insert(field.into(), value.into());
        self
    }

    /// The same with a window of its own.
    #[must_use]
    pub fn limit(mut self, requests: u64, per_secs: u64) -> InstanceConfig {
        self.limit = LimitSetting::Window { requests, per_secs };
        self
    }

    /// The same without a limit.
    #[must_use]
    pub fn unlimited(mut self) -> InstanceConfig {
        self.limit = LimitSetting::Word(NoLimit::None);
        self
    }

    /// The same that reports these tokens.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> InstanceConfig {
        self.tokens = Some(tokens);
        self
    }

    /// The same with a fixed clock.
    #[must_use]
    pub fn clock_ms(mut self, clock_ms: i64) -> InstanceConfig {
        self.clock_ms = Some(clock_ms);
        self
    }

    /// The same on a port of its own.
    #[must_use]
    pub fn port(mut self, port: u16) -> InstanceConfig {
        self.port = port;
        self
    }
}

impl Config {
    /// The same with one more instance.
    #[must_use]
    pub fn with(mut self, instance: InstanceConfig) -> Config {
        self.instances.push(instance);
        self
    }

    /// The same with a secret for a hook of the HTTP receiver.
    #[must_use]
    pub fn hook_secret(mut self, hook: impl Into<String>, secret: impl Into<String>) -> Config {
        self.targets.hook_secrets.insert(hook.into(), secret.into());
        self
    }

    /// Reads a file: TOML, or JSON when its name ends in `.json`.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?;
        if path.extension().is_some_and(|end| end == "json") {
            serde_json::from_str(&text).map_err(|error| ConfigError::Parse(error.to_string()))
        } else {
            toml::from_str(&text).map_err(|error| ConfigError::Parse(error.to_string()))
        }
    }

    /// Whether it can be played.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.instances.len() > INSTANCES_MAX {
            return Err(ConfigError::TooMany);
        }
        let mut names = std::collections::BTreeSet::new();
        for instance in &self.instances {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if instance.name.is_empty() || !instance.name.chars().all(fits) {
                return Err(ConfigError::Name(instance.name.clone()));
            }
            if !names.insert(&instance.name) {
                return Err(ConfigError::Twice(instance.name.clone()));
            }
            if providers::find(&instance.provider).is_none() {
                return Err(ConfigError::Provider {
                    instance: instance.name.clone(),
                    provider: instance.provider.clone(),
                    known: providers::ids().join(", "),
                });
            }
        }
        Ok(())
    }
}
