//! Answers the caller: the provider's answer with our headers, or what went wrong.
//!
//! The provider's status and body are never changed. A failure lists its attempts: who, why, how long; nothing else of
//! the provider.

use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use model::health::Reason;
use serde_json::Value;

use super::admit::Call;
use super::attempt::Answer;
use super::converse::Spoken;
use super::forward::Exhausted;
use super::operate::Operated;
use super::recall::Plan;
use super::record::Watched;
use super::upgrade;
use crate::Inner as Gateway;
use crate::body::Body;
use crate::problem::Problem;
use crate::snapshot::Integration;

const INTEGRATION: HeaderName = HeaderName::from_static("x-signalbox-integration");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-signalbox-attempts");
/// How many callers' calls went as one.
const MERGED: HeaderName = HeaderName::from_static("x-signalbox-merged");
const CACHE: HeaderName = HeaderName::from_static("x-signalbox-cache");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The provider's own name of a request, which people need to ask the provider about it.
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-signalbox-upstream-request-id");
/// The longest `Retry-After` that we pass on in our own problems, in seconds.
const RETRY_AFTER_SECS_MAX: u64 = 3_600;
/// Attempts that one sentence names.
const TOLD_MAX: usize = 5;

/// The provider's answer for the caller; a copy is kept where the plan and the answer let it.
pub(crate) fn pass(
    gateway: &Gateway,
    answer: Box<Answer>,
    attempts: usize,
    plan: Option<Box<Plan>>,
    word: &'static str,
) -> Response<Body> {
    let mut answer = answer;
    if let Some(own) = answer.head.headers.remove(&REQUEST_ID) {
        answer.head.headers.insert(UPSTREAM_REQUEST_ID, own);
    }
    let place = plan.and_then(|plan| plan.place(gateway, &mut answer));
    let Answer { integration, mut head, held, rest, account, voice, merged, .. } = *answer;
    account.quota.tell(&mut head.headers);
    integration.live.answered(head.status.as_u16());
    let provider = head.extensions.remove::<OnUpgrade>();
    let turned = provider.map(|provider| (provider, account.clone()));
    let watched = Watched::new(held, rest, account, place).reading(&head);
    let body = match voice {
        None => Body::Passing(Box::new(watched)),
        Some(voice) => {
            voice.label(&mut head.headers);
            Body::Spoken(Box::new(Spoken::new(watched, voice)))
        }
    };
    head.extensions = http::Extensions::new();
    head.version = http::Version::HTTP_11;
    let mut response = Response::from_parts(head, body);
    decorate(&mut response, Some(&integration), attempts, word);
    if merged > 0 {
        response.headers_mut().insert(MERGED, HeaderValue::from(merged));
    }
    if let Some((provider, account)) = turned {
        upgrade::keep(&mut response, provider, account);
    }
    response
}

/// Says who answered, after how many attempts, and what the cache did.
pub(crate) fn decorate(
    response: &mut Response<Body>,
    integration: Option<&Integration>,
    attempts: usize,
    word: &'static str,
) {
    let headers = response.headers_mut();
    if let Some(integration) = integration {
        headers.insert(INTEGRATION, integration.id_header.clone());
    }
    headers.insert(ATTEMPTS, number(attempts));
    headers.insert(CACHE, HeaderValue::from_static(word));
}

/// A number as a header; those that nearly all are need no memory.
fn number(number: usize) -> HeaderValue {
    const FEW: [&str; 4] = ["0", "1", "2", "3"];
    FEW.get(number).map_or_else(|| HeaderValue::from(number), |text| HeaderValue::from_static(text))
}

/// Whether the last answer of a provider is more use to the caller than ours: through a route only when it is the caller's
/// own fault, else always, because `/p` mirrors the provider.
pub(crate) fn is_for_the_caller(call: &Call, exhausted: &Exhausted) -> bool {
    let callers = matches!(exhausted.reason, Some(Reason::Forbidden | Reason::BadRequest));
    call.route().is_none() || (callers && call.operation.is_none())
}

