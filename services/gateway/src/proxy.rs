//! The way of a call: admit, recall, choose, forward (dress, send, judge), record, answer.
//!
//! Each phase is a file; each fails with an answer that the caller can use. All that a call needs is in memory: neither
//! the bus nor the key store is asked while they are away.

pub(crate) mod admit;
pub(crate) mod answer;
pub(crate) mod attempt;
pub(crate) mod batch;
pub(crate) mod choose;
pub(crate) mod converse;
pub(crate) mod dress;
pub(crate) mod echo;
pub(crate) mod encoding;
pub(crate) mod forward;
pub(crate) mod join;
pub(crate) mod judge;
pub(crate) mod key;
pub(crate) mod linger;
pub(crate) mod merge;
pub(crate) mod operate;
pub(crate) mod recall;
pub(crate) mod record;
pub(crate) mod upgrade;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use egress::lane;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use model::{EventId, Timestamp};

use crate::Inner as Gateway;
use crate::Settings;
use crate::body::{Body, Inbound};
use crate::problem::{self, Problem};
use crate::snapshot::{Fault, Integration};
use crate::telemetry;
use admit::{Call, To, admit};
use choose::{Chosen, choose, is_repeatable};
use forward::{Forwarded, forward};
use recall::Recalled;

/// The most of a request's body that is held, so that it can be sent again, in bytes.
const HELD_BYTES_MAX: usize = 64 * 1024;
/// The same where tokens are reckoned of it, in bytes: a larger one is reckoned by its length.
const RECKONED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long the rest of a refused call's body is waited for.
const LEAVE_MAX: Duration = Duration::from_secs(1);
/// Characters of a path that a problem repeats.
const INSTANCE_CHARS_MAX: usize = 200;

/// Answers one request.
pub(crate) async fn proxy(
    gateway: &Arc<Gateway>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let now = lane::timestamp();
    let request_id = EventId::make(now, rand::random());
    // Shares the bytes of the request; a problem makes a text of it.
    let target = request.uri().path_and_query().cloned();
    let path = target.as_ref().map_or("/", PathAndQuery::path);
    // A target of another form, as `CONNECT host:port` has it, is no question for what is here.
    let mut response = if path == "/" && target.is_some() {
        problem::index(gateway.ready())
    } else {
        let accepts = request.headers().get(ACCEPT_ENCODING).cloned();
        let outcome = if path == batch::PATH {
            Box::pin(batch::batch(gateway, peer, now, request)).await
        } else {
            Box::pin(carry(gateway, peer, now, request)).await
        };
        let fitting = match outcome {
            Ok(response) => encoding::fit(response, accepts).await.map_err(|problem| (problem, 1, BYPASS)),
            Err(ended) => Err(ended),
        };
        match fitting {
            Ok(response) => response,
            Err((problem, attempts, word)) => {
                telemetry::own_answer(problem.status().as_u16());
                let instance: String = path.chars().take(INSTANCE_CHARS_MAX).collect();
                let mut response = problem.into_response(&instance, request_id.as_str());
                answer::decorate(&mut response, None, attempts, word);
                response
            }
        }
    };
    if let Ok(id) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert(answer::REQUEST_ID, id);
    }
    response
}

/// A problem, after how many attempts, and what the cache did.
type Ended = (Problem, usize, &'static str);

const BYPASS: &str = "bypass";

async fn carry(
    gateway: &Arc<Gateway>,
    peer: IpAddr,
    now: Timestamp,
    request: Request<Incoming>,
) -> Result<Response<Body>, Ended> {
    let early = |problem| (problem, 0, BYPASS);
    let config = gateway.config.get().ok_or_else(Problem::not_ready).map_err(early)?;
    let (head, body) = request.into_parts();
    let mut call = match admit(&config, peer, now, head) {
        Ok(call) => call,
        Err(problem) => {
            Box::pin(leave(gateway, body)).await;
            return Err(early(problem));
        }
    };
    if let Some(kind) = converse::kind(&call) {
        return Box::pin(converse::converse(gateway, now, call, kind, body)).await;
    }
    operate::prepare(&mut call, now).map_err(early)?;
    if call.operation.is_some() {
        return Box::pin(go(gateway, call, body)).await.map(encoding::own);
    }
    go(gateway, call, body).await
}

/// What is asked was understood: recalls its answer, or gets one.
async fn go(gateway: &Arc<Gateway>, mut call: Box<Call>, body: Incoming) -> Result<Response<Body>, Ended> {
    let early = |problem| (problem, 0, BYPASS);
    let body = if body.is_end_stream() {
        Inbound::Held(Bytes::new())
    } else {
        Box::pin(take(gateway, &call, body)).await.map_err(early)?
    };
    let mut plan =
        match recall::recall(gateway, &call, body.len() > 0 || call.upgrade).await.map_err(early)? {
            Recalled::Answer(response) => return Ok(response),
            Recalled::Goes(plan) => plan,
        };
    let word = plan.as_ref().map_or(BYPASS, |plan| plan.word());
    let members = match callable(gateway, &call) {
        Ok(members) => members,
        Err(problem) => {
            let stale = plan.as_mut().and_then(|plan| plan.stale(gateway, &call, None));
            return stale.ok_or((problem, 0, word));
        }
    };
    dress::undress(&mut call.headers);
    let forwarded = match plan.take() {
        Some(planned) => {
            let (forwarded, gone, planned) = recall::go(gateway, call, members, planned).await;
            (call, plan) = (gone, planned);
            forwarded
        }
        None => forward(gateway, &call, &members, body).await,
    };
    match forwarded {
        Forwarded::Answered(found, attempts) => {
            if let Some(response) = plan.as_mut().and_then(|plan| plan.confirmed(gateway, &call, &found)) {
                return Ok(response);
            }
            telemetry::cache(word);
            recall::wrote(gateway, &call, &found);
            Ok(recall::pass(gateway, found, attempts, plan, word))
        }
        Forwarded::Refused(problem) => Err((problem, 1, word)),
        Forwarded::Exhausted(mut exhausted) => {
            let attempts = exhausted.attempts.len();
            let for_the_caller = answer::is_for_the_caller(&call, &exhausted);
            if let Some(mut response) =
                plan.as_mut().and_then(|plan| plan.stale(gateway, &call, exhausted.reason))
            {
                answer::decorate(&mut response, None, attempts, "stale");
                return Ok(response);
            }
            telemetry::cache(word);
            if let Some(last) = exhausted.last.take().filter(|_| for_the_caller) {
                return Ok(answer::pass(gateway, last, attempts, None, word));
            }
            Err((answer::exhausted(&call, *exhausted), attempts, word))
        }
    }
}

/// Whether a body says that it is JSON, or says nothing.
fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    said.is_none_or(|said| memchr::memmem::find(said, b"json").is_some())
}

