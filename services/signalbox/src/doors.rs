//! Opens the doors that a process needs, as its settings say.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, ServerError, ServerSettings, Supervised};
use catalogue::{Catalogue, Own};
use egress::Egress;
use ipnet::IpNet;
use model::Secret;
use runtime::exit;
use store::Store;
use vault::{Login, Vault, VaultSettings};

use crate::house::Options;
use crate::shelf::DatabaseShelf;

/// How often streams are declared before the start is given up, and the pause in between.
const DECLARE_TRIES: usize = 6;
const DECLARE_PAUSE: Duration = Duration::from_secs(2);

/// How long a database or key store that is away is waited for at the start, and the pause in between.
const DOOR_WAIT: Duration = Duration::from_secs(10);
const DOOR_PAUSE: Duration = Duration::from_millis(500);

/// A setting that cannot work: exit code 2, one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misconfigured(pub(crate) String);

/// Where the bus is, and how to log in.
#[derive(Debug, clap::Args)]
pub(crate) struct BusOptions {
    /// Addresses of NATS, comma separated. Without it `up` runs a nats-server of its own.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    nats_url: Option<String>,
    /// A credentials file for NATS.
    #[arg(long, env = "NATS_CREDS")]
    nats_creds: Option<PathBuf>,
    /// A token for NATS.
    #[arg(long, env = "NATS_TOKEN", hide_env_values = true)]
    nats_token: Option<String>,
    /// An nkey seed for NATS.
    #[arg(long, env = "NATS_NKEY_SEED", hide_env_values = true)]
    nats_nkey_seed: Option<String>,
    /// A file of certificate authorities for NATS.
    #[arg(long, env = "NATS_CA")]
    nats_ca: Option<PathBuf>,
    /// A client certificate for NATS, with --nats-key.
    #[arg(long, env = "NATS_CERT", requires = "nats_key")]
    nats_cert: Option<PathBuf>,
    /// The client certificate's key.
    #[arg(long, env = "NATS_KEY", requires = "nats_cert")]
    nats_key: Option<PathBuf>,
    /// Copies of every stream and bucket: 1 on one server, 3 on a cluster.
    #[arg(long, env = "SIGNALBOX_NATS_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    nats_replicas: u8,
    /// The nats-server that `up` starts: the one on the PATH or below the data directory when absent.
    #[arg(long, env = "SIGNALBOX_NATS_SERVER")]
    nats_server: Option<PathBuf>,
    /// Port of the supervised nats-server.
    #[arg(long, env = "SIGNALBOX_NATS_PORT", default_value_t = 4222)]
    nats_port: u16,
    /// Whether programs on this machine may listen to events and raise alerts at the supervised nats-server without a login.
    #[arg(long, env = "SIGNALBOX_NATS_GUESTS", default_value_t = true, action = clap::ArgAction::Set)]
    nats_guests: bool,
}

