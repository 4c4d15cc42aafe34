//! `POST /batch`: many calls in one, side by side, under one deadline.
//!
//! Each goes the way of a call of its own, from its first byte to its last: through a connection in memory. So it has its
//! own rights, cache, failover and counting, and nothing of it is done twice here. The results are in the order of the
//! calls. A batch holds no batch.

mod ask;
mod tell;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::Timestamp;
use runtime::serve::Paced;
use tokio::time::{Instant, timeout_at};

use super::admit::{TIMEOUT_HEADER, TOKEN_HEADER, authenticate, check_head};
use super::{BYPASS, Ended, encoding, proxy};
use crate::Inner as Gateway;
use crate::body::{Body, Refused};
use crate::problem::Problem;
use ask::{Asked, One};
use tell::Got;

/// Where batches are taken.
pub(super) const PATH: &str = "/batch";
/// The largest batch, in bytes.
const BATCH_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The bodies of all results, in bytes.
const RESULTS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a connection in memory holds in each direction, in bytes.
const PIPE_BYTES: usize = 16 * 1024;

/// Answers a batch.
pub(super) async fn batch(
    gateway: &std::sync::Arc<Gateway>,
    peer: IpAddr,
    now: Timestamp,
    request: Request<Incoming>,
) -> Result<Response<Body>, Ended> {
    carry(gateway, peer, now, request).await.map_err(|problem| (problem, 0, BYPASS))
}

async fn carry(
    gateway: &std::sync::Arc<Gateway>,
    peer: IpAddr,
    now: Timestamp,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let config = gateway.config.get().ok_or_else(Problem::not_ready)?;
    let (mut head, body) = request.into_parts();
    check_head(&head)?;
    // Whoever has no valid token learns nothing of what is wrong with a batch.
    authenticate(&config, &head.headers, peer, now)?;
    drop(config);
    if head.method != Method::POST {
        let (status, detail) = (StatusCode::METHOD_NOT_ALLOWED, "a batch is a POST");
        return Err(Problem::new(status, "method_not_allowed", "Method not allowed", detail));
    }
    let body = take(gateway, body).await?;
    let body = encoding::plain(&mut head.headers, body, BATCH_BYTES_MAX)?;
    let longest_ms = gateway.settings.deadline_ms;
    let asked = Asked::read(&body, longest_ms)?;
    let deadline = Instant::now() + Duration::from_millis(asked.timeout_ms.unwrap_or(longest_ms));
    let sent = |name: HeaderName| Some((name.clone(), head.headers.get(name)?.clone()));
    let token: Vec<_> = [TOKEN_HEADER, AUTHORIZATION].into_iter().filter_map(sent).collect();
    let left = AtomicUsize::new(RESULTS_BYTES_MAX);
    let calls = asked.calls.into_iter().map(|one| {
        let (id, token, left) = (one.id.clone(), &token, &left);
        async move { (id, call(gateway, peer, one, token, deadline, left).await) }
    });
    Ok(encoding::own(tell::response(&join_all(calls).await)))
}

async fn take(gateway: &Gateway, body: Incoming) -> Result<Bytes, Problem> {
    let most = gateway.settings.body_bytes_max.min(BATCH_BYTES_MAX);
    let body = Paced::new(body, gateway.settings.callers.held_pace());
    match Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX)).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(most)),
        Err(error) => Err(Refused::of(&error).problem(most)),
    }
}

/// One call of a batch.
async fn call(
    gateway: &std::sync::Arc<Gateway>,
    peer: IpAddr,
    one: One,
    token: &[(HeaderName, HeaderValue)],
    deadline: Instant,
    left: &AtomicUsize,
) -> Got {
    let One { mut request, .. } = one;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("batch"));
    for (name, value) in token {
        headers.insert(name, value.clone());
    }
    if !headers.contains_key(&TIMEOUT_HEADER) {
        let ms = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
        headers.insert(TIMEOUT_HEADER, HeaderValue::from(u64::try_from(ms).unwrap_or(u64::MAX)));
    }
    match timeout_at(deadline, exchange(gateway, peer, request, left)).await {
        Ok(Ok(got)) => got,
        Ok(Err(problem)) => Got::of(&problem),
        Err(_) => {
            let (status, detail) = (StatusCode::GATEWAY_TIMEOUT, "the batch's time was over");
            Got::of(&Problem::new(status, "timeout", "No answer in time", detail))
        }
    }
}

/// Sends a request to ourselves and takes the whole answer.
async fn exchange(
    gateway: &std::sync::Arc<Gateway>,
    peer: IpAddr,
    request: Request<Full<Bytes>>,
    left: &AtomicUsize,
) -> Result<Got, Problem> {
    let broken = |_| {
        let (status, detail) = (StatusCode::BAD_GATEWAY, "the answer broke off");
        Problem::new(status, "answer_broken", "Answer is not whole", detail)
    };
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let service = service_fn(|request| through(gateway, peer, request));
    let serving = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(theirs), service);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.map_err(broken)?;
    let asking = async {
        let (head, mut body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let mut held = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            let take = |left: usize| left.checked_sub(data.len());
            if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
                // The others may have what this one took.
                left.fetch_add(held.len(), Ordering::Relaxed);
                let detail = format!("the bodies of all results are at most {RESULTS_BYTES_MAX} bytes");
                let status = StatusCode::BAD_GATEWAY;
                return Err(Problem::new(status, "result_too_large", "Result is too large", detail));
            }
            held.extend_from_slice(&data);
        }
        Ok(Got { status: head.status, headers: head.headers, body: held.freeze() })
    };
    // Both ends are driven here, so that a batch whose caller goes away ends with all its calls.
    let driving = async {
        let _ = tokio::join!(serving, connection);
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        got = asking => got,
        _ = driving => unreachable!("waits for ever"),
    }
}

/// The way of every call. Boxed: a batch is on that way itself.
fn through(
    gateway: &std::sync::Arc<Gateway>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> BoxFuture<'_, Result<Response<Body>, Infallible>> {
    proxy(gateway, peer, request).map(Ok).boxed()
}
