//! Opens a connection: name, guard, TCP, guard again, TLS. The only place of the house that dials a host which people named.
//!
//! It dials addresses that were checked a moment before and nothing else; name and dialled address cannot drift
//! apart between check and use. No proxy is ever asked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::health::Phases;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::{Error, Phase};
use crate::guard::{Guard, Target};
use crate::resolve::Resolve;
use crate::stream::{Opened, Stream};
use crate::telemetry;

/// How long a TLS handshake may take, in milliseconds.
pub const TLS_TIMEOUT_MS: u64 = 5_000;
/// Every address gets at least this part of the time to connect, in milliseconds, while there is any left.
const ADDRESS_TIMEOUT_MS_MIN: u64 = 1_000;

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Inner>);

struct Inner {
    guard: Guard,
    resolve: Resolve,
    connect_timeout_ms: u64,
    tls: TlsConnector,
    /// For connections that must be HTTP/1.1.
    tls_h1: TlsConnector,
}

/// How far a connection attempt came; readable also when it was cut off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// What is going on.
    pub(crate) phase: Option<Phase>,
    /// What is done took so long.
    pub(crate) phases: Phases,
    /// The address that is or was dialled.
    pub(crate) peer: Option<SocketAddr>,
}

// === impl Connector ===

impl Connector {
    pub(crate) fn new(guard: Guard, resolve: Resolve, connect_timeout_ms: u64, tls: ClientConfig) -> Self {
        let mut h1 = tls.clone();
        h1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (tls, tls_h1) = (TlsConnector::from(Arc::new(tls)), TlsConnector::from(Arc::new(h1)));
        Self(Arc::new(Inner { guard, resolve, connect_timeout_ms, tls, tls_h1 }))
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// Opens a connection to a target, writing down how far it came.
    pub(crate) async fn open(&self, target: &Target, progress: &mut Progress) -> Result<Stream, Error> {
        self.open_by(&self.0.tls, target, progress).await
    }

    /// The same for a connection that must be HTTP/1.1.
    pub(crate) async fn open_h1(&self, target: &Target, progress: &mut Progress) -> Result<Stream, Error> {
        self.open_by(&self.0.tls_h1, target, progress).await
    }

    async fn open_by(
        &self,
        tls: &TlsConnector,
        target: &Target,
        progress: &mut Progress,
    ) -> Result<Stream, Error> {
        let opened = self.try_open(tls, target, progress).await;
        match &opened {
            Ok(_) => telemetry::opened(),
            Err(Error::Refused(refusal)) => telemetry::refused(refusal),
            Err(_) => telemetry::failed(),
        }
        opened
    }

    async fn try_open(
        &self,
        tls: &TlsConnector,
        target: &Target,
        progress: &mut Progress,
    ) -> Result<Stream, Error> {
        let addresses = self.resolve(target, progress).await?;
        let tcp = self.dial(target, &addresses, progress).await?;
        if !target.is_https() {
            return Ok(Stream::plain(tcp, progress.opened(target)?));
        }
        progress.phase = Some(Phase::Tls);
        let started = Instant::now();
        let tls = self.shake_hands(tls, target, tcp).await?;
        progress.phases.tls_ms = Some(millis(started));
        Ok(Stream::tls(tls, progress.opened(target)?))
    }

    /// The addresses of the target, all of them allowed.
    async fn resolve(&self, target: &Target, progress: &mut Progress) -> Result<Vec<IpAddr>, Error> {
        let addresses = match target.address() {
            Some(ip) => vec![ip],
            None => {
                progress.phase = Some(Phase::Dns);
                let started = Instant::now();
                let addresses = self.0.resolve.addresses(target.host()).await?;
                progress.phases.dns_ms = Some(millis(started));
                addresses
            }
        };
        target.check_resolved(&self.0.guard, &addresses)?;
        Ok(addresses)
    }

    /// Connects to the first address that lets us. What is left of the time is shared among the addresses left.
    async fn dial(
        &self,
        target: &Target,
        addresses: &[IpAddr],
        progress: &mut Progress,
    ) -> Result<TcpStream, Error> {
        progress.phase = Some(Phase::Connect);
        let limit_ms = self.0.connect_timeout_ms;
        let started = Instant::now();
        let mut error = Error::Connect { host: target.host().to_owned() };
        for (index, ip) in addresses.iter().enumerate() {
            let left = Duration::from_millis(limit_ms).saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            let waiting = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = (left / waiting).max(Duration::from_millis(ADDRESS_TIMEOUT_MS_MIN)).min(left);
            let address = SocketAddr::new(*ip, target.port());
            progress.peer = Some(address);
            match timeout(share, self.dial_one(address)).await {
                Ok(Ok(tcp)) => {
                    progress.phases.connect_ms = Some(millis(started));
                    return Ok(tcp);
                }
                Ok(Err(_)) => error = Error::Connect { host: target.host().to_owned() },
                Err(_) => error = Error::Timeout { phase: Phase::Connect, limit_ms, sent: false },
            }
        }
        Err(error)
    }

    async fn dial_one(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let tcp = TcpStream::connect(address).await?;
        let peer = tcp.peer_addr()?;
        let same = peer.ip().to_canonical() == address.ip().to_canonical() && peer.port() == address.port();
        // A connection to a free local port can meet itself.
        if !same || tcp.local_addr()? == peer || self.0.guard.check_address(peer.ip()).is_err() {
            return Err(io::Error::other("connected to another address"));
        }
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    async fn shake_hands(
        &self,
        connector: &TlsConnector,
        target: &Target,
        tcp: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Error> {
        let failed = |detail: String| Error::Tls { host: target.host().to_owned(), detail };
        let name = match target.address() {
            Some(ip) => ServerName::from(ip),
            None => {
                ServerName::try_from(target.host().to_owned()).map_err(|error| failed(error.to_string()))?
            }
        };
        let late = Error::Timeout { phase: Phase::Tls, limit_ms: TLS_TIMEOUT_MS, sent: false };
        timeout(Duration::from_millis(TLS_TIMEOUT_MS), connector.connect(name, tcp))
            .await
            .map_err(|_| late)?
            .map_err(|error| failed(error.to_string()))
    }
}

impl Progress {
    fn opened(&self, target: &Target) -> Result<Opened, Error> {
        let peer = self.peer.ok_or_else(|| Error::Connect { host: target.host().to_owned() })?;
        Ok(Opened::new(peer, self.phases))
    }
}

// === TLS ===

/// Why the door cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file with further authorities cannot be read.
    #[error("read certificate authorities from `{path}`: {detail}")]
    Roots {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// TLS itself cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
}

/// TLS 1.2 and 1.3 with the machine's authorities, and further ones; verification has no switch.
pub(crate) fn tls(extra_roots: Option<&Path>) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(error = %error, "A certificate authority of this machine cannot be read: {error}.");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra_roots {
        let failed = |detail: String| SetupError::Roots { path: path.display().to_string(), detail };
        let mut count = 0;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(failed("it holds no certificate".to_owned()));
        }
    }
    if roots.is_empty() {
        tracing::warn!(
            "No certificate authority is known: every https call will fail. Install the package `ca-certificates`."
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Whole milliseconds since then.
pub(crate) fn millis(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX)
}
