//! Streaming calls over kept connections: the answer's head as soon as it is there, its body as it comes.
//!
//! For the gateway. It repeats nothing but what a connection that had closed unused never took; it follows no
//! redirect, keeps no cookie, decodes nothing, and passes every status on as it is.

use std::pin::pin;
use std::sync::LazyLock;
use std::time::Duration;

use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::{Body, Source};
use crate::connect::{Connector, Progress};
use crate::error::{Error, Phase};
use crate::guard::Target;
use crate::lane;
use crate::names::{Names, take_off};
use crate::outgoing::Outgoing;
use crate::refusal::Refusal;
use crate::settings::Limits;
use crate::stream::{Opened, Stream};
use crate::telemetry;
use crate::upstream::{Lease, Shared, Upstream};
use crate::wire::{Asked, HEAD_BYTES_MAX, HEADERS_MAX, Incoming, Until};

/// Bytes read ahead of the reader per HTTP/1 connection.
const READ_BYTES_MAX: usize = 64 * 1024;
/// A silent HTTP/2 connection is asked after this time, and given up when it does not answer, in milliseconds.
const PING_EVERY_MS: u64 = 15_000;
const PING_TIMEOUT_MS: u64 = 5_000;
/// Kept connections that may turn out to be closed before a new one is opened.
const STALE_MAX: usize = 3;

/// The protocol that a connection may become.
const WEBSOCKET: &str = "websocket";
/// Headers that belong to one connection. The library sets what it needs.
const HOP_BY_HOP: [&str; 8] = [
    "host",
    "connection",
    "transfer-encoding",
    "te",
    "upgrade",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
];

/// An answer's head with what still comes on its connection.
type Answered = (Response<Source>, Opened);

/// What became of a request that a connection was given: its answer; or, where the connection had closed before it took
/// anything, the request again.
type Given = Result<Answered, Box<Request<Outgoing>>>;

/// Sends a request and waits for the head of its answer.
pub(crate) async fn send(
    connector: &Connector,
    upstream: &Upstream,
    request: Request<Outgoing>,
    limits: Limits,
) -> Result<Response<Body>, Error> {
    let total = limits.total_ms.map(|ms| lane::now() + Duration::from_millis(ms));
    let (answer, opened) = exchange(connector, upstream, request, limits).await?;
    check_head(answer.headers(), HEADERS_MAX, HEAD_BYTES_MAX)?;
    // After a change of protocol the connection is no more for requests.
    let switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switched && !(limits.upgrade && is_websocket(answer.headers())) {
        return Err(Error::Protocol { detail: "it changed the protocol unasked".to_owned(), sent: true });
    }
    Ok(answer.map(|incoming| Body::new(incoming, opened, limits, total)))
}

/// On a connection that is open, where there is one, by one timer. What is rare has memory of its own, so that such a call is
/// a small future.
async fn exchange(
    connector: &Connector,
    upstream: &Upstream,
    mut request: Request<Outgoing>,
    limits: Limits,
) -> Result<Answered, Error> {
    let by = lane::now() + Duration::from_millis(limits.head_ms);
    if !limits.upgrade {
        for _ in 0..STALE_MAX {
            let Some(lease) = upstream.take() else { break };
            match give(lease, upstream, request, first_byte(&limits, by)).await? {
                Ok(answered) => return Ok(answered),
                Err(back) => request = *back,
            }
        }
        if let Some(shared) = upstream.shared() {
            let Until { at, limit_ms } = first_byte(&limits, by);
            let late = |_| Error::Timeout { phase: Phase::FirstByte, limit_ms, sent: true };
            let given = Box::pin(give_shared(shared, upstream, request));
            match timeout_at(at, given).await.map_err(late)?? {
                Ok(answered) => return Ok(answered),
                Err(back) => request = *back,
            }
        }
    }
    Box::pin(async move {
        let mut phase = Phase::Connect;
        let answered = {
            let opening = pin!(open(connector, upstream, request, limits, by, &mut phase));
            timeout_at(by, opening).await
        };
        let late = |_| Error::Timeout { phase, limit_ms: limits.head_ms, sent: phase >= Phase::FirstByte };
        answered.map_err(late)?
    })
    .await
}

/// Until when the first byte of an answer is waited for that must have come `by` then, with all of its head.
fn first_byte(limits: &Limits, by: Instant) -> Until {
    let whole = Until { at: by, limit_ms: limits.head_ms };
    let own =
        limits.first_byte_ms.map(|ms| Until { at: lane::now() + Duration::from_millis(ms), limit_ms: ms });
    own.filter(|own| own.at < by).unwrap_or(whole)
}

/// Sends a request where no open connection took it.
async fn open(
    connector: &Connector,
    upstream: &Upstream,
    request: Request<Outgoing>,
    limits: Limits,
    by: Instant,
    phase: &mut Phase,
) -> Result<Answered, Error> {
    if limits.upgrade {
        upgrade(connector, upstream, request, limits, phase).await
    } else {
        anew(connector, upstream, request, limits, by, phase).await
    }
}

/// Sends a request on a new connection.
async fn anew(
    connector: &Connector,
    upstream: &Upstream,
    request: Request<Outgoing>,
    limits: Limits,
    by: Instant,
    phase: &mut Phase,
) -> Result<Answered, Error> {
    *phase = Phase::Connect;
    let mut progress = Progress::default();
    let opening = pin!(connector.open(upstream.target(), &mut progress));
    let stream = within(limits.connect_ms, Phase::Connect, opening).await?;
    let opened = stream.opened.clone();
    let given = if stream.is_h2 {
        let sender = begin_h2(stream).await?;
        let shared = Shared { sender, opened };
        upstream.share(shared.clone());
        *phase = Phase::FirstByte;
        let given = pin!(give_shared(shared, upstream, request));
        within(limits.first_byte_ms, Phase::FirstByte, given).await?
    } else {
        *phase = Phase::FirstByte;
        give(upstream.lease(stream), upstream, request, first_byte(&limits, by)).await?
    };
    let closed = || Error::Protocol { detail: "it closed the connection".to_owned(), sent: false };
    given.map_err(|_| closed())
}

