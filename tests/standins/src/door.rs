//! A listener that can really refuse: it can be closed and opened again on the same port.
//!
//! While it is closed the port stays bound without listening, so that connecting is refused and
//! the system gives the port to nobody who asks for any. Closing also ends every open connection;
//! otherwise a client's kept one would go on working. Dropping the door ends everything.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// Connections one door serves at a time; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 1024;
/// Connections the system keeps waiting.
const BACKLOG: u32 = 1024;
/// Orders that may wait for a door.
const ORDERS_MAX: usize = 8;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the stand-in closes the connection without an answer")]
pub(crate) struct Hangup;

/// What a handler gives back.
pub(crate) type Served = Result<Response<Body>, Hangup>;
/// Answers one request.
pub(crate) type Handler =
    Arc<dyn Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Served> + Send>> + Send + Sync>;

/// A port with a handler behind it.
#[derive(Debug)]
pub(crate) struct Door {
    addr: SocketAddr,
    orders: mpsc::Sender<Order>,
    keeper: JoinHandle<()>,
}

#[derive(Debug)]
struct Order {
    open: bool,
    done: oneshot::Sender<io::Result<()>>,
}

enum Gate {
    Open(TcpListener),
    Closed(Option<TcpSocket>),
}

impl Door {
    /// Binds the address (port 0: any) and begins to serve.
    pub(crate) async fn open(addr: SocketAddr, handler: Handler) -> io::Result<Door> {
        let listener = bind(addr)?.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let keeper = tokio::spawn(keep(addr, listener, handler, inbox));
        Ok(Door { addr, orders, keeper })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Opens or closes the port; returns once that is so.
    pub(crate) async fn set_open(&self, open: bool) -> io::Result<()> {
        let (done, told) = oneshot::channel();
        let gone = || io::Error::other("the listener has ended");
        self.orders.send(Order { open, done }).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

async fn keep(addr: SocketAddr, listener: TcpListener, handler: Handler, mut inbox: mpsc::Receiver<Order>) {
    let mut gate = Gate::Open(listener);
    let mut connections = JoinSet::new();
    loop {
        let order = match &gate {
            Gate::Closed(_) => inbox.recv().await,
            Gate::Open(listener) => tokio::select! {
                order = inbox.recv() => order,
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(converse(stream, handler.clone()));
                    }
                    continue;
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            },
        };
        let Some(order) = order else { return };
        let (next, outcome) = turn(addr, gate, order.open, &mut connections).await;
        gate = next;
        // The one who ordered may have gone away; the gate has turned all the same.
        let _ = order.done.send(outcome);
    }
}

/// Brings the gate to what was ordered; on an error it stays closed and says why.
async fn turn(
    addr: SocketAddr,
    gate: Gate,
    open: bool,
    connections: &mut JoinSet<()>,
) -> (Gate, io::Result<()>) {
    match (gate, open) {
        (Gate::Closed(held), true) => {
            let socket = match held {
                Some(socket) => Ok(socket),
                None => bind(addr),
            };
            match socket.and_then(|socket| socket.listen(BACKLOG)) {
                Ok(listener) => (Gate::Open(listener), Ok(())),
                Err(error) => (Gate::Closed(None), Err(error)),
            }
        }
        (Gate::Open(listener), false) => {
            drop(listener);
            connections.shutdown().await;
            match bind(addr) {
                Ok(socket) => (Gate::Closed(Some(socket)), Ok(())),
                Err(error) => (Gate::Closed(None), Err(error)),
            }
        }
        (gate, _) => (gate, Ok(())),
    }
}

async fn converse(stream: TcpStream, handler: Handler) {
    // Without it a short answer in two writes waits for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| handler(request.map(Body::new)));
    // A broken connection is the client's business, or was ordered by a switch.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Wraps an infallible async function as a handler.
pub(crate) fn handler<F, R>(serve: F) -> Handler
where
    F: Fn(Request<Body>) -> R + Send + Sync + 'static,
    R: Future<Output = Served> + Send + 'static,
{
    Arc::new(move |request| Box::pin(serve(request)))
}

/// Wraps an axum router as a handler.
pub(crate) fn router(router: axum::Router) -> Handler {
    handler(move |request| {
        let router = router.clone();
        async move {
            let answer: Result<_, Infallible> = tower::ServiceExt::oneshot(router, request).await;
            match answer {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            }
        }
    })
}
