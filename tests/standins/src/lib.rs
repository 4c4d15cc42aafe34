//! Plays the outside world: the providers Signalbox calls and the targets it tells, over real HTTP.
//!
//! One process plays any number of *instances* (a provider under a name, on a port of its own, with
//! a key, a limit and a switch) and four *targets*. It speaks the providers' documented shapes,
//! checks keys and signatures where they are documented, counts limits, and remembers what it got.
//! It never calls anyone, and it uses no code of the services it judges.
//!
//! # Instances
//!
//! `http://host:port` + the provider's documented paths, base path included (`/fred/series`,
//! `/api/v3/ping`, `/v1/chat/completions`). Also at `/i/{instance}/…` on the control port. Providers:
//! `alpha_vantage`, `massive` (or `polygon`), `fred`, `fmp`, `taapi`, `finnhub`, `twelve_data`, `tiingo`,
//! `coingecko`, `openai`, `anthropic`, `google_gemini`, `mistral`, `openrouter`, `binance`,
//! `coinbase_advanced`, `coinbase_exchange`, `kraken`, `kucoin`, `bybit`, `alpaca`.
//!
//! # Targets
//!
//! | path | plays |
//! | --- | --- |
//! | `POST /services/T…/B…/…` | Slack: `ok`, or the documented word |
//! | `POST /api/v10/webhooks/{id}/{token}[?wait=true]` | Discord, also without a version |
//! | `POST /v2/enqueue` | PagerDuty |
//! | `POST /hooks/{name}` | a receiver of Standard Webhooks |
//!
//! # Control API
//!
//! | verb and path | does |
//! | --- | --- |
//! | `GET /control/health` | is it there |
//! | `POST /control/reset` | all switches `ok`, all memories and counters empty |
//! | `GET /control/instances`, `GET /control/instances/{name}` | addresses, switch, counts |
//! | `POST /control/instances/{name}` | sets the switch |
//! | `GET`, `DELETE /control/instances/{name}/requests` | what arrived; forgets it |
//! | `GET /control/targets`, `GET /control/targets/{kind}` | addresses, switch, count |
//! | `POST /control/targets/{slack\|discord\|pagerduty\|http}` | sets the switch |
//! | `GET`, `DELETE /control/targets/{kind}/messages` | what arrived, in full; forgets it |
//! | `GET /control/targets/pagerduty/alerts` | alerts by key, with their state |
//! | `PUT`, `DELETE /control/targets/http/secrets/{hook}` | `{"secret":"whsec_…"}` |
//!
//! A switch is `{"mode":"ok"}`, `{"mode":"slow","ms":800}`, `{"mode":"status","status":503,
//! "retry_after_secs":2,"body":"…"}`, `{"mode":"hang"}`, `{"mode":"refuse"}`, `{"mode":"throttle",
//! "retry_after_secs":2}`, `{"mode":"bad_key"}`, `{"mode":"reset"}`, `{"mode":"garbage"}`, targets also
//! `{"mode":"gone","status":410}`, providers also `{"mode":"skew","ms":40000}` (a clock that is off), LLM providers
//! also `{"mode":"stream_error"}`; each but `refuse` with `"probability":0.3` and `"times":2` if wanted.

mod call;
mod config;
mod control;
mod demo;
mod door;
mod fault;
mod house;
mod instance;
mod ledger;
mod limits;
mod market;
mod providers;
mod signing;
mod switches;
mod targets;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use crate::config::{Config, ConfigError, InstanceConfig, LimitSetting, NoLimit, TargetsConfig, Tokens};
pub use crate::demo::{CONTROL_PORT, HOOK_SECRET, INSTANCES_PORT, TARGETS_PORT, demo};
pub use crate::house::StartError;
pub use crate::instance::Counts;
pub use crate::ledger::{NothingArrived, REMEMBERED_MAX, Recorded};
pub use crate::providers::ids;
pub use crate::switches::{Mode, Switch};
pub use crate::targets::pagerduty::Alert;
pub use crate::targets::{Kind, Message};

use crate::door::Door;
use crate::house::House;
use crate::instance::lock;

/// What is to be played.
pub type Options = Config;
/// The running stand-ins.
pub type Running = Standins;

/// Starts the stand-ins; see [`Standins::start`].
pub async fn start(options: Options) -> Result<Running, StartError> {
    Standins::start(options).await
}

/// The running stand-ins. Dropping them closes every port and connection.
#[derive(Debug)]
pub struct Standins {
    house: Arc<House>,
    control: Door,
    taken: [AtomicU64; Kind::ALL.len()],
}

impl Standins {
    /// Opens all listeners. Must be called inside a Tokio runtime.
    pub async fn start(config: Config) -> Result<Standins, StartError> {
        let (house, control) = House::open(config).await?;
        Ok(Standins { house, control, taken: Default::default() })
    }

