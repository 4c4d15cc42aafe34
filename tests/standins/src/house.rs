//! Everything that is played, and what starts and finds it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::config::{Config, ConfigError};
use crate::control;
use crate::door::{Door, handler, router};
use crate::instance::{Instance, lock};
use crate::providers;
use crate::targets::{self, Kind, Target};

/// Why the stand-ins do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be played.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port cannot be had.
    #[error("listen on {addr} for {what}")]
    Listen {
        /// For whom.
        what: String,
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Instances and targets with their listeners.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) instances: Box<[Arc<Instance>]>,
    pub(crate) targets: Arc<[Target]>,
    pub(crate) shared: OnceCell<Door>,
}

impl House {
    /// Opens all listeners; the control API's is given back, since it holds the house.
    pub(crate) async fn open(config: Config) -> Result<(Arc<House>, Door), StartError> {
        config.check()?;
        let instances = config.instances.iter().filter_map(|one| {
            let provider = providers::find(&one.provider)?;
            Some(Arc::new(Instance::new(one.clone(), provider, config.seed)))
        });
        let targets: Arc<[Target]> =
            Kind::ALL.map(|kind| Target::new(kind, config.targets.clone(), config.seed)).into();
        let house = Arc::new(House { instances: instances.collect(), targets, shared: OnceCell::new() });
        for instance in house.instances.iter() {
            let served = Arc::downgrade(instance);
            let answer = handler(move |request| {
                let served = served.upgrade();
                async move {
                    match served {
                        Some(instance) => instance.serve(request, "").await,
                        None => Err(crate::door::Hangup),
                    }
                }
            });
            let addr = SocketAddr::new(config.host, instance.config.port);
            let door = listen(&instance.config.name, addr, answer).await?;
            // The cell is new, so it is empty.
            let _ = instance.door.set(door);
        }
        let port = |offset: u16| if config.targets_port == 0 { 0 } else { config.targets_port + offset };
        let shared = listen("targets", SocketAddr::new(config.host, port(0)), serve_targets(&house)).await?;
        let _ = house.shared.set(shared);
        for (offset, target) in (1_u16..).zip(house.targets.iter()) {
            let addr = SocketAddr::new(config.host, port(offset));
            let door = listen(target.kind.name(), addr, serve_targets(&house)).await?;
            let _ = target.door.set(door);
        }
        let control = listen("control", config.control_addr, router(control::routes(house.clone()))).await?;
        Ok((house, control))
    }

    /// The instance of a name.
    pub(crate) fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.config.name == name).map(Arc::as_ref)
    }

    /// The target of a kind.
    pub(crate) fn target(&self, kind: Kind) -> &Target {
        let found = self.targets.iter().find(|target| target.kind == kind);
        found.expect("a house has a target of each kind")
    }

    /// Sets the secret of one of the HTTP receiver's hooks.
    pub(crate) fn set_hook_secret(&self, hook: &str, secret: &str) {
        let mut config = lock(&self.target(Kind::Http).config);
        config.hook_secrets.insert(hook.to_owned(), secret.to_owned());
    }
}

fn serve_targets(house: &Arc<House>) -> crate::door::Handler {
    let weak = Arc::downgrade(&house.targets);
    handler(move |request| {
        let targets = weak.upgrade();
        async move {
            match targets {
                Some(targets) => targets::serve(&targets, request).await,
                None => Err(crate::door::Hangup),
            }
        }
    })
}

async fn listen(what: &str, addr: SocketAddr, handler: crate::door::Handler) -> Result<Door, StartError> {
    Door::open(addr, handler).await.map_err(|source| StartError::Listen {
        what: what.to_owned(),
        addr,
        source,
    })
}
