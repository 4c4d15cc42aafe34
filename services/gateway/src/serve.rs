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
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Inner as Gateway;
use crate::guard::Guard;
use crate::lanes::Lanes;
use crate::proxy::proxy;
use crate::proxy::upgrade::{self, Slot};

/// How long a request's head may take, in milliseconds.
const HEAD_TIMEOUT_MS: u64 = 10_000;
/// Bytes read ahead of us per connection; also the largest head that is read at all.
const READ_BYTES_MAX: usize = 128 * 1024;
/// Header fields of a request that are read at all. Wider than what is admitted, so that most of what is too large
/// gets a problem; the server answers the rest with a bare 431.
const HEADERS_MAX: usize = 250;
/// Header bytes of an HTTP/2 request that are read at all.
const HEAD_BYTES_MAX: u32 = 128 * 1024;
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 200;
/// A silent HTTP/2 connection is asked after this time, and closed when it does not answer, in milliseconds.
const PING_EVERY_MS: u64 = 20_000;
const PING_TIMEOUT_MS: u64 = 10_000;
/// Pause after the system refused a connection, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Serves until `stopping`, then until the calls under way are answered.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    stopping: CancellationToken,
) -> io::Result<()> {
    let server = Arc::new(builder());
    let lanes = Lanes::start(gateway.settings.lanes())?;
    let places = Arc::new(Semaphore::new(gateway.settings.connections_max.min(Semaphore::MAX_PERMITS)));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((tcp, peer)) => {
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

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_TIMEOUT_MS))
        .max_headers(HEADERS_MAX)
        .max_buf_size(READ_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(Duration::from_millis(PING_EVERY_MS))
        .keep_alive_timeout(Duration::from_millis(PING_TIMEOUT_MS));
    builder
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
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (gateway, slot) = (gateway.clone(), slot.clone());
        let turning = upgrade::turning(&mut request);
        async move {
            let mut response = proxy(&gateway, peer.ip(), request).await;
            if let Some(caller) = turning {
                upgrade::join(&gateway, &slot, caller, &mut response);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let serving = server.serve_connection_with_upgrades(TokioIo::new(Guard::new(tcp)), service);
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