/// Where the database and the keys are, and what may be called.
#[derive(Debug, clap::Args)]
pub(crate) struct DoorOptions {
    /// `postgres://…` or `sqlite:///…`. Without it, SQLite in the data directory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Address of HashiCorp Vault or OpenBao. Without it, the sealed key store in the database.
    #[arg(long, env = "VAULT_ADDR")]
    vault_addr: Option<String>,
    /// A token for Vault.
    #[arg(long, env = "VAULT_TOKEN", hide_env_values = true)]
    vault_token: Option<String>,
    /// An AppRole for Vault, with --vault-secret-id.
    #[arg(long, env = "VAULT_ROLE_ID")]
    vault_role_id: Option<String>,
    /// The AppRole's secret id.
    #[arg(long, env = "VAULT_SECRET_ID", hide_env_values = true)]
    vault_secret_id: Option<String>,
    /// The KV v2 mount in Vault.
    #[arg(long, env = "SIGNALBOX_VAULT_MOUNT", default_value = "secret")]
    vault_mount: String,
    /// What stands before every path in Vault.
    #[arg(long, env = "SIGNALBOX_VAULT_PREFIX", default_value = "signalbox")]
    vault_prefix: String,
    /// The file of the sealed key store's master key. Without it, `vault/master.key` in the data directory.
    #[arg(long, env = "SIGNALBOX_MASTER_KEY_FILE")]
    master_key_file: Option<PathBuf>,
    /// A directory of provider files (TOML) beside the program's own. One with the id of a known provider replaces it.
    #[arg(long, env = "SIGNALBOX_PROVIDERS_DIR")]
    providers_dir: Option<PathBuf>,
    /// Networks that calls may go to beside the public internet, comma separated: `10.1.0.0/16`.
    #[arg(long, env = "SIGNALBOX_EGRESS_ALLOW", value_delimiter = ',')]
    egress_allow: Vec<IpNet>,
    /// Further ports of public targets, comma separated, beside 443 and 80.
    #[arg(long, env = "SIGNALBOX_EGRESS_PORTS", value_delimiter = ',')]
    egress_ports: Vec<u16>,
    /// Whether plain http may go to public targets.
    #[arg(long, env = "SIGNALBOX_EGRESS_PLAIN_HTTP")]
    egress_plain_http: bool,
    /// A PEM file with further certificate authorities for outgoing calls.
    #[arg(long, env = "SIGNALBOX_EGRESS_ROOTS")]
    egress_roots: Option<PathBuf>,
    /// How long TCP may take to connect, all addresses of a name together, in milliseconds: 1 to 60,000.
    #[arg(long, env = "SIGNALBOX_EGRESS_CONNECT_TIMEOUT_MS", default_value_t = 5_000,
        value_parser = clap::value_parser!(u64).range(1..=60_000))]
    egress_connect_timeout_ms: u64,
    /// How long an unused connection to a provider is kept, in milliseconds: 1 to 30,000.
    #[arg(long, env = "SIGNALBOX_EGRESS_IDLE_MS", default_value_t = 20_000,
        value_parser = clap::value_parser!(u64).range(1..=30_000))]
    egress_idle_ms: u64,
    /// How old a connection may be when it gets a call, in milliseconds: 0 (every call opens one) to 60,000.
    #[arg(long, env = "SIGNALBOX_EGRESS_AGE_MS", default_value_t = 60_000,
        value_parser = clap::value_parser!(u64).range(0..=60_000))]
    egress_age_ms: u64,
    /// Unused connections kept for one integration by each thread. More are closed after their answer.
    #[arg(long, env = "SIGNALBOX_EGRESS_IDLE_PER_HOST", default_value_t = 512)]
    egress_idle_per_host: usize,
}

/// The providers that every role of this process knows: the program's own, and the operator's over them.
pub(crate) fn catalogue(options: &Options) -> anyhow::Result<&'static Catalogue> {
    let Some(directory) = &options.doors.providers_dir else { return Ok(Catalogue::builtin()) };
    let read = Catalogue::parse_dir(directory)
        .map_err(|error| misconfigured(anyhow::Error::new(error).context("--providers-dir")))?;
    for Own { id, file, replaces } in read.own() {
        let how = if *replaces { "replaces the program's own" } else { "is added to the catalogue" };
        tracing::info!(provider.id = %id, file, replaces, "Provider {id} of {file} {how}.");
    }
    if read.own().is_empty() {
        let directory = directory.display().to_string();
        tracing::warn!(directory, "No provider file (*.toml) is in {directory}.");
    }
    // Read once and kept until the process ends, as the program's own is.
    Ok(Box::leak(Box::new(read)))
}

/// Makes the data directory for its owner only.
pub(crate) fn data_dir(path: &Path) -> anyhow::Result<PathBuf> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("make the data directory {}", path.display()))
        .map_err(misconfigured)?;
    path.canonicalize().with_context(|| format!("find the data directory {}", path.display()))
}

