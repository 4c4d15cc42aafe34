//! Streaming calls over pooled connections: the answer's head as soon as it is there, its body as it comes.
//!
//! For the gateway. It repeats nothing but what a connection that had closed unused never took; it follows no
//! redirect, keeps no cookie, decodes nothing, and passes every status on as it is.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Parts, Scheme};
use http::{HeaderMap, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::body::Body;
use crate::connect::Connector;
use crate::error::{Error, Phase, Shared, find};
use crate::guard::Target;
use crate::refusal::Refusal;
use crate::settings::{Limits, Settings};
use crate::stream::Opened;
use crate::telemetry;

/// A pooled connection is never older than this when it gets a request, in milliseconds: after that its name is
/// resolved and judged anew.
pub const CONNECTION_AGE_MS_MAX: u64 = 60_000;
/// An unused connection is not kept longer than this, in milliseconds.
pub const IDLE_MS_MAX: u64 = 30_000;
/// The most header fields of an answer.
pub const HEADERS_MAX: usize = 100;
/// Bytes of an answer's head.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Bytes read ahead of the reader per HTTP/1 connection.
const READ_BYTES_MAX: usize = 64 * 1024;
/// A silent HTTP/2 connection is asked after this time, and given up when it does not answer, in milliseconds.
const PING_EVERY_MS: u64 = 15_000;
const PING_TIMEOUT_MS: u64 = 5_000;

/// Headers that belong to one connection. The library sets what it needs.
const HOP_BY_HOP: [HeaderName; 8] = [
    HOST,
    CONNECTION,
    TRANSFER_ENCODING,
    TE,
    UPGRADE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Any body of a request, in one type.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, Error>;

/// Connections and the pool that keeps them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pool {
    client: Client<Connector, Outgoing>,
    /// A connection that is older when it gave an answer is not used again.
    pub(crate) age_max: Duration,
}

impl Pool {
    pub(crate) fn new(connector: Connector, settings: &Settings) -> Self {
        let idle = Duration::from_millis(settings.idle_ms.min(IDLE_MS_MAX));
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle)
            .pool_max_idle_per_host(settings.idle_per_host)
            .http1_max_headers(HEADERS_MAX)
            .http1_max_buf_size(READ_BYTES_MAX)
            .http2_max_header_list_size(HEAD_BYTES_MAX as u32)
            .http2_keep_alive_interval(Duration::from_millis(PING_EVERY_MS))
            .http2_keep_alive_timeout(Duration::from_millis(PING_TIMEOUT_MS))
            .build(connector);
        Self { client, age_max: Duration::from_millis(CONNECTION_AGE_MS_MAX).saturating_sub(idle) }
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &self,
        request: Request<Outgoing>,
        limits: Limits,
    ) -> Result<Response<Body>, Error> {
        let mut request = request;
        let connection = capture_connection(&mut request);
        let answered = timeout(Duration::from_millis(limits.head_ms), self.client.request(request)).await;
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(read(&error)),
            Err(_) => {
                let sent = connection.connection_metadata().is_some();
                let phase = if sent { Phase::FirstByte } else { Phase::Connect };
                return Err(Error::Timeout { phase, limit_ms: limits.head_ms, sent });
            }
        };
        if answer.extensions().get::<Opened>().is_some_and(|opened| opened.at().elapsed() >= self.age_max)
            && let Some(connected) = connection.connection_metadata().as_ref()
        {
            connected.poison();
        }
        check_head(answer.headers(), HEADERS_MAX, HEAD_BYTES_MAX)?;
        Ok(answer.map(|incoming| Body::new(incoming, limits)))
    }
}

/// What the pooled client says: our own connector's error, or the library's.
fn read(error: &legacy::Error) -> Error {
    if let Some(own) = find::<Error>(error) {
        return own.clone();
    }
    match find::<hyper::Error>(error) {
        Some(hyper) => Error::of_hyper(hyper),
        None => Error::Protocol { detail: error.to_string(), sent: !error.is_connect() },
    }
}

/// Refuses the head of an answer that is too large.
pub(crate) fn check_head(headers: &HeaderMap, headers_max: usize, bytes_max: usize) -> Result<(), Error> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > headers_max || bytes > bytes_max {
        return Err(Error::TooLarge("its head".to_owned()));
    }
    Ok(())
}

/// Makes a request safe to send: its authority in the guard's one form, no headers of another connection.
pub(crate) fn prepare<B>(request: Request<B>, target: &Target) -> Result<Request<B>, Error> {
    let (mut head, body) = request.into_parts();
    head.uri = canonical(head.uri, target)?;
    head.version = Version::HTTP_11;
    for name in &HOP_BY_HOP {
        head.headers.remove(name);
    }
    Ok(Request::from_parts(head, body))
}

/// The same path and query at the authority that was judged.
fn canonical(uri: Uri, target: &Target) -> Result<Uri, Error> {
    let same = |uri: &Uri| uri.authority().is_some_and(|authority| authority.as_str() == target.authority());
    if same(&uri) {
        return Ok(uri);
    }
    let malformed = |error: String| Error::Refused(Refusal::Malformed(error));
    let mut parts: Parts = uri.into_parts();
    parts.scheme = Some(if target.is_https() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority =
        Some(target.authority().parse::<Authority>().map_err(|error| malformed(error.to_string()))?);
    Uri::from_parts(parts).map_err(|error| malformed(error.to_string()))
}

/// Any body as ours. An error of the caller's body is the caller's.
pub(crate) fn outgoing<B>(body: B) -> Outgoing
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    body.map_err(|error| Error::RequestBody { source: Shared::new(error.into()) }).boxed_unsync()
}

/// Counts a refusal that happened before any connection.
pub(crate) fn refused(refusal: Refusal) -> Error {
    telemetry::refused(&refusal);
    Error::Refused(refusal)
}
