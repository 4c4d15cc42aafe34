//! The connection: how to log in, what the server must be, and whether it is there now.
//!
//! After the first connection nothing here gives up: the client reconnects for ever, with pauses of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event};
use model::{Envelope, EventId, Secret, Timestamp};
use tokio::sync::watch;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::error::Error;
use crate::{backoff, table, telemetry};

/// The oldest server that has what is used here: atomic batches and per-key expiry (2.12).
pub const SERVER_VERSION_MIN: &str = "2.12";
/// The JetStream API level of that version.
const API_LEVEL_MIN: usize = 2;
/// How long [`Bus::connect`] tries.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long one try may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the connection is proved; two proofs missing close it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long one JetStream API call may take.
const API_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one publish waits for its confirmation before the same id is sent again.
pub(crate) const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long [`Bus::drain`] waits for what is on its way.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// How to prove who we are.
#[derive(Clone, Debug)]
pub enum Login {
    /// Not at all.
    None,
    /// A token.
    Token(Secret),
    /// A credentials file (JWT and nkey seed).
    Creds(PathBuf),
    /// An nkey seed.
    Nkey(Secret),
    /// User and password.
    UserPassword {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// How to reach the bus.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses, separated by commas: `nats://n1:4222,nats://n2:4222`; `tls://` asks for TLS.
    pub url: String,
    /// How to log in.
    pub login: Login,
    /// A file of certificates to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Certificate and key of this client, as PEM files.
    pub cert: Option<(PathBuf, PathBuf)>,
    /// What this process calls itself: `<role>/<instance>`. Part of every event's source.
    pub name: String,
    /// Copies of every stream and bucket: 1 on one server, 3 on a cluster.
    pub replicas: u8,
}

/// How the connection is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It stands.
    Connected,
    /// It is being made (again).
    Disconnected,
    /// It was drained; nothing comes back.
    Closed,
}

/// The connection to the bus. Clones share it.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: Client,
    /// For calls that set something up or ask.
    pub(crate) js: jetstream::Context,
    /// For publishing: gives up on one confirmation sooner, because the same id is sent again.
    pub(crate) publisher: jetstream::Context,
    source: Arc<str>,
    url: Arc<str>,
    pub(crate) replicas: usize,
    state: watch::Receiver<Link>,
}

/// What the client last said of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub status: Status,
    /// Counts the connections; whoever pulls or watches starts anew when it changes.
    pub generation: u64,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("source", &self.source).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Bus {
    /// Connects, and checks that the server is new enough and has JetStream. Tries for ten seconds.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers, [`Error::Login`], [`Error::Trust`], [`Error::File`], [`Error::TooOld`],
    /// [`Error::NoJetStream`].
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let url = shown(&settings.url);
        let (sender, state) = watch::channel(Link { status: Status::Disconnected, generation: 0 });
        let client = dial(settings, &url, sender).await?;
        let info = client.server_info();
        if !client.is_server_compatible(2, 12, 0) {
            return Err(Error::TooOld { url, found: info.version });
        }
        let js = ContextBuilder::new().timeout(API_TIMEOUT).build(client.clone());
        let publisher = ContextBuilder::new().timeout(ACK_TIMEOUT).build(client.clone());
        let account = js
            .query_account()
            .await
            .map_err(|error| Error::NoJetStream { url: url.clone(), source: Box::new(error) })?;
        if account.requests.level < API_LEVEL_MIN {
            return Err(Error::TooOld { url, found: info.version });
        }
        tracing::info!(url, server.version = info.version, "Connected to the bus at {url}.");
        Ok(Self {
            client,
            js,
            publisher,
            source: format!("/signalbox/{}", settings.name).into(),
            url: url.into(),
            replicas: usize::from(settings.replicas.max(1)),
            state,
        })
    }

    /// What our events carry as `ce-source`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Puts a fact in an envelope with a fresh id, the time of now and our source.
    pub fn envelope<T: model::Event>(&self, data: T) -> Envelope<T> {
        let now = Timestamp::now();
        Envelope::new(EventId::make(now, rand::random()), self.source(), now, data)
    }

    /// How the connection is now.
    pub fn status(&self) -> Status {
        self.state.borrow().status
    }

    /// Whether the bus can be used: connected, JetStream answers, and every stream of the table is there.
    ///
    /// # Errors
    /// Which of these it is not.
    pub async fn check(&self) -> Result<(), Error> {
        use futures_util::TryStreamExt;
        if self.status() != Status::Connected {
            return Err(Error::Disconnected);
        }
        let names: Vec<String> = self.js.stream_names().try_collect().await.map_err(|error| {
            Error::Client { what: "list the streams".to_owned(), source: Box::new(error) }
        })?;
        let buckets =
            table::Bucket::ALL.map(|bucket| (format!("KV_{}", bucket.name()), "bucket", bucket.name()));
        let streams = table::STREAMS.iter().map(|stream| (stream.name.to_owned(), "stream", stream.name));
        for (wanted, what, name) in streams.chain(buckets) {
            if !names.contains(&wanted) {
                return Err(Error::Missing { what: format!("{what} {name}") });
            }
        }
        Ok(())
    }

    /// Sends what is on its way and closes the connection. For the end of a process, after its consumers stopped.
    pub async fn drain(&self) {
        let mut state = self.state.clone();
        let work = async {
            // A failure means that there is nobody to drain to.
            let _ = self.client.flush().await;
            if self.client.drain().await.is_ok() {
                let _ = state.wait_for(|link| link.status == Status::Closed).await;
            }
        };
        if tokio::time::timeout(DRAIN_WAIT, work).await.is_err() {
            tracing::warn!("The bus did not drain in time; what was confirmed is safe.");
        }
    }

    /// Watches the connection.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.state.clone()
    }

    /// Waits until the connection stands, or the deadline.
    pub(crate) async fn connected(&self, deadline: Instant) -> bool {
        let mut state = self.state.clone();
        let stands = state.wait_for(|link| link.status == Status::Connected);
        matches!(tokio::time::timeout_at(deadline.into(), stands).await, Ok(Ok(_)))
    }
}

