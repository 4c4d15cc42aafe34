//! Chat on a route: one request in OpenAI's words, carried to whichever member answers, and its answer brought back.
//!
//! A member of the same dialect gets the caller's bytes; another one gets them translated, attempt by attempt. Of a
//! stream only the beginning is held, so that an error inside of a 200 can still go elsewhere; from then on events are
//! passed on as they come. Whether a call may be repeated is `choose`'s to say, here as anywhere.

mod listen;
mod speak;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;
use model::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::admit::{Call, To};
use super::forward::{Forwarded, forward};
use super::{BYPASS, Ended, answer, attempt, callable, dress, encoding};
use crate::Inner as Gateway;
use crate::body::{Body, Inbound};
use crate::chat::reply::Words;
use crate::chat::{self, Ask, Dialect, Refused, fault};
use crate::problem::{self, Problem};
use crate::snapshot::Integration;
use crate::telemetry;

pub(crate) use listen::Listener;
pub(crate) use speak::{Spoken, Voice};

/// Where a dialect that is not translated is asked.
const OPENAI_PATH: &str = "/v1/chat/completions";
/// Headers of a client of OpenAI's that say nothing to another provider, by how they begin.
const OPENAI_PREFIXES: [&str; 2] = ["openai-", "x-stainless-"];

/// What is asked of a route that chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A completion, in OpenAI's words.
    Completions,
    /// The same, answered by the canonical document.
    Canonical,
    /// Which models there are.
    Models,
}

/// A chat on its way, beside its call.
pub(crate) struct Chat {
    is_canonical: bool,
    body: Bytes,
    /// The request, read when the first member needs it.
    ask: OnceLock<Result<Ask, Refused>>,
    created: i64,
    max_tokens: u64,
}

/// A call as one member wants it.
pub(crate) struct Shape {
    pub(crate) call: Call,
    pub(crate) body: Inbound,
    /// Who brings the answer back; nothing where it passes as it is.
    pub(crate) listener: Option<Arc<Listener>>,
}

/// What is asked, if it is a chat; nothing for every other call.
pub(crate) fn kind(call: &Call) -> Option<Kind> {
    let To::Route(route, members) = &call.to else { return None };
    if !route.chats {
        return None;
    }
    match (&call.method, call.path.as_str()) {
        (&Method::POST, "/v1/chat/completions" | "/chat/completions") => Some(Kind::Completions),
        (&Method::POST, "/chat") => Some(Kind::Canonical),
        (&Method::GET, "/v1/models" | "/models") => {
            members.iter().any(|member| !member.models.is_empty()).then_some(Kind::Models)
        }
        _ => None,
    }
}

/// Answers a chat. What goes wrong is said as a problem that clients of OpenAI's can read too.
pub(crate) async fn converse(
    gateway: &Arc<Gateway>,
    now: Timestamp,
    call: Box<Call>,
    kind: Kind,
    body: Incoming,
) -> Result<Response<Body>, Ended> {
    let outcome = match kind {
        Kind::Models => return Ok(models(&call)),
        Kind::Completions | Kind::Canonical => carry(gateway, now, call, kind, body).await,
    };
    outcome.map_err(|(problem, attempts, word)| (problem.in_openai(), attempts, word))
}

