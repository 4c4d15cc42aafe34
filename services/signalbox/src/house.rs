//! A running house: which roles, through which doors, on which addresses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::Api;
use bus::{Bus, Supervised};
use gateway::Gateway;
use model::Secret;
use runtime::process::{Process, Shutdown};
use runtime::telemetry::{Logs, Metrics};
use store::Store;
use tokio::net::TcpListener;

use crate::{doors, relay};

/// How long the house may take until it is ready.
const READY_WAIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A role of the program. Any set of them may run in one process, each any number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// The configuration API.
    Api,
    /// Carries requests to providers.
    Gateway,
    /// Asks providers how they are.
    Prober,
    /// Decides what is up and where traffic goes.
    Failover,
    /// Counts use and cost.
    Meter,
    /// Tells people.
    Webhooks,
    /// Writes down who did what.
    Audit,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Api, Self::Gateway, Self::Prober, Self::Failover, Self::Meter, Self::Webhooks, Self::Audit];

    const fn needs_database(self) -> bool {
        matches!(self, Self::Api | Self::Meter | Self::Webhooks | Self::Audit)
    }

    const fn needs_keys(self) -> bool {
        matches!(self, Self::Api | Self::Gateway | Self::Prober | Self::Webhooks)
    }
}

/// Everything that can be set.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where state lives.
    #[arg(long, env = "SIGNALBOX_DATA_DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Address of the REST API and the console.
    #[arg(long, env = "SIGNALBOX_API_ADDR", default_value = "127.0.0.1:8400")]
    pub api_addr: SocketAddr,
    /// Address of the gateway.
    #[arg(long, env = "SIGNALBOX_GATEWAY_ADDR", default_value = "127.0.0.1:8401")]
    pub gateway_addr: SocketAddr,
    /// Address of metrics and health probes.
    #[arg(long, env = "SIGNALBOX_ADMIN_ADDR", default_value = "127.0.0.1:8402")]
    pub admin_addr: SocketAddr,
    /// The first admin token, for automation: 32 characters or more. Without it one is made and printed once.
    #[arg(long, env = "SIGNALBOX_ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<String>,
    /// What this process calls itself in events; made of the host's name when absent.
    #[arg(long, env = "SIGNALBOX_INSTANCE")]
    pub instance: Option<String>,
    #[command(flatten)]
    pub(crate) bus: doors::BusOptions,
    #[command(flatten)]
    pub(crate) doors: doors::DoorOptions,
    /// How it logs.
    #[command(flatten)]
    pub logs: Logs,
    /// How it stops.
    #[command(flatten)]
    pub shutdown: Shutdown,
    /// What the ports of the api and the admin take.
    #[command(flatten)]
    pub bounds: runtime::Bounds,
    #[command(flatten)]
    api: api::Settings,
    #[command(flatten)]
    pub(crate) gateway: gateway::Settings,
    #[command(flatten)]
    prober: prober::Settings,
    #[command(flatten)]
    failover: failover::Settings,
    #[command(flatten)]
    meter: meter::Settings,
    #[command(flatten)]
    webhooks: webhooks::Settings,
    /// Who renders templates; without one they are rendered in this process.
    #[arg(skip)]
    pub(crate) renderer: Option<webhooks::Renderer>,
    #[command(flatten)]
    audit: audit::Settings,
}

/// Where a house can be reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// REST API and console; absent without the role.
    pub api: Option<SocketAddr>,
    /// Gateway; absent without the role.
    pub gateway: Option<SocketAddr>,
    /// Metrics and health probes.
    pub admin: SocketAddr,
    /// NATS, without credentials.
    pub nats: String,
}

/// A house that is ready.
pub struct House {
    addresses: Addresses,
    first: Option<api::bootstrap::First>,
    data_dir: PathBuf,
    bus: Bus,
    store: Option<Store>,
    server: Option<Arc<Supervised>>,
}

