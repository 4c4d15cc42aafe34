//! Canonical operations on a route: one question, put to each member in its own words, and one kind of answer, whoever
//! gives it.
//!
//! `catalogue` does the words; here they meet a call. An answer is held whole and read before it is taken for one: what
//! cannot be read goes to the next member. Every other call passes by and pays nothing.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use catalogue::operation::{Asked, By, Kind, Planned, Unfit, normalise, plan};
use catalogue::{Operation, Provider};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, LINK,
};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use model::Timestamp;
use model::health::Reason;
use model::integration as configured;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::admit::{Call, To};
use super::join;
use super::judge::Judged;
use crate::body::Inbound;
use crate::problem::Problem;
use crate::snapshot::Integration;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long an answer may take to be whole, in milliseconds.
const ANSWER_MS: u64 = 30_000;
/// What a caller asks of the answer's form: of a provider's answer it means something else.
const OF_THE_FORM: [&str; 8] = [
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "content-type",
    "accept-language",
];
/// What a provider says of its own answer's form.
pub(super) const OF_THEIR_FORM: [HeaderName; 8] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ACCEPT_RANGES,
    ETAG,
    LAST_MODIFIED,
    LINK,
];

/// The canonical operations of an integration, by [`Kind`].
#[derive(Clone, Default)]
pub(crate) struct Operations([Option<Cow<'static, Operation>>; 3]);

/// An operation under way: what is asked, and each member's words for it.
pub(crate) struct Operated {
    asked: Asked,
    plans: Vec<(Arc<Integration>, Planned)>,
}

/// A call as one member wants it.
pub(crate) struct Shape {
    pub(crate) call: Call,
    pub(crate) body: Inbound,
}

/// Who reads one member's answer.
pub(crate) struct Reader {
    operated: Arc<Operated>,
    member: Arc<Integration>,
}

// === impl Operations ===

impl Operations {
    /// The integration's own operations, and its provider's that it does not have.
    pub(crate) fn of(given: &configured::Integration, provider: &'static Provider) -> Self {
        let own = catalogue::operation::check_own(&given.operations);
        if let Err(wrong) = &own {
            let (at, why) = (wrong.pointer(), &wrong.reason);
            tracing::warn!(integration.id = %given.id, at, why, "Operations of integration {} are not taken: {at}: {why}.", given.id);
        }
        Self(Kind::ALL.map(|kind| {
            let own = given.operations.get(kind.as_str()).filter(|_| own.is_ok());
            let theirs =
                || provider.operation(&given.environment, kind.as_str()).filter(|o| o.answer.is_some());
            own.map(|own| Cow::Owned(own.clone())).or_else(|| theirs().map(Cow::Borrowed))
        }))
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    fn get(&self, kind: Kind) -> Option<&Operation> {
        let place = Kind::ALL.iter().position(|known| *known == kind)?;
        self.0[place].as_deref()
    }

    fn names(&self) -> Vec<&'static str> {
        Kind::ALL.into_iter().filter(|kind| self.get(*kind).is_some()).map(Kind::as_str).collect()
    }
}

/// Makes a call an operation, if it is one: its parameters are read, and only members stay that can be asked so.
pub(crate) fn prepare(call: &mut Call, now: Timestamp) -> Result<(), Problem> {
    let To::Route(route, members) = &mut call.to else { return Ok(()) };
    if !route.operates || !matches!(call.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let Some(kind) = call.path.strip_prefix('/').and_then(Kind::named) else { return Ok(()) };
    let asked = Asked::read(kind, call.query.as_deref().unwrap_or_default()).map_err(|bad| {
        Problem::bad_request("bad_parameter", bad.to_string()).with("parameter", bad.name())
    })?;
    let mut plans: Vec<(Arc<Integration>, Planned)> = Vec::with_capacity(members.len());
    let mut unfit: Vec<Value> = Vec::new();
    for member in members.iter() {
        match fit(member, &asked, now) {
            Ok(planned) => plans.push((member.clone(), planned)),
            Err(why) => unfit.push(json!({ "integration": member.id.as_str(), "why": why,
                "operations": member.operations.names() })),
        }
    }
    if plans.is_empty() {
        let detail = format!("no integration of route `{}` can be asked this `{}`", route.id, kind.as_str());
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Problem::new(status, "no_operation", "Nobody has this operation", detail)
            .with("operation", kind.as_str())
            .with("integrations", unfit));
    }
    *members = plans.iter().map(|(member, _)| member.clone()).collect();
    call.query = Some(asked.to_query());
    call.operation = Some(Arc::new(Operated { asked, plans }));
    Ok(())
}

fn fit(member: &Integration, asked: &Asked, now: Timestamp) -> Result<Planned, String> {
    let operation = member.operations.get(asked.kind()).ok_or("it has no such operation")?;
    let planned = plan(operation, asked, now).map_err(|why: Unfit| why.to_string())?;
    join::check(&planned.path).map_err(|why| why.to_string())?;
    Ok(planned)
}

// === impl Operated ===

impl Operated {
    /// The call as a member wants it; nothing when it has no words for it.
    pub(crate) fn shape(&self, call: &Call, member: &Integration) -> Option<Shape> {
        let (_, planned) = self.plans.iter().find(|(known, _)| known.id == member.id)?;
        let mut headers = call.headers.clone();
        for name in OF_THE_FORM {
            headers.remove(name);
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // What is compressed cannot be read.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let shaped = Call {
            caller: call.caller.clone(),
            to: call.to.clone(),
            path: planned.path.clone(),
            query: planned.query.clone(),
            method: Method::GET,
            headers,
            revalidates: None,
            upgrade: false,
            chat: None,
            operation: call.operation.clone(),
            output: OnceLock::new(),
            timeout_ms: call.timeout_ms,
        };
        Some(Shape { call: shaped, body: Inbound::Held(Bytes::new()) })
    }

    /// Whether what went wrong at every attempt is that nobody has what was asked for.
    pub(crate) fn is_nowhere(attempts: &[Value]) -> bool {
        !attempts.is_empty()
            && attempts.iter().all(|attempt| attempt["reason"] == Reason::BadRequest.as_str())
    }
}

// === impl Reader ===

impl Reader {
    /// Who reads a member's answer to a call; nothing for calls that are no operation.
    pub(crate) fn of(call: &Call, member: &Arc<Integration>) -> Option<Self> {
        let operated = call.operation.clone()?;
        Some(Self { operated, member: member.clone() })
    }

    /// Writes a good answer anew, as the canonical document. An error: it broke off.
    pub(crate) async fn read(&self, mut judged: Judged) -> Result<Judged, egress::Error> {
        if judged.reason.is_some() {
            return Ok(judged);
        }
        let whole = hold_whole(&mut judged).await;
        let is_plain = judged.head.headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
        if !matches!(whole, Ok(true)) || judged.head.status != StatusCode::OK || !is_plain {
            let why = match whole? {
                false => "too large or too slow to be read",
                true if is_plain => "its status is not 200",
                true => "it is compressed, which was not asked for",
            };
            (judged.reason, judged.why) = (Some(Reason::UpstreamError), Some(why.to_owned()));
            return Ok(judged);
        }
        let (asked, id) = (&self.operated.asked, self.member.id.as_str());
        let by = By { provider: self.member.provider.id.as_str(), integration: Some(id) };
        let Some(operation) = self.member.operations.get(asked.kind()) else { return Ok(judged) };
        match normalise(operation, by, asked, Timestamp::now(), &judged.held) {
            Ok(document) => {
                for name in OF_THEIR_FORM {
                    judged.head.headers.remove(name);
                }
                judged.head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                judged.held = document.into();
            }
            Err(error) => {
                let operation = asked.kind().as_str();
                tracing::debug!(integration.id = %id, operation, %error, "An answer of integration {id} is no `{operation}`: {error}.");
                let absent = error.is_absence();
                judged.reason = Some(if absent { Reason::BadRequest } else { Reason::UpstreamError });
                judged.why = Some(format!("no `{operation}`: {error}"));
            }
        }
        Ok(judged)
    }
}

/// Holds all of an answer, and says whether it was not too large or too slow for that.
pub(super) async fn hold_whole(judged: &mut Judged) -> Result<bool, egress::Error> {
    timeout(Duration::from_millis(ANSWER_MS), hold(judged)).await.unwrap_or(Ok(false))
}

/// Holds all of an answer, and says whether it was not too large for that.
async fn hold(judged: &mut Judged) -> Result<bool, egress::Error> {
    let Some(rest) = &mut judged.rest else { return Ok(judged.held.len() <= ANSWER_BYTES_MAX) };
    let mut held = BytesMut::from(&judged.held[..]);
    while let Some(frame) = rest.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if held.len() + data.len() > ANSWER_BYTES_MAX {
            return Ok(false);
        }
        held.extend_from_slice(&data);
    }
    (judged.held, judged.rest) = (held.freeze(), None);
    Ok(true)
}

/// A member that has no words for what is asked; another one perhaps has.
pub(crate) fn unasked(member: &Integration) -> Problem {
    let detail = format!("integration `{}` cannot be asked this", member.id);
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "no_operation", "Integration does not have this operation", detail)
}