async fn carry(
    gateway: &Arc<Gateway>,
    now: Timestamp,
    mut call: Box<Call>,
    kind: Kind,
    body: Incoming,
) -> Result<Response<Body>, Ended> {
    let early = |problem| (problem, 0, BYPASS);
    let body = take(gateway, body).await.map_err(early)?;
    // It is read here, and perhaps written anew.
    let body = encoding::plain(&mut call.headers, body, gateway.settings.body_bytes_max).map_err(early)?;
    let chat = Chat {
        is_canonical: kind == Kind::Canonical,
        body: body.clone(),
        ask: OnceLock::new(),
        created: now.as_millis() / 1000,
        max_tokens: gateway.settings.chat_max_tokens,
    };
    if chat.is_canonical {
        let ask = chat.ask().map_err(|refused| early(untranslatable(refused)))?;
        if ask.stream {
            let why = "the canonical answer is one document; streams are at /v1/chat/completions";
            return Err(early(untranslatable(&Refused::at("stream", why))));
        }
    }
    let members = callable(gateway, &call).map_err(early)?;
    dress::undress(&mut call.headers);
    call.chat = Some(Box::new(chat));
    telemetry::cache(BYPASS);
    match forward(gateway, &call, &members, Inbound::Held(body)).await {
        Forwarded::Answered(found, attempts) => {
            let is_own = found.voice.as_ref().is_some_and(Voice::is_whole);
            let response = answer::pass(gateway, found, attempts, None, BYPASS);
            Ok(if is_own { encoding::own(response) } else { response })
        }
        Forwarded::Refused(problem) => Err((problem, 1, BYPASS)),
        Forwarded::Exhausted(mut exhausted) => {
            let attempts = exhausted.attempts.len();
            let for_the_caller = answer::is_for_the_caller(&call, &exhausted);
            match exhausted.last.take().filter(|_| for_the_caller) {
                Some(last) => Ok(answer::pass(gateway, last, attempts, None, BYPASS)),
                None => Err((answer::exhausted(&call, *exhausted), attempts, BYPASS)),
            }
        }
    }
}

/// Takes the whole body: it may have to be read, and written anew for each member.
async fn take(gateway: &Gateway, body: Incoming) -> Result<Bytes, Problem> {
    let bytes_max = gateway.settings.body_bytes_max;
    let hold = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    match Inbound::take(body, &gateway.settings.callers, hold, true, bytes_max).await {
        Ok(Inbound::Held(bytes)) => Ok(bytes),
        Ok(_) => Err(Problem::too_large(bytes_max)),
        Err(refused) => Err(refused.problem(bytes_max)),
    }
}

/// The models that the route's members map.
fn models(call: &Call) -> Response<Body> {
    let To::Route(_, members) = &call.to else { return problem::json(StatusCode::OK, &Value::Null) };
    let mut data: Vec<Value> = Vec::new();
    for member in members {
        for name in member.models.keys().filter(|name| *name != "*") {
            if !data.iter().any(|known| known["id"] == **name) {
                data.push(
                    json!({ "id": name, "object": "model", "created": 0, "owned_by": member.id.as_str() }),
                );
            }
        }
    }
    let mut response = problem::json(StatusCode::OK, &json!({ "object": "list", "data": data }));
    answer::decorate(&mut response, None, 0, BYPASS);
    response
}

/// 400: why a request is not translated, and where.
fn untranslatable(refused: &Refused) -> Problem {
    let error = fault::refused(refused);
    let detail = error["error"]["message"].as_str().unwrap_or_default().to_owned();
    let problem = Problem::bad_request("untranslatable", detail);
    match &refused.param {
        Some(param) => problem.with("param", param.as_str()),
        None => problem,
    }
}

// === impl Shape ===

impl Shape {
    fn new(
        from: &Call,
        path: String,
        query: Option<String>,
        headers: HeaderMap,
        body: Bytes,
        listener: Option<Listener>,
    ) -> Self {
        let (caller, to, method) = (from.caller.clone(), from.to.clone(), from.method.clone());
        let call = Call {
            caller,
            to,
            path,
            query,
            method,
            headers,
            revalidates: None,
            upgrade: false,
            chat: None,
            operation: None,
            output: from.output.clone(),
            timeout_ms: None,
        };
        Self { call, body: Inbound::Held(body), listener: listener.map(Arc::new) }
    }
}

// === impl Chat ===

impl Chat {
    fn ask(&self) -> Result<&Ask, &Refused> {
        self.ask.get_or_init(|| Ask::read(&self.body)).as_ref()
    }

    /// Tokens that the answer may have by the caller's word. A request that was read already is not read again.
    pub(crate) fn output(&self) -> Option<u64> {
        match self.ask.get() {
            Some(Ok(ask)) => ask.max_tokens,
            _ => attempt::output(&self.body),
        }
    }