    /// `http://host:port` of the control API.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control.addr())
    }

    /// The base URL of an instance as the provider documents it, base path included.
    ///
    /// # Panics
    /// When there is no instance of that name.
    pub fn provider_base(&self, name: &str) -> String {
        self.instance(name).base_url()
    }

    /// The instance of a name.
    ///
    /// # Panics
    /// When there is none.
    pub fn instance(&self, name: &str) -> InstanceHandle<'_> {
        match self.house.instance(name) {
            Some(instance) => InstanceHandle { instance },
            None => panic!("no stand-in instance is named `{name}`"),
        }
    }

    /// The target of a kind.
    pub fn target(&self, kind: Kind) -> TargetHandle<'_> {
        let index = Kind::ALL.iter().position(|one| *one == kind).expect("all kinds are listed");
        TargetHandle { target: self.house.target(kind), taken: &self.taken[index] }
    }

    /// `http://host:port` that serves all targets.
    pub fn targets_url(&self) -> String {
        self.house.shared.get().map_or_else(String::new, |door| format!("http://{}", door.addr()))
    }

    /// Sets the secret of a hook of the HTTP receiver; `*` is for all others, several are separated by spaces.
    pub fn set_hook_secret(&self, hook: &str, secret: &str) {
        self.house.set_hook_secret(hook, secret);
    }

    /// All listeners: what, provider, address.
    pub fn addresses(&self) -> Vec<(String, Option<&'static str>, SocketAddr)> {
        let mut all = vec![("control".to_owned(), None, self.control.addr())];
        all.extend(self.house.shared.get().map(|door| ("targets".to_owned(), None, door.addr())));
        let targets = self.house.targets.iter();
        all.extend(
            targets
                .filter_map(|target| Some((target.kind.name().to_owned(), None, target.door.get()?.addr()))),
        );
        let instances = self.house.instances.iter();
        all.extend(instances.filter_map(|one| {
            Some((one.config.name.clone(), Some(one.provider.id()), one.door.get()?.addr()))
        }));
        all
    }
}

/// One instance.
#[derive(Clone, Copy, Debug)]
pub struct InstanceHandle<'a> {
    instance: &'a instance::Instance,
}

impl InstanceHandle<'_> {
    /// `http://host:port`.
    pub fn root_url(&self) -> String {
        self.instance.door.get().map_or_else(String::new, |door| format!("http://{}", door.addr()))
    }

    /// The root and the path of the provider's documented base URL (`/v1`, `/fred`, …).
    pub fn base_url(&self) -> String {
        format!("{}{}", self.root_url(), self.instance.provider.base_path())
    }

    /// Sets the switch; returns once it works, the port opened or closed.
    ///
    /// # Panics
    /// When the switch makes no sense.
    pub async fn switch(&self, switch: impl Into<Switch>) {
        if let Err(reason) = self.instance.switch(switch.into()).await {
            panic!("switch of `{}`: {reason}", self.instance.config.name);
        }
    }

    /// The last requests, oldest first, at most [`REMEMBERED_MAX`].
    pub fn requests(&self) -> Vec<Recorded> {
        self.instance.ledger.all()
    }

    /// Counts since the start or the last `forget`.
    pub fn counts(&self) -> Counts {
        self.instance.counts()
    }

    /// The first request after number `after` (0: the very first), waited for.
    pub async fn request_after(&self, after: u64, within: Duration) -> Result<Recorded, NothingArrived> {
        self.instance.ledger.next(after, within).await.map(|(_, request)| request)
    }

    /// Forgets requests, counts, used limits and nonces.
    pub fn forget(&self) {
        self.instance.forget();
    }
}

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct TargetHandle<'a> {
    target: &'a targets::Target,
    taken: &'a AtomicU64,
}

impl TargetHandle<'_> {
    /// `http://host:port` of its own listener, the one that `refuse` closes.
    pub fn base_url(&self) -> String {
        self.target.door.get().map_or_else(String::new, |door| format!("http://{}", door.addr()))
    }

    /// Sets the switch; returns once it works, the port opened or closed.
    ///
    /// # Panics
    /// When the switch makes no sense.
    pub async fn switch(&self, switch: impl Into<Switch>) {
        if let Err(reason) = self.target.switch(switch.into()).await {
            panic!("switch of `{}`: {reason}", self.target.kind.name());
        }
    }

    /// Everything that arrived, taken or not, oldest first, at most [`REMEMBERED_MAX`].
    pub fn messages(&self) -> Vec<Message> {
        self.target.ledger.all()
    }

    /// The next message the target took, each given once; waited for at most `within`.
    pub async fn next_message(&self, within: Duration) -> Result<Message, NothingArrived> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let message = self.next_attempt(left).await?;
            if message.accepted {
                return Ok(message);
            }
        }
    }

    /// The next thing that arrived, taken or not, each given once; waited for at most `within`.
    pub async fn next_attempt(&self, within: Duration) -> Result<Message, NothingArrived> {
        let (sequence, message) = self.target.ledger.next(self.taken.load(Ordering::Acquire), within).await?;
        self.taken.store(sequence, Ordering::Release);
        Ok(message)
    }

    /// PagerDuty: all alerts with their state. Other targets have none.
    pub fn alerts(&self) -> Vec<Alert> {
        lock(&self.target.state).alerts.values().cloned().collect()
    }

    /// Forgets messages, used limits, ids and alerts.
    pub fn forget(&self) {
        self.target.forget();
    }
}