/// Connects to the bus; starts a server first where none is named and `supervised` says so.
pub(crate) async fn bus(
    options: &Options,
    dir: &Path,
    supervised: bool,
    name: &str,
) -> anyhow::Result<(Bus, Option<Supervised>)> {
    let given = &options.bus;
    let (settings, server) = match (&given.nats_url, supervised) {
        (Some(url), _) => (named(given, url, name)?, None),
        (None, true) => {
            let settings = ServerSettings {
                binary: given.nats_server.clone(),
                data_dir: dir.to_owned(),
                port: given.nats_port,
                guests: given.nats_guests,
                version_min: ServerSettings::VERSION_MIN,
            };
            let server = Supervised::start(settings).await.map_err(wrong_binary)?;
            (server.settings(name), Some(server))
        }
        (None, false) => {
            return Err(Misconfigured(
                "NATS_URL is not set; `run` needs a NATS server, `up` brings its own".to_owned(),
            )
            .into());
        }
    };
    let bus = Bus::connect(&settings).await.map_err(wrong_server)?;
    declare(&bus).await?;
    Ok((bus, server))
}

/// Declares the streams; a cluster that is still finding its leaders is waited for.
async fn declare(bus: &Bus) -> anyhow::Result<()> {
    for _ in 1..DECLARE_TRIES {
        match bus.declare().await {
            Err(error @ bus::Error::Declare { .. }) => {
                tracing::warn!(
                    error = exit::chain(&error),
                    "Streams could not be declared yet; trying again."
                );
                tokio::time::sleep(DECLARE_PAUSE).await;
            }
            declared => return declared.map_err(wrong_server),
        }
    }
    bus.declare().await.map_err(wrong_server)
}

/// A server that can never do is a matter of configuration; anything else may be over later.
fn wrong_server(error: bus::Error) -> anyhow::Error {
    use bus::Error::{Connect, File, Incompatible, Login, NoJetStream, TooOld, Trust};
    match error {
        error @ (Incompatible { .. } | NoJetStream { .. } | TooOld { .. }) => misconfigured(error),
        error @ (Login { .. } | Trust { .. } | File { .. } | Connect { transient: false, .. }) => {
            misconfigured(error)
        }
        error => error.into(),
    }
}

/// A program that is no server stays none; a port or a directory may be free later.
fn wrong_binary(error: ServerError) -> anyhow::Error {
    match error {
        error @ (ServerError::NotFound { .. }
        | ServerError::NotAServer { .. }
        | ServerError::TooOld { .. }) => misconfigured(error),
        error => error.into(),
    }
}

fn misconfigured(error: impl Into<anyhow::Error>) -> anyhow::Error {
    Misconfigured(exit::chain(error.into().as_ref())).into()
}

fn named(given: &BusOptions, url: &str, name: &str) -> Result<bus::Settings, Misconfigured> {
    let secret = |text: &String| Secret::new(text.clone());
    let logins = [
        given.nats_creds.clone().map(bus::Login::Creds),
        given.nats_token.as_ref().map(|text| bus::Login::Token(secret(text))),
        given.nats_nkey_seed.as_ref().map(|text| bus::Login::Nkey(secret(text))),
    ];
    let mut logins: Vec<bus::Login> = logins.into_iter().flatten().collect();
    if logins.len() > 1 {
        return Err(Misconfigured("set only one of NATS_CREDS, NATS_TOKEN and NATS_NKEY_SEED".to_owned()));
    }
    Ok(bus::Settings {
        url: url.to_owned(),
        login: logins.pop().unwrap_or(bus::Login::None),
        ca: given.nats_ca.clone(),
        cert: given.nats_cert.clone().zip(given.nats_key.clone()),
        name: name.to_owned(),
        replicas: given.nats_replicas,
    })
}