impl House {
    /// Opens the doors, starts the roles in the process, and waits until all are ready.
    pub async fn start(
        roles: Vec<Role>,
        options: Options,
        supervised: bool,
        process: Process,
    ) -> anyhow::Result<Self> {
        let has = |role: Role| roles.contains(&role);
        let metrics = Metrics::install(&[]);
        bus::telemetry::describe();
        let catalogue = doors::catalogue(&options)?;
        let dir = doors::data_dir(&options.data_dir)?;
        let given = given_token(&options)?;
        // Ports first: a port that is taken is the commonest trouble, and nothing has been touched yet.
        let admin = runtime::bind(options.admin_addr).await?;
        let api_port = if has(Role::Api) { Some(runtime::bind(options.api_addr).await?) } else { None };
        let gateway_port =
            if has(Role::Gateway) { Some(runtime::bind(options.gateway_addr).await?) } else { None };

        let name = name(&roles, &options);
        let needs_database =
            roles.iter().any(|role| role.needs_database()) || doors::database_named(&options);
        let store = if needs_database { Some(doors::store(&options, &dir).await?) } else { None };
        let needs_keys = roles.iter().any(|role| role.needs_keys());
        let vault = if needs_keys { Some(doors::vault(&options, &dir, store.as_ref()).await?) } else { None };
        let (bus, server) = doors::bus(&options, &dir, supervised, &name).await?;
        let server = server.map(Arc::new);
        let egress = doors::egress(&options)?;
        let addresses = Addresses {
            api: local(api_port.as_ref())?,
            gateway: local(gateway_port.as_ref())?,
            admin: admin.local_addr()?,
            nats: server.as_ref().map_or_else(|| "named by NATS_URL".to_owned(), |server| server.url()),
        };

        watch(&process, &bus, store.as_ref(), vault.as_ref());
        process.spawn("calm", runtime::calm::run(process.stopping()));
        process.spawn("metrics", metrics.clone().upkeep(process.stopping()));
        let router = runtime::admin::router(process.readiness().clone(), metrics);
        process.spawn("admin", runtime::serve(admin, router, options.bounds, process.stopping()));
        if let Some(server) = &server {
            let (server, stopping) = (server.clone(), process.stopping());
            process.spawn("nats-server", async move {
                tokio::select! {
                    () = stopping.cancelled() => Ok(()),
                    error = server.failed() => Err(error.into()),
                }
            });
        }
        if let Some(store) = &store {
            process.spawn("relay", relay::run(store.clone(), bus.clone(), process.stopping()));
        }

        let mut first = None;
        if let (Some(listener), Some(store), Some(vault)) = (api_port, &store, &vault) {
            let doors =
                api::Doors { bus: bus.clone(), store: store.clone(), vault: vault.clone(), catalogue };
            let api = Api::new(options.api, doors, process.stopping());
            first = api::bootstrap::first_start(&api, given.as_ref()).await?;
            process.spawn("api", api::run(api.clone(), process.stopping()));
            let serving = runtime::serve(listener, api::router(api), options.bounds, process.stopping());
            process.spawn("api-http", serving);
        }
        if has(Role::Audit) {
            let store = store.clone().context("the audit sink needs a database")?;
            process.spawn(
                "audit",
                audit::run(options.audit, audit::Doors { bus: bus.clone(), store }, process.stopping()),
            );
        }
        if has(Role::Meter) {
            let store = store.clone().context("the meter needs a database")?;
            process.spawn(
                "meter",
                meter::run(options.meter, meter::Doors { bus: bus.clone(), store }, process.stopping()),
            );
        }
        if has(Role::Failover) {
            let doors = failover::Doors { bus: bus.clone() };
            process.spawn("failover", failover::run(options.failover, doors, process.stopping()));
        }
        if has(Role::Webhooks) {
            let store = store.clone().context("webhooks need a database")?;
            let vault = vault.clone().context("webhooks need the key store")?;
            let (bus, egress, renderer) = (bus.clone(), egress.clone(), options.renderer);
            let doors = webhooks::Doors { bus, store, vault, egress, renderer };
            process.spawn("webhooks", webhooks::run(options.webhooks, doors, process.stopping()));
        }
        if has(Role::Prober) {
            let vault = vault.clone().context("the prober needs the key store")?;
            let doors = prober::Doors { bus: bus.clone(), vault, egress: egress.clone(), catalogue };
            process.spawn("prober", prober::run(options.prober.clone(), doors, process.stopping()));
        }
        if let Some(listener) = gateway_port {
            let vault = vault.clone().context("the gateway needs the key store")?;
            let doors = gateway::Doors { bus: bus.clone(), vault, egress, catalogue };
            // A call and a probe mean the same by slow.
            let slow_ms = options.prober.prober_slow_ms;
            let gateway = Gateway::new(gateway::Settings { slow_ms, ..options.gateway }, doors);
            let serving = gateway.clone();
            process.readiness().add("gateway", move || {
                let ready = serving.ready();
                async move { ready.then_some(()).ok_or_else(|| "has not seen a configuration yet".to_owned()) }
            });
            let stopping = process.stopping();
            process.spawn("gateway", async move { gateway.serve(listener, stopping).await });
        }

        let house = Self { addresses, first, data_dir: dir, bus, store, server };
        ready(&process).await?;
        Ok(house)
    }