/// Nobody answered.
pub(crate) fn exhausted(call: &Call, exhausted: Exhausted) -> Problem {
    let Exhausted { mut attempts, skipped, reason, timed_out, retry_after, note, limited, .. } = exhausted;
    if let Some((integration, limited)) = limited.filter(|_| attempts.is_empty() && all_limited(&skipped)) {
        let problem = limited.problem(&integration).with("attempts", skipped);
        return match call.route() {
            Some(route) => problem.with("route", route.id.as_str()),
            None => problem,
        };
    }
    let why = attempts.last().and_then(|attempt| attempt["detail"].as_str()).map(str::to_owned);
    attempts.extend(skipped);
    let problem = match call.route() {
        Some(route) if call.operation.is_some() && Operated::is_nowhere(&attempts) => {
            let detail = format!("no integration of route `{}` has what was asked for", route.id);
            Problem::new(StatusCode::NOT_FOUND, "nothing_there", "Nobody has it", detail)
                .with("route", route.id.as_str())
        }
        Some(route) => {
            let status = match () {
                () if timed_out => StatusCode::GATEWAY_TIMEOUT,
                // What clients of OpenAI's slow down for.
                () if call.chat.is_some() && all_limited(&attempts) => StatusCode::TOO_MANY_REQUESTS,
                () => StatusCode::SERVICE_UNAVAILABLE,
            };
            let detail =
                format!("no integration of route `{}` has an answer{}", route.id, each(&attempts, note));
            Problem::new(status, "all_failed", "No integration answered", detail)
                .with("route", route.id.as_str())
        }
        None => {
            let status = if timed_out { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
            let (code, detail) = told(reason);
            let detail = why.map_or_else(|| detail.to_owned(), |why| format!("{detail} ({why})"));
            Problem::new(status, code, "Integration did not answer", detail)
        }
    };
    let secs = retry_after.map(|wait| wait.as_secs().clamp(1, RETRY_AFTER_SECS_MAX));
    let problem = problem.with("attempts", attempts).retry_after(secs);
    match note {
        Some(note) => problem.with("note", note),
        None => problem,
    }
}

/// What was wrong with the first of them, and why no other was asked: for who reads one sentence only.
fn each(attempts: &[Value], note: Option<&str>) -> String {
    let one = |attempt: &Value| {
        let word = word(attempt)?;
        let status = attempt["status"].as_u64().map(|status| format!(" {status}")).unwrap_or_default();
        Some(format!("`{}` {word}{status}", attempt["integration"].as_str()?))
    };
    let mut told: Vec<String> = attempts.iter().filter_map(one).take(TOLD_MAX).collect();
    if let Some(more) = attempts.len().checked_sub(told.len()).filter(|more| *more > 0) {
        told.push(format!("{more} more"));
    }
    let note = note.map(|note| format!("; {note}")).unwrap_or_default();
    if told.is_empty() { note } else { format!(": {}{note}", told.join(", ")) }
}

/// Whether nothing is wrong but that everybody was asked too much.
fn all_limited(attempts: &[Value]) -> bool {
    let limited =
        |attempt: &Value| matches!(word(attempt), Some("throttled_burst" | "quota_exhausted" | "blocked"));
    !attempts.is_empty() && attempts.iter().all(limited)
}

/// What was wrong at a member, or why it was not asked.
fn word(attempt: &Value) -> Option<&str> {
    attempt["reason"].as_str().or_else(|| attempt["skipped"].as_str())
}

/// What a direct call ends with that got no answer of its provider: a code, and the same as a sentence.
fn told(reason: Option<Reason>) -> (&'static str, &'static str) {
    let reason = reason.unwrap_or(Reason::UpstreamError);
    let detail = match reason {
        Reason::Unreachable => "no connection to the provider: its name, TCP or TLS failed",
        Reason::Timeout => "the provider did not answer in time",
        Reason::TargetRefused => "the provider's address is one that this install does not call",
        Reason::KeyExpired => "the integration's key has expired; store a new version of it",
        Reason::KeyRevoked => {
            "the integration's key was revoked; store a new version of it, or name another key"
        }
        Reason::KeyUnavailable => "the integration's key is not in the key store, or that does not answer",
        _ => {
            return (
                Reason::UpstreamError.as_str(),
                "the provider's answer broke off or is not what it should be",
            );
        }
    };
    (reason.as_str(), detail)
}