async fn dial(settings: &Settings, url: &str, state: watch::Sender<Link>) -> Result<Client, Error> {
    readable(settings).await?;
    let deadline = Instant::now() + CONNECT_WAIT;
    let state = Arc::new(state);
    let mut failures = 0;
    loop {
        let options = options(settings, Arc::clone(&state))
            .await
            .map_err(|error| Error::Login { url: url.to_owned(), source: error.into() })?;
        let addresses: Vec<&str> = settings.url.split(',').map(str::trim).filter(|a| !a.is_empty()).collect();
        // What the client logs of a failure is in its error too, and that is told once, by whoever handles it.
        let error = match options.connect(addresses).with_subscriber(NoSubscriber::new()).await {
            Ok(client) => return Ok(client),
            Err(error) => failed(url, error),
        };
        failures += 1;
        let pause = backoff::RECONNECT.after(failures);
        if !error.is_transient() || Instant::now() + pause > deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
    }
}

/// What a connection that failed is: a matter of login, of trust, or of the moment.
fn failed(url: &str, error: ConnectError) -> Error {
    let url = url.to_owned();
    // The TLS library's errors come as input and output that cannot be understood.
    let is_tls = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::InvalidData);
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            Error::Login { url, source: error.into() }
        }
        ConnectErrorKind::Tls => Error::Trust { url, source: error.into() },
        ConnectErrorKind::Io if is_tls => Error::Trust { url, source: error.into() },
        kind => {
            let transient =
                matches!(kind, ConnectErrorKind::Io | ConnectErrorKind::TimedOut | ConnectErrorKind::Dns);
            Error::Connect { url, transient, source: error.into() }
        }
    }
}

/// Whether the files that the settings name are there: the client would not say which one is not.
async fn readable(settings: &Settings) -> Result<(), Error> {
    let mut files = Vec::new();
    if let Login::Creds(path) = &settings.login {
        files.push(("NATS_CREDS", path));
    }
    files.extend(settings.ca.iter().map(|path| ("NATS_CA", path)));
    if let Some((cert, key)) = &settings.cert {
        files.extend([("NATS_CERT", cert), ("NATS_KEY", key)]);
    }
    for (setting, path) in files {
        let read = tokio::fs::read(path).await;
        read.map_err(|source| Error::File { setting, path: path.clone(), source })?;
    }
    Ok(())
}

async fn options(settings: &Settings, state: Arc<watch::Sender<Link>>) -> std::io::Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .name(format!("signalbox/{}", settings.name))
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .max_reconnects(None)
        .reconnect_delay_callback(|tries| backoff::RECONNECT.after(u32::try_from(tries).unwrap_or(u32::MAX)))
        .event_callback(move |event| {
            note(&state, &event);
            std::future::ready(())
        });
    if !matches!(settings.login, Login::None) {
        // Guests of the server may listen to the usual prefix; answers to us are none of theirs.
        options = options.custom_inbox_prefix("_INBOX_signalbox");
    }
    options = match &settings.login {
        Login::None => options,
        Login::Token(token) => options.token(token.expose().to_owned()),
        Login::Creds(path) => options.credentials_file(path).await?,
        Login::Nkey(seed) => options.nkey(seed.expose().to_owned()),
        Login::UserPassword { user, password } => {
            options.user_and_password(user.clone(), password.expose().to_owned())
        }
    };
    if let Some(ca) = &settings.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((cert, key)) = &settings.cert {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    Ok(options)
}

fn note(state: &watch::Sender<Link>, event: &Event) {
    match event {
        Event::Connected => {
            state.send_modify(|link| {
                link.status = Status::Connected;
                link.generation += 1;
            });
            telemetry::connected(true);
            tracing::debug!("The bus is connected.");
        }
        Event::Disconnected => {
            state.send_modify(|link| link.status = Status::Disconnected);
            telemetry::connected(false);
            tracing::warn!("The connection to the bus is lost; trying again.");
        }
        Event::Closed => {
            state.send_modify(|link| link.status = Status::Closed);
            telemetry::connected(false);
        }
        Event::SlowConsumer(_) => tracing::warn!("A subscription is slow; the client dropped a message."),
        Event::ServerError(error) => tracing::warn!(%error, "The bus reports an error."),
        Event::ClientError(error) => tracing::debug!(%error, "The bus client reports an error."),
        Event::LameDuckMode | Event::Draining => {}
    }
}

/// Addresses without user and password, as errors and logs may show them.
fn shown(url: &str) -> String {
    let one = |address: &str| match address.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => address.rsplit_once('@').map_or(address, |(_, host)| host).to_owned(),
    };
    url.split(',').map(|address| one(address.trim())).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(shown("nats://me:pw@n1:4222, n2:4222"), "nats://n1:4222,n2:4222");
        assert_eq!(shown("token@n1"), "n1");
    }
}
