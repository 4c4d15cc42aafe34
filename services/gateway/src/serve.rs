//! The port: connections from callers, HTTP/1.1 and HTTP/2, with the bounds that a public port needs.
//!
//! Stops politely: no new connections, calls under way end, idle connections close.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use runtime::serve::{Places, builder};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::Inner as Gateway;
use crate::guard::Guard;
use crate::guard::calls::Calls;
use crate::guard::clock::Limits;
use crate::lanes::Lanes;
use crate::proxy::proxy;
use crate::proxy::upgrade::{self, Slot};
use crate::settings::Callers;

/// Pause after the system refused a connection, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Serves until `stopping`, then until the calls under way are answered.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    stopping: CancellationToken,
) -> io::Result<()> {
    let server = Arc::new(builder(None));
    let lanes = Lanes::start(gateway.settings.lanes())?;
    let callers = &gateway.settings.callers;
    let port = listener.local_addr().map_or(0, |address| address.port());
    let places = Places::new(callers.connections_max, callers.connections_per_address_max, port);
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
                let (server, gateway, stopping) = (server.clone(), gateway.clone(), stopping.clone());
                // From here on the connection belongs to its lane's runtime.
                let Ok(tcp) = tcp.into_std() else { continue };
                lanes.give(move || async move {
                    match TcpStream::from_std(tcp) {
                        Ok(tcp) => connection(&server, tcp, peer, gateway, stopping).await,
                        Err(error) => tracing::warn!(%error, "A connection cannot be served: {error}."),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "A connection cannot be accepted: {error}.");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
    drop(listener);
    lanes.end().await;
    Ok(())
}

/// How long a connection is waited for.
fn limits(callers: &Callers) -> Limits {
    Limits {
        head: Duration::from_millis(callers.head_timeout_ms),
        idle: Duration::from_millis(callers.keep_alive_ms),
        write: Duration::from_millis(callers.write_timeout_ms),
    }
}

/// One connection from its first to its last request.
async fn connection(
    server: &auto::Builder<TokioExecutor>,
    tcp: TcpStream,
    peer: SocketAddr,
    gateway: Arc<Gateway>,
    stopping: CancellationToken,
) {
    // A peer that is gone already shows at the first read.
    let _ = tcp.set_nodelay(true);
    let slot = Slot::default();
    let left = slot.clone();
    let calls = Calls::default();
    let guard = Guard::new(tcp, limits(&gateway.settings.callers), calls.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (gateway, call) = (gateway.clone(), calls.begin());
        let turning = upgrade::turning(&mut request).map(|caller| (caller, slot.clone()));
        async move {
            let mut response = proxy(&gateway, peer.ip(), request).await;
            if let Some((caller, slot)) = turning {
                upgrade::join(&gateway, &slot, caller, &mut response);
            }
            Ok::<_, Infallible>(response.map(|body| call.with(body)))
        }
    });
    let serving = server.serve_connection_with_upgrades(TokioIo::new(guard), service);
    let mut serving = std::pin::pin!(serving);
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    // What the connection became is a part of it: its place is taken for as long.
    left.carry(&stopping).await;
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "A connection from {peer} broke off: {error}.");
    }
}
