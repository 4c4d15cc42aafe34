//! Serves a router over HTTP/1.1 and HTTP/2, with the bounds that a public port needs.
//!
//! The server is built here because the framework's own sets no time limit for a request's head. It stops politely: no
//! new connections, requests under way end, idle connections close. Who asks is in `ConnectInfo<SocketAddr>`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

/// How long a request's head may take, counted from the end of the answer before it, in milliseconds.
pub const HEAD_TIMEOUT_MS: u64 = 10_000;
/// Connections at a time. More wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Header fields of a request, and bytes of its head.
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: u32 = 32 * 1024;
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// A silent HTTP/2 connection is asked after this time, and closed when it does not answer, in milliseconds.
const PING_EVERY_MS: u64 = 20_000;
const PING_TIMEOUT_MS: u64 = 10_000;
/// Pause after the system refused a connection, for example for want of file descriptors, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

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
pub async fn serve(listener: TcpListener, router: Router, stopping: CancellationToken) -> anyhow::Result<()> {
    let server = Arc::new(builder());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
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
                let (server, router, stopping) = (server.clone(), router.clone(), stopping.clone());
                connections.spawn(async move {
                    connection(&server, tcp, peer, router, stopping).await;
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

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_TIMEOUT_MS))
        .max_headers(HEADERS_MAX)
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
    router: Router,
    stopping: CancellationToken,
) {
    // A peer that is gone already shows at the first read.
    let _ = tcp.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        async move {
            let mut request = request.map(Body::new);
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn start(
        router: Router,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>) {
        let listener = bind("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
        let (address, stopping) = (listener.local_addr().expect("has an address"), CancellationToken::new());
        let server = tokio::spawn(serve(listener, router, stopping.clone()));
        (address, stopping, server)
    }

    async fn read_to_end(tcp: &mut TcpStream) -> String {
        let mut text = String::new();
        timeout(PATIENCE, tcp.read_to_string(&mut text)).await.expect("ends").expect("reads");
        text
    }

    #[tokio::test]
    async fn a_handler_knows_its_peer() {
        let router = Router::new()
            .route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()));
        let (address, stopping, server) = start(router).await;
        let mut tcp = TcpStream::connect(address).await.expect("connects");
        tcp.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("writes");
        let answer = read_to_end(&mut tcp).await;
        assert!(answer.ends_with(&tcp.local_addr().expect("has an address").to_string()), "{answer}");
        stopping.cancel();
        timeout(PATIENCE, server).await.expect("ends").expect("no panic").expect("well");
    }

    #[tokio::test]
    async fn requests_under_way_end_and_idle_connections_close() {
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (inside, wait) = (entered.clone(), release.clone());
        let slow = get(async move || {
            inside.notify_one();
            wait.notified().await;
            "done"
        });
        let (address, stopping, server) = start(Router::new().route("/slow", slow)).await;
        let mut idle = TcpStream::connect(address).await.expect("connects");
        let mut busy = TcpStream::connect(address).await.expect("connects");
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("writes");
        timeout(PATIENCE, entered.notified()).await.expect("the request arrives");
        stopping.cancel();
        assert_eq!(read_to_end(&mut idle).await, "");
        release.notify_one();
        assert!(read_to_end(&mut busy).await.ends_with("done"));
        timeout(PATIENCE, server).await.expect("ends").expect("no panic").expect("well");
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_slow_head_is_cut() {
        tokio::time::pause();
        let (client, server) = tokio::io::duplex(1_024);
        let service = service_fn(async |_| Ok::<_, Infallible>(hyper::Response::new(Body::empty())));
        let server =
            tokio::spawn(
                async move { builder().serve_connection(TokioIo::new(server), service).await.is_err() },
            );
        let (_, mut write) = tokio::io::split(client);
        write.write_all(b"GET / HTTP/1.1\r\nhost:").await.expect("writes");
        let started = tokio::time::Instant::now();
        assert!(server.await.expect("no panic"), "must be an error");
        assert_eq!(started.elapsed().as_millis().div_euclid(1_000), 10);
    }

    #[tokio::test]
    async fn a_port_in_use_says_what_to_do() {
        let listener = bind("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let error = bind(address).await.expect_err("is in use");
        let expected = format!(
            "{address} is in use by another program; stop it (`ss -ltnp 'sport = :{}'`",
            address.port()
        );
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}
