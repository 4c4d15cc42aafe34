//! A whole house, with stand-ins for the outside, for tests that read as sentences.
//!
//! Real servers throughout. [`House`] is everything in one process: nats-server as a supervised child, SQLite on disk,
//! the sealed key store, HTTP on free ports. [`Program`] is the executable, with any roles, on any [`servers`].
//! A test waits for facts with a deadline and never sleeps for luck.

pub mod client;
mod program;
pub mod servers;

use std::time::{Duration, Instant};

use runtime::process::{Process, Shutdown};
use signalbox::{Addresses, Options, Role};
use standins::{Config, InstanceConfig, Standins};
use tempfile::TempDir;

pub use client::Client;
pub use program::{Launch, Program};

/// The admin token of every test's house.
pub const ADMIN_TOKEN: &str = "test-admin-token-0123456789abcdef0123456789abcdef";
/// How long a fact may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// The key that the stand-in of this name wants.
pub fn key_of(instance: &str) -> String {
    format!("secret-key-of-{instance}-0123456789")
}

/// Stand-ins for providers by `(name, provider)`, without limits, and all four targets without their pace.
pub async fn outside(instances: &[(&str, &str)]) -> Standins {
    let mut config = Config::default();
    config.targets.slack_per_sec = 0;
    config.targets.discord_per_2_secs = 0;
    for (name, provider) in instances {
        let one = InstanceConfig::new(*name, *provider).key("api_key", key_of(name)).unlimited();
        config = config.with(one);
    }
    Standins::start(config).await.expect("the stand-ins start")
}

/// A running house.
pub struct House {
    house: Option<signalbox::House>,
    process: Process,
    directory: Option<TempDir>,
    /// A client with the admin's token.
    pub admin: Client,
}

impl House {
    /// Starts every role, in a directory of its own.
    pub async fn start() -> Self {
        Self::in_directory(tempfile::tempdir().expect("a temporary directory")).await
    }

    /// Starts every role with further flags, in a directory of its own.
    pub async fn start_with(flags: &[&str]) -> Self {
        Self::in_directory_with(tempfile::tempdir().expect("a temporary directory"), flags).await
    }

    /// Starts every role on the state that is there.
    pub async fn in_directory(directory: TempDir) -> Self {
        Self::in_directory_with(directory, &[]).await
    }

    async fn in_directory_with(directory: TempDir, flags: &[&str]) -> Self {
        // Every test's process installs it; only the first time counts.
        drop(rustls::crypto::ring::default_provider().install_default());
        let data = directory.path().join("data");
        let options = options(&data.display().to_string(), flags);
        let process = Process::new(Shutdown::default());
        let started = signalbox::House::start(Role::ALL.to_vec(), options, true, process.clone()).await;
        let house = started.expect("the house starts");
        let admin = Client::new(house.addresses(), ADMIN_TOKEN);
        Self { house: Some(house), process, directory: Some(directory), admin }
    }

    /// Where it can be reached.
    pub fn addresses(&self) -> &Addresses {
        self.house.as_ref().expect("it runs until it is stopped").addresses()
    }

    /// Its connection to the bus, to listen.
    pub fn bus(&self) -> &bus::Bus {
        self.house.as_ref().expect("it runs until it is stopped").bus()
    }

    /// Where its state lies, in `data`.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.as_ref().expect("it has one until it is stopped").path()
    }

    /// A connection to its bus as any program on the same machine has it: without a login.
    pub async fn guest(&self) -> Result<bus::Bus, bus::Error> {
        let settings = bus::Settings {
            url: self.addresses().nats.clone(),
            login: bus::Login::None,
            ca: None,
            cert: None,
            name: "guest/test".to_owned(),
            replicas: 1,
        };
        bus::Bus::connect(&settings).await
    }

    /// Stops it in order; the state stays in the directory.
    pub async fn stop(mut self) -> TempDir {
        self.process.stop();
        self.process.finished().await.expect("every task ends");
        self.house.take().expect("it was running").close().await;
        self.directory.take().expect("it has one until it is stopped")
    }
}

fn options(data: &str, further: &[&str]) -> Options {
    let token = format!("--admin-token={ADMIN_TOKEN}");
    let data = format!("--data-dir={data}");
    let any = "127.0.0.1:0";
    let addresses = ["api", "gateway", "admin"].map(|name| format!("--{name}-addr={any}"));
    let mut flags: Vec<&str> = addresses.iter().map(String::as_str).collect();
    flags.extend([
        data.as_str(),
        token.as_str(),
        "--nats-port=0",
        "--egress-allow=127.0.0.0/8",
        "--failover-dwell-secs=0",
    ]);
    flags.push("--failover-return-after-secs=1");
    let server = std::env::var("SIGNALBOX_TEST_NATS_SERVER")
        .expect("SIGNALBOX_TEST_NATS_SERVER names a nats-server; ./tests/run sets it");
    let server = format!("--nats-server={server}");
    flags.push(&server);
    flags.extend(further);
    runtime::settings::flags(&flags).expect("the flags are right")
}

/// Waits until `look` finds something, and says what was waited for when it does not.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {} s for: {what}", PATIENCE.as_secs());
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
