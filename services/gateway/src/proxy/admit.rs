//! Admits a call: whose it is, where it goes, and that it may.
//!
//! Pure: the time is an argument. Whoever has no valid token learns nothing of what is configured.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::header::{AUTHORIZATION, HeaderName, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};
use model::Timestamp;
use model::token::{Permission, Token};
use sha2::{Digest, Sha256};

use super::converse::Chat;
use super::operate::Operated;
use super::{join, upgrade};
use crate::cache::kept::Kept;
use crate::live::Whose;
use crate::map::Few;
use crate::problem::Problem;
use crate::snapshot::{Caller, Config, Integration, Route};

/// Bytes of a request's head, its names and values together, and its fields.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 100;
/// The shortest and the longest token, in bytes.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 32..=512;
/// The caller's deadline over all attempts, and its bounds in milliseconds.
pub(crate) const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-signalbox-timeout-ms");
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 1..=600_000;
/// Our own header for tokens.
pub(super) const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-signalbox-token");

/// A call that may be made.
pub(crate) struct Call {
    /// Who calls.
    pub(crate) caller: Arc<Caller>,
    /// Where to.
    pub(crate) to: To,
    /// The path below the integration's or route's id, checked.
    pub(crate) path: String,
    /// The query, as it came.
    pub(crate) query: Option<String>,
    /// The method.
    pub(crate) method: Method,
    /// The headers, as they came.
    pub(crate) headers: HeaderMap,
    /// A kept answer that its integration is asked about: whether it is still true.
    pub(crate) revalidates: Option<Arc<Kept>>,
    /// Whether its connection is to become a WebSocket.
    pub(crate) upgrade: bool,
    /// What it has to say, if it is a chat that members are asked in their own words.
    pub(crate) chat: Option<Box<Chat>>,
    /// What it asks, if it is a canonical operation that members are asked in their own words.
    pub(crate) operation: Option<Arc<Operated>>,
    /// Tokens that its answer may have by its own word; read once, when a limit of a member counts tokens.
    pub(crate) output: OnceLock<Option<u64>>,
    /// How long the caller waits for an answer's head, in milliseconds, if it said so.
    pub(crate) timeout_ms: Option<u64>,
}

/// Where a call goes.
#[derive(Clone)]
pub(crate) enum To {
    /// To one integration.
    Integration(Arc<Integration>),
    /// Through a route, to those members that the token may call.
    Route(Arc<Route>, Few<Arc<Integration>>),
}

impl Call {
    /// Who calls, as it is counted.
    pub(crate) fn actor(&self) -> &str {
        self.caller.token.actor.as_str()
    }

    /// The integrations that may be called.
    pub(crate) fn members(&self) -> &[Arc<Integration>] {
        match &self.to {
            To::Integration(integration) => std::slice::from_ref(integration),
            To::Route(_, members) => members,
        }
    }

    /// The same call once more, for whoever asks behind its caller.
    pub(crate) fn again(&self) -> Self {
        Self {
            caller: self.caller.clone(),
            to: self.to.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            method: self.method.clone(),
            headers: self.headers.clone(),
            upgrade: false,
            revalidates: None,
            chat: None,
            operation: self.operation.clone(),
            output: self.output.clone(),
            timeout_ms: None,
        }
    }

    /// Whose call of an endpoint it is.
    pub(crate) fn whose<'a>(&'a self, endpoint: &'a str) -> Whose<'a> {
        Whose { endpoint, actor: self.actor(), route: self.route().map(|route| &route.id) }
    }

    /// The route, if it goes through one.
    pub(crate) fn route(&self) -> Option<&Arc<Route>> {
        match &self.to {
            To::Route(route, _) => Some(route),
            To::Integration(_) => None,
        }
    }
}

/// Admits a call, or says why not.
pub(crate) fn admit(
    config: &Config,
    peer: IpAddr,
    now: Timestamp,
    head: Parts,
) -> Result<Box<Call>, Problem> {
    check_head(&head)?;
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        let detail = "CONNECT and TRACE are not passed on";
        return Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
            detail,
        ));
    }
    let (kind, id, path) = split(head.uri.path()).ok_or_else(nothing_there)?;
    let caller = authenticate(config, &head.headers, peer, now)?;
    let upgrade = upgrade::asked(&head)?;
    join::check(path).map_err(|why| Problem::bad_request("bad_path", why.to_string()))?;
    let to = match kind {
        Kind::Integration => integration(config, &caller, id)?,
        Kind::Route => route(config, &caller, id)?,
    };
    let (path, query) = (path.to_owned(), head.uri.query().map(str::to_owned));
    let timeout_ms = timeout_ms(&head.headers)?;
    Ok(Box::new(Call {
        caller,
        to,
        path,
        query,
        method: head.method,
        headers: head.headers,
        revalidates: None,
        upgrade,
        chat: None,
        operation: None,
        output: OnceLock::new(),
        timeout_ms,
    }))
}