    /// Where it can be reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its connection to the bus.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// What the first start made; shown once.
    pub fn first(&self) -> Option<&api::bootstrap::First> {
        self.first.as_ref()
    }

    /// Says on standard output that it is ready, where, and what the first start made.
    pub fn announce(&self) {
        // A closed standard output leaves nobody to tell, and is no reason to end.
        let _ = self.tell(&mut std::io::stdout().lock());
    }

    fn tell(&self, to: &mut impl std::io::Write) -> std::io::Result<()> {
        let Addresses { api, gateway, admin, nats } = &self.addresses;
        if let Some(first) = &self.first {
            writeln!(to, "First start. These are shown once, here and nowhere else:")?;
            writeln!(to, "  user      admin")?;
            writeln!(to, "  password  {}", first.password.expose())?;
            if let Some(token) = &first.token {
                writeln!(to, "  token     {}", token.expose())?;
            }
        }
        let shown = |name: &str, address: &Option<SocketAddr>| {
            address.map(|address| format!(" {name}=http://{address}")).unwrap_or_default()
        };
        writeln!(
            to,
            "ready{}{} admin=http://{admin} nats={nats} data={}",
            shown("api", api),
            shown("gateway", gateway),
            self.data_dir.display()
        )?;
        to.flush()
    }

    /// Closes the doors, after the process has drained.
    pub async fn close(self) {
        self.bus.drain().await;
        // The task that watched the server has ended with the process, so this is the last hold on it.
        if let Some(server) = self.server.and_then(Arc::into_inner) {
            server.stop().await;
        }
        if let Some(store) = self.store {
            store.close().await;
        }
    }
}

fn given_token(options: &Options) -> anyhow::Result<Option<Secret>> {
    let given =
        options.admin_token.as_ref().filter(|text| !text.is_empty()).map(|text| Secret::new(text.clone()));
    let least = api::bootstrap::GIVEN_CHARS_MIN;
    if given.as_ref().is_some_and(|given| given.expose().chars().count() < least) {
        return Err(doors::Misconfigured(format!(
            "SIGNALBOX_ADMIN_TOKEN must have at least {least} characters"
        ))
        .into());
    }
    Ok(given)
}

fn local(listener: Option<&TcpListener>) -> anyhow::Result<Option<SocketAddr>> {
    Ok(listener.map(TcpListener::local_addr).transpose()?)
}

/// What the process calls itself: its roles, and the host's name or what the operator said.
fn name(roles: &[Role], options: &Options) -> String {
    let role = match roles {
        [one] => format!("{one:?}").to_lowercase(),
        all if all.len() == Role::ALL.len() => "up".to_owned(),
        _ => "some".to_owned(),
    };
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let instance = model::id::Slug::of(options.instance.as_deref().unwrap_or(&host));
    format!("{role}/{instance}")
}

fn watch(process: &Process, bus: &Bus, store: Option<&Store>, vault: Option<&vault::Vault>) {
    let readiness = process.readiness();
    let bus = bus.clone();
    readiness.add("nats", move || {
        let bus = bus.clone();
        async move { bus.check().await.map_err(|error| error.to_string()) }
    });
    if let Some(store) = store.cloned() {
        readiness.add("database", move || {
            let store = store.clone();
            async move { store.check().await.map_err(|error| error.to_string()) }
        });
    }
    if let Some(vault) = vault.cloned() {
        readiness.add("keys", move || {
            let vault = vault.clone();
            async move { vault.check().await.map_err(|error| error.to_string()) }
        });
    }
}

/// Waits until everything is ready; a role that fails meanwhile ends the waiting with its reason.
async fn ready(process: &Process) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + READY_WAIT;
    loop {
        let report = process.readiness().check().await;
        if report.ready {
            return Ok(());
        }
        if process.stopping().is_cancelled() {
            process.finished().await?;
            anyhow::bail!("stopped before it was ready");
        }
        if tokio::time::Instant::now() > deadline {
            let reasons: Vec<String> = report
                .checks
                .iter()
                .filter_map(|check| Some(format!("{}: {}", check.name, check.reason.as_ref()?)))
                .collect();
            process.stop();
            anyhow::bail!("not ready after {} s: {}", READY_WAIT.as_secs(), reasons.join("; "));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