/// Sends a request that is to change its connection's protocol: on one of its own, which is HTTP/1.1.
async fn upgrade(
    connector: &Connector,
    upstream: &Upstream,
    mut request: Request<Outgoing>,
    limits: Limits,
    phase: &mut Phase,
) -> Result<Answered, Error> {
    *phase = Phase::Connect;
    let mut progress = Progress::default();
    let opening = pin!(connector.open_h1(upstream.target(), &mut progress));
    let stream = within(limits.connect_ms, Phase::Connect, opening).await?;
    let opened = stream.opened.clone();
    let mut sender = begin_h1(stream).await?;
    *phase = Phase::FirstByte;
    let headers = request.headers_mut();
    headers.insert(HOST, upstream.host().clone());
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    let answering =
        pin!(async { sender.send_request(request).await.map_err(|error| Error::of_hyper(&error)) });
    let answer = within(limits.first_byte_ms, Phase::FirstByte, answering).await?;
    Ok((answer.map(Source::Library), opened))
}

/// Whether a connection became a WebSocket.
fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
}

/// Waits for a step; no timer without a limit.
async fn within<T>(
    limit_ms: Option<u64>,
    phase: Phase,
    step: impl Future<Output = Result<T, Error>> + Unpin,
) -> Result<T, Error> {
    let Some(limit_ms) = limit_ms else { return step.await };
    let late = |_| Error::Timeout { phase, limit_ms, sent: phase >= Phase::FirstByte };
    timeout(Duration::from_millis(limit_ms), step).await.map_err(late)?
}

/// Gives a request to an HTTP/1.1 connection.
async fn give(
    mut lease: Lease,
    upstream: &Upstream,
    request: Request<Outgoing>,
    until: Until,
) -> Result<Given, Error> {
    match lease.wire.ask(request, upstream.host(), until).await? {
        Asked::Answered(answer) => {
            let opened = lease.wire.opened().clone();
            Ok(Ok((answer.map(|rest| Source::Wire(Incoming::new(rest, lease))), opened)))
        }
        Asked::Unsent(request) if lease.used => Ok(Err(Box::new(request))),
        Asked::Unsent(_) => {
            Err(Error::Protocol { detail: "it closed the connection".to_owned(), sent: false })
        }
    }
}

/// Gives a request to an HTTP/2 connection.
async fn give_shared(
    mut shared: Shared,
    upstream: &Upstream,
    mut request: Request<Outgoing>,
) -> Result<Given, Error> {
    request.headers_mut().remove(HOST);
    *request.uri_mut() = absolute(request.uri(), upstream.target())?;
    *request.version_mut() = Version::HTTP_2;
    match shared.sender.try_send_request(request).await {
        Ok(answer) => Ok(Ok((answer.map(Source::Library), shared.opened))),
        Err(mut refused) => match refused.take_message() {
            Some(mut request) => {
                *request.uri_mut() = origin(request.uri());
                *request.version_mut() = Version::HTTP_11;
                Ok(Err(Box::new(request)))
            }
            None => Err(Error::of_hyper(refused.error())),
        },
    }
}

/// An HTTP/1.1 connection that may become another protocol's.
async fn begin_h1(stream: Stream) -> Result<http1::SendRequest<Outgoing>, Error> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Error::of_hyper(&error))?;
    tokio::spawn(async move {
        // Its errors arrive at the request, too.
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

async fn begin_h2(stream: Stream) -> Result<http2::SendRequest<Outgoing>, Error> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(Duration::from_millis(PING_EVERY_MS))
        .keep_alive_timeout(Duration::from_millis(PING_TIMEOUT_MS))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Error::of_hyper(&error))?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// Refuses the head of an answer that is too large.
pub(crate) fn check_head(headers: &HeaderMap, headers_max: usize, bytes_max: usize) -> Result<(), Error> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > headers_max || bytes > bytes_max {
        return Err(Error::TooLarge("its head".to_owned()));
    }
    Ok(())
}

/// Makes a request safe to send: only its path and query are taken from its URI, and no headers of another connection.
pub(crate) fn prepare<B>(request: &mut Request<B>) {
    if request.uri().authority().is_some() {
        *request.uri_mut() = origin(request.uri());
    }
    *request.version_mut() = Version::HTTP_11;
    static NAMES: LazyLock<Names> = LazyLock::new(|| Names::of(&[&HOP_BY_HOP]));
    take_off(request.headers_mut(), |name| NAMES.contains(name));
}

/// Path and query alone, as HTTP/1 wants it.
fn origin(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from)
}

/// Path and query at the authority that was judged.
pub(crate) fn absolute(uri: &Uri, target: &Target) -> Result<Uri, Error> {
    let malformed = |error: String| Error::Refused(Refusal::Malformed(error));
    let mut parts = Parts::default();
    parts.scheme = Some(if target.is_https() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority =
        Some(target.authority().parse::<Authority>().map_err(|error| malformed(error.to_string()))?);
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|error| malformed(error.to_string()))
}

/// Counts a refusal that happened before any connection.
pub(crate) fn refused(refusal: Refusal) -> Error {
    telemetry::refused(&refusal);
    Error::Refused(refusal)
}
