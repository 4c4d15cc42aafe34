//! Serves a router over HTTP/1.1 and HTTP/2, with the bounds that a public port needs.
//!
//! The server is built here because the framework's own sets no time limit for a request's head. It stops politely: no
//! new connections, requests under way end, idle connections close. Who asks is in `ConnectInfo<SocketAddr>`.
//!
//! A head over our bounds gets a problem. One over the server's own, which are wider, or one that is no HTTP gets a bare
//! 431 or 400: the server answers those before anything of ours sees them.

mod builder;
mod pace;
mod places;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use model::{EventId, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

pub use builder::builder;
pub use pace::{BODY_BYTES_PER_SEC_MIN, GRACE, Pace, Paced, TooSlow};
pub use places::{Place, Places};

use crate::Problem;
use crate::problem::REQUEST_ID;

/// How long a request's head may take, counted from the end of the answer before it, in milliseconds.
pub const HEAD_TIMEOUT_MS: u64 = 10_000;
/// Connections at a time. More wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Header fields of a request, and bytes of its head. More is answered with a problem.
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Characters of a path that such a problem repeats.
const INSTANCE_CHARS_MAX: usize = 200;
/// Pause after the system refused a connection, for example for want of file descriptors, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// What a port takes from the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Bounds {
    /// Connections that one address may have at a time, on each port; of IPv6 one /64 network. 0: as many as there are
    /// places. Behind a proxy all callers have its address.
    #[arg(
        long = "connections-per-address-max",
        env = "SIGNALBOX_CONNECTIONS_PER_ADDRESS_MAX",
        default_value_t = 1_000
    )]
    pub connections_per_address_max: usize,

    /// How fast a request's body must come once it is five seconds late, in bytes per second. 0: as slow as it likes.
    #[arg(
        long = "body-bytes-per-sec-min",
        env = "SIGNALBOX_BODY_BYTES_PER_SEC_MIN",
        default_value_t = BODY_BYTES_PER_SEC_MIN
    )]
    pub body_bytes_per_sec_min: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections_per_address_max: 1_000, body_bytes_per_sec_min: BODY_BYTES_PER_SEC_MIN }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has it.
    #[error(
        "{address} is in use by another program; stop it (`ss -ltnp 'sport = :{}'` shows it) or choose another address",
        .address.port()
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// It needs rights that this process does not have.
    #[error("{address} needs rights that this user does not have; choose a port above 1023")]
    Denied {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else: mostly an address that is not this machine's.
    #[error("cannot listen on {address}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Listens on an address. Port 0 takes a free one.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        io::ErrorKind::PermissionDenied => BindError::Denied { address },
        _ => BindError::Other { address, source },
    })
}

/// Serves until `stopping`, then until the requests under way are answered. That has no time limit of its own:
/// the process has one.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let server = Arc::new(builder(Some(Duration::from_millis(HEAD_TIMEOUT_MS))));
    let port = listener.local_addr().map_or(0, |address| address.port());
    let places = Places::new(CONNECTIONS_MAX, bounds.connections_per_address_max, port);
    let pace = Pace::new(bounds.body_bytes_per_sec_min);
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            places.any().await;
            listener.accept().await
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((tcp, peer)) => {
                // One too many of an address is closed at once, and unheard.
                let Some(place) = places.take(peer.ip()) else { continue };
                let (server, router, stopping) = (server.clone(), router.clone(), stopping.clone());
                connections.spawn(async move {
                    connection(&server, tcp, peer, router, pace, stopping).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "A connection cannot be accepted: {error}.");
                sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// One connection from its first to its last request.
async fn connection(
    server: &auto::Builder<TokioExecutor>,
    tcp: TcpStream,
    peer: SocketAddr,
    router: Router,
    pace: Pace,
    stopping: CancellationToken,
) {
    // A peer that is gone already shows at the first read.
    let _ = tcp.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        async move {
            let (head, body) = request.into_parts();
            if let Some(problem) = oversize(&head) {
                return Ok(problem);
            }
            let mut request = hyper::Request::from_parts(head, Body::new(Paced::new(body, pace)));
            request.extensions_mut().insert(ConnectInfo(peer));
            router.call(request).await.map_err(|never: Infallible| never)
        }
    });
    let serving = server.serve_connection_with_upgrades(TokioIo::new(tcp), service);
    let mut serving = std::pin::pin!(serving);
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %peer, error = %error, "A connection from {peer} broke off: {error}.");
    }
}

/// The answer to a head that is over our bounds.
fn oversize(head: &Parts) -> Option<Response> {
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let bytes = fields.fold(head.uri.to_string().len(), usize::saturating_add);
    if head.headers.len() <= HEADERS_MAX && bytes <= HEAD_BYTES_MAX {
        return None;
    }
    let id = EventId::make(Timestamp::now(), rand::random()).to_string();
    let mut problem = Problem::headers_too_large(HEADERS_MAX, HEAD_BYTES_MAX);
    problem.instance = Some(head.uri.path().chars().take(INSTANCE_CHARS_MAX).collect());
    problem.request_id = Some(id.clone());
    Some(([(REQUEST_ID, id)], problem).into_response())
}

#[cfg(test)]
mod tests;