    /// The call as a member wants it. An error: it has no words for it; another one perhaps has.
    pub(crate) fn shape(&self, call: &Call, member: &Integration) -> Result<Shape, Problem> {
        let Some(dialect) = member.dialect else { return self.unshaped(call, member) };
        if dialect == Dialect::Openai {
            return self.mapped(call, member).map_err(|refused| untranslatable(&refused));
        }
        let ask = self.ask().map_err(untranslatable)?;
        let theirs = member.model(&ask.model);
        let max_tokens = member.max_tokens.unwrap_or(self.max_tokens);
        let written =
            chat::write(ask, dialect, theirs, max_tokens).map_err(|refused| untranslatable(&refused))?;
        let Some(written) = written else { return self.unshaped(call, member) };
        let mut headers = call.headers.clone();
        let foreign =
            |name: &HeaderName| OPENAI_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
        let foreign: Vec<HeaderName> = headers.keys().filter(|name| foreign(name)).cloned().collect();
        for name in foreign {
            headers.remove(name);
        }
        let accept = if ask.stream { "text/event-stream" } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let listener = self.listener(dialect, member, ask.model.clone(), theirs, ask.include_usage);
        let query = written.query.map(str::to_owned);
        let body = written.body.to_string().into();
        Ok(Shape::new(call, written.path, query, headers, body, Some(listener)))
    }

    /// For a member of the same dialect: the caller's bytes, but for the model where the member has another name for it.
    fn mapped(&self, call: &Call, member: &Integration) -> Result<Shape, Refused> {
        let mut body = self.body.clone();
        let (mut asked, mut theirs) = (String::new(), String::new());
        if !member.models.is_empty() || self.is_canonical {
            let whole = chat::strict::parse(&body)?;
            asked = whole["model"].as_str().ok_or_else(|| Refused::at("model", "must be a text"))?.to_owned();
            theirs = member.model(&asked).to_owned();
            if theirs != asked {
                body = with_model(&body, &theirs)?;
            }
        }
        let mut headers = call.headers.clone();
        // What is compressed cannot be looked at.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let listener = self.listener(Dialect::Openai, member, asked, &theirs, false);
        Ok(Shape::new(call, OPENAI_PATH.to_owned(), call.query.clone(), headers, body, Some(listener)))
    }

    /// For a member of which nothing is known: as it came, or not at all.
    fn unshaped(&self, call: &Call, member: &Integration) -> Result<Shape, Problem> {
        if self.is_canonical {
            let detail = format!("integration `{}` has no dialect to chat in", member.id);
            return Err(Problem::bad_request("no_operation", detail));
        }
        let (path, query, headers) = (call.path.clone(), call.query.clone(), call.headers.clone());
        Ok(Shape::new(call, path, query, headers, self.body.clone(), None))
    }

    fn listener(
        &self,
        dialect: Dialect,
        member: &Integration,
        asked: String,
        theirs: &str,
        include_usage: bool,
    ) -> Listener {
        Listener {
            provider: member.provider,
            dialect,
            is_canonical: self.is_canonical,
            words: Words { model: asked, created: self.created, include_usage },
            tokens: member.tokens.clone(),
            theirs: theirs.to_owned(),
            hold_ms: member.timeout_ms,
        }
    }
}

/// A body with another model in it, and no other byte changed.
fn with_model(body: &Bytes, model: &str) -> Result<Bytes, Refused> {
    #[derive(Deserialize)]
    struct Head<'b> {
        #[serde(borrow)]
        model: &'b RawValue,
    }
    let head: Head<'_> =
        serde_json::from_slice(body).map_err(|error| Refused { param: None, why: error.to_string() })?;
    let old = head.model.get();
    let start = old.as_ptr().addr() - body.as_ptr().addr();
    let new = Value::from(model).to_string();
    Ok([&body[..start], new.as_bytes(), &body[start + old.len()..]].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_is_written_anew() {
        let body = Bytes::from_static(b"{ \"messages\" : [],\n \"model\" : \"gpt-4o\" ,\"x\":1.50e0 }");
        let mapped = with_model(&body, "o\"3").expect("an object");
        assert_eq!(&mapped[..], b"{ \"messages\" : [],\n \"model\" : \"o\\\"3\" ,\"x\":1.50e0 }");
    }
}
