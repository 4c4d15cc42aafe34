//! One whole exchange under one deadline: a fresh connection, the request, the answer up to a cap of bytes.
//!
//! For probes and webhooks. Every exchange has a connection of its own, so that its phases are measured, what was
//! sent is known, and a hostile target holds nothing after the deadline. It follows no redirect and repeats nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::health::Phases;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connect::{Connector, Progress, millis};
use crate::error::{Error, Phase};
use crate::guard::Target;
use crate::send::{absolute, check_head, prepare, refused};
use crate::settings::FetchLimits;
use crate::stream::Stream;

/// Bytes of an answer's head.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What we call ourselves, unless the request says it.
const AGENT: &str = concat!("signalbox/", env!("CARGO_PKG_VERSION"));

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status; redirects are answers like any other.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body, at most as long as was asked for.
    pub body: Bytes,
    /// Whether the body went on.
    pub truncated: bool,
    /// Where the time went.
    pub phases: Phases,
    /// From the start to the end of the body, in milliseconds.
    pub total_ms: u32,
    /// The same to the microsecond.
    pub took: Duration,
    /// The address that answered.
    pub peer: Option<SocketAddr>,
}

/// An exchange without a whole answer, and how far it came.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// Why.
    #[source]
    pub error: Error,
    /// The status, when the head of the answer had come.
    pub status: Option<StatusCode>,
    /// Where the time went, as far as it came.
    pub phases: Phases,
    /// From the start to the failure, in milliseconds.
    pub total_ms: u32,
    /// The address that was dialled last.
    pub peer: Option<SocketAddr>,
}

/// What is known while the exchange goes on; it outlives a cut-off one.
#[derive(Default)]
struct Trace {
    connection: Progress,
    status: Option<StatusCode>,
}

struct Read {
    headers: HeaderMap,
    body: Bytes,
    truncated: bool,
}

/// Carries out one exchange.
pub(crate) async fn fetch(
    connector: &Connector,
    request: Request<Bytes>,
    limits: FetchLimits,
) -> Result<Answer, Failure> {
    let started = Instant::now();
    let mut trace = Trace::default();
    let deadline = Duration::from_millis(limits.deadline_ms);
    let read = match timeout(deadline, exchange(connector, request, limits, &mut trace)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(trace.late(limits.deadline_ms)),
    };
    let (phases, peer, total_ms) = (trace.connection.phases, trace.connection.peer, millis(started));
    match (read, trace.status) {
        (Ok(Read { headers, body, truncated }), Some(status)) => {
            let took = started.elapsed();
            Ok(Answer { status, headers, body, truncated, phases, total_ms, took, peer })
        }
        (Ok(_), None) => {
            let error = Error::Protocol { detail: "no status".to_owned(), sent: true };
            Err(Failure { error, status: None, phases, total_ms, peer })
        }
        (Err(error), status) => Err(Failure { error, status, phases, total_ms, peer }),
    }
}

async fn exchange(
    connector: &Connector,
    request: Request<Bytes>,
    limits: FetchLimits,
    trace: &mut Trace,
) -> Result<Read, Error> {
    let target = connector.guard().check_uri(request.uri()).map_err(refused)?;
    let mut request = complete(request);
    prepare(&mut request);
    let stream = connector.open(&target, &mut trace.connection).await?;
    trace.connection.phase = Some(Phase::FirstByte);
    let started = Instant::now();
    // The tasks that drive the connection end with this set, whatever happens.
    let mut tasks = JoinSet::new();
    let answer = if stream.is_h2 {
        send_h2(stream, request, &target, &mut tasks).await?
    } else {
        send_h1(stream, request, &target, limits, &mut tasks).await?
    };
    trace.connection.phases.first_byte_ms = Some(millis(started));
    trace.connection.phase = Some(Phase::Body);
    trace.status = Some(answer.status());
    let started = Instant::now();
    let (head, body) = answer.into_parts();
    check_head(&head.headers, limits.headers_max, HEAD_BYTES_MAX)?;
    let (body, truncated) = read(body, limits.body_bytes_max).await?;
    trace.connection.phases.body_ms = Some(millis(started));
    Ok(Read { headers: head.headers, body, truncated })
}

async fn send_h1(
    stream: Stream,
    request: Request<Bytes>,
    target: &Target,
    limits: FetchLimits,
    tasks: &mut JoinSet<()>,
) -> Result<Response<Incoming>, Error> {
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(limits.headers_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Error::of_hyper(&error))?;
    tasks.spawn(async move {
        // Its errors arrive at the request, too.
        let _ = connection.await;
    });
    let mut request = request.map(Full::new);
    let host = HeaderValue::from_str(target.authority())
        .map_err(|error| Error::Protocol { detail: error.to_string(), sent: false })?;
    request.headers_mut().insert(HOST, host);
    sender.send_request(request).await.map_err(|error| Error::of_hyper(&error))
}

async fn send_h2(
    stream: Stream,
    mut request: Request<Bytes>,
    target: &Target,
    tasks: &mut JoinSet<()>,
) -> Result<Response<Incoming>, Error> {
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Error::of_hyper(&error))?;
    tasks.spawn(async move {
        let _ = connection.await;
    });
    *request.uri_mut() = absolute(request.uri(), target)?;
    *request.version_mut() = Version::HTTP_2;
    sender.send_request(request.map(Full::new)).await.map_err(|error| Error::of_hyper(&error))
}

/// Reads a body up to a cap. Its rest is not waited for.
async fn read(mut body: Incoming, bytes_max: usize) -> Result<(Bytes, bool), Error> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::of_hyper(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        let room = bytes_max - kept.len();
        if data.len() > room {
            kept.extend_from_slice(&data[..room]);
            return Ok((kept.freeze(), true));
        }
        kept.extend_from_slice(data);
        if kept.len() == bytes_max && body.is_end_stream() {
            break;
        }
    }
    Ok((kept.freeze(), false))
}

/// Says who we are and that we decode nothing.
fn complete(mut request: Request<Bytes>) -> Request<Bytes> {
    let headers = request.headers_mut();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    request
}

impl Trace {
    /// The deadline passed: what was going on decides what it means.
    fn late(&self, limit_ms: u64) -> Error {
        let phase = self.connection.phase.unwrap_or(Phase::Dns);
        Error::Timeout { phase, limit_ms, sent: phase >= Phase::FirstByte }
    }
}