/// How long the caller waits, by its own word. It can only shorten what the gateway allows.
fn timeout_ms(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(&TIMEOUT_HEADER) else { return Ok(None) };
    let read = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    read.filter(|ms| TIMEOUT_MS.contains(ms)).map(Some).ok_or_else(|| {
        let (least, most) = (TIMEOUT_MS.start(), TIMEOUT_MS.end());
        let detail = format!("`{TIMEOUT_HEADER}` is a whole number of milliseconds from {least} to {most}");
        Problem::bad_request("bad_timeout", detail)
    })
}

/// What hyper lets pass and we do not: a head that is too large, framing that two readers could read in two ways (T13).
pub(super) fn check_head(head: &Parts) -> Result<(), Problem> {
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > HEAD_BYTES_MAX || head.headers.len() > HEADERS_MAX {
        let detail = format!("headers are at most {HEADERS_MAX}, and {HEAD_BYTES_MAX} bytes together");
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            "Headers are too large",
            detail,
        )
        .closing());
    }
    let mut encodings = head.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next() {
        let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked") && encodings.next().is_none();
        if !chunked || head.version != Version::HTTP_11 {
            let detail = "the only transfer encoding is `chunked`, once, with HTTP/1.1";
            return Err(Problem::bad_request("bad_framing", detail).closing());
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integration,
    Route,
}

/// `/p/<id>/<path>` and `/r/<id>/<path>`.
fn split(path: &str) -> Option<(Kind, &str, &str)> {
    let (kind, rest) = match path.get(..3)? {
        "/p/" => (Kind::Integration, &path[3..]),
        "/r/" => (Kind::Route, &path[3..]),
        _ => return None,
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (id, path) = rest.split_at(end);
    (!id.is_empty()).then_some((kind, id, path))
}

fn nothing_there() -> Problem {
    let detail = "call /p/{integration}/{path} or /r/{route}/{path}";
    Problem::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
}

/// Finds the caller's token by its hash: the table tells nothing of a token by how long a look-up takes.
pub(super) fn authenticate(
    config: &Config,
    headers: &HeaderMap,
    peer: IpAddr,
    now: Timestamp,
) -> Result<Arc<Caller>, Problem> {
    let text = token_of(headers).ok_or_else(|| {
        Problem::unauthorized("send a Signalbox token in `Authorization: Bearer …` or `x-signalbox-token`")
    })?;
    let hash: [u8; 32] = Sha256::digest(text).into();
    let found = config.tokens.get(&hash).filter(|_| TOKEN_BYTES.contains(&text.len()));
    let caller = found.ok_or_else(|| Problem::unauthorized("this token is not known, or was revoked"))?;
    let Token { expires_at, revoked_at, role, .. } = &caller.token;
    if revoked_at.is_some() {
        return Err(Problem::unauthorized("this token is not known, or was revoked"));
    }
    if expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(Problem::unauthorized("this token has expired"));
    }
    if !role.allows(Permission::Call) {
        return Err(Problem::forbidden(Permission::Call));
    }
    let peer = peer.to_canonical();
    if !caller.networks.is_empty() && !caller.networks.iter().any(|network| network.contains(&peer)) {
        return Err(Problem::out_of_bounds("this token is bound to other networks than yours"));
    }
    Ok(caller.clone())
}

fn token_of(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(own) = headers.get(&TOKEN_HEADER) {
        return Some(own.as_bytes().trim_ascii());
    }
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// One integration. A token that is bound to routes alone calls no integration past them.
fn integration(config: &Config, caller: &Caller, id: &str) -> Result<To, Problem> {
    let bounds = &caller.token.bounds;
    let bound = !bounds.integrations.is_empty() || !bounds.routes.is_empty();
    if bound && !bounds.integrations.contains(id) {
        return Err(Problem::out_of_bounds("this token is bound to other integrations or routes"));
    }
    let known = || config.integrations.keys().map(model::IntegrationId::as_str);
    let found = config.integrations.get(id).ok_or_else(|| Problem::not_found("integration", id, known()))?;
    Ok(To::Integration(found.clone()))
}

/// A route, with those of its members that the token may call.
fn route(config: &Config, caller: &Caller, id: &str) -> Result<To, Problem> {
    let bounds = &caller.token.bounds;
    if !bounds.routes.is_empty() && !bounds.routes.contains(id) {
        return Err(Problem::out_of_bounds("this token is bound to other routes"));
    }
    let known = || config.routes.keys().map(model::RouteId::as_str);
    let found = config.routes.get(id).ok_or_else(|| Problem::not_found("route", id, known()))?;
    let by_route = bounds.integrations.is_empty() || bounds.routes.contains(id);
    let allowed = |member: &&Arc<Integration>| by_route || bounds.integrations.contains(&member.id);
    let members: Few<_> = found.members.iter().filter(allowed).cloned().collect();
    if members.is_empty() && !found.members.is_empty() {
        return Err(Problem::out_of_bounds("this token is bound to integrations that are not of this route"));
    }
    Ok(To::Route(found.clone(), members))
}

#[cfg(test)]
mod tests;
