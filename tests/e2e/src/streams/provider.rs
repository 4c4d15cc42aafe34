//! A provider of large bodies, events and WebSockets. It makes what it sends as it goes and keeps nothing of what comes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt, stream};
use ring::digest::{Context, SHA256};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: u64 = 64 * 1024;
/// Events of a stream.
pub(super) const EVENTS: usize = 20;

/// What it has to say who asks.
pub(super) const KEY: &str = "secret-of-the-provider-0123456789";

/// The running provider.
pub(super) struct Provider {
    /// Of bodies and events.
    pub(super) plain: String,
    /// Of WebSockets.
    pub(super) sockets: String,
    /// Lets the events come that follow the first of each stream.
    pub(super) gate: watch::Sender<bool>,
}

impl Provider {
    pub(super) async fn start() -> Self {
        let gate = watch::Sender::new(false);
        let router = Router::new()
            .route("/blob/{chunks}", get(give).post(take))
            .route("/events/{name}", get(tell))
            .with_state(gate.clone());
        let (plain, listener) = listen().await;
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (sockets, listener) = listen().await;
        tokio::spawn(echo(listener));
        Self { plain: format!("http://{plain}"), sockets: format!("http://{sockets}"), gate }
    }
}

async fn listen() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    (listener.local_addr().expect("has an address"), listener)
}

/// Chunk number `n`, unlike every other.
pub(super) fn chunk(n: u64) -> Bytes {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state: u32 = 1;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..CHUNK_BYTES).map(next).collect()
    });
    let mut chunk = NOISE.clone();
    chunk[..8].copy_from_slice(&n.to_be_bytes());
    chunk.into()
}

/// The digest of that many chunks, in hexadecimal.
pub(super) fn digest_of(chunks: u64) -> String {
    let mut context = Context::new(&SHA256);
    (0..chunks).for_each(|n| context.update(&chunk(n)));
    hex(context)
}

/// A digest in hexadecimal.
pub(super) fn hex(context: Context) -> String {
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_known(headers: &HeaderMap) -> bool {
    headers.get("x-api-key").is_some_and(|key| key == KEY) && !headers.contains_key("x-signalbox-token")
}

async fn give(Path(chunks): Path<u64>, headers: HeaderMap) -> impl IntoResponse {
    assert!(is_known(&headers), "{headers:?}");
    let body = stream::iter((0..chunks).map(|n| Ok::<_, Infallible>(chunk(n))));
    ([("content-length", (chunks * CHUNK_BYTES).to_string())], Body::from_stream(body))
}

async fn take(headers: HeaderMap, body: Body) -> Json<serde_json::Value> {
    assert!(is_known(&headers), "{headers:?}");
    let (mut context, mut count, mut body) = (Context::new(&SHA256), 0, body.into_data_stream());
    while let Some(Ok(bytes)) = body.next().await {
        context.update(&bytes);
        count += bytes.len();
    }
    Json(json!({ "bytes": count, "digest": hex(context) }))
}

/// The first event at once, the others when the gate opens.
async fn tell(
    Path(name): Path<String>,
    State(gate): State<watch::Sender<bool>>,
    headers: HeaderMap,
) -> impl IntoResponse {
    assert!(is_known(&headers), "{headers:?}");
    ([("content-type", "text/event-stream")], Body::from_stream(events(name, gate.subscribe())))
}

fn events(name: String, gate: watch::Receiver<bool>) -> impl Stream<Item = Result<String, Infallible>> {
    stream::unfold((0, name, gate), async |(n, name, mut gate)| {
        if n == 1 {
            gate.wait_for(|open| *open).await.ok()?;
        }
        // Each event is a write of its own.
        tokio::task::yield_now().await;
        (n < EVENTS).then(|| (Ok(event(&name, n)), (n + 1, name, gate)))
    })
}

/// Event number `n` of a stream.
pub(super) fn event(name: &str, n: usize) -> String {
    format!("id: {n}\ndata: {{\"stream\":\"{name}\",\"n\":{n}}}\n\n")
}

/// Answers every message with itself.
#[expect(clippy::result_large_err, reason = "the shape that the library wants")]
async fn echo(listener: TcpListener) {
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        assert!(is_known(request.headers()), "{:?}", request.headers());
        assert_eq!(request.uri(), "/ws/btcusdt@trade?depth=5");
        Ok(response)
    };
    while let Ok((tcp, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Ok(mut socket) = accept_hdr_async(tcp, look).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                    return;
                }
            }
        });
    }
}