/// Opens the database.
pub(crate) async fn store(options: &Options, dir: &Path) -> anyhow::Result<Store> {
    let url = match &options.doors.database_url {
        Some(url) => url.clone(),
        None => format!("sqlite://{}", dir.join("signalbox.db").display()),
    };
    let opened = patiently("database", store::Error::is_transient, || Store::open(&url));
    opened.await.map_err(|error| match error {
        error @ (store::Error::Url(_) | store::Error::Migration { .. }) => misconfigured(error),
        error => error.into(),
    })
}

/// Opens the key store: Vault where it is named, else the sealed one over the database.
pub(crate) async fn vault(options: &Options, dir: &Path, store: Option<&Store>) -> anyhow::Result<Vault> {
    let given = &options.doors;
    if let Some(addr) = &given.vault_addr {
        let secret = |text: &String| Secret::new(text.clone());
        let login = match (&given.vault_token, &given.vault_role_id, &given.vault_secret_id) {
            (Some(token), None, None) => Login::Token(secret(token)),
            (None, Some(role), Some(id)) => Login::AppRole { role_id: role.clone(), secret_id: secret(id) },
            _ => {
                let text = "VAULT_ADDR needs either VAULT_TOKEN, or VAULT_ROLE_ID with VAULT_SECRET_ID";
                return Err(Misconfigured(text.to_owned()).into());
            }
        };
        let settings = VaultSettings {
            mount: given.vault_mount.clone(),
            prefix: given.vault_prefix.clone(),
            ..VaultSettings::new(addr.clone(), login)
        };
        let connected = patiently("key store", vault::Error::is_transient, || Vault::connect(&settings));
        return connected.await.map_err(wrong_keys);
    }
    let Some(store) = store else {
        let text = "this role reads keys: set VAULT_ADDR, or DATABASE_URL and the master key file of the sealed store";
        return Err(Misconfigured(text.to_owned()).into());
    };
    let file = given.master_key_file.clone().unwrap_or_else(|| dir.join("vault").join("master.key"));
    Vault::sealed(Arc::new(DatabaseShelf(store.clone())), &file).await.map_err(wrong_keys)
}

/// Opens a door again and again while it is shut for the moment: what is started together is not ready together.
async fn patiently<T, E: std::error::Error + 'static, F: Future<Output = Result<T, E>>>(
    what: &str,
    is_transient: impl Fn(&E) -> bool,
    open: impl Fn() -> F,
) -> Result<T, E> {
    let deadline = tokio::time::Instant::now() + DOOR_WAIT;
    let mut told = false;
    loop {
        match open().await {
            Err(error) if is_transient(&error) && tokio::time::Instant::now() < deadline => {
                if !told {
                    told = true;
                    let error = exit::chain(&error);
                    tracing::warn!(error, "The {what} cannot be opened yet: {error}. It is tried again.");
                }
                tokio::time::sleep(DOOR_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// A wrong key file, setting or login stays wrong; a vault that is away comes back.
fn wrong_keys(error: vault::Error) -> anyhow::Error {
    match error {
        error @ (vault::Error::KeyFile { .. } | vault::Error::Setting(_) | vault::Error::Login(_)) => {
            misconfigured(error)
        }
        error => error.into(),
    }
}

/// Whether a database was named, so that a role without one of its own may still read sealed keys.
pub(crate) fn database_named(options: &Options) -> bool {
    options.doors.database_url.is_some()
}

/// Opens the way out.
pub(crate) fn egress(options: &Options) -> anyhow::Result<Egress> {
    let given = &options.doors;
    let mut settings = egress::Settings {
        allow: given.egress_allow.clone(),
        plain_http: given.egress_plain_http,
        extra_roots: given.egress_roots.clone(),
        lanes: options.gateway.lanes(),
        connect_timeout_ms: given.egress_connect_timeout_ms,
        idle_ms: given.egress_idle_ms,
        age_ms: given.egress_age_ms,
        idle_per_host: given.egress_idle_per_host,
        ..egress::Settings::default()
    };
    settings.ports.extend(&given.egress_ports);
    Egress::new(&settings).map_err(misconfigured)
}