/// Takes the body: held where it is small, so that it can be sent again.
async fn take(gateway: &Gateway, call: &Call, body: Incoming) -> Result<Inbound, Problem> {
    let Settings { callers, body_bytes_max, .. } = &gateway.settings;
    // What is signed is held, however large: a signature is over all of it.
    let signed = call.members().iter().any(|member| member.auth.is_signed());
    // So is what tokens are reckoned of.
    let counted = |member: &Integration| member.limits.as_ref().is_some_and(|limits| limits.counts_tokens);
    let reckoned = call.method == http::Method::POST
        && is_json(&call.headers)
        && call.members().iter().any(|member| counted(member));
    let hold_bytes = match () {
        () if reckoned => RECKONED_BYTES_MAX,
        () if signed => egress::sign::BODY_BYTES_MAX,
        () => HELD_BYTES_MAX,
    };
    let eager =
        signed || reckoned || is_repeatable(&call.method, &call.headers, call.route().map(Arc::as_ref));
    let taking = Inbound::take(body, callers, hold_bytes, eager, *body_bytes_max);
    taking.await.map_err(|refused| refused.problem(*body_bytes_max))
}

/// Takes what a small body has left of a call that is refused: a connection that is closed on a caller who still sends
/// may be reset before the refusal is read.
async fn leave(gateway: &Gateway, body: Incoming) {
    if body.is_end_stream() || body.size_hint().lower() > HELD_BYTES_MAX as u64 {
        return;
    }
    let taking = Inbound::take(body, &gateway.settings.callers, HELD_BYTES_MAX, true, HELD_BYTES_MAX as u64);
    // Too large, broken or slow: the connection ends as it would have.
    drop(tokio::time::timeout(LEAVE_MAX, taking).await);
}

/// A ban lasts the longer the more is called meanwhile, so that even a call past all routes does not go there.
fn banned(integration: &Integration, left: Duration) -> Problem {
    let secs = left.as_secs().max(1);
    let detail =
        format!("the provider of integration `{}` refuses all calls for {secs} s more", integration.id);
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "banned", "Provider refuses calls", detail)
        .with("integration", integration.id.as_str())
        .retry_after(Some(secs))
}

/// The integrations to try, in order. None where all their providers refuse calls until a time that they named.
fn callable(gateway: &Gateway, call: &Call) -> Result<Chosen, Problem> {
    match &call.to {
        To::Integration(integration) => match &integration.fault {
            None => match integration.pause.banned() {
                None => Ok(Chosen::one(integration)),
                Some(left) => Err(banned(integration, left)),
            },
            Some(Fault::Disabled) => {
                let detail = format!("integration `{}` is disabled", integration.id);
                Err(Problem::new(
                    StatusCode::CONFLICT,
                    "integration_disabled",
                    "Integration is disabled",
                    detail,
                ))
            }
            Some(Fault::Broken(why)) => {
                let detail = format!("integration `{}` cannot be called: {why}", integration.id);
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Err(Problem::new(status, "integration_broken", "Integration is not usable", detail))
            }
        },
        To::Route(route, members) => {
            let repeatable = is_repeatable(&call.method, &call.headers, Some(route));
            let chosen = choose(route, members, &gateway.board, repeatable);
            if !chosen.members.is_empty() || !chosen.skipped.is_empty() {
                return Ok(chosen);
            }
            let disabled = members.iter().any(|member| member.fault == Some(Fault::Disabled));
            let code = if disabled { "integration_disabled" } else { "no_integration" };
            let detail = format!("no integration of route `{}` can be called", route.id);
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, "Route has nobody to call", detail))
        }
    }
}
