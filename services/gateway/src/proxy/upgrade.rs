//! WebSockets: a call whose connection becomes one. The handshake goes the way of every call, with our key and with
//! failover; afterwards bytes are copied both ways as they come.
//!
//! Frames are counted by their heads; their content is never looked at, changed, unmasked or unpacked. Each connection has
//! bounds: how long it may be silent, and how large a frame may be. When the process stops, both sides are told (1001)
//! between two frames.

mod frames;
mod pump;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::record::Account;
use crate::Inner as Gateway;
use crate::body::Body;
use crate::problem::Problem;
use pump::Bounds;

/// The only protocol that a connection may become.
const WEBSOCKET: &str = "websocket";
/// What browsers and clients offer without needing it: HTTP/2 without TLS. It is ignored, as RFC 9110 lets us.
const IGNORED: &str = "h2c";
const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
/// How long both sides may take to change over, in milliseconds.
const CHANGE_MS: u64 = 10_000;

/// Where a connection of a caller leaves what it becomes.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Tunnel>>>);

/// Two connections that became one WebSocket.
pub(crate) struct Tunnel {
    caller: OnUpgrade,
    provider: OnUpgrade,
    account: Account,
    bounds: Bounds,
}

/// The provider's side, in the extensions of an answer until it is passed on.
#[derive(Clone)]
struct Side(Arc<Mutex<Option<(OnUpgrade, Account)>>>);

/// Whether a request asks for a WebSocket; refused when it asks for it badly, or for another protocol.
pub(crate) fn asked(head: &Parts) -> Result<bool, Problem> {
    if !head.headers.contains_key(UPGRADE) || !has(&head.headers, &CONNECTION, "upgrade") {
        return Ok(false);
    }
    if !has(&head.headers, &UPGRADE, WEBSOCKET) {
        if has(&head.headers, &UPGRADE, IGNORED) {
            return Ok(false);
        }
        let detail = "a connection can become a WebSocket, and nothing else";
        let status = StatusCode::NOT_IMPLEMENTED;
        return Err(Problem::new(status, "upgrade_unsupported", "Protocol is not supported", detail));
    }
    let bad = |detail| Err(Problem::bad_request("bad_handshake", detail));
    if head.version != Version::HTTP_11 || head.method != Method::GET {
        return bad("a WebSocket begins with GET over HTTP/1.1");
    }
    if !has(&head.headers, &VERSION, "13") {
        return bad("`Sec-WebSocket-Version` must be 13");
    }
    if head.headers.get_all(&KEY).iter().count() != 1 {
        return bad("`Sec-WebSocket-Key` must be there, once");
    }
    Ok(true)
}

/// Whether a list of a header holds a word.
fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}

/// The caller's side of what its connection may become; nothing for the plain call.
pub(crate) fn turning(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
    request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(request))
}

/// Keeps the provider's side of an answer that changes the protocol, and says so to the caller.
pub(crate) fn keep(response: &mut Response<Body>, provider: OnUpgrade, account: Account) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    response.extensions_mut().insert(Side(Arc::new(Mutex::new(Some((provider, account))))));
}

/// Joins the caller's side and the provider's.
pub(crate) fn join(gateway: &Gateway, slot: &Slot, caller: OnUpgrade, response: &mut Response<Body>) {
    let side = response.extensions_mut().remove::<Side>();
    let Some((provider, account)) = side.and_then(|Side(side)| lock(&side).take()) else { return };
    let bounds = Bounds {
        idle: Duration::from_millis(gateway.settings.websocket_idle_timeout_ms),
        frame_bytes_max: gateway.settings.websocket_frame_bytes_max,
    };
    *lock(&slot.0) = Some(Tunnel { caller, provider, account, bounds });
}

impl Slot {
    /// Carries what the connection became to its end, if it became something.
    pub(crate) async fn carry(&self, stopping: &CancellationToken) {
        let tunnel = lock(&self.0).take();
        if let Some(Tunnel { caller, provider, account, bounds }) = tunnel {
            let both = async { tokio::try_join!(caller, provider) };
            match timeout(Duration::from_millis(CHANGE_MS), both).await {
                Ok(Ok((caller, provider))) => {
                    let (caller, provider) = (TokioIo::new(caller), TokioIo::new(provider));
                    Box::pin(pump::pump(caller, provider, &account, bounds, stopping)).await;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "A connection did not become a WebSocket: {error}.");
                }
                Err(_) => tracing::debug!("A connection did not become a WebSocket in time."),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
